"""Settlements: asked for exactly once, credited exactly once, whatever crashes, fails or is repeated."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import cast

import pytest

from foundation.database import Database, Schema
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.ports import BalancesUnavailable
from settlement.connector.settle.outgoing import SettleRule, Stage
from settlement.connector.settle.quantity import Quantity
from settlement.connector.settle.rfc38 import Rfc38Client
from settlement.connector.settle.settler import Settler
from settlement.connector.settle.store import Incoming, Settlements
from settlement.connector.settle.tables import METADATA
from settlement.connector.settle.web import OtherRequest, UnknownAccount
from settlement.quantities import Scale, Units
from tests.support.settling import Death, Killed, MemoryBalances, MemoryEngine

RULE = SettleRule("bank", Scale(2), threshold=1_000, settle_to=100)
SCHEMA = Schema((METADATA,))


class World:
    """What outlives a process: the database, the balances, the engine, the clock, and the keys that were made."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.now = 1_000_000
        self.balances = MemoryBalances({"bank": 0})
        self.engine = MemoryEngine()
        self.keys = count(1)
        self._databases: list[Database] = []

    async def start(self, death: Death | None = None) -> Settler:
        """A process; it dies by `death`."""
        death = death or Death()
        self.balances.death = self.engine.death = death
        database = await Database.open(self.url, SCHEMA, commit_hook=death.on_commit)
        self._databases.append(database)
        return Settler(
            database,
            self.balances,
            {"bank": RULE},
            {"bank": cast("Rfc38Client", self.engine)},
            lambda: UnixMs(self.now),
            new_key=lambda: f"{next(self.keys):064x}",
            chance=lambda: 0.0,
        )

    async def settle(self, settler: Settler) -> None:
        """Rounds until nothing is open, as time passes."""
        for _ in range(50):
            await settler.round()
            async with self._databases[-1].view() as view:
                if (
                    not await Settlements(view.connection).open()
                    and not await Settlements(view.connection).uncredited()
                ):
                    return
            self.now += 60_000
        raise AssertionError("it does not end")

    async def close(self) -> None:
        """Close what was opened."""
        for database in self._databases:
            await database.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(f"sqlite:///{tmp_path / 'settle.db'}")
    yield world
    await world.close()


async def test_what_is_owed_above_the_threshold_is_settled_once(world: World):
    """A trigger settles down to `settle_to`; told again, or below the threshold, nothing more is paid."""
    settler = await world.start()
    world.balances.balances["bank"] = 999
    settler("bank", 999)
    await world.settle(settler)
    assert world.engine.taken == {}
    world.balances.balances["bank"] = 1_500
    for _ in range(3):
        settler("bank", 1_500)
        await world.settle(settler)
    assert list(world.engine.taken.values()) == [("bank", Quantity(1_400, 2))]
    assert world.balances.balances["bank"] == 100
    assert world.engine.accounts == {"bank"}


async def test_a_failing_engine_is_asked_again_with_the_same_key(world: World):
    """Errors and lost answers repeat the request until it is taken, and the engine sees one key."""
    world.engine.failing, world.engine.lost = 3, 2
    world.balances.balances["bank"] = 1_500
    settler = await world.start()
    settler("bank", 1_500)
    await world.settle(settler)
    assert world.engine.calls == 6
    assert world.engine.total == 1_400
    assert len(world.engine.taken) == 1


async def test_nothing_is_paid_that_is_not_owed_any_more(world: World):
    """A settlement whose amount is gone from the balance is dropped, and the engine never hears of it."""
    world.balances.balances["bank"] = 150
    settler = await world.start()
    key = await settler.settle_now("bank", Units(100))
    await world.settle(settler)
    assert world.engine.taken == {}
    async with world._databases[-1].view() as view:
        state = await Settlements(view.connection).get(key)
    assert state is not None
    assert state.stage is Stage.DROPPED
    for amount in (0, -1, 2**64):
        with pytest.raises(BadInput):
            await settler.settle_now("bank", Units(amount))
    with pytest.raises(UnknownAccount):
        await settler.settle_now("nobody", Units(1))


async def test_balances_that_do_not_answer_delay_and_lose_nothing(world: World):
    """While the balances are out of reach a settlement waits, and goes through when they are back."""
    world.balances.balances["bank"] = 1_500
    settler = await world.start()
    await settler.settle_now("bank", Units(1_400))
    world.balances.is_down = True
    await settler.round()
    world.balances.is_down = False
    world.now += 60_000
    await world.settle(settler)
    assert (world.engine.total, world.balances.balances["bank"]) == (1_400, 100)


async def test_a_crash_anywhere_settles_once(world: World):
    """A process may die before or after any commit, balance change or request: the next one ends the job."""
    for at in range(40):
        world.balances.balances["bank"] = 1_500
        world.engine.taken.clear()
        death = Death(at)
        dying = await world.start(death)
        dying("bank", 1_500)
        with contextlib.suppress(Killed):
            await world.settle(dying)
        alive = await world.start()
        alive("bank", world.balances.balances["bank"])
        await world.settle(alive)
        assert (world.engine.total, world.balances.balances["bank"]) == (1_400, 100), f"killed at {at}"
        if not death.is_dead:
            assert at > 8  # every event was tried
            return
    raise AssertionError("a process has fewer events than this")


async def test_two_processes_settle_once(world: World):
    """Processes that are triggered together, on one database, pay what is owed once."""
    world.balances.balances["bank"] = 1_500
    first, second = await world.start(), await world.start()
    for settler in (first, second):
        settler("bank", 1_500)
    await asyncio.gather(first.round(), second.round())
    await asyncio.gather(first.round(), second.round())
    await world.settle(second)
    assert (world.engine.total, world.balances.balances["bank"]) == (1_400, 100)
    assert len(world.engine.taken) == 1


