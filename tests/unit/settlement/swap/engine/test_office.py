"""Stepping swaps in a database: a state, its orders, and what belongs to the change, or nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replaced

from foundation.database import Database, Moment
from foundation.quantities import UnixMs
from settlement.swap.engine.office import Office
from settlement.swap.machine.changes import Change, OwnerAsked, PeerAgreed, Tick, Wish
from settlement.swap.machine.effects import Effect, PlaceLock
from settlement.swap.machine.states import Initiator, Swap, Why
from settlement.swap.machine.step import step
from settlement.swap.store.store import Peer, SwapRow, SwapStore
from settlement.swap.store.tables import SCHEMA
from tests.support.swap_sides import initiator
from tests.support.swap_terms import NOW

AT = UnixMs(NOW * 1000)


class Broken(Exception):
    """Something fails in the middle."""


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """An empty one, whose clock stands."""
    async with await Database.open(f"sqlite:///{tmp_path / 'swap.db'}", SCHEMA) as database:
        async with database.unit() as unit:
            await SwapStore(unit.connection).claim(b"w" * 32)
            await unit.commit()
        yield Office(database, lambda: AT)


def a_row() -> SwapRow:
    """An initiator's swap, as the terms are complete."""
    side = initiator()
    return SwapRow(side.terms.swap_id, 0, True, "", Peer(b"", b"", ""), b"", side.state, 1, AT, AT)


async def orders(office: Office, row: SwapRow) -> set[str]:
    """Keys of what is due."""
    async with office.database.view() as view:
        return {order.key for order in await SwapStore(view.connection).orders(row.swap_id, due_only=True)}


async def notes(office: Office, row: SwapRow) -> list[str]:
    """The history."""
    async with office.database.view() as view:
        return [line.note for line in await SwapStore(view.connection).lines(row.swap_id)]


async def test_a_swap_begins_once(office: Office) -> None:
    """With a line in its history; what is begun again stays as it is."""
    row = a_row()
    await office.begin(row)
    await office.apply(row.swap_id, [PeerAgreed()])
    await office.begin(row)
    found = await office.swap(row.swap_id)
    assert found is not None
    assert found.state.peer_agreed
    assert (await notes(office, row)).count("the terms are complete") == 1


async def test_a_change_stores_the_state_its_orders_and_its_history(office: Office) -> None:
    """And wakes whoever waits."""
    row = a_row()
    await office.begin(row)
    listener = office.listen()
    newer = await office.apply(row.swap_id, [PeerAgreed()])
    assert newer is not None
    assert isinstance(newer.state, Initiator)
    assert newer.state.locking
    assert listener.is_set()
    assert any(key.startswith(PlaceLock.__name__) for key in await orders(office, row))
    told = await notes(office, row)
    assert "the other side has signed the terms" in told
    assert "decided to lock the EVM asset" in told


async def test_what_changes_nothing_writes_nothing(office: Office) -> None:
    """Nor wakes anybody; a replay is harmless."""
    row = a_row()
    await office.begin(row)
    before = await office.apply(row.swap_id, [PeerAgreed()])
    found = await office.swap(row.swap_id)
    listener = office.listen()
    assert await office.apply(row.swap_id, [PeerAgreed()]) is not None
    assert not listener.is_set()
    again = await office.swap(row.swap_id)
    assert before is not None
    assert again == found
    office.unlisten(listener)
    office.wake()
    assert not listener.is_set()


async def test_all_of_a_change_is_stored_or_nothing(office: Office) -> None:
    """What belongs to it fails: the state is as it was, and no order was given."""
    row = a_row()
    await office.begin(row)
    before, due = await office.swap(row.swap_id), await orders(office, row)

    async def fail(store: SwapStore) -> None:
        raise Broken

    with pytest.raises(Broken):
        await office.apply(row.swap_id, [PeerAgreed()], fail)
    assert (await office.swap(row.swap_id), await orders(office, row)) == (before, due)


async def test_a_swap_that_is_not_there_is_passed_over(office: Office) -> None:
    """A letter or a chain may tell of one that was never begun."""
    assert await office.apply(b"\x01" * 32, [Tick()]) is None


async def test_what_an_owner_asks_for_is_done_at_the_next_tick(office: Office) -> None:
    """Written by another process; once, with a line in the history."""
    row = a_row()
    await office.begin(row)
    async with office.database.unit() as unit:
        await SwapStore(unit.connection).wish(row.swap_id, Wish.CANCEL)
        await unit.commit()
    await office.tick()
    found = await office.swap(row.swap_id)
    assert found is not None
    assert isinstance(found.state, Initiator)
    assert (found.state.wish, found.state.quit) == (Wish.CANCEL, Why.OWNER)
    assert any("its owner asks" in note for note in await notes(office, row))
    version = found.version
    await office.tick()
    again = await office.swap(row.swap_id)
    assert again is not None
    assert again.version == version


