"""What a watch tells of locks on a real node: proved, taken back by a reorg, and known again after a restart."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from adapters.evm.errors import CursorReorged
from adapters.evm.escrow.deploy import deploy_escrow
from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight
from settlement.swap.evm.memo import open_as_beneficiary, seal_memo
from settlement.swap.evm.terms import view_of
from settlement.swap.evm.watch import EscrowWatch, Reading
from settlement.swap.machine.changes import LockSeen, SecretSeen
from settlement.swap.machine.facts import LockStatus
from tests.support.evm_proxy import LyingEndpoint, forges, omits
from tests.support.swap_evm import bytes_of, secret_of, sides_of
from tests.support.swap_locks import AMOUNT, SwapWorld, drop_from, elsewhere, fact_of, person, tells, until

pytestmark = pytest.mark.integration

SECRET = bytes_of("secret")
kinds = pytest.mark.parametrize("is_hash", [True, False], ids=["hash", "point"])


# --- What is told -----------------------------------------------------------------------------------------------------


@kinds
async def test_follower_sees_the_lock_and_the_initiator_its_claim(world: SwapWorld, is_hash: bool) -> None:
    """The lock comes with its terms and memo, its claim with the secret, each with confirmations up to finality."""
    sides = sides_of(secrets.token_hex(8))
    terms = await world.terms(is_hash, sides)
    watch = world.watch(terms)
    memo = seal_memo(world.site, terms, sides.memo(is_hash), sides.namer)
    await world.initiator.leg.place(terms.id, terms, memo)
    seen = fact_of(await until(watch, tells(terms, LockStatus.OPEN)), terms)
    assert open_as_beneficiary(world.site, terms, seen.memo, sides.refunder) == sides.memo(is_hash)
    assert seen.changes(world.site, 2)[0] == LockSeen(
        view_of(world.site, terms), LockStatus.OPEN, seen.confirmations, seen.confirmations >= 2
    )
    final = fact_of(await until(watch, lambda one: any(fact.is_final(0) for fact in one.facts)), terms)
    assert final.confirmations >= 2
    await world.follower.leg.claim(terms, SECRET)
    claimed = fact_of(await until(watch, tells(terms, LockStatus.CLAIMED)), terms)
    assert claimed.secret == SECRET
    assert SecretSeen(SECRET) in claimed.changes(world.site, 1)
    assert not claimed.is_final(1_000)


@kinds
async def test_returned_lock_is_told_as_returned(world: SwapWorld, is_hash: bool) -> None:
    """A lock that went back by the follower's word shows no secret."""
    terms = await world.placed(is_hash)
    await world.initiator.leg.give_back(terms, world.follower.leg.sign_give_back(terms))
    fact = fact_of(await until(world.watch(terms), tells(terms, LockStatus.RETURNED)), terms)
    assert fact.secret == b""


async def test_other_locks_of_the_pair_are_told_as_they_are(world: SwapWorld) -> None:
    """A lock of another amount, an early time-out, or the other kind is told with its own terms, for all to refuse."""
    agreed = await world.terms(True, sides_of(secrets.token_hex(8)))
    liar = world.initiator.leg
    wrong = [
        replace(agreed, id=secrets.token_bytes(32), amount=AMOUNT - 1),
        replace(agreed, id=secrets.token_bytes(32), expires_at=await world.world.tick() + 60),
        await world.terms(False, sides_of(secrets.token_hex(8))),
    ]
    for terms in wrong:
        await liar.place(terms.id, terms, b"\x01" * 53)
    elsewhere_for_another = await world.placed(beneficiary=secrets.token_bytes(20))
    reading = await until(world.watch(agreed), tells(wrong[-1], LockStatus.OPEN))
    views = [view_of(world.site, fact.terms) for fact in reading.facts]
    assert [view for view in views if view == view_of(world.site, agreed)] == []
    assert all(view_of(world.site, terms) in views for terms in wrong)
    assert view_of(world.site, elsewhere_for_another) not in views


