"""Orders around the follower's funding transaction: one for ever, paid more where it lingers, or taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from adapters.bitcoin.errors import InsufficientFunds, OutputBelowDust, RpcRefused
from adapters.bitcoin.primitives import TxOut, hash_text
from adapters.bitcoin.transactions import parse_transaction
from adapters.evm.lockbox.types import NATIVE_COIN
from foundation.errors import BadInput, CausewayError
from foundation.quantities import Satoshi, SatPerKvB
from settlement.swap.bitcoin.cosign import BadCosignature
from settlement.swap.bitcoin.desk import Submission
from settlement.swap.bitcoin.funding import Funding
from settlement.swap.bitcoin.rungs import RUNGS, RungMaker, RungOffer, complete_rungs, offer_rungs, rung_fees
from settlement.swap.bitcoin.rungs import Rung as Claim
from settlement.swap.engine.hands.desk import Changes, Desk, NotNow
from settlement.swap.evm.gas import claim_need
from settlement.swap.machine import guards
from settlement.swap.machine.changes import (
    Failed,
    FundingAbandoned,
    FundingPrepared,
    RoundFailed,
    RungsComplete,
    RungsOffered,
    RungsSigned,
    Sent,
)
from settlement.swap.machine.effects import (
    AbandonFunding,
    BroadcastFunding,
    CompleteRungs,
    CountersignRungs,
    PrepareFunding,
    SignRungs,
)
from settlement.swap.machine.states import Follower, Initiator
from settlement.swap.store.store import KeptTransaction, SwapRow
from settlement.swap.terms import Mode

FUNDING: Final = "funding"
TAKE_BACK: Final = "take-back"
MOST_PERCENT: Final = 10
"""Of the amount, that funding it may cost in fees."""
_log = structlog.get_logger(__name__)


def most_fee(amount: Satoshi) -> Satoshi:
    """The highest fee of a funding transaction: a tenth of what it pays, and room for the smallest."""
    return Satoshi(max(amount * MOST_PERCENT // 100, 10_000))


async def broadcast(desk: Desk, row: SwapRow, order: BroadcastFunding) -> Changes:
    """Pay the swap's output, or pay more for the transaction that does."""
    kept = await desk.kept(row, FUNDING)
    was_sent = await desk.cursor(_sent(row))
    if not was_sent and (problem := _not_to_be_sent(desk, row, order, kept)):
        for one in kept:
            await desk.wallet.release(Funding.decode(one.raw))
        await desk.forget(row, FUNDING)
        return (Failed(order.key, problem),)
    if not kept:
        try:
            funding = await _signed(desk, row)
        except (InsufficientFunds, BadInput, OutputBelowDust) as error:
            raise NotNow(str(error), 2) from error
    else:
        funding = Funding.decode(kept[-1].raw)
        if order.attempt and was_sent:
            return await _raise(desk, row, order, funding)
    if not was_sent:
        await _check_gas(desk, row)
    # From here on it may be out, whatever the node says.
    await desk.set_cursor(_sent(row), b"1")
    submitted = await desk.bitcoin.submit(funding.raw)
    return (Sent(order.key, funding.txid),) if submitted is Submission.TAKEN else ()


async def _check_gas(desk: Desk, row: SwapRow) -> None:
    """Without gas for the claim of the lock, the funding would be a gift: it waits until there is some, or ends."""
    base_fee, fees = await desk.evm.base_fee(), desk.evm.fees
    if base_fee + fees.tip > fees.cap:
        raise NotNow(f"gas costs {base_fee:,} wei, above the cap of {fees.cap:,}: the lock could not be claimed", 5)
    needed = claim_need(row.state.terms.evm.asset).plain_cost(base_fee, fees)
    held = await desk.evm.funds(NATIVE_COIN)
    if held < needed:
        raise NotNow(f"the EVM account has {held:,} wei, and gas for its claim may cost {needed:,}: pay more in", 5)


