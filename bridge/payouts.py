"""A withdrawal's and a payout's life as one node sees them: from the lock on the Hub to the burn.

Source: seeds/004…, section 3.2 (the transfer-back steps), with the changes that docs/architecture.md explains.

    withdrawal:  requested ⇄ reserved → settled          requested → cancelled
    payout:      reserved → confirming → paid → settled   reserved → voided

A payout pays a batch of withdrawals from named coins. Its first coin, the anchor, is spent by every version of it
(each fee bump, each replacement of the other coins), so that at most one version can ever confirm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from adapters.bitcoin.primitives import OutPoint
from bridge.deposits import Alarm, Effect, Note
from bridge.tiers import confirmations
from foundation.errors import Fatal
from foundation.quantities import BlockHeight, Satoshi, TokenUnits


class WithdrawalStage(StrEnum):
    """Where a withdrawal is, as the Hub says it finally."""

    REQUESTED = "requested"
    RESERVED = "reserved"
    SETTLED = "settled"
    CANCELLED = "cancelled"


class PayoutStage(StrEnum):
    """Where a payout is. RESERVED covers all from the reservation to the first block that holds the payment."""

    RESERVED = "reserved"
    CONFIRMING = "confirming"
    PAID = "paid"  # final on bitcoin: vouchers attest it
    SETTLED = "settled"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One request on the Hub. `amount` is locked there and burnt at settlement; all units are base units."""

    withdrawal_id: bytes  # 32 bytes
    asset: bytes  # 32 bytes
    owner: bytes  # 20 bytes
    amount: TokenUnits
    max_fee: Satoshi
    destination: bytes  # scriptPubKey
    request_transaction: bytes  # on the native chain
    requested_at: BlockHeight  # native block
    stage: WithdrawalStage = WithdrawalStage.REQUESTED
    payout: bytes | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The version of a payout that is in the chain."""

    txid: bytes  # 32 bytes, wire order
    height: BlockHeight
    fee: Satoshi


@dataclass(frozen=True, slots=True)
class Payout:
    """A reservation on the Hub and what became of it."""

    payout_id: bytes  # 32 bytes
    group: bytes
    asset: bytes
    withdrawals: tuple[bytes, ...]
    inputs: tuple[OutPoint, ...]  # the anchor first
    version: int
    stage: PayoutStage = PayoutStage.RESERVED
    confirmed: Confirmed | None = None
    stranger: bytes | None = None  # the transaction that spends the anchor and is no version of this payout

    @property
    def anchor(self) -> OutPoint:
        """The coin that every version spends."""
        return self.inputs[0]


@dataclass(frozen=True, slots=True)
class Replaced:
    """The Hub accepted another set of inputs for the same withdrawals; the anchor stays."""

    inputs: tuple[OutPoint, ...]
    version: int


@dataclass(frozen=True, slots=True)
class InChain:
    """A version of the payout is in the bitcoin chain."""

    confirmed: Confirmed


@dataclass(frozen=True, slots=True)
class OutOfChain:
    """A reorg took the version, or the stranger that spends the anchor, away."""


@dataclass(frozen=True, slots=True)
class AnchorTaken:
    """A transaction that is no version of this payout spends the anchor, in the chain."""

    spender: bytes


@dataclass(frozen=True, slots=True)
class Tip:
    """The bitcoin chain's newest block; `depth` is what this payout asks to be final."""

    height: BlockHeight
    depth: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The Hub burnt the tokens, finally."""

    txid: bytes
    transaction: bytes


@dataclass(frozen=True, slots=True)
class Voided:
    """The Hub voided the payout, finally: its withdrawals are requested again."""

    transaction: bytes


Change: TypeAlias = Replaced | InChain | OutOfChain | AnchorTaken | Tip | Settled | Voided


class AnchorChanged(Fatal):
    """The Hub reports a version of a payout that does not spend its anchor. Fields: payout_id."""

    def __init__(self, payout_id: bytes) -> None:
        self.payout_id = payout_id
        super().__init__(f"payout {payout_id.hex()}: a version does not spend the anchor")


def step(payout: Payout, change: Change) -> tuple[Payout, tuple[Effect, ...]]:
    """Advance a payout. Pure: replaying a change gives the same state and no effects.

    Raises:
        AnchorChanged: a version does not spend the anchor (fatal; the Hub forbids it).
    """
    after, effects = _apply(payout, change)
    assert after.anchor == payout.anchor, "the anchor never changes"
    assert after.withdrawals == payout.withdrawals, "a payout's withdrawals never change"
    assert after.stage is not PayoutStage.PAID or after.confirmed, "paid without a payment"
    return after, effects


def _apply(payout: Payout, change: Change) -> tuple[Payout, tuple[Effect, ...]]:
    match change:
        case Replaced(inputs, version):
            return _replaced(payout, inputs, version)
        case InChain(confirmed):
            return _in_chain(payout, confirmed)
        case OutOfChain():
            return _out_of_chain(payout)
        case AnchorTaken(spender):
            if payout.stranger == spender:
                return payout, ()
            text = f"payout {payout.payout_id.hex()}: its anchor was spent by a stranger"
            return replace(payout, stranger=spender), (Alarm(text),)
        case Tip(height, depth):
            return _tip(payout, height, depth)
        case Settled(txid, transaction):
            return _settled(payout, txid, transaction)
        case Voided(transaction):
            if payout.stage is PayoutStage.VOIDED:
                return payout, ()
            note = Note("the payout was voided: the withdrawal is requested again", transaction, "native")
            return replace(payout, stage=PayoutStage.VOIDED), (note,)


def _replaced(payout: Payout, inputs: tuple[OutPoint, ...], version: int) -> tuple[Payout, tuple[Effect, ...]]:
    if version <= payout.version:
        return payout, ()
    if payout.anchor not in inputs:
        raise AnchorChanged(payout.payout_id)
    ordered = (payout.anchor, *(coin for coin in inputs if coin != payout.anchor))
    return replace(payout, inputs=ordered, version=version), (Note(f"reserved anew, version {version}"),)


def _in_chain(payout: Payout, confirmed: Confirmed) -> tuple[Payout, tuple[Effect, ...]]:
    if payout.confirmed == confirmed:
        return payout, ()
    stage = PayoutStage.CONFIRMING if payout.stage is PayoutStage.RESERVED else payout.stage
    note = Note(f"payout in block {confirmed.height}, fee {confirmed.fee} sat", confirmed.txid, "bitcoin")
    return replace(payout, stage=stage, confirmed=confirmed, stranger=None), (note,)


def _out_of_chain(payout: Payout) -> tuple[Payout, tuple[Effect, ...]]:
    if payout.confirmed is None:
        return replace(payout, stranger=None), ()
    note = Note("a reorg took the payout away: the same coins are spent again", payout.confirmed.txid, "bitcoin")
    if payout.stage is PayoutStage.SETTLED:
        alarm = Alarm(f"payout {payout.payout_id.hex()} was settled and left the chain")
        return replace(payout, confirmed=None), (note, alarm)
    return replace(payout, stage=PayoutStage.RESERVED, confirmed=None), (note,)


def _tip(payout: Payout, tip: BlockHeight, depth: int) -> tuple[Payout, tuple[Effect, ...]]:
    if payout.stage not in {PayoutStage.CONFIRMING, PayoutStage.PAID} or payout.confirmed is None:
        return payout, ()
    have = confirmations(payout.confirmed.height, tip)
    stage = PayoutStage.PAID if have >= depth else PayoutStage.CONFIRMING
    if stage is payout.stage:
        return payout, ()
    note = Note(f"payout final with {have} of {depth} confirmations", payout.confirmed.txid, "bitcoin")
    return replace(payout, stage=stage), (note,) if stage is PayoutStage.PAID else ()


def _settled(payout: Payout, txid: bytes, transaction: bytes) -> tuple[Payout, tuple[Effect, ...]]:
    if payout.stage is PayoutStage.SETTLED:
        return payout, ()
    note = Note("settled: the locked tokens are burnt", transaction, "native")
    effects: tuple[Effect, ...] = (note,)
    if payout.confirmed is not None and payout.confirmed.txid != txid:
        effects = (note, Alarm(f"payout {payout.payout_id.hex()} was settled with another transaction than ours"))
    return replace(payout, stage=PayoutStage.SETTLED), effects
