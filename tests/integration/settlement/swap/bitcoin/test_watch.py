"""The watch on a real node: outputs and spends in blocks and in the mempool, reorganisations, restarts."""

from __future__ import annotations

import asyncio

import pytest

from adapters.bitcoin.transactions import parse_transaction
from foundation.quantities import BlockHeight, Satoshi
from settlement.swap.bitcoin.desk import Submission
from settlement.swap.bitcoin.output import Path
from settlement.swap.bitcoin.rungs import scalar_in
from settlement.swap.bitcoin.sightings import Sightings
from settlement.swap.bitcoin.watch import BitcoinWatch, ChainView
from settlement.swap.terms import Mode
from tests.support.swap_bitcoin import AMOUNT, LIMIT, RATE, Deal, SwapNode

pytestmark = pytest.mark.integration


def confirmations(view: ChainView, script: bytes) -> list[tuple[int, int | None]]:
    """Of each output, and of its spend."""
    return [(one.confirmations, one.spend.confirmations if one.spend else None) for one in view.of(script)]


async def test_an_output_gains_confirmations_and_a_spend(chain: SwapNode) -> None:
    """A funding is told with its confirmations, then its claim, in the mempool with its preimage and then in blocks."""
    deal = Deal()
    script = deal.output.script
    watch = await chain.watch(deal)
    assert (await watch.look()).of(script) == ()
    coin = await chain.funded(deal)
    view = await watch.look()
    assert (view.tip, view.median_time) == (await chain.rpc.tip(), await chain.median_time())
    assert [(one.outpoint, one.value, one.confirmations) for one in view.of(script)] == [(coin.outpoint, AMOUNT, 1)]
    await chain.node.mine(2)
    assert confirmations(await watch.look(), script) == [(3, None)]
    spend = await chain.desk.claim(deal.output, coin, await chain.script(), deal.initiator, deal.secret)
    assert spend is not None
    await chain.desk.submit(spend.raw)
    (shown,) = (await watch.look()).of(script)
    assert shown.spend is not None
    assert (shown.spend.txid, shown.spend.confirmations) == (spend.txid, 0)
    assert deal.output.read(shown.spend.witness).preimage == deal.secret
    await chain.node.mine(2)
    (shown,) = (await watch.look()).of(script)
    assert shown.spend is not None
    assert (shown.confirmations, shown.spend.confirmations) == (5, 2)
    assert deal.output.read(shown.spend.witness).preimage == deal.secret


async def test_an_expected_funding_is_seen_before_its_block(chain: SwapNode) -> None:
    """A funding whose txid is known is told from the mempool, and is gone when another takes its place."""
    trader, deal = await chain.person(2_000_000), Deal()
    script = deal.output.script
    watch = await chain.watch(deal)
    first = await trader.wallet.fund(deal.paid, RATE, at_most=LIMIT)
    watch.expect(script, first.txid)
    assert (await watch.look()).of(script) == ()
    await chain.broadcast(first)
    assert [one.outpoint for one in (await watch.look()).of(script)] == [first.outpoint]
    standing = await chain.desk.standing(first.inputs[0].outpoint)
    incremental = await chain.rpc.incremental_relay_fee()
    second = await trader.wallet.rebid(first, standing, RATE, incremental, at_most=LIMIT)
    await chain.broadcast(second)
    assert (await watch.look()).of(script) == ()
    await chain.node.mine()
    (shown,) = (await watch.look()).of(script)
    assert (shown.outpoint, shown.confirmations) == (second.outpoint, 1)


async def test_a_reorganised_funding_is_taken_back_and_told_again(chain: SwapNode) -> None:
    """An output whose block is dropped is back in the mempool, and counts anew from its next block."""
    deal = Deal()
    script = deal.output.script
    watch = await chain.watch(deal)
    await chain.funded(deal)
    await chain.node.mine(2)
    assert confirmations(await watch.look(), script) == [(3, None)]
    await chain.drop(3)
    await chain.empty_blocks(4)
    assert confirmations(await watch.look(), script) == [(0, None)]
    await chain.node.mine()
    assert confirmations(await watch.look(), script) == [(1, None)]


async def test_a_reorganised_claim_is_taken_back(chain: SwapNode) -> None:
    """A claim whose block is dropped is in the mempool again; if a refund is mined instead, that is told."""
    deal = Deal(expires_at=await chain.median_time() + 2)
    script = deal.output.script
    watch = await chain.watch(deal)
    coin = await chain.funded(deal)
    await chain.pass_time(deal.expires_at)
    claim = await chain.desk.claim(deal.output, coin, await chain.script(), deal.initiator, deal.secret)
    assert claim is not None
    await chain.desk.submit(claim.raw)
    await chain.node.mine(2)
    assert confirmations(await watch.look(), script) == [(13 + 1, 2)]
    await chain.drop(2)
    await chain.empty_blocks(3)
    assert confirmations(await watch.look(), script) == [(15, 0)]
    refund = await chain.desk.refund(deal.output, coin, await chain.script(), deal.follower)
    assert refund is not None
    assert await chain.desk.submit(refund.raw) is Submission.TAKEN
    await chain.node.mine()
    (shown,) = (await watch.look()).of(script)
    assert shown.spend is not None
    assert (shown.spend.txid, shown.spend.confirmations) == (refund.txid, 1)
    assert deal.output.read(shown.spend.witness).path is Path.REFUND