def _not_to_be_sent(desk: Desk, row: SwapRow, order: BroadcastFunding, kept: Sequence[KeptTransaction]) -> str:
    """Why a funding that never left must not leave any more, though it was decided once; empty: it may leave.

    The order may have waited for a node, for coins or for a machine that slept, and the initiator may have told the
    secret meanwhile, to have it outlive the gate: by now the lock may be on its way back.
    """
    state = row.state
    assert isinstance(state, Follower), "as the machine orders"
    lock = state.own_lock
    if lock is None:
        raise NotNow("the lock is not seen here now", 2)
    if not guards.lock_is_open(lock):
        return f"the lock is {lock.status.value}"
    last = min(order.not_after or state.gates.last_reveal, state.gates.last_reveal)
    if state.seconds(desk.office.clock()) >= last:
        return "too late to fund"
    if state.terms.mode is Mode.POINT:
        # The claims that show the secret are of one outpoint: no other transaction may pay.
        made = Funding.decode(kept[-1].raw).outpoint.serialized() if kept else b""
        return "" if made == state.prepared else "the transaction that claims were signed for is gone"
    return ""


async def _raise(desk: Desk, row: SwapRow, order: BroadcastFunding, funding: Funding) -> Changes:
    """Pay more: hash mode by a replacement with the same inputs, point mode by a child out of the change."""
    submitted = await desk.bitcoin.submit(funding.raw)
    if submitted is Submission.SPENT:
        return ()  # in a block, or an earlier version is
    market = await desk.bitcoin.market(desk.blocks_until(order.confirm_by))
    rate = desk.policy.rate(market.estimate, market.floor)
    standing = await desk.bitcoin.standing(funding.inputs[0].outpoint)
    paid = SatPerKvB(funding.fee * 1000 // funding.vsize if standing is None else standing.fee * 1000 // standing.vsize)
    # It lingers, whatever the market says: a quarter more at least, as claims and refunds do.
    higher = desk.policy.bump_rate(paid, SatPerKvB(max(rate, paid + 1)), market.incremental)
    if higher is None:
        return ()  # at the cap
    try:
        if row.state.terms.mode is Mode.POINT:
            await _child(desk, row, funding, higher)
            return ()
        most = most_fee(row.state.terms.bitcoin.amount)
        newer = await desk.wallet.rebid(funding, standing, higher, market.incremental, at_most=most)
    except (BadInput, OutputBelowDust, InsufficientFunds):
        return ()  # nothing more can be paid: it stays as it is
    await desk.keep(row, FUNDING, newer.txid, newer.encode(), newer.fee)
    await desk.bitcoin.submit(newer.raw)
    return (Sent(order.key, newer.txid),)


async def _child(desk: Desk, row: SwapRow, funding: Funding, rate: SatPerKvB) -> None:
    change = funding.change
    if change is None:
        return
    raw = await desk.wallet.child(funding.raw, funding.fee, change, rate)
    await desk.keep(row, f"{FUNDING}:child", parse_transaction(raw).txid, raw, 0)
    await desk.bitcoin.submit_with_child(funding.raw, raw)


async def abandon(desk: Desk, row: SwapRow, order: AbandonFunding) -> Changes:
    """Free the coins: forget what never left, else spend the inputs otherwise and wait until that is final."""
    kept = await desk.kept(row, FUNDING)
    if not kept:
        return (FundingAbandoned(),)
    fundings = [Funding.decode(one.raw) for one in kept]
    if not await desk.cursor(_sent(row)):
        for funding in fundings:
            await desk.wallet.release(funding)
        await desk.forget(row, FUNDING)
        return (FundingAbandoned(),)
    taken = await desk.kept(row, TAKE_BACK)
    depth = row.state.terms.bitcoin.confirmations
    for one in taken:
        if await _confirmations(desk, one.txid) >= depth:
            return (FundingAbandoned(),)
    for funding in fundings:
        if await _confirmations(desk, funding.txid) > 0:
            return ()  # it is in a block: the output will be refunded
    market = await desk.bitcoin.market()
    standing = await desk.bitcoin.standing(fundings[-1].inputs[0].outpoint)
    if standing is not None and any(one.txid == standing.txid for one in taken):
        raise NotNow("its coins are on their way back", 2)
    rate = desk.policy.rate(market.estimate, market.floor)
    raw = await desk.wallet.take_back(fundings[-1], standing, rate, market.incremental)
    await desk.keep(row, TAKE_BACK, parse_transaction(raw).txid, raw, 0)
    await desk.bitcoin.submit(raw)
    raise NotNow("its coins are on their way back", 2)


# --- Point mode's rounds ----------------------------------------------------------------------------------------------


async def prepare(desk: Desk, row: SwapRow, order: PrepareFunding) -> Changes:
    """Sign the funding without sending it, and make nonces for a round."""
    kept = await desk.kept(row, FUNDING)
    try:
        funding = Funding.decode(kept[-1].raw) if kept else await _signed(desk, row)
    except (InsufficientFunds, OutputBelowDust, BadInput) as error:
        return (Failed(order.key, str(error)),)
    maker = RungMaker(desk.output(row), desk.secrets(row).bitcoin)
    desk.makers[row.swap_id, order.round] = maker
    return (FundingPrepared(order.round, funding.outpoint.serialized(), maker.nonces),)


async def sign_rungs(desk: Desk, row: SwapRow, order: SignRungs) -> Changes:
    """The initiator's part of the pre-signed claims.

    Of fewer than all rungs it makes none: a follower that asks for the lowest fee alone hopes that no mempool takes it.
    """
    if len(order.nonces) != RUNGS:
        return (RoundFailed(order.round),)
    output, coin = desk.output(row), desk.planned_coin(row, order.outpoint)
    destination = await desk.destination(row)
    market = await desk.bitcoin.market()
    first = desk.policy.rate(market.estimate, market.floor)
    try:
        fees = rung_fees(coin, destination, first, desk.policy.highest)[: len(order.nonces)]
        offers, partials = offer_rungs(
            output, desk.secrets(row).bitcoin, coin, order.nonces, destination, fees, row.state.terms.point
        )
    except (BadInput, BadCosignature):
        return (RoundFailed(order.round),)
    return (RungsOffered(order.round, tuple(offer.encode() for offer in offers), tuple(partials)),)


async def countersign(desk: Desk, row: SwapRow, order: CountersignRungs) -> Changes:
    """The follower's part: from here on whatever the initiator claims by shows the secret."""
    assert isinstance(row.state, Follower), "as the machine orders"
    maker = desk.makers.pop((row.swap_id, order.round), None)
    if maker is None:
        return (RoundFailed(order.round),)  # the nonces were in the memory of a process that has ended
    coin = desk.planned_coin(row, row.state.prepared)
    try:
        offers = [RungOffer.decode(one) for one in order.nonces]
        rungs, partials = maker.countersign(coin, offers, order.partials, row.state.terms.point)
    except (BadInput, BadCosignature):
        return (RoundFailed(order.round),)
    return (RungsSigned(order.round, tuple(rung.encode() for rung in rungs), tuple(partials)),)


async def complete(desk: Desk, row: SwapRow, order: CompleteRungs) -> Changes:
    """The initiator has the pre-signed claims, or the follower's part does not hold."""
    state = row.state
    assert isinstance(state, Initiator), "as the machine orders"
    try:
        offers = [RungOffer.decode(one) for one in state.offered_nonces]
        rungs: tuple[Claim, ...] = complete_rungs(
            desk.output(row),
            desk.planned_coin(row, state.planned),
            state.terms.point,
            offers,
            state.offered_partials,
            state.peer_nonces,
            order.partials,
        )
    except (BadInput, BadCosignature):
        return (RoundFailed(order.round),)
    return (RungsComplete(order.round, tuple(rung.encode() for rung in rungs)),)


async def _signed(desk: Desk, row: SwapRow) -> Funding:
    """Sign the funding, and keep it."""
    leg = row.state.terms.bitcoin
    market = await desk.bitcoin.market()
    rate = desk.policy.rate(market.estimate, market.floor)
    paid = TxOut(leg.amount, desk.output(row).script)
    funding = await desk.wallet.fund(paid, rate, at_most=most_fee(leg.amount))
    await desk.keep(row, FUNDING, funding.txid, funding.encode(), funding.fee)
    return funding


async def _confirmations(desk: Desk, txid: bytes) -> int:
    """Of a transaction of the own wallet's; 0 or less where no block has it."""
    try:
        found = await desk.rpc.call("gettransaction", hash_text(txid))
    except RpcRefused:
        return 0
    return int(found["confirmations"])


def _sent(row: SwapRow) -> str:
    return f"funding-sent/{row.swap_id.hex()}"


async def reserve_again(desk: Desk, row: SwapRow) -> None:
    """After a start: the node has forgotten which coins were set aside. Where it cannot be asked now they stay free:
    at worst a later funding takes one, and either of the two is given up; claims and refunds wait for nothing."""
    for one in await desk.kept(row, FUNDING):
        try:
            await desk.wallet.reserve(Funding.decode(one.raw))
        except CausewayError as error:
            _log.warning("coins cannot be set aside", swap=row.swap_id.hex()[:12], problem=str(error))
