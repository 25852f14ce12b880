"""A withdrawal's journey: what it waits for, and whether its fee limit lets it be paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.bitcoin.transactions import parse_transaction
from bridge.codec import decode_payout, decode_withdrawal
from bridge.journey_parts import (
    Depth,
    FeeState,
    Journey,
    Mover,
    Place,
    Surroundings,
    TransactionRef,
    Waiting,
    fee_of_transaction,
    in_a_slot,
    in_blocks,
    mined_soon,
    of_group,
    payout_fee,
    with_told,
)
from bridge.journey_releases import is_release, release_journey
from bridge.payouts import Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.storage import BitcoinTransactionRow, TransactionPurpose, TransferRow, View
from bridge.tiers import confirmations
from foundation.quantities import TokenUnits


@dataclass(frozen=True, slots=True)
class _Paying:
    """A payout and its signed versions, the cheapest first."""

    payout: Payout
    versions: tuple[BitcoinTransactionRow, ...]
    children: tuple[BitcoinTransactionRow, ...]

    @property
    def signed(self) -> BitcoinTransactionRow | None:
        """The version that waits for a block, the newest."""
        waiting = [row for row in self.versions if row.height is None and row.replaced_by is None]
        return waiting[-1] if waiting else None


async def withdrawal_journey(view: View, row: TransferRow, place: Place, around: Surroundings) -> Journey:
    """The journey of a withdrawal whose row this is."""
    withdrawal = decode_withdrawal(row)
    if is_release(withdrawal):
        return await release_journey(view, row, withdrawal, around)
    steps = await view.journey.of(row.id)
    payings = [await _paying(view, decode_payout(one)) for one in await view.payouts.of_withdrawal(row.id)]
    current = payings[-1] if payings and payings[-1].payout.stage is not PayoutStage.VOIDED else None
    fee = _fee(withdrawal, current, around)
    return Journey(
        id=row.id,
        kind=row.kind,
        stage=_stage(withdrawal, current),
        amount=withdrawal.amount,
        arrives=_arrives(withdrawal, current),
        unit=around.unit(withdrawal.asset, is_bitcoin=True),
        asset=withdrawal.asset,
        party=withdrawal.owner,
        destination=withdrawal.destination,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        payout=None if current is None else current.payout.payout_id,
        transactions=with_told(_transactions(withdrawal, payings), steps),
        depth=_depth(current, place, around),
        waiting=_waiting(withdrawal, current, fee, place, around),
        fee=fee,
        reclaim=None,
        steps=steps,
    )


def _arrives(withdrawal: Withdrawal, current: _Paying | None) -> TokenUnits | None:
    """What the version in a block, or else the newest signed one, pays this withdrawal: outputs are in its order."""
    if current is None or withdrawal.withdrawal_id not in current.payout.withdrawals:
        return None
    confirmed = current.payout.confirmed
    in_block = [row for row in current.versions if confirmed is not None and row.txid == confirmed.txid]
    version = in_block[0] if in_block else current.signed
    if version is None:
        return None
    place = current.payout.withdrawals.index(withdrawal.withdrawal_id)
    output = parse_transaction(version.raw).outputs[place]
    return TokenUnits(output.value) if output.script == withdrawal.destination else None


async def _paying(view: View, payout: Payout) -> _Paying:
    versions = await view.bitcoin_transactions.of_subject(TransactionPurpose.PAYOUT, payout.payout_id)
    children: list[BitcoinTransactionRow] = []
    for version in versions:
        children += await view.bitcoin_transactions.of_subject(TransactionPurpose.CPFP, version.txid)
    return _Paying(payout, versions, tuple(children))


def _stage(withdrawal: Withdrawal, current: _Paying | None) -> str:
    """The withdrawal's stage on the Hub; between reservation and settlement the payout's, which says more."""
    if withdrawal.stage is WithdrawalStage.RESERVED and current is not None:
        return str(current.payout.stage)
    return str(withdrawal.stage)


def _transactions(withdrawal: Withdrawal, payings: Sequence[_Paying]) -> list[TransactionRef]:
    found = [TransactionRef("request", "native", withdrawal.request_transaction, withdrawal.requested_at)]
    for paying in payings:
        confirmed = paying.payout.confirmed
        if confirmed is not None:
            found.append(TransactionRef("payout", "bitcoin", confirmed.txid, confirmed.height))
        if paying.payout.settled is not None:
            found.append(TransactionRef("payout", "bitcoin", paying.payout.settled))
        found += of_group([*paying.versions, *paying.children])
    return found


def _depth(current: _Paying | None, place: Place, around: Surroundings) -> Depth | None:
    if current is None:
        return None
    confirmed = current.payout.confirmed
    have = 0 if confirmed is None else confirmations(confirmed.height, place.tip)
    return Depth("payout", have, around.policy.settled_depth)


def _fee(withdrawal: Withdrawal, current: _Paying | None, around: Surroundings) -> FeeState | None:
    if withdrawal.stage is WithdrawalStage.REQUESTED:
        return _limit(withdrawal, around)
    if current is None or current.payout.stage is not PayoutStage.RESERVED:
        return None
    if current.signed is not None:
        return fee_of_transaction(current.signed, around)
    return _limit(withdrawal, around)


def _limit(withdrawal: Withdrawal, around: Surroundings) -> FeeState:
    """Whether the owner's limit covers a payout of this withdrawal alone; in a batch each bears less."""
    wanted = around.wanted_rate
    needed = payout_fee(wanted)
    if withdrawal.max_fee >= needed:
        text = f"allows {withdrawal.max_fee:,} sat, enough: a payout of it alone costs about {needed:,} sat"
        return FeeState(text, True, None, wanted)
    text = f"allows {withdrawal.max_fee:,} sat, too little: a payout of it alone costs about {needed:,} sat"
    cure = f"causeway withdraw raise-fee {withdrawal.withdrawal_id.hex()[:12]} --max-fee {2 * needed}"
    return FeeState(text, False, None, wanted, cure)