async def test_lock_at_another_contract_is_none(world: SwapWorld) -> None:
    """The same terms at another Escrow are not told: the watch reads the one that was agreed."""
    address, start = await deploy_escrow(world.world.banker, key=secrets.token_hex(8))
    terms = await world.terms(True, sides_of(secrets.token_hex(8)))
    there = elsewhere(world.site, escrow=address, start=start)
    async with person(there, world.node.url, world.initiator.secret, world.initiator.journal) as liar:
        await liar.leg.place(b"elsewhere" + terms.id, terms, b"")
        assert await liar.leg.status(terms) is LockStatus.OPEN
    await world.node.mine(2)
    reading = await until(world.watch(terms), lambda one: one.caught_up)
    assert terms not in [fact.terms for fact in reading.facts]
    assert await world.follower.leg.status(terms) is None


# --- Endpoints that lie -----------------------------------------------------------------------------------------------


async def test_lying_endpoint_hides_and_forges_nothing(world: SwapWorld) -> None:
    """One endpoint that leaves the lock out, or tells another amount, is caught; what the honest one proves is told."""
    terms = await world.placed()
    amount = terms.amount
    async with LyingEndpoint.before(world.node.url) as liar:
        for lie in (omits(world.site.escrow), forges(world.site.escrow, amount, 2 * amount)):
            liar.lie = lie
            async with world.views_at(liar.url, world.node.url) as views:
                reading = await until(world.watch(terms, views=views), tells(terms, LockStatus.OPEN))
                assert fact_of(reading, terms).terms.amount == amount
                assert views.heads.lies


# --- Reorganisations --------------------------------------------------------------------------------------------------


async def test_lock_that_a_reorg_took_back_is_gone_and_comes_again(own_world: SwapWorld) -> None:
    """A lock whose block is replaced is told to be gone; sent again by its sender it is told anew."""
    world = own_world
    sender = world.initiator
    await world.node.mine(3)
    terms = await world.terms(True, sides_of())
    watch = world.watch(terms)
    await sender.leg.place(terms.id, terms, b"")
    made = fact_of(await until(watch, tells(terms, LockStatus.OPEN)), terms)
    await sender.leg._sender.close()  # so that nothing is sent again yet
    await drop_from(world.node, made.block.number)
    reading = await until(watch, lambda one: bool(one.gone))
    assert reading.gone == ((terms.payer, terms.id),)
    assert await world.follower.leg.status(terms) is None
    async with person(world.site, world.node.url, sender.secret, sender.journal) as restored:
        await until(watch, tells(terms, LockStatus.OPEN))
        assert await restored.leg.status(terms) is LockStatus.OPEN


async def test_claim_that_a_reorg_took_back_is_open_again(own_world: SwapWorld) -> None:
    """A lock whose claim is replaced is told as open again, not as gone, and then as claimed once more."""
    world = own_world
    terms = await world.placed(False)
    await world.node.mine(4)
    watch = world.watch(terms)
    await until(watch, tells(terms, LockStatus.OPEN))
    await world.follower.leg.claim(terms, SECRET)
    claimed = fact_of(await until(watch, tells(terms, LockStatus.CLAIMED)), terms)
    await world.follower.leg._sender.close()
    await drop_from(world.node, claimed.block.number)
    reading = await until(watch, tells(terms, LockStatus.OPEN))
    assert (reading.gone, fact_of(reading, terms).secret) == ((), b"")
    async with person(world.site, world.node.url, world.follower.secret, world.follower.journal):
        await until(watch, tells(terms, LockStatus.CLAIMED))


