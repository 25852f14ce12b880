"""Carrying out orders: one that comes to a bad end waits, and the others go on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from foundation.database import Database
from foundation.errors import Fatal, Retryable
from foundation.quantities import UnixMs
from settlement.swap.engine import performer
from settlement.swap.engine.hands.desk import NotNow
from settlement.swap.engine.office import Office
from settlement.swap.engine.runtime import wall_clock
from settlement.swap.machine import effects
from settlement.swap.machine.step import step
from settlement.swap.store.store import DueOrder, Peer, SwapRow, SwapStore
from settlement.swap.store.tables import SCHEMA
from tests.support.patience import PATIENCE_S
from tests.support.swap_sides import initiator

LONG_AGO = UnixMs(1)


async def test_an_error_that_nobody_foresaw_is_not_tried_again_without_a_pause(monkeypatch):
    """An order whose hand fails in a way that has no type of ours is put off, and is not lost."""

    async def stumble(desk: Any, row: Any, order: Any) -> Any:
        raise ValueError("what nobody foresaw")

    async def swap(swap_id: bytes) -> Any:
        return SimpleNamespace()

    put_off: list[int] = []
    monkeypatch.setattr(performer, "HANDS", {effects.PlaceLock: stumble})
    desk: Any = SimpleNamespace(office=SimpleNamespace(swap=swap))
    carrying = performer.Performer(desk)

    async def later(order: DueOrder, pause_ms: int, error: Exception) -> None:
        put_off.append(pause_ms)

    monkeypatch.setattr(carrying, "_later", later)
    await carrying._perform(DueOrder(bytes(32), "PlaceLock", effects.PlaceLock(1), 1, UnixMs(0), 0, ""))
    assert put_off == [60_000]


@pytest.mark.parametrize(
    ("problem", "is_put_off"),
    [(AssertionError("an invariant"), True), (Fatal("by the machine"), True), (Retryable("no database"), False)],
)
@pytest.mark.parametrize("is_database_there", [True, False])
async def test_what_came_of_an_order_and_cannot_be_taken_in_is_not_done_again_each_second(
    monkeypatch, problem, is_put_off, is_database_there
):
    """A hand that writes letters or transactions would write new ones for ever. Where it is the database that does not
    serve, nothing can be put off, and a moment passes before the next try."""

    async def work(desk: Any, row: Any, order: Any) -> Any:
        return ()

    class Office:
        """One swap, that cannot be stepped."""

        async def swap(self, swap_id: bytes) -> Any:
            return SimpleNamespace()

        async def apply(self, *_: Any) -> Any:
            raise problem

    put_off: list[int] = []
    pauses: list[float] = []

    async def later(order: DueOrder, pause_ms: int, error: Exception) -> None:
        if not is_database_there:
            raise Retryable("no database")
        put_off.append(pause_ms)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(performer, "HANDS", {effects.PlaceLock: work})
    desk: Any = SimpleNamespace(office=Office())
    carrying = performer.Performer(desk)
    monkeypatch.setattr(carrying, "_later", later)
    monkeypatch.setattr(performer.asyncio, "sleep", sleep)
    await carrying._perform(DueOrder(bytes(32), "PlaceLock", effects.PlaceLock(1), 1, UnixMs(0), 0, ""))
    if is_put_off and is_database_there:
        assert (put_off, pauses) == ([60_000], [])
    else:
        assert (put_off, pauses) == ([], [1.0])


async def test_no_order_shows_the_secret_before_that_is_stored(monkeypatch):
    """A machine that has slept until it was too late takes the decision back, and its order is left undone."""
    now = initiator().funded()
    assert now.state.revealed_at
    assert not now.state.shown
    told: list[Any] = []

    async def reveal(desk: Any, row: Any, order: Any) -> Any:
        told.append(row.state.shown)
        return ()

    class Office:
        """One swap, at a time of ours."""

        def __init__(self, late: bool) -> None:
            self.state = now.state
            self.now = UnixMs((now.gates.last_reveal + 1 if late else now.gates.last_reveal - 1) * 1000)

        async def swap(self, swap_id: bytes) -> Any:
            return SimpleNamespace(swap_id=swap_id, state=self.state)

        async def apply(self, swap_id: bytes, changes: Any, beside: Any = None) -> Any:
            for change in changes:
                self.state, _ = step(self.state, change, self.now)
            return SimpleNamespace(swap_id=swap_id, state=self.state)

    monkeypatch.setattr(performer, "HANDS", {effects.RevealByLetter: reveal})
    order = DueOrder(bytes(32), "RevealByLetter", effects.RevealByLetter(bytes(36), 0), 1, UnixMs(0), 0, "")
    for late in (True, False):
        office = Office(late)
        desk: Any = SimpleNamespace(office=office)
        await performer.Performer(desk)._perform(order)
        assert office.state.shown is not late
    assert told == [True], "once in time, never too late"


async def test_an_order_that_takes_long_keeps_no_other_from_its_turn(monkeypatch, tmp_path):
    """One waits for its chain as long as it likes; another that has to wait a moment is tried again after it."""
    tried: list[str] = []
    again = asyncio.Event()

    async def wait(desk: Any, row: Any, order: Any) -> Any:
        await asyncio.Event().wait()

    async def stumble(desk: Any, row: Any, order: Any) -> Any:
        tried.append(type(order).__name__)
        if len(tried) > 1:
            again.set()
        raise NotNow("it is not there yet", 0.01)

    monkeypatch.setattr(performer, "HANDS", {effects.Watch: wait, effects.SignTerms: stumble})
    side = initiator()
    row = SwapRow(side.terms.swap_id, 0, True, "", Peer(b"", b"", ""), b"", side.state, 1, LONG_AGO, LONG_AGO)
    async with await Database.open(f"sqlite:///{tmp_path / 'swap.db'}", SCHEMA) as database:
        async with database.unit() as unit:
            store = SwapStore(unit.connection)
            await store.claim(b"w" * 32)
            await store.add(row)
            await store.give(row.swap_id, [effects.Watch(), effects.SignTerms()], LONG_AGO)
            await unit.commit()
        office = Office(database, wall_clock)
        desk: Any = SimpleNamespace(office=office)
        carrying = asyncio.create_task(performer.Performer(desk).run())
        async with asyncio.timeout(PATIENCE_S):
            await again.wait()
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)
