"""What a side knows of both chains. Each fact is the whole present view of one thing, so a newer one replaces it.

A reorganisation is a newer fact: fewer confirmations, or the thing gone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from settlement.swap.terms import Mode, SwapTerms

MAX_LOCKS: Final = 16
MAX_OUTPUTS: Final = 64
"""Kept in a state: whoever pays strangers' scripts must not fill a database. Exact ones may be twice as many."""

LARGEST_WRITE_OFF: Final = 10_000
"""Satoshi. An output that is worth more is tried again, for fees fall: a wild estimate must not cost anybody money."""


class LockStatus(StrEnum):
    """What has become of a lock."""

    OPEN = "open"
    CLAIMED = "claimed"
    RETURNED = "returned"


class SpendKind(StrEnum):
    """Who an output of the swap goes to: the initiator, or back to the follower."""

    CLAIM = "claim"
    REFUND = "refund"


class LockView(Struct, frozen=True):
    """A lock as the contract has it.

    Fields: chain (CAIP-2 text); escrow (20 bytes); mode (a hash lock or a point lock: the contract keeps them apart);
    lock_id (32 bytes); payer, beneficiary, refund_to, asset (20 bytes); amount (32 bytes, big-endian); condition
    (32 bytes, as `SwapTerms.condition`); expires_at (seconds).
    """

    chain: str
    escrow: bytes
    mode: Mode
    lock_id: bytes
    payer: bytes
    beneficiary: bytes
    refund_to: bytes
    asset: bytes
    amount: bytes
    condition: bytes
    expires_at: int


class Lock(Struct, frozen=True):
    """A lock and what has become of it. Fields: confirmations of the newest change (0: in the mempool); final;
    memo_holds (see `changes.LockSeen`)."""

    view: LockView
    status: LockStatus
    confirmations: int
    final: bool
    memo_holds: bool = True


class Spend(Struct, frozen=True):
    """A transaction that spends an output of the swap. Fields: txid (32 bytes, internal order); confirmations."""

    kind: SpendKind
    txid: bytes
    confirmations: int


class Output(Struct, frozen=True):
    """An output that pays to the swap's script.

    Fields: outpoint (36 bytes, as in a transaction); value (satoshi); confirmations (0: in the mempool); spend;
    written_off (it is worth less than moving it costs).
    """

    outpoint: bytes
    value: int
    confirmations: int
    spend: Spend | None = None
    written_off: bool = False


def expected_lock(terms: SwapTerms) -> LockView:
    """The lock that the terms ask for."""
    evm = terms.evm
    return LockView(
        chain=str(evm.chain),
        escrow=evm.escrow,
        mode=terms.mode,
        lock_id=evm.lock_id,
        payer=evm.payer,
        beneficiary=evm.beneficiary,
        refund_to=evm.refund_to,
        asset=evm.asset,
        amount=evm.amount.to_bytes(32, "big"),
        condition=terms.condition,
        expires_at=evm.expires_at,
    )
