"""A voucher's claims: which of the things that this node has seen are final and wait for attestations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from adapters.bitcoin.primitives import OutPoint
from bridge.codec import decode_deposit, decode_payout
from bridge.deposits import Deposit, Stage
from bridge.intake.common import maker_fact
from bridge.messages import AnchorSeen, Claim, DepositSeen, PayoutSeen
from bridge.payouts import Payout, PayoutStage
from bridge.storage import CoinRow, TransferKind, View
from bridge.tiers import confirmations
from foundation.quantities import BlockHeight
from registry.ids import deposit_id


@dataclass(frozen=True, slots=True)
class Due:
    """A claim that waits for the Hub. Fields: subject (deposit or payout id); transfers (whose journeys it is in)."""

    subject: bytes
    claim: Claim
    transfers: tuple[bytes, ...]


async def claims_due(view: View, tip: BlockHeight, settled_depth: int) -> list[Due]:
    """Everything that this node sees final on bitcoin and the Hub does not know finally, oldest first."""
    due = []
    for row in await view.transfers.by_stage(TransferKind.DEPOSIT, Stage.FINAL):
        deposit = decode_deposit(row)
        due.append(Due(deposit.deposit_id, deposit_claim(deposit), (deposit.deposit_id,)))
    for payout_row in await view.payouts.by_stage(PayoutStage.PAID, PayoutStage.RESERVED):
        payout = decode_payout(payout_row)
        claim = await _payout_claim(view, payout, tip, settled_depth)
        if claim is not None:
            due.append(Due(payout.payout_id, claim, payout.withdrawals))
    return due


def deposit_claim(deposit: Deposit) -> DepositSeen:
    """What a voucher says of a final deposit."""
    d = deposit
    return DepositSeen(d.asset, d.txid, d.vout, d.amount, d.recipient, d.group)


async def _payout_claim(view: View, payout: Payout, tip: BlockHeight, settled_depth: int) -> Claim | None:
    if payout.stage is PayoutStage.PAID and payout.confirmed is not None:
        return PayoutSeen(payout.payout_id, payout.confirmed.txid, payout.confirmed.fee)
    anchor = await view.coins.get(payout.anchor.txid, payout.anchor.vout)
    if payout.stranger is None:
        return None if anchor is None else await _never_made(view, payout, anchor, tip, settled_depth)
    if anchor is None or anchor.spent_by != payout.stranger:
        return None
    if confirmations(anchor.spent_height, tip) < settled_depth:
        return None
    return AnchorSeen(payout.payout_id, payout.stranger)


async def _never_made(
    view: View, payout: Payout, anchor: CoinRow, tip: BlockHeight, settled_depth: int
) -> AnchorSeen | None:
    """A reorg took the anchor away, and another version of the transaction that made it is final: it never comes back.

    No version of the payout can confirm then, as if the anchor were spent; its withdrawals would be bound for ever.
    """
    if payout.stage is not PayoutStage.RESERVED or anchor.height is not None:
        return None
    fact = await view.node_meta.get(maker_fact(anchor.txid))
    if fact is None:
        return None
    made_from = OutPoint.parse(fact)
    coin = await view.coins.get(made_from.txid, made_from.vout)
    if coin is None or coin.spent_by is None or coin.spent_by == anchor.txid:
        return None
    if confirmations(coin.spent_height, tip) < settled_depth:
        return None
    return AnchorSeen(payout.payout_id, coin.spent_by)


class Standing(Enum):
    """What this node makes of another voucher's claim."""

    UNKNOWN = auto()  # it knows nothing of the subject, yet
    POSSIBLE = auto()
    FALSE = auto()  # it contradicts what the subject's id commits to


async def standing(view: View, claim: Claim) -> Standing:
    """Whether a signature on a claim is worth keeping.

    A deposit's id names its coin, and the coin's transaction fixes all that is claimed of it: who claims anything else
    lies. What pays a payout may change with a reorg, so of payouts nothing is called false.
    """
    if not isinstance(claim, DepositSeen):
        return Standing.UNKNOWN if await view.payouts.get(claim.payout) is None else Standing.POSSIBLE
    row = await view.transfers.get(subject_of(claim))
    if row is None or row.kind is not TransferKind.DEPOSIT:
        return Standing.UNKNOWN
    deposit = decode_deposit(row)
    if not deposit.script:
        return Standing.POSSIBLE  # known from the Hub alone
    return Standing.POSSIBLE if deposit_claim(deposit) == claim else Standing.FALSE


def subject_of(claim: Claim) -> bytes:
    """The deposit's or the payout's id."""
    if isinstance(claim, DepositSeen):
        return deposit_id(claim.asset, claim.txid, claim.vout)
    return claim.payout
