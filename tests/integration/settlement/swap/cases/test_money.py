"""Money that comes twice, too late, or from strangers: on either leg it goes back to whom it belongs."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from adapters.bitcoin.addresses import REGTEST, address_text
from foundation.quantities import Satoshi
from settlement.swap.bitcoin.output import output_of
from settlement.swap.engine.hands.desk import Changes, Desk
from settlement.swap.engine.office import Office
from settlement.swap.evm.terms import lock_terms
from settlement.swap.machine.changes import OwnerAsked, Wish
from settlement.swap.machine.effects import BroadcastFunding, PlaceLock
from settlement.swap.machine.facts import LockStatus, SpendKind
from settlement.swap.machine.states import Outcome
from settlement.swap.store.store import SwapRow, SwapStore
from settlement.swap.terms import Mode
from tests.support.swap_cases import ENDS_WELL, NOTHING, SATOSHI, WEI, Case, OpenCase, Side, as_follower, as_initiator
from tests.support.swap_lies import besides, lock, not_before, once, pay

pytestmark = pytest.mark.integration
modes = pytest.mark.parametrize("mode", Mode)
EXTRA = 700_000


async def donate(swap: Case, value: int) -> None:
    """A stranger pays the swap's output."""
    script = output_of((await swap.follower.row()).state.terms).script
    await swap.chains.bitcoin.node.faucet(address_text(script, REGTEST), Satoshi(value))


async def ask(side: Side, wish: Wish) -> None:
    """The owner's word."""
    assert side.engine is not None
    office: Office = side.engine.office
    await office.apply(side.case.swap_id, [OwnerAsked(wish)])


@pytest.mark.parametrize("value", [EXTRA, SATOSHI])
async def test_output_is_funded_twice(case: OpenCase, value: int) -> None:
    """One output is claimed; the other, of whatever amount, is the follower's after T2."""
    async with case() as swap:
        swap.chains.mining = False
        await swap.agree()
        await swap.follower.state(lambda state: state.outputs, "the funding is there")
        await donate(swap, value)
        swap.chains.mining = True
        await swap.initiator.state(lambda state: any(out.spend is not None for out in state.outputs))
        await swap.follower.state(lambda state: state.secret and len(state.outputs) == 2)
        await swap.pass_t2()
        assert await swap.outcomes() == ENDS_WELL
        (got, _, _), (gave, received, _) = await swap.gains()
        assert 0 < SATOSHI - got < 10_000
        assert -20_000 < gave + SATOSHI - value <= 0
        assert 0 < WEI - received < WEI // 100
        spends = [out.spend.kind for out in (await swap.follower.row()).state.outputs if out.spend is not None]
        assert sorted(spends) == [SpendKind.CLAIM, SpendKind.REFUND]


async def test_output_is_funded_again_after_the_swap_has_ended(case: OpenCase) -> None:
    """Both are done; then somebody pays the output once more: the swap opens again, and it is refunded after T2."""
    async with case() as swap:
        await swap.agree()
        assert await swap.outcomes() == ENDS_WELL
        await donate(swap, EXTRA)
        await swap.follower.state(lambda state: len(state.outputs) == 2, "it is seen")
        await swap.pass_t2()
        await swap.follower.state(lambda state: all(out.spend is not None for out in state.outputs))
        assert await swap.outcomes() == ENDS_WELL
        (gave, _, _) = await swap.follower.gained()
        assert -20_000 < gave + SATOSHI - EXTRA < 0


async def test_funding_comes_too_late(case: OpenCase) -> None:
    """Paid when the time to show the secret is over, and the lock has gone back: refunded after T2."""
    async with case() as swap:
        swap.follower.hands[BroadcastFunding] = once(nothing)
        await swap.agree()
        state = await swap.follower.state(lambda state: state.funding, "it decides to fund")
        await swap.chains.pass_time(state.gates.last_reveal)
        assert await swap.outcomes() == (Outcome.RETURNED, Outcome.NOTHING_MOVED)
        assert swap.follower.engine is not None
        await pay(swap.follower.engine.desk, await swap.follower.row(), SATOSHI)
        await swap.follower.state(lambda state: state.outputs, "the late funding is seen")
        await swap.pass_t2()
        await swap.follower.state(lambda state: any(out.spend for out in state.outputs), "it is refunded")
        assert await swap.outcomes() == (Outcome.RETURNED, Outcome.RETURNED)
        assert not as_initiator((await swap.initiator.row()).state).revealed_at
        assert await swap.gains() == (NOTHING, NOTHING)


@modes
async def test_funding_is_in_no_block_until_it_is_too_late(case: OpenCase, mode: Mode) -> None:
    """The follower takes its coins back before anybody could claim them, and gives the lock back: T1 is far away."""
    async with case(mode) as swap:
        swap.chains.mining = False
        await swap.agree()
        state = await swap.follower.state(lambda state: state.outputs, "the funding is in the mempool")
        await swap.chains.pass_time(state.gates.last_reveal, blocks_are_empty=True)
        await swap.follower.state(lambda state: not state.outputs, "it is replaced")
        swap.chains.mining = True
        assert await swap.outcomes() == (Outcome.RETURNED, Outcome.NOTHING_MOVED)
        assert swap.chains.clock.seconds < state.gates.refund_bitcoin
        assert not as_initiator((await swap.initiator.row()).state).revealed_at
        assert await swap.gains() == (NOTHING, NOTHING)


