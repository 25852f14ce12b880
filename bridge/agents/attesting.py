"""A voucher's claims: which of the things that this node has seen are final and wait for attestations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from eth_utils.crypto import keccak

from adapters.bitcoin.primitives import OutPoint
from bridge.codec import decode, decode_deposit, decode_payout, decode_withdrawal
from bridge.deposits import Deposit, Stage
from bridge.directory import Directory
from bridge.intake.common import EVERYTHING, WANTED_ENDS, WANTED_HALTS, Context, described_fact, maker_fact
from bridge.intake.releases import given_back
from bridge.messages import (
    AnchorSeen,
    AssetSeen,
    CancellationSeen,
    Claim,
    DepositSeen,
    HaltWanted,
    PayoutSeen,
    ResumeWanted,
    amount_bytes,
)
from bridge.payouts import Payout, PayoutStage, WithdrawalStage
from bridge.storage import CoinRow, ReleaseOutcome, TransferKind, View
from bridge.tiers import confirmations
from foundation.quantities import BlockHeight
from registry.ids import deposit_id


@dataclass(frozen=True, slots=True)
class Due:
    """A claim that waits for the Hub. Fields: subject (deposit or payout id); transfers (whose journeys it is in)."""

    subject: bytes
    claim: Claim
    transfers: tuple[bytes, ...]


async def claims_due(view: View, tip: BlockHeight, settled_depth: int, context: Context) -> list[Due]:
    """Everything that this node sees final and the Hub does not know finally, and the halts that it wants.

    `tip`: of bitcoin.
    """
    due = [*await _halts(view), *await _introductions(view, context.directory), *await _cancellations(view, context)]
    halts = await wanted(view, WANTED_HALTS)
    for row in await view.transfers.by_stage(TransferKind.DEPOSIT, Stage.FINAL):
        deposit = decode_deposit(row)
        if deposit.asset in halts or EVERYTHING in halts:
            continue  # this voucher doubts that it is backed: it says no more of it until a person has looked
        due.append(Due(deposit.deposit_id, deposit_claim(deposit), (deposit.deposit_id,)))
    for payout_row in await view.payouts.by_stage(PayoutStage.PAID, PayoutStage.RESERVED):
        payout = decode_payout(payout_row)
        claim = await _payout_claim(view, payout, tip, settled_depth)
        if claim is not None:
            due.append(Due(payout.payout_id, claim, payout.withdrawals))
    return due


async def _halts(view: View) -> list[Due]:
    halts, ends = await wanted(view, WANTED_HALTS), await wanted(view, WANTED_ENDS)
    claims: list[Claim] = [HaltWanted(asset, until) for asset, until in halts.items()]
    claims += [ResumeWanted(asset, until) for asset, until in ends.items()]
    return [Due(subject_of(claim), claim, ()) for claim in claims]


async def wanted(view: View, fact: str) -> dict[bytes, int]:
    """What this voucher's operator, or its watch over the reserves, wants of halts: asset to seconds since 1970."""
    stored = await view.node_meta.get(fact)
    return {} if stored is None else decode(stored, dict[bytes, int], fact)


async def _introductions(view: View, directory: Directory) -> list[Due]:
    """Assets that somebody has deposited and nobody has registered, once this node has read what they say."""
    due: dict[bytes, Due] = {}
    for chain in directory.origins:
        if chain not in directory.open_chains:
            continue
        for row in await view.transfers.by_stage(TransferKind.DEPOSIT, Stage.CONFIRMING, chain=chain):
            deposit = decode_deposit(row)
            described = await view.node_meta.get(described_fact(deposit.asset))
            if deposit.asset in directory.assets or described is None:
                continue
            known = due.get(deposit.asset)
            before = () if known is None else known.transfers
            claim = decode(described, AssetSeen, "node_meta")
            due[deposit.asset] = Due(deposit.asset, claim, (*before, deposit.deposit_id))
    return list(due.values())


async def _cancellations(view: View, context: Context) -> list[Due]:
    """Payments that vaults will never make, of withdrawals whose tokens are burnt: the Hub is to give them back."""
    due = []
    for chain in context.directory.origins:
        for release in await view.releases.by_outcome(chain, ReleaseOutcome.CANCELLED):
            row = await view.transfers.get(context.withdrawal_id(release.number))
            if row is None or row.stage != WithdrawalStage.SETTLED:
                continue
            withdrawal = decode_withdrawal(row)
            if context.directory.chain_of(withdrawal.asset) != chain:
                continue  # another chain's vault paid it: what this one cancelled was never its to pay
            claim = CancellationSeen(row.id, amount_bytes(given_back(withdrawal, release)))
            due.append(Due(row.id, claim, (row.id,)))
    return due


def deposit_claim(deposit: Deposit) -> DepositSeen:
    """What a voucher says of a final deposit."""
    d = deposit
    return DepositSeen(d.asset, d.txid, d.vout, amount_bytes(d.amount), d.recipient, d.group)


async def _payout_claim(view: View, payout: Payout, tip: BlockHeight, settled_depth: int) -> Claim | None:
    if payout.stage is PayoutStage.PAID and payout.confirmed is not None:
        return PayoutSeen(payout.payout_id, payout.confirmed.txid, amount_bytes(payout.confirmed.fee))
    if not payout.is_bound:
        return None
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
    match claim:
        case PayoutSeen() | AnchorSeen():
            return Standing.UNKNOWN if await view.payouts.get(claim.payout) is None else Standing.POSSIBLE
        case CancellationSeen():
            return Standing.UNKNOWN if await view.transfers.get(claim.withdrawal) is None else Standing.POSSIBLE
        case AssetSeen():
            described = await view.node_meta.get(described_fact(subject_of(claim)))
            return Standing.UNKNOWN if described is None else Standing.POSSIBLE
        case HaltWanted() | ResumeWanted():
            return Standing.POSSIBLE  # an opinion, not a fact
        case DepositSeen():
            pass
    row = await view.transfers.get(subject_of(claim))
    if row is None or row.kind is not TransferKind.DEPOSIT:
        return Standing.UNKNOWN
    deposit = decode_deposit(row)
    if not deposit.script:
        return Standing.POSSIBLE  # known from the Hub alone
    return Standing.POSSIBLE if deposit_claim(deposit) == claim else Standing.FALSE


def subject_of(claim: Claim) -> bytes:
    """What a claim is about, 32 bytes: a voucher says one thing of each kind about it, for ever."""
    match claim:
        case DepositSeen():
            return deposit_id(claim.asset, claim.txid, claim.vout)
        case AssetSeen():
            return keccak(claim.caip19.encode())
        case CancellationSeen():
            return claim.withdrawal
        case HaltWanted() | ResumeWanted():
            return keccak(claim.asset + claim.until.to_bytes(8, "big"))
        case PayoutSeen() | AnchorSeen():
            return claim.payout
