"""A unit of work or a view that is cancelled leaves nothing locked, wherever in it the cancellation comes."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select

from foundation.database import Database, Schema

METADATA = MetaData()
NUMBERS = Table("numbers", METADATA, Column("number", Integer, primary_key=True))
BUSY_MS = 500
MOST_WAITS = 200


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With a few rows, and little patience for whoever keeps the write lock."""
    async with await Database.open(database_url, Schema((METADATA,)), busy_ms=BUSY_MS) as opened:
        async with opened.unit() as unit:
            await unit.connection.execute(insert(NUMBERS), [{"number": -number} for number in range(1, 4)])
            await unit.commit()
        yield opened


@pytest.fixture
def _uncollected() -> Iterator[None]:
    """The garbage collector frees what was forgotten, and so hides it: in a long-lived process it seldom comes by."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class CancelledAt(Awaitable[None]):
    """Awaits a coroutine, and cancels what it waits for at the `nth` time (from 0) that it waits, as `cancel` does."""

    def __init__(self, work: Coroutine[Any, Any, None], nth: int) -> None:
        self._work = work
        self._left = nth

    def __await__(self) -> Generator[Any, Any, None]:
        waits = self._work.__await__()
        resume: Callable[[], Any] = partial(next, waits)
        while True:
            try:
                waited_for = resume()
            except StopIteration:
                return
            if isinstance(waited_for, asyncio.Future):
                if self._left == 0:
                    waited_for.cancel()
                self._left -= 1
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001 - whatever the loop throws is for the work
                resume = partial(waits.throw, error)
            else:
                resume = partial(next, waits)


async def cancelled_everywhere(
    work: Callable[[int], Coroutine[Any, Any, None]], then: Callable[[], Awaitable[None]]
) -> int:
    """Cancel new `work` at each of its waits in turn, with `then` after each; how many waits there were."""
    for nth in itertools.count():
        assert nth < MOST_WAITS, "the work never ends"
        try:
            await asyncio.create_task(_awaited(CancelledAt(work(nth), nth)))
        except asyncio.CancelledError:
            await then()
        else:
            return nth
    raise AssertionError("unreachable")


async def _awaited(work: Awaitable[None]) -> None:
    await work


@pytest.mark.usefixtures("_uncollected")
async def test_a_unit_that_is_cancelled_anywhere_frees_the_lock(database: Database) -> None:
    """The next unit begins at once, whether a statement, the lock or the commit was waited for."""

    async def write(number: int) -> None:
        async with database.unit() as unit:
            await unit.connection.execute(select(NUMBERS))
            await unit.connection.execute(insert(NUMBERS), {"number": 2 * number})
            await unit.connection.execute(select(NUMBERS))
            await unit.commit()

    last = itertools.count(1, 2)

    async def write_another() -> None:
        async with database.unit() as unit:
            await unit.connection.execute(insert(NUMBERS), {"number": next(last)})
            await unit.commit()

    assert await cancelled_everywhere(write, write_another) > 5


@pytest.mark.usefixtures("_uncollected")
async def test_a_view_that_is_cancelled_anywhere_is_over(sqlite_url: str) -> None:
    """SQLite can put its whole log back into the file: no forgotten reader needs an old page of it."""
    async with await Database.open(sqlite_url, Schema((METADATA,)), busy_ms=BUSY_MS) as database:

        async def read(_: int) -> None:
            async with database.view() as view:
                await view.connection.execute(select(NUMBERS))
                await view.connection.execute(select(NUMBERS))

        numbers = itertools.count()

        async def write_and_tidy() -> None:
            async with database.unit() as unit:
                await unit.connection.execute(insert(NUMBERS), {"number": next(numbers)})
                await unit.commit()
            async with database.view() as view:
                await view.connection.rollback()
                raw = (await view.connection.get_raw_connection()).driver_connection
                assert raw is not None
                cursor = await raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                is_busy, _, _ = await cursor.fetchone()
                await cursor.close()
            assert not is_busy, "somebody still reads"

        assert await cancelled_everywhere(read, write_and_tidy) > 3
