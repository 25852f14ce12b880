"""What a payer tells a payee of a hold, off the chain: an output's hash says nothing to who does not know its terms.

A notice is no promise, and need not be believed: only an output that pays exactly what it says makes it a hold. It is
told before the output is broadcast, so that a payee never misses one, and names the height from which to look for it.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from foundation.errors import BadInput, Fatal, Retryable
from foundation.quantities import BlockHeight, Satoshi
from foundation.unreadable import UNREADABLE
from settlement.ledgers.bitcoin.types import Terms
from settlement.ledgers.protocol import MEMO_BYTES_MAX, LedgerAccount

MAX_UNPAID: Final = 1_000
"""Announced holds that wait for their outputs: each costs the payer nothing, and us some work with each block."""

HOLD_S_MAX: Final = 31 * 86_400
"""The longest hold that is listened to, in seconds from now."""

_BYTES_MAX: Final = MEMO_BYTES_MAX + 1_024


class TooManyNotices(Retryable):
    """So many holds were announced to us that no output pays: some have to be paid, or to expire. Fields: unpaid."""

    def __init__(self, unpaid: int) -> None:
        self.unpaid = unpaid
        super().__init__(f"{unpaid:,} announced holds are not paid yet")


class NoticeRefused(Fatal):
    """The payee wants no such hold, for good: it is not made. Fields: payee; problem (its words)."""

    def __init__(self, payee: LedgerAccount, problem: str) -> None:
        self.payee = payee
        self.problem = problem
        super().__init__(f"{payee} refuses the hold: {problem}")


class Notices(Protocol):
    """The way to payees; confidential, and authenticated where floods are to be held off."""

    async def tell(self, payee: LedgerAccount, notice: bytes) -> None:
        """Return once the payee has kept the notice (`BitcoinLedger.accept`).

        Raises:
            Retryable: it has not, yet.
            NoticeRefused: it never will.
        """
        ...


class _Notice(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    transfer_id: bytes
    payer: bytes
    payee: bytes
    amount: int
    condition: bytes
    expires_at: int
    memo: bytes
    birthday: int


def encode_notice(terms: Terms, birthday: BlockHeight) -> bytes:
    """A notice of a hold whose output will be in a block above `birthday`. MessagePack."""
    fields = (terms.transfer_id, terms.payer, terms.payee, terms.amount, terms.condition, terms.expires_at, terms.memo)
    return msgspec.msgpack.encode(_Notice(1, *fields, birthday))


def decode_notice(notice: bytes) -> tuple[Terms, BlockHeight]:
    """The inverse of `encode_notice`. Raises `BadInput`: too long, malformed, or terms that cannot be."""
    if len(notice) > _BYTES_MAX:
        raise BadInput("notice", f"{len(notice)} bytes", f"at most {_BYTES_MAX:,}")
    try:
        told = msgspec.msgpack.decode(notice, type=_Notice)
    except UNREADABLE as error:
        raise BadInput("notice", str(error)) from error
    if told.version != 1 or not 0 <= told.birthday < 1 << 31:
        raise BadInput("notice", "is of another version, or names no height")
    terms = Terms(
        told.transfer_id, told.payer, told.payee, Satoshi(told.amount), told.condition, told.expires_at, told.memo
    )
    return terms, BlockHeight(told.birthday)
