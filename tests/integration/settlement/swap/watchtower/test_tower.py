"""A watchtower on real nodes acts for those who sleep, and for nobody else."""

from __future__ import annotations

import pytest

from adapters.bitcoin.transactions import parse_transaction
from foundation.quantities import SatPerKvB
from settlement.swap.engine.runtime import WalletBusy
from settlement.swap.machine.facts import LockStatus
from settlement.swap.terms import Mode, Role
from settlement.swap.watchtower.watch import CLIMB_BLOCKS
from tests.support.patience import eventually
from tests.support.swap_tower import PAYEE, TowerTown, Trade

pytestmark = pytest.mark.integration


async def fee_of(town: TowerTown, txid: bytes) -> int:
    """Of a transaction in the mempool."""
    entry = await town.chain.rpc.mempool_entry(txid)
    assert entry is not None
    return entry.fee


async def pays_the_trader(town: TowerTown, txid: bytes) -> bool:
    """Whether all of a transaction goes to where the trader wants it."""
    raw = await town.chain.rpc.transaction(txid)
    assert raw is not None
    return [one.script for one in parse_transaction(raw).outputs] == [PAYEE]


async def rest(town: TowerTown, trade: Trade) -> None:
    """The initiator has its lock back, so that nothing is left of the swap."""
    await town.pass_t1(trade)
    await town.world.initiator.leg.refund(trade.lock)


@pytest.mark.parametrize("mode", Mode)
async def test_the_bitcoin_of_a_sleeper_comes_back_after_t2(town: TowerTown, mode: Mode) -> None:
    """Not before T2; then from the lowest fee on, higher while no block takes it, until it is final."""
    trade = await town.trade(mode)
    rungs = trade.rungs() if mode is Mode.POINT else ()
    file = town.put("a.bundle", trade.bundle(Role.FOLLOWER, rungs=rungs))
    async with town.tower(file) as tower:

        async def informed() -> bool:
            return any(tower.sight(bundle).outputs for bundle in tower.bundles.values())

        await eventually(informed, "the output is seen")
        assert await town.spender(trade) is None
        await town.pass_t2(trade)
        first = await town.spent_by(trade)
        least = await fee_of(town, first)
        assert least < 200
        await town.chain.empty_blocks(CLIMB_BLOCKS)
        second = await town.spent_by(trade, other=first)
        assert await fee_of(town, second) > 1.5 * least
        assert await pays_the_trader(town, second)
        await town.chain.node.mine()
        assert not tower.over
        await rest(town, trade)
        await town.over(tower)
    assert await town.chain.rpc.unspent(trade.coin.outpoint, include_mempool=True) is None  # type: ignore[union-attr]
    assert "fee 1 of" in town.said()
    assert "fee 2 of" in town.said()


@pytest.mark.parametrize("mode", Mode)
async def test_the_lock_is_claimed_for_a_sleeper_when_bitcoin_shows_the_secret(town: TowerTown, mode: Mode) -> None:
    """From the mempool alone: the preimage in the witness, the scalar in the signature; nothing is refunded then."""
    trade = await town.trade(mode)
    rungs = trade.rungs() if mode is Mode.POINT else ()
    file = town.put("a.bundle", trade.bundle(Role.FOLLOWER, rungs=rungs))
    assert trade.coin is not None
    if mode is Mode.POINT:
        raw = rungs[1].claim(trade.output, trade.coin, trade.secret)
    else:
        made = trade.output.claim(trade.coin, PAYEE, SatPerKvB(2_000), trade.secret)
        raw = made.signed_by(trade.initiator.bitcoin)
    async with town.tower(file) as tower:
        claim = await town.chain.rpc.submit(raw)
        await town.lock_is(trade, LockStatus.CLAIMED)
        await town.pass_t2(trade)
        await town.over(tower)
    assert claim is None or claim == parse_transaction(raw).txid
    assert "refund" not in town.said()
    assert "claimed for its beneficiary" in town.said()


async def test_the_lock_is_claimed_for_a_sleeper_that_signed_the_initiators_claim(town: TowerTown) -> None:
    """No chain shows the preimage then: the bundle that was made when the follower learnt it holds it."""
    trade = await town.trade(Mode.HASH)
    file = town.put("a.bundle", trade.bundle(Role.FOLLOWER))
    async with town.tower(file) as tower:
        await town.chain.rpc.submit(trade.claimed_together())
        await town.chain.node.mine()

        async def seen() -> bool:
            return any(view.spend is not None for one in tower.bundles.values() for view in tower.sight(one).outputs)

        await eventually(seen, "the claim is seen")
        assert not any(tower.progress(one).secret for one in tower.bundles.values())
        town.put("a.bundle", trade.bundle(Role.FOLLOWER, revealed=True))
        await town.lock_is(trade, LockStatus.CLAIMED)
        await town.over(tower)
    assert "the bundle holds the secret" in town.said()
    assert "refund" not in town.said()