async def test_a_tick_tells_when_to_come_again(tmp_path: Path) -> None:
    """When the first swap wants to be woken; what is due already is stepped."""
    now = [AT]
    async with await Database.open(f"sqlite:///{tmp_path / 'other.db'}", SCHEMA) as database:
        async with database.unit() as unit:
            await SwapStore(unit.connection).claim(b"w" * 32)
            await unit.commit()
        office = Office(database, lambda: UnixMs(now[0]))
        assert await office.tick() is None
        row = a_row()
        await office.begin(row)
        found = await office.swap(row.swap_id)
        assert found is not None
        wake_at = found.state.wake_at
        assert await office.tick() == wake_at > AT
        now[0] = wake_at
        await office.tick()
        later = await office.swap(row.swap_id)
        assert later is not None
        assert later.state.wake_at > wake_at


async def test_no_state_is_read_that_is_older_than_the_orders_that_are_there(tmp_path: Path) -> None:
    """Who sees that a change was stored sees the state that it led to, though older ones were read a moment ago."""
    seen: list[bool] = []

    async def look(moment: Moment) -> None:
        if moment is Moment.AFTER and watched:
            found = await watched[0].swap(row.swap_id)
            assert found is not None
            seen.append(found.state.peer_agreed)

    watched: list[Office] = []
    row = a_row()
    async with await Database.open(f"sqlite:///{tmp_path / 'swap.db'}", SCHEMA, commit_hook=look) as database:
        async with database.unit() as unit:
            await SwapStore(unit.connection).claim(b"w" * 32)
            await unit.commit()
        office = Office(database, lambda: AT)
        await office.begin(row)
        assert len(await office.swaps(open_only=True)) == 1
        watched.append(office)
        await office.apply(row.swap_id, [PeerAgreed()])
    assert seen == [True]


async def test_what_was_read_is_kept_up_to_date_by_each_change(office: Office) -> None:
    """What another process wrote meanwhile is not seen at once; what this one changes is, its signature too."""
    row = a_row()
    await office.begin(row)
    (before,) = await office.swaps(open_only=True)
    newer = await office.apply(row.swap_id, [PeerAgreed()], signature=b"s" * 64)
    assert newer is not None
    assert (newer.version, newer.peer_signature) == (before.version + 1, b"s" * 64)
    assert await office.swaps(open_only=True) == (newer,)
    office.wake()
    assert await office.swaps(open_only=True) == (newer,), "as the database has it"


async def test_a_swap_that_begins_while_another_changes_is_not_overlooked(office: Office) -> None:
    """What was read before both is not taken again."""
    first, second = a_row(), replace(a_row(), swap_id=b"\x02" * 32, index=1)
    await office.begin(first)
    assert len(await office.swaps(open_only=True)) == 1
    await asyncio.gather(office.begin(second), office.apply(first.swap_id, [PeerAgreed()]))
    found = {row.swap_id: row for row in await office.swaps(open_only=True)}
    assert found.keys() == {first.swap_id, second.swap_id}
    assert found[first.swap_id].state.peer_agreed


async def test_one_swap_that_cannot_go_on_keeps_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its step fails at a tick, and at what its owner asks; the others go on, and it is not tried without a pause."""
    now = [AT]
    good = a_row()
    bad = replace(good, swap_id=b"\x02" * 32, index=1, state=replaced(good.state, began_at=UnixMs(1)))
    failed: list[Change] = []

    def stumble(state: Swap, change: Change, at: UnixMs) -> tuple[Swap, tuple[Effect, ...]]:
        if state.began_at == 1 and now[0] > AT:
            failed.append(change)
            raise AssertionError("never both")
        return step(state, change, at)

    monkeypatch.setattr("settlement.swap.engine.office.step", stumble)
    monkeypatch.setattr("settlement.swap.engine.office._WISH_SECONDS", 0)
    async with await Database.open(f"sqlite:///{tmp_path / 'other.db'}", SCHEMA) as database:
        async with database.unit() as unit:
            await SwapStore(unit.connection).claim(b"w" * 32)
            await unit.commit()
        office = Office(database, lambda: UnixMs(now[0]))
        for row in (bad, good):
            await office.begin(row)
        (before,) = {row.state.wake_at for row in await office.swaps(open_only=True)}
        now[0] = before
        assert await office.tick() == before, "something was due"
        assert [type(change) for change in failed] == [Tick]
        waiting = {row.swap_id: row.state.wake_at for row in await office.swaps(open_only=True)}
        assert waiting[bad.swap_id] == before < waiting[good.swap_id]
        async with database.unit() as unit:
            for row in (bad, good):
                await SwapStore(unit.connection).wish(row.swap_id, Wish.CANCEL)
            await unit.commit()
        assert await office.tick() != before, "it is not tried again at once"
        assert [type(change) for change in failed] == [Tick, OwnerAsked]
        assert any("cannot be done" in note for note in await notes(office, bad))
        found = await office.swap(good.swap_id)
        assert found is None or found.state.wish is Wish.CANCEL