async def test_reorg_that_changes_nothing_of_the_lock_takes_nothing_back(own_world: SwapWorld) -> None:
    """Blocks after the lock's are replaced: it stays, and is never told as gone."""
    world = own_world
    terms = await world.placed()
    await world.node.mine(4)
    watch = world.watch(terms)
    told: list[Reading] = [await until(watch, tells(terms, LockStatus.OPEN))]
    await world.node.mine(3)
    before = await world.node.height()
    await drop_from(world.node, BlockHeight(before))
    await world.node.mine(1)
    while told[-1].head.number <= before:
        reading = await watch.read()
        told += [] if reading is None else [reading]
    assert all(not reading.gone for reading in told)
    assert fact_of(told[-1], terms).status is LockStatus.OPEN


async def test_chain_replaced_below_the_cursor_is_not_read_on(own_world: SwapWorld) -> None:
    """A cursor whose block was never in this chain is refused, so that whoever keeps it begins anew."""
    terms = await own_world.placed()
    cursor = BlockRef(BlockHeight(1), b"\x01" * 32)
    with pytest.raises(CursorReorged):
        await own_world.watch(terms, cursor=cursor).read()


# --- Restarts ---------------------------------------------------------------------------------------------------------


async def test_watch_that_begins_at_the_cursor_knows_all(own_world: SwapWorld) -> None:
    """The cursor stays before an open lock however many blocks pass, and moves on once its end is final and deep."""
    world = own_world
    terms = await world.placed()
    watch = EscrowWatch(world.site, world.follower.open.views, world.follower.account, depth=4)
    watch.want(terms)
    opened = fact_of(await until(watch, tells(terms, LockStatus.OPEN)), terms)
    for _ in range(5):
        await world.node.mine(3)
        reading = await until(watch, lambda one: one.caught_up)
        assert reading.cursor.number < opened.block.number
        assert len(watch._anchors) < 12
    restarted = world.watch(terms, cursor=reading.cursor)
    found = fact_of(await until(restarted, tells(terms, LockStatus.OPEN)), terms)
    assert (found.terms, found.block) == (opened.terms, opened.block)
    await world.follower.leg.claim(terms, SECRET)
    await until(watch, tells(terms, LockStatus.CLAIMED))
    await world.node.mine(6)
    done = await until(watch, lambda one: one.cursor.number > opened.block.number)
    assert not watch._tracks.locks
    # What was told before, and ended before the cursor, is not taken for gone.
    key = (terms.payer, terms.id)
    late = EscrowWatch(world.site, world.follower.open.views, world.follower.account, done.cursor, told=[key])
    late.want(terms)
    await world.node.mine(1)
    reading = await until(late, lambda one: one.caught_up)
    assert (reading.gone, reading.facts) == ((), ())


async def test_lock_that_went_while_nobody_watched_is_told_as_gone(own_world: SwapWorld) -> None:
    """A lock that was told of before a restart, and is on no chain any more, is told as gone."""
    world = own_world
    terms = await world.terms(True, sides_of())
    watch = world.watch(terms)
    await until(watch, lambda one: one.caught_up)
    cursor = watch._anchors[0]
    key = (secret_of("payer").point().to_xonly()[:20], terms.id)
    restarted = EscrowWatch(world.site, world.follower.open.views, world.follower.account, cursor, told=[key])
    reading = await until(restarted, lambda one: one.caught_up)
    assert reading.gone == (key,)


async def test_lock_made_before_it_was_wanted_is_found(own_world: SwapWorld) -> None:
    """The other side may lock before this side begins to watch: the newest blocks are read again."""
    world = own_world
    watch = world.watch(await world.terms(True, sides_of("first"), payer=world.follower.account))
    await until(watch, lambda one: one.caught_up)
    terms = await world.placed()
    await world.node.mine(1)
    passed = await until(watch, lambda one: one.caught_up)
    assert passed.facts == ()
    watch.want(terms)
    await until(watch, tells(terms, LockStatus.OPEN))
    watch.forget(terms)
    assert (terms.payer, terms.id) not in watch._tracks.wanted
