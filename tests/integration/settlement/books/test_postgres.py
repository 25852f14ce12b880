"""The books on PostgreSQL, and by several writers at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.books.accounts import chart
from settlement.books.anchoring import Anchoring
from settlement.books.batches import Anchored, BatchText, Place
from settlement.books.export import Period, balances_before, write_beancount
from settlement.books.monitors import Monitors
from settlement.books.receipt_store import ReceiptStore
from settlement.books.reviews import Reviews
from settlement.books.roles import Act, Action, Role
from settlement.books.store import Books
from settlement.books.verify import verify_journal, verify_receipts
from settlement.quantities import MAX_UNITS
from tests.support.settlement_books import KEY, NOW, SCHEMA, SIGNERS, A, account, entry, receipt, registry

pytestmark = pytest.mark.integration
CASH, OWED = account("Assets:Cash"), account("Liabilities:Owed")
CHART = chart(A, [CASH, OWED])


class MemoryAnchors:
    """A chain that takes everything."""

    place = Place("eip155:1337", b"\x11" * 20, b"\x22" * 20)

    async def anchor(self, text: BatchText) -> Anchored:
        return Anchored(bytes(32), bytes(32), text.number)


async def test_writers_do_not_lose_each_others_entries(postgres_url: str) -> None:
    """Four writers with connections of their own, repeating each other: no number is missing, no balance is lost."""

    async def write(database: Database, writer: int) -> None:
        for place in range(10):
            async with database.unit() as unit:
                shared = entry(("shared", place), (CASH, MAX_UNITS), (OWED, -MAX_UNITS))
                own = entry((writer, place), (CASH, 1), (OWED, -1), narrative="own")
                await Books(unit.connection, KEY).post_many([shared, own], NOW, CHART)
                await ReceiptStore(unit.connection).keep_many([receipt(place % 5)], NOW)
                await unit.commit()

    databases = [await Database.open(postgres_url, SCHEMA) for _ in range(4)]
    try:
        await asyncio.gather(*(write(database, number) for number, database in enumerate(databases)))
        async with databases[0].view() as view:
            mark, faults = await verify_journal(view.connection, A)
            assert (mark.number, faults) == (10 + 40, ())
            assert (await Books(view.connection).balances())[CASH] == 10 * MAX_UNITS + 40
            chain, broken = await verify_receipts(view.connection)
            assert (chain.sequence, broken) == (5, ())
    finally:
        for database in databases:
            await database.close()


async def test_everything_works_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    """Reviews, batches, monitors, alerts and exports do on PostgreSQL what they do on SQLite."""
    async with await Database.open(postgres_url, SCHEMA) as database:
        async with database.unit() as unit:
            books = Books(unit.connection, KEY)
            await books.post_many(
                [entry(place, (CASH, MAX_UNITS), (OWED, -MAX_UNITS), narrative="x") for place in range(3)], NOW, CHART
            )
            await ReceiptStore(unit.connection).keep_many([receipt(0), receipt(1)], NOW)
            reviews = Reviews(unit.connection, KEY)
            for action, role in ((Action.SUSPEND, Role.AUDITOR), (Action.CANCEL, Role.CFO)):
                await reviews.act(2, Act(action, role, f"a {role}", "because"), NOW)
            await reviews.act(1, Act(Action.SUSPEND, Role.AUDITOR, "ada", "because"), NOW)
            assert (await reviews.confirmed_balances())[CASH] == MAX_UNITS
            await unit.commit()
        while await Anchoring(database, MemoryAnchors(), SIGNERS[A], lambda: NOW, 1_000).advance():
            pass
        assert await Monitors(database, A, {}, registry(), None, lambda: NOW).check(full=True) == ()
        async with database.view() as view:
            assert (await balances_before(view.connection, UnixMs(NOW + 1)))[CASH] == 2 * MAX_UNITS
            day = Period.of(NOW)
            text = "".join([part async for part in write_beancount(view.connection, A, day, KEY)])
        assert text.count("\n  number: ") == 4