async def test_a_watch_goes_on_from_what_was_kept(chain: SwapNode) -> None:
    """A watch that was stopped knows what it knew, and finds what came and what went meanwhile."""
    deal, other = Deal(), Deal()
    watch = await chain.watch(deal)
    coin = await chain.funded(deal)
    await watch.look()
    kept = watch.sightings.encode()
    await chain.drop(1)
    await chain.empty_blocks(1)
    await chain.node.mine()
    late = await chain.pay(deal.output.script, 77_777)
    again = BitcoinWatch(chain.rpc, Sightings.decode(kept))
    again.watch(other.output.script, (await chain.rpc.tip()).height)
    assert again.sightings == watch.sightings
    view = await again.look()
    assert [(one.outpoint, one.confirmations) for one in view.of(deal.output.script)] == [
        (coin.outpoint, 2),
        (late.outpoint, 1),
    ]
    assert view.of(other.output.script) == ()
    again.unwatch(deal.output.script)
    assert (await again.look()).of(deal.output.script) == ()
    assert again.sightings.found == {}


async def test_what_was_paid_before_the_watch_is_found(chain: SwapNode) -> None:
    """A watch that begins late reads the blocks since the script's birth: outputs, and what spent them."""
    deal = Deal()
    birth = BlockHeight((await chain.rpc.tip()).height + 1)
    coin, second = await chain.funded(deal), await chain.pay(deal.output.script, 5_000)
    claim = await chain.desk.claim(deal.output, coin, await chain.script(), deal.initiator, deal.secret)
    assert claim is not None
    await chain.desk.submit(claim.raw)
    await chain.node.mine()
    for first in (birth, BlockHeight(max(0, birth - 20))):
        watch = await BitcoinWatch.start(chain.rpc)
        watch.watch(deal.output.script, first)
        shown = (await watch.look()).of(deal.output.script)
        assert [one.outpoint for one in shown] == [coin.outpoint, second.outpoint]
        assert [one.spend.txid if one.spend else None for one in shown] == [claim.txid, None]
        assert [one.confirmations for one in shown] == [3, 2]


async def test_many_scripts_are_watched_at_once(chain: SwapNode) -> None:
    """Each swap is told of its own outputs alone, whenever its watch began."""
    deals = [Deal() for _ in range(5)]
    watch = await BitcoinWatch.start(chain.rpc)
    birth = (await chain.rpc.tip()).height
    for deal in deals[:3]:
        watch.watch(deal.output.script, birth)
    await watch.look()
    coins = [await chain.pay(deal.output.script, mine=False) for deal in deals]
    await chain.node.mine()
    for deal in deals[3:]:
        watch.watch(deal.output.script, birth)
    view = await watch.look()
    assert [[one.outpoint for one in view.of(deal.output.script)] for deal in deals] == [
        [one.outpoint] for one in coins
    ]
    assert watch.scripts == {deal.output.script for deal in deals}


async def test_looks_at_the_same_time_do_not_mix(chain: SwapNode) -> None:
    """Several callers may look at once while blocks come: each view is of one tip."""
    deal = Deal()
    watch = await chain.watch(deal)
    await chain.funded(deal)
    views = await asyncio.gather(watch.look(), chain.node.mine(3), watch.look(), watch.look())
    for view in (views[0], views[2], views[3]):
        assert not isinstance(view, list)
        header = await chain.rpc.header(view.tip.hash)
        assert view.median_time == header.median_time
        (shown,) = view.of(deal.output.script)
        assert shown.confirmations >= 1


async def test_the_raw_of_a_rung_is_seen_by_the_follower(chain: SwapNode) -> None:
    """Point mode: the follower's watch shows the claim's signature while it is in the mempool."""
    deal = Deal(Mode.POINT)
    watch = await chain.watch(deal)
    coin, to = await chain.funded(deal), await chain.script()
    rungs = deal.rungs(coin, to, (Satoshi(400),))
    raw = rungs[0].claim(deal.output, coin, deal.secret)
    await chain.desk.submit(raw)
    (shown,) = (await watch.look()).of(deal.output.script)
    assert shown.spend is not None
    assert shown.spend.txid == parse_transaction(raw).txid
    reading = deal.output.read(shown.spend.witness)
    assert reading.path is Path.KEY
    assert scalar_in(reading.signature, rungs, deal.point) == deal.secret
