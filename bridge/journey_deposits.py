"""A deposit's journey: what it waits for, and how its depositor takes it back."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.bitcoin.errors import OutputBelowDust
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.reclaim import reclaim_transaction
from adapters.bitcoin.scripts import DepositTerms, return_script
from bridge.codec import decode_deposit
from bridge.deposits import ENDED, Deposit, Purpose, Spend, Stage
from bridge.journey_locks import lock_journey
from bridge.journey_parts import (
    Depth,
    FeeState,
    Journey,
    Mover,
    Place,
    ReclaimOffer,
    Surroundings,
    TransactionRef,
    Waiting,
    fee_of_transaction,
    in_a_slot,
    in_blocks,
    mined_soon,
    of_group,
    with_told,
)
from bridge.storage import BitcoinTransactionRow, DepositTermsRow, TransferRow, View
from bridge.tiers import confirmations
from foundation.quantities import Satoshi, UnixMs

_PENDING = frozenset({Stage.MINTED, Stage.RETURNING})
"""What is left to do with the coin is a transaction of the group."""


async def deposit_journey(view: View, row: TransferRow, place: Place, around: Surroundings) -> Journey:
    """The journey of a deposit whose row this is."""
    deposit = decode_deposit(row)
    if deposit.lock is not None:
        return await lock_journey(view, row, deposit, around)
    steps = await view.journey.of(row.id)
    ours = sorted(
        await view.bitcoin_transactions.spending([(deposit.txid, deposit.vout)]), key=lambda one: (one.fee, one.txid)
    )
    waiting = [one for one in ours if one.height is None and one.replaced_by is None]
    signed = waiting[-1] if waiting and deposit.spend is None else None
    fee = None if signed is None else fee_of_transaction(signed, around)
    return Journey(
        id=row.id,
        kind=row.kind,
        stage=row.stage,
        amount=deposit.amount,
        arrives=deposit.minted,
        unit=around.unit(deposit.asset, is_bitcoin=True),
        asset=deposit.asset,
        party=deposit.recipient,
        destination=b"",
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        payout=None,
        transactions=with_told(_transactions(deposit, ours), steps),
        depth=_depth(deposit, place, around),
        waiting=_waiting(deposit, signed, fee, place, around, row.updated_at_ms),
        fee=fee,
        reclaim=_reclaim(deposit, await view.deposit_terms.by_script(deposit.script), place, around),
        steps=steps,
    )


def _transactions(deposit: Deposit, ours: Sequence[BitcoinTransactionRow]) -> list[TransactionRef]:
    found = [TransactionRef("deposit", "bitcoin", deposit.txid, deposit.height)]
    if deposit.mint_transaction is not None:
        found.append(TransactionRef("mint", "native", deposit.mint_transaction))
    if deposit.return_transaction is not None:
        found.append(TransactionRef("mint barred", "native", deposit.return_transaction))
    spend = deposit.spend
    if spend is not None:
        found.append(TransactionRef(str(spend.purpose), "bitcoin", spend.txid, spend.height))
    return [*found, *of_group(ours)]


def _depth(deposit: Deposit, place: Place, around: Surroundings) -> Depth:
    if deposit.spend is not None:
        have = confirmations(deposit.spend.height, place.tip)
        return Depth(str(deposit.spend.purpose), have, around.policy.settled_depth)
    have = confirmations(deposit.height, place.tip)
    return Depth("deposit", have, around.policy.confirmations.required(deposit.at_stake))


def _waiting(
    deposit: Deposit,
    signed: BitcoinTransactionRow | None,
    fee: FeeState | None,
    place: Place,
    around: Surroundings,
    since: UnixMs,
) -> Waiting:
    if deposit.stage in ENDED:
        return Waiting(_END[deposit.stage], Mover.NOBODY)
    if deposit.spend is not None:
        return _deepens(deposit.spend, place, around)
    if signed is not None and fee is not None and deposit.stage in _PENDING:
        return mined_soon(f"a block that holds the {signed.purpose}", fee, place, around.now)
    match deposit.stage:
        case Stage.CONFIRMING:
            depth = _depth(deposit, place, around)
            what = f"{depth.missing} more of {depth.asked} confirmations"
            return Waiting(what, Mover.MINERS, in_blocks(depth.missing, place, around.now))
        case Stage.FINAL:
            return Waiting(
                "more than two thirds of the vouchers attest; one sends the mint", Mover.VOUCHERS, _soon(around)
            )
        case Stage.REFUSED:
            what = f"the storemen bar the mint on the Hub and send the coin back: {deposit.refusal}"
            return Waiting(what, Mover.STOREMEN, _soon(around))
        case Stage.MINTED:
            at = UnixMs(max(since + round(around.policy.sweep_after_seconds * 1000), _soon(around)))
            return Waiting("the tokens are minted; the storemen sweep the coin into the vault", Mover.STOREMEN, at)
        case Stage.RETURNING:
            return Waiting("the storemen sign the return to the reclaim key", Mover.STOREMEN, _soon(around))
        case _:
            return _missing(deposit)


_END = {
    Stage.SWEPT: "nothing: the tokens are minted and the coin is in the vault",
    Stage.RETURNED: "nothing: the coin went back to the reclaim key",
    Stage.RECLAIMED: "nothing: the depositor took the coin back",
}


def _missing(deposit: Deposit) -> Waiting:
    if not deposit.script:
        return Waiting("this node to find the coin: the Hub knows the deposit already", Mover.NOBODY)
    what = "the deposit's transaction to be in a block again: a reorg took it away"
    return Waiting(what, Mover.DEPOSITOR)


def _deepens(spend: Spend, place: Place, around: Surroundings) -> Waiting:
    missing = max(around.policy.settled_depth - confirmations(spend.height, place.tip), 0)
    what = f"{missing} more of {around.policy.settled_depth} confirmations of the {spend.purpose}"
    if spend.purpose is Purpose.SWEEP:
        what = f"the tokens are minted; {what}"
    return Waiting(what, Mover.MINERS, in_blocks(missing, place, around.now))


def _soon(around: Surroundings) -> UnixMs:
    return in_a_slot(around)


def _reclaim(deposit: Deposit, row: DepositTermsRow | None, place: Place, around: Surroundings) -> ReclaimOffer | None:
    """The reclaim, ready to be signed; None where the coin is spent or unknown, or stands for minted tokens."""
    key = around.keys.get(deposit.group)
    unspendable = deposit.height is None or deposit.spend is not None or deposit.mint_transaction is not None
    if row is None or key is None or unspendable:
        return None
    terms = DepositTerms(
        hub_chain_id=around.hub_chain_id,
        hub_address=around.hub_address,
        asset=row.asset,
        group_id=row.group_id,
        group_key=key,
        recipient=row.recipient,
        reclaim_key=row.reclaim_key,
        delay=row.delay,
        salt=row.salt,
    )
    coin = Coin(OutPoint(deposit.txid, deposit.vout), Satoshi(deposit.amount), deposit.script, deposit.height)
    destination = return_script(row.reclaim_key)
    try:
        reclaim = reclaim_transaction(terms, coin, destination, around.wanted_rate)
    except OutputBelowDust:
        return None  # it is worth less than the fee
    assert deposit.height is not None, "checked above"
    valid_from = reclaim.valid_from(deposit.height)
    # The next block has the height tip + 1.
    left = max(valid_from - (place.tip + 1), 0)
    return ReclaimOffer(reclaim.psbt(), valid_from, left, reclaim.fee, destination)