def _waiting(
    withdrawal: Withdrawal, current: _Paying | None, fee: FeeState | None, place: Place, around: Surroundings
) -> Waiting:
    match withdrawal.stage:
        case WithdrawalStage.SETTLED:
            return Waiting("nothing: the coins are paid and the tokens are burnt", Mover.NOBODY)
        case WithdrawalStage.CANCELLED:
            return Waiting("nothing: it was cancelled and the tokens are back", Mover.NOBODY)
        case WithdrawalStage.RESTORED:
            return Waiting("nothing: it could not be paid, and the tokens are back", Mover.NOBODY)
        case WithdrawalStage.REQUESTED:
            if fee is not None and fee.enough is False:
                return Waiting("a higher limit for the miner's fee, or lower fees", Mover.OWNER)
            what = "the storemen reserve coins for it, once the vault has enough that are deep enough"
            return Waiting(what, Mover.STOREMEN, in_a_slot(around))
        case WithdrawalStage.RESERVED:
            return _paid(current, fee, place, around)


def _paid(current: _Paying | None, fee: FeeState | None, place: Place, around: Surroundings) -> Waiting:
    if current is None:
        return Waiting("this node to learn of the payout that the Hub names", Mover.NOBODY)
    match current.payout.stage:
        case PayoutStage.CONFIRMING:
            assert current.payout.confirmed is not None, "the payout's invariant"
            missing = max(around.policy.settled_depth - confirmations(current.payout.confirmed.height, place.tip), 0)
            what = f"{missing} more of {around.policy.settled_depth} confirmations of the payout"
            return Waiting(what, Mover.MINERS, in_blocks(missing, place, around.now))
        case PayoutStage.PAID:
            what = "more than two thirds of the vouchers attest the payment; one settles it and burns the tokens"
            return Waiting(what, Mover.VOUCHERS, in_a_slot(around))
        case PayoutStage.RESERVED if current.payout.stranger is not None:
            what = "the vouchers void the payout: something else spent its coin"
            return Waiting(what, Mover.VOUCHERS, in_a_slot(around))
        case PayoutStage.RESERVED:
            if current.signed is not None and fee is not None:
                return mined_soon("a block that holds the payout", fee, place, around.now)
            return Waiting("the storemen sign the payout", Mover.STOREMEN, in_a_slot(around))
        case _:
            return Waiting("the Hub's settlement to be final on the native chain", Mover.NOBODY)
