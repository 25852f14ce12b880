"""A withdrawal's and a payout's life as one node sees them: from the lock on the Hub to the burn.

Source: seeds/004…, section 3.2 (the transfer-back steps), with the changes that docs/architecture.md explains.

    withdrawal:  requested ⇄ reserved → settled (→ restored)     requested → cancelled
    payout:      reserved ⇄ confirming ⇄ paid → settled           reserved → voided

On an EVM chain a payout binds no coins: the vault's contract pays each withdrawal's number once at most, so there is no
anchor and nothing to void. It is in the chain once the contract has consumed all its numbers. What the contract could
never pay, and the group has cancelled there, the Hub restores to its owner after the settlement.

On bitcoin, a payout pays a batch of withdrawals from named coins. Its first coin, the anchor, is spent by every version
of it (each fee bump, each replacement of the other coins), so that at most one version can ever confirm.

What spends the anchor in the chain is therefore either a version or a stranger, and `is_version` tells which from
the outputs alone: which other coins it spends does not matter, because a version of an older reservation, whose
signatures left long ago, pays as well as one of the newest. The two chains are followed apart: the Hub may settle or
void before this node has seen the payment or the stranger in a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from adapters.bitcoin.primitives import OutPoint, TxOut, hash_text
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
    RESTORED = "restored"  # the vault cancelled its payment: the Hub gave the tokens back


class PayoutStage(StrEnum):
    """Where a payout is. RESERVED covers all from the reservation to the first block that holds the payment."""

    RESERVED = "reserved"
    CONFIRMING = "confirming"
    PAID = "paid"  # final on its chain: vouchers attest it
    SETTLED = "settled"
    VOIDED = "voided"


_ENDED = frozenset({PayoutStage.SETTLED, PayoutStage.VOIDED})


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One request on the Hub. `amount` is locked there and burnt at settlement; all units are base units.

    max_fee: the most that miners may have of the amount; on an EVM chain exactly what the carrier gets of it.
    """

    withdrawal_id: bytes  # 32 bytes
    asset: bytes  # 32 bytes
    owner: bytes  # 20 bytes
    amount: TokenUnits
    max_fee: TokenUnits
    destination: bytes  # scriptPubKey; on an EVM chain the payee's address, 20 bytes
    request_transaction: bytes  # on the native chain
    requested_at: BlockHeight  # native block
    stage: WithdrawalStage = WithdrawalStage.REQUESTED
    payout: bytes | None = None
    number: int = 0  # counts the Hub's withdrawals, from 1; vaults on EVM chains pay by it
    service_fee: TokenUnits = TokenUnits(0)  # locked besides the amount, for vouchers and storemen


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The version of a payout that is in the chain. `fee`: what the withdrawals bore."""

    txid: bytes  # 32 bytes, wire order; on an EVM chain the transaction that consumed the last number
    height: BlockHeight
    fee: TokenUnits
    shown_fee: str = ""  # for people
    chain: str = "bitcoin"  # for people

    @property
    def fee_text(self) -> str:
        """The fee for people."""
        return self.shown_fee or f"{self.fee} sat"


@dataclass(frozen=True, slots=True)
class Payout:
    """A reservation on the Hub and what became of it."""

    payout_id: bytes  # 32 bytes
    group: bytes
    asset: bytes
    withdrawals: tuple[bytes, ...]
    inputs: tuple[OutPoint, ...]  # the anchor first; none on an EVM chain
    version: int
    stage: PayoutStage = PayoutStage.RESERVED
    confirmed: Confirmed | None = None
    stranger: bytes | None = None  # the transaction that spends the anchor and is no version of this payout
    settled: bytes | None = None  # the txid for which the Hub burnt the tokens
    signers: int = 0  # bitmap of the group's members who co-signed the reservation

    @property
    def anchor(self) -> OutPoint:
        """The coin that every version spends; `is_bound` says whether there is one."""
        return self.inputs[0]

    @property
    def is_bound(self) -> bool:
        """Whether it is bound to coins, as on bitcoin."""
        return bool(self.inputs)


@dataclass(frozen=True, slots=True)
class Replaced:
    """The Hub accepted another set of inputs for the same withdrawals; the anchor stays."""

    inputs: tuple[OutPoint, ...]
    version: int
    signers: int = 0


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


class SettledAndVoided(Fatal):
    """The Hub says of one payout that it is settled and that it is voided: it is broken or lied about.

    Fields: payout_id.
    """

    def __init__(self, payout_id: bytes) -> None:
        self.payout_id = payout_id
        super().__init__(f"payout {payout_id.hex()}: the Hub says settled and voided")


class AnchorChanged(Fatal):
    """The Hub reports a version of a payout that does not spend its anchor. Fields: payout_id."""

    def __init__(self, payout_id: bytes) -> None:
        self.payout_id = payout_id
        super().__init__(f"payout {payout_id.hex()}: a version does not spend the anchor")


def is_version(
    payout: Payout, withdrawals: Sequence[Withdrawal], outputs: Sequence[TxOut], vault_script: bytes
) -> Satoshi | None:
    """The fee that the withdrawals bear if a transaction with these outputs is a version of `payout`, else None.

    A version pays every withdrawal, in the payout's order, at most its amount; besides it has one change output to the
    vault, or none. The caller knows that the transaction spends the anchor: it was signed by the group, so no more is
    needed to tell a payment from a theft. How the fee is shared is checked before signing (`bridge.policy`), not here:
    what is in the chain is paid. The owners' maximum is not asked either: they may have raised it in a block that
    this node has not read yet, and to take a payment for a stranger's would pay it twice.

    Returns:
        Σ amounts − Σ payments, which is what the Hub's `settle` asks for.
    """
    assert tuple(w.withdrawal_id for w in withdrawals) == payout.withdrawals, "the caller looked up the payout's own"
    payments, changes = outputs[: len(withdrawals)], outputs[len(withdrawals) :]
    if len(payments) < len(withdrawals) or len(changes) > 1:
        return None
    if any(change.script != vault_script for change in changes):
        return None
    borne = 0
    for payment, withdrawal in zip(payments, withdrawals, strict=True):
        share = withdrawal.amount - payment.value
        if payment.script != withdrawal.destination or share < 0:
            return None
        borne += share
    return Satoshi(borne)


def step(payout: Payout, change: Change) -> tuple[Payout, tuple[Effect, ...]]:
    """Advance a payout. Pure: replaying a change gives the same state and no effects.

    Raises:
        AnchorChanged: a version does not spend the anchor (fatal; the Hub forbids it).
        SettledAndVoided: the Hub contradicts itself (fatal).
    """
    after, effects = _apply(payout, change)
    assert after.inputs[:1] == payout.inputs[:1], "the anchor never changes"
    assert after.withdrawals == payout.withdrawals, "a payout's withdrawals never change"
    _check(after)
    before = _contradictions(payout)
    return after, (*effects, *(Alarm(text) for text in _contradictions(after) if text not in before))


def _apply(payout: Payout, change: Change) -> tuple[Payout, tuple[Effect, ...]]:
    match change:
        case Replaced():
            return _replaced(payout, change)
        case InChain(confirmed):
            return _in_chain(payout, confirmed)
        case OutOfChain():
            return _out_of_chain(payout)
        case AnchorTaken(spender):
            return _anchor_taken(payout, spender)
        case Tip(height, depth):
            return _tip(payout, height, depth)
        case Settled(txid, transaction):
            return _settled(payout, txid, transaction)
        case Voided(transaction):
            return _voided(payout, transaction)


def _spent_by(payout: Payout, confirmed: Confirmed | None, stranger: bytes | None = None) -> Payout:
    """The payout when this is what spends its anchor in the chain; how deep that lies, a `Tip` says."""
    stage = payout.stage
    if stage not in _ENDED:
        stage = PayoutStage.CONFIRMING if confirmed else PayoutStage.RESERVED
    return replace(payout, stage=stage, confirmed=confirmed, stranger=stranger)


def _replaced(payout: Payout, change: Replaced) -> tuple[Payout, tuple[Effect, ...]]:
    inputs, version = change.inputs, change.version
    if version <= payout.version:
        return payout, ()
    if not payout.is_bound or payout.anchor not in inputs:
        raise AnchorChanged(payout.payout_id)
    ordered = (payout.anchor, *(coin for coin in inputs if coin != payout.anchor))
    after = replace(payout, inputs=ordered, version=version, signers=change.signers)
    return after, (Note(f"reserved anew, version {version}"),)


def _in_chain(payout: Payout, confirmed: Confirmed) -> tuple[Payout, tuple[Effect, ...]]:
    if payout.confirmed == confirmed:
        return payout, ()
    text = f"payout in block {confirmed.height}, fee {confirmed.fee_text}"
    note = Note(text, confirmed.txid, confirmed.chain)
    return _spent_by(payout, confirmed), (note,)


def _out_of_chain(payout: Payout) -> tuple[Payout, tuple[Effect, ...]]:
    after = _spent_by(payout, None)
    if payout.confirmed is not None:
        note = Note(
            "a reorg took the payout away: the same coins are spent again",
            payout.confirmed.txid,
            payout.confirmed.chain,
        )
        return after, (note, *_lost(payout))
    if payout.stranger is not None:
        return after, (Note("a reorg took away what spent the payout's coin", payout.stranger, "bitcoin"),)
    return payout, ()


def _anchor_taken(payout: Payout, spender: bytes) -> tuple[Payout, tuple[Effect, ...]]:
    if payout.stranger == spender:
        return payout, ()
    note = Note("another transaction spent the payout's coin", spender, "bitcoin")
    return _spent_by(payout, None, spender), (note, *_lost(payout))


def _lost(payout: Payout) -> tuple[Effect, ...]:
    """The payment has left the chain: an alarm where the tokens are burnt for it."""
    if payout.confirmed is None or payout.stage is not PayoutStage.SETTLED:
        return ()
    return (Alarm(f"payout {payout.payout_id.hex()} was settled and left the chain"),)


def _tip(payout: Payout, tip: BlockHeight, depth: int) -> tuple[Payout, tuple[Effect, ...]]:
    if payout.stage not in {PayoutStage.CONFIRMING, PayoutStage.PAID} or payout.confirmed is None:
        return payout, ()
    have = confirmations(payout.confirmed.height, tip)
    stage = PayoutStage.PAID if have >= depth else PayoutStage.CONFIRMING
    if stage is payout.stage:
        return payout, ()
    text = f"payout final with {have} of {depth} confirmations" if payout.is_bound else "payout final"
    note = Note(text, payout.confirmed.txid, payout.confirmed.chain)
    return replace(payout, stage=stage), (note,) if stage is PayoutStage.PAID else ()


def _settled(payout: Payout, txid: bytes, transaction: bytes) -> tuple[Payout, tuple[Effect, ...]]:
    if payout.stage is PayoutStage.VOIDED:
        raise SettledAndVoided(payout.payout_id)
    if payout.stage is PayoutStage.SETTLED:
        return payout, ()
    note = Note("settled: the locked tokens are burnt", transaction, "native")
    return replace(payout, stage=PayoutStage.SETTLED, settled=txid), (note,)


def _voided(payout: Payout, transaction: bytes) -> tuple[Payout, tuple[Effect, ...]]:
    if payout.stage is PayoutStage.SETTLED:
        raise SettledAndVoided(payout.payout_id)
    if payout.stage is PayoutStage.VOIDED:
        return payout, ()
    note = Note("the payout was voided: the withdrawal is requested again", transaction, "native")
    return replace(payout, stage=PayoutStage.VOIDED), (note,)


def _contradictions(payout: Payout) -> tuple[str, ...]:
    """What must not be, said for operators, whichever of the two facts came first."""
    name = f"payout {payout.payout_id.hex()}"
    found: list[str] = []
    if payout.stranger is not None and payout.stage is not PayoutStage.VOIDED:
        found.append(f"{name}: its anchor was spent by a stranger, {hash_text(payout.stranger)}")
    if payout.confirmed is not None and payout.stage is PayoutStage.VOIDED:
        found.append(f"{name} was voided, and {hash_text(payout.confirmed.txid)} pays it")
    if payout.settled is not None and payout.confirmed is not None and payout.confirmed.txid != payout.settled:
        found.append(f"{name} was settled with another transaction than {hash_text(payout.confirmed.txid)}")
    return tuple(found)


def _check(payout: Payout) -> None:
    """Invariants: a stage that claims something has the evidence for it; one transaction spends the anchor."""
    paying = payout.stage in {PayoutStage.CONFIRMING, PayoutStage.PAID}
    assert not paying or payout.confirmed, "paid without a payment"
    assert payout.stage is not PayoutStage.RESERVED or not payout.confirmed, "reserved although it is paid"
    assert not (payout.confirmed and payout.stranger), "a version and a stranger spend the same coin"
    assert (payout.stage is PayoutStage.SETTLED) == (payout.settled is not None), "settled without a transaction"