async def nothing(desk: Desk, row: SwapRow) -> None:
    """Not done."""


async def test_lock_comes_too_late(case: OpenCase) -> None:
    """Made when the time to fund is over: nothing is funded, and the lock goes back at once."""
    async with case() as swap:
        swap.initiator.hands[PlaceLock] = not_before(PlaceLock, lambda row: row.state.gates.last_fund)
        await swap.agree()
        state = await swap.initiator.state(lambda state: state.locking, "it decides to lock")
        await swap.chains.pass_time(state.gates.last_fund)
        await swap.initiator.state(lambda state: state.own_lock is not None, "the late lock is there")
        assert await swap.follower.ended() is Outcome.NOTHING_MOVED
        if (await swap.initiator.row()).is_open:
            await swap.pass_t1()
        assert await swap.initiator.ended() is Outcome.RETURNED
        assert not as_follower((await swap.follower.row()).state).funding
        assert await swap.gains() == (NOTHING, NOTHING)


async def test_initiator_locks_twice(case: OpenCase) -> None:
    """The agreed lock is claimed; the other one, for the same person, goes back to the initiator after T1."""

    async def second(desk: Desk, row: SwapRow) -> None:
        await lock(desk, row, id=secrets.token_bytes(32), amount=lock_terms(row.state.terms).amount // 4)

    async with case() as swap:
        swap.initiator.hands[PlaceLock] = besides(PlaceLock, second)
        await swap.agree()
        await swap.initiator.state(
            lambda state: len(state.locks) == 2 and any(one.status is LockStatus.CLAIMED for one in state.locks)
        )
        await swap.pass_t1()
        assert await swap.outcomes() == ENDS_WELL
        (_, sent, _), (_, received, _) = await swap.gains()
        assert 0 < -sent - WEI < WEI // 100
        assert 0 < WEI - received < WEI // 100


async def test_owner_cancels_while_nothing_runs_before_the_lock_has_left(case: OpenCase) -> None:
    """The lock was decided, and the machine stopped: what the owner said meanwhile is heard first, and none is made."""
    reached = asyncio.Event()

    async def stop(desk: Desk, row: SwapRow, order: PlaceLock) -> Changes:
        reached.set()
        await asyncio.Event().wait()
        return ()

    async with case() as swap:
        swap.initiator.hands[PlaceLock] = stop
        await swap.agree()
        await reached.wait()
        await swap.initiator.vanish()
        engine = await swap.initiator.work(runs=False)
        async with engine.office.database.unit() as unit:
            await SwapStore(unit.connection).wish(swap.swap_id, Wish.CANCEL)
            await unit.commit()
        await swap.initiator.vanish()
        await swap.initiator.return_()
        assert await swap.outcomes() == (Outcome.NOTHING_MOVED, Outcome.NOTHING_MOVED)
        assert not (await swap.initiator.row()).state.locks
        assert await swap.gains() == (NOTHING, NOTHING)


async def test_owner_cancels_before_the_other_has_funded(case: OpenCase) -> None:
    """The follower gives its word that the lock goes back: the initiator has it long before T1."""
    async with case(confirmations=3) as swap:
        await swap.agree()
        for side in swap.sides.values():  # a follower that does not know of it has nothing to give back
            await side.state(lambda state: state.own_lock is not None, "the lock is there")
        await ask(swap.initiator, Wish.CANCEL)
        assert await swap.follower.state(lambda state: state.given_back, "it gives the lock back")
        await swap.initiator.state(lambda state: state.own_lock.status is LockStatus.RETURNED, "it is returned")
        await swap.chains.evm.node.mine(3)
        assert await swap.outcomes() == (Outcome.RETURNED, Outcome.NOTHING_MOVED)
        terms = (await swap.initiator.row()).state.terms
        assert swap.chains.clock.seconds < terms.bitcoin.expires_at
        assert await swap.gains() == (NOTHING, NOTHING)


@modes
async def test_owner_cancels_when_the_other_has_funded(case: OpenCase, mode: Mode) -> None:
    """Both sign the follower's refund, long before T2, and then it gives the lock back, long before T1."""
    async with case(mode) as swap:
        swap.chains.mining = False
        await swap.agree()
        await swap.follower.state(lambda state: state.outputs, "the funding is in the mempool")
        await ask(swap.initiator, Wish.CANCEL)
        await swap.follower.state(lambda state: any(key.startswith("AskRefund") for key in state.orders))
        swap.chains.mining = True
        assert await swap.outcomes() == (Outcome.RETURNED, Outcome.RETURNED)
        state = (await swap.follower.row()).state
        assert not any(key.startswith("RefundBitcoin:") for key in state.orders)
        assert swap.chains.clock.seconds < state.terms.bitcoin.expires_at
        assert await swap.gains() == (NOTHING, NOTHING)