async def test_a_settlement_that_a_process_works_on_is_left_alone(world: World):
    """While one process waits for the engine another one does not ask it too; after the claim has run out, it does."""
    world.balances.balances["bank"] = 1_500
    first, second = await world.start(), await world.start()
    await first.settle_now("bank", Units(1_400))
    asked, answer = asyncio.Event(), asyncio.Event()
    settle = world.engine.settle

    async def slowly(account: str, quantity: Quantity, key: str) -> None:
        asked.set()
        await answer.wait()
        await settle(account, quantity, key)

    world.engine.settle = slowly  # type: ignore[method-assign]
    working = asyncio.create_task(first.round())
    await asked.wait()
    asked.clear()
    await second.round()
    assert not asked.is_set()
    world.now += 60_000
    other = asyncio.create_task(second.round())
    await asked.wait()
    answer.set()
    await asyncio.gather(working, other)
    assert (world.engine.total, world.balances.balances["bank"], len(world.engine.taken)) == (1_400, 100, 1)


async def test_many_triggers_make_one_settlement(world: World):
    """As long as one settlement is not yet taken from the balance, triggers add no other."""
    world.balances.balances["bank"] = 1_500
    settler = await world.start()

    async def away(*_: object) -> bool:
        raise BalancesUnavailable("is down")

    world.balances.settle_out = away  # type: ignore[method-assign]
    for _ in range(3):
        settler("bank", 1_500)
        await settler.round()
    async with world._databases[-1].view() as view:
        assert len(await Settlements(view.connection).open()) == 1


async def test_a_lowered_balance_revives_a_settlement_that_another_process_dropped(world: World):
    """If one process sees nothing owed while another has just taken it from the balance, it is still paid."""
    settler = await world.start()
    world.balances.balances["bank"] = 1_500
    lower = world.balances.settle_out

    async def slowly(account: str, amount: Units, key: str, keep: int = 0) -> bool:
        done = await lower(account, amount, key, keep)
        async with world._databases[-1].unit() as unit:
            (state,) = await Settlements(unit.connection).open()
            from settlement.connector.settle import outgoing

            assert await Settlements(unit.connection).change(state, outgoing.dropped(state))
            await unit.commit()
        return done

    world.balances.settle_out = slowly  # type: ignore[method-assign]
    await settler.settle_now("bank", Units(1_400))
    await settler.round()
    assert (world.engine.total, world.balances.balances["bank"]) == (1_400, 100)


async def test_an_incoming_settlement_is_credited_once(world: World):
    """The same key answers as before and credits once; with another quantity it is refused."""
    settler = await world.start()
    for _ in range(3):
        assert (await settler.receive("bank", Quantity(12_345, 4), "key")).units == 123
    await settler.receive("bank", Quantity(123_450, 5), "key")  # the same amount, written otherwise
    assert world.balances.balances["bank"] == 123
    with pytest.raises(OtherRequest):
        await settler.receive("bank", Quantity(12_346, 4), "key")
    with pytest.raises(UnknownAccount):
        await settler.receive("nobody", Quantity(1, 2), "key")
    assert world.balances.balances["bank"] == 123


async def test_what_is_finer_than_a_base_unit_is_kept_until_it_is_one(world: World):
    """Fractions of several settlements add up, and none is lost or credited twice."""
    settler = await world.start()
    for number in range(7):
        await settler.receive("bank", Quantity(15, 3), f"key{number}")  # 1.5 base units each
    assert world.balances.balances["bank"] == 10
    await settler.receive("bank", Quantity(5, 3), "last")
    assert world.balances.balances["bank"] == 11


async def test_more_than_a_balance_can_take_is_refused(world: World):
    """An amount above 2^64−1 base units is refused, and nothing is kept of it."""
    settler = await world.start()
    with pytest.raises(BadInput):
        await settler.receive("bank", Quantity(2**64, 2), "key")
    await settler.receive("bank", Quantity(2**64 - 1, 2), "key")
    assert world.balances.balances["bank"] == 2**64 - 1


async def test_a_crash_anywhere_credits_once(world: World):
    """A report that was cut off by a crash is credited by the engine's repetition, or by the next round, once."""
    for at in range(20):
        world.balances.balances["bank"] = 0
        death = Death(at)
        dying = await world.start(death)
        with contextlib.suppress(Killed):
            await dying.receive("bank", Quantity(250, 2), f"key{at}")
        alive = await world.start()
        if random.Random(at).random() < 0.5:
            await world.settle(alive)
        await alive.receive("bank", Quantity(250, 2), f"key{at}")
        assert world.balances.balances["bank"] == 250, f"killed at {at}"
        if not death.is_dead:
            assert at >= 6
            return
    raise AssertionError("a report has fewer events than this")


async def test_account_that_is_gone_holds_up_no_other(world: World) -> None:
    """What came in for an account that was taken out of the configuration waits, and the others are settled."""
    settler = await world.start()
    async with world._databases[-1].unit() as unit:
        await Settlements(unit.connection).receive(
            Incoming("1" * 64, "gone", Quantity(5, 2), 5, credited=False), UnixMs(world.now)
        )
        await unit.commit()
    world.balances.balances["bank"] = 1_500
    settler("bank", 1_500)
    await settler.round()
    await settler.round()
    assert world.balances.balances["bank"] == 100
    async with world._databases[-1].view() as view:
        assert [one.account for one in await Settlements(view.connection).uncredited()] == ["gone"]