@pytest.mark.parametrize("mode", Mode)
async def test_the_bitcoin_is_claimed_for_an_initiator_that_sleeps_after_the_reveal(
    town: TowerTown, mode: Mode
) -> None:
    """And its lock, which nobody claims, goes back after T1."""
    trade = await town.trade(mode)
    rungs = trade.rungs() if mode is Mode.POINT else ()
    file = town.put("b.bundle", trade.bundle(Role.INITIATOR, rungs=rungs, revealed=True))
    async with town.tower(file) as tower:
        first = await town.spent_by(trade)
        await town.chain.empty_blocks(CLIMB_BLOCKS)
        second = await town.spent_by(trade, other=first)
        assert await pays_the_trader(town, second)
        await town.pass_t1(trade)
        await town.lock_is(trade, LockStatus.RETURNED)
        await town.over(tower)


async def test_the_lock_of_a_sleeper_goes_back_after_t1(town: TowerTown) -> None:
    """A bundle from before the reveal has no claim in it, and still returns the lock; a tower that was away does it
    late."""
    trade = await town.trade(Mode.HASH)
    file = town.put("b.bundle", trade.bundle(Role.INITIATOR))
    async with town.tower(file):
        assert await town.spender(trade) is None
    await town.pass_t1(trade)
    async with town.tower(file) as tower:
        await town.lock_is(trade, LockStatus.RETURNED)
        await town.over(tower)


async def test_a_tower_goes_on_where_it_was_killed(town: TowerTown) -> None:
    """It remembers what it has broadcast, and since when: the next fee comes when it would have come."""
    trade = await town.trade(Mode.HASH)
    file = town.put("a.bundle", trade.bundle(Role.FOLLOWER))
    await town.pass_t2(trade)
    async with town.tower(file):
        first = await town.spent_by(trade)
        with pytest.raises(WalletBusy):
            async with town.tower(file):
                pass
    await town.chain.empty_blocks(CLIMB_BLOCKS)
    async with town.tower(file) as tower:
        await town.spent_by(trade, other=first)

        async def climbed() -> bool:
            bundle = next(iter(tower.bundles.values()))
            return [climb.rung for climb in tower.progress(bundle).climbs.values()] == [1]

        await eventually(climbed, "it remembers that it has climbed")


async def test_a_refund_of_the_traders_own_is_left_alone_at_first(town: TowerTown) -> None:
    """The tower pays more only when it has lingered as long as one of the tower's own may."""
    trade = await town.trade(Mode.HASH)
    assert trade.coin is not None
    await town.pass_t2(trade)
    own = trade.output.refund(trade.coin, PAYEE, SatPerKvB(3_000))
    await town.chain.rpc.submit(own.signed_by(trade.follower.bitcoin))
    file = town.put("a.bundle", trade.bundle(Role.FOLLOWER))
    async with town.tower(file) as tower:

        async def noticed() -> bool:
            return any(tower.progress(one).climbs for one in tower.bundles.values())

        await eventually(noticed, "the tower has seen it")
        await town.chain.empty_blocks(CLIMB_BLOCKS - 1)
        assert await town.spender(trade) == own.txid()
        await town.chain.empty_blocks(1)
        higher = await town.spent_by(trade, other=own.txid())
        assert await fee_of(town, higher) > own.fee


async def test_a_reorganisation_takes_nothing_from_a_sleeper(town: TowerTown) -> None:
    """The refund's block and the claim's block leave their chains: both are made good."""
    refunded, claimed = await town.trade(Mode.HASH), await town.trade(Mode.HASH)
    files = [
        town.put("a.bundle", refunded.bundle(Role.FOLLOWER)),
        town.put("b.bundle", claimed.bundle(Role.FOLLOWER)),
    ]
    assert claimed.coin is not None
    async with town.tower(*files) as tower:
        claim = claimed.output.claim(claimed.coin, PAYEE, SatPerKvB(2_000), claimed.secret)
        await town.chain.rpc.submit(claim.signed_by(claimed.initiator.bitcoin))
        await town.lock_is(claimed, LockStatus.CLAIMED)
        await town.world.node.rpc.call("anvil_reorg", 3, [])
        await town.lock_is(claimed, LockStatus.CLAIMED)
        await town.pass_t2(refunded)
        await town.spent_by(refunded)
        await town.chain.node.mine()
        await town.chain.drop(1)
        await town.spent_by(refunded)
        await town.chain.node.mine()
        await rest(town, refunded)
        await town.over(tower)


async def test_a_bundle_that_is_replaced_is_read_again(town: TowerTown) -> None:
    """The engine rewrites it when more can be done: a tower that was given it before the funding refunds it."""
    trade = await town.trade(Mode.HASH)
    coin, trade.coin = trade.coin, None
    file = town.put("a.bundle", trade.bundle(Role.FOLLOWER))
    async with town.tower(file) as tower:

        async def told() -> bool:
            return "after the bundle was made" in town.said()

        await eventually(told, "it says that it can do nothing for the output")
        trade.coin = coin
        town.put("a.bundle", trade.bundle(Role.FOLLOWER))
        await town.pass_t2(trade)
        await town.spent_by(trade)
        assert len(tower.bundles) == 1
