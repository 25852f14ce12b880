"""What a mnemonic alone finds of its locks on a real node."""

from __future__ import annotations

import secrets

import pytest

from adapters.evm.errors import EndpointsDisagree
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from settlement.swap.evm.errors import MemoRefused
from settlement.swap.evm.memo import open_as_beneficiary, open_as_payer, seal_memo
from settlement.swap.evm.search import search_locks
from settlement.swap.machine.facts import LockStatus
from tests.support.evm_proxy import LyingEndpoint, forges, omits
from tests.support.swap_evm import Sides, bytes_of, sides_of
from tests.support.swap_locks import SwapWorld, tells, until

pytestmark = pytest.mark.integration

SECRET = bytes_of("secret")


async def locked(world: SwapWorld, is_hash: bool, sides: Sides) -> bytes:
    """A lock with its memo; its id."""
    terms = await world.terms(is_hash, sides)
    memo = seal_memo(world.site, terms, sides.memo(is_hash), sides.namer)
    await world.initiator.leg.place(terms.id, terms, memo)
    return terms.id


async def test_both_sides_find_all_their_locks(world: SwapWorld) -> None:
    """From account and keys alone each side finds its locks of either kind, how they ended, and opens their memos."""
    people = {is_hash: sides_of(secrets.token_hex(8)) for is_hash in (True, False)}
    ids = {await locked(world, is_hash, sides): is_hash for is_hash, sides in people.items()}
    views = world.follower.open.views
    found = await search_locks(views, world.site, world.follower.account)
    ours = {lock.terms.id: lock for lock in found.locks if lock.terms.id in ids}
    assert set(ours) == set(ids)
    for lock_id, is_hash in ids.items():
        lock, sides = ours[lock_id], people[is_hash]
        assert open_as_beneficiary(world.site, lock.terms, lock.memo, sides.refunder) == sides.memo(is_hash)
        with pytest.raises(MemoRefused):
            open_as_beneficiary(world.site, lock.terms, lock.memo, people[not is_hash].refunder)
        await world.follower.leg.claim(lock.terms, SECRET)
    again = await search_locks(views, world.site, world.initiator.account, since=BlockHeight(1))
    claimed = {lock.terms.id: lock for lock in again.locks if lock.terms.id in ids}
    for lock_id, is_hash in ids.items():
        lock, sides = claimed[lock_id], people[is_hash]
        assert (lock.status, lock.secret) == (LockStatus.CLAIMED, SECRET)
        assert open_as_payer(world.site, lock.terms, lock.memo, sides.namer) == sides.memo(is_hash)


async def test_strangers_find_nothing(world: SwapWorld) -> None:
    """An account that is no party to any lock finds none, and the chain's end is where a watch begins."""
    await world.placed()
    found = await search_locks(world.follower.open.views, world.site, secrets.token_bytes(20))
    assert found.locks == ()
    assert found.cursor.number >= world.site.start
    with pytest.raises(BadInput):
        await search_locks(world.follower.open.views, world.site, bytes(20))


async def test_watch_goes_on_where_the_search_ended(world: SwapWorld) -> None:
    """A watch from the search's cursor proves every open lock that was found."""
    terms = await world.placed(False)
    found = await search_locks(world.follower.open.views, world.site, world.follower.account)
    await until(world.watch(terms, cursor=found.cursor), tells(terms, LockStatus.OPEN))


async def test_endpoint_that_hides_a_lock_is_noticed(world: SwapWorld) -> None:
    """Where one endpoint leaves out or alters what another tells, nothing is recovered from either."""
    terms = await world.placed()
    async with LyingEndpoint.before(world.node.url) as liar, world.views_at(world.node.url, liar.url) as views:
        for lie in (omits(world.site.escrow), forges(world.site.escrow, terms.amount, 1)):
            liar.lie = lie
            with pytest.raises(EndpointsDisagree):
                await search_locks(views, world.site, world.follower.account)
