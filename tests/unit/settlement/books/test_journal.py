"""Entries, and the journal that keeps them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from foundation.database import Moment
from foundation.errors import BadInput
from settlement.books.accounts import chart
from settlement.books.errors import AccountConflict, EntryConflict, NarrativeDamaged, Unbalanced, UnknownAccount
from settlement.books.journal import FIRST_LINK, EntryId, entry_link, reversal
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.books.tables import entries
from settlement.quantities import MAX_UNITS
from tests.support.settlement_books import CNY, KEY, NOW, A, account, books_database, entry, id_of
from tests.support.settling import Death, Killed

CASH, GOLD, OWED = account("Assets:Cash"), account("Assets:Gold", CNY), account("Liabilities:Customers")
CHART = chart(A, [CASH, GOLD, OWED])


def test_lines_sum_to_zero_per_currency() -> None:
    """Ten euro against ten yuan is no entry, though the numbers sum to zero."""
    with pytest.raises(Unbalanced) as refusal:
        entry("mixed", (CASH, 10), (GOLD, -10))
    assert (refusal.value.asset, refusal.value.total) == (CASH.asset, 10)


@pytest.mark.parametrize(
    "changes",
    [
        ((CASH, 1),),
        ((CASH, 1), (CASH, -1)),
        ((CASH, 0), (OWED, 0)),
        ((CASH, MAX_UNITS + 1), (OWED, -MAX_UNITS - 1)),
    ],
)
def test_entries_without_form_are_refused(changes: tuple[tuple[object, int], ...]) -> None:
    """An entry has at least two lines, one for each account, of 1 to 2^64−1 base units."""
    with pytest.raises(BadInput):
        entry("odd", *changes)  # type: ignore[arg-type]


async def test_balances_follow_the_entries(tmp_path: Path) -> None:
    """Balances are sums of lines, exact far beyond 64 bits; numbers have no gaps; links chain the entries."""
    most = MAX_UNITS
    async with books_database(tmp_path) as database:
        async with database.unit() as unit:
            books = Books(unit.connection)
            numbers = await books.post_many(
                [entry(place, (CASH, most), (OWED, -most)) for place in range(3)], NOW, CHART
            )
            assert numbers == (1, 2, 3)
            assert await books.post(entry("back", (CASH, -1), (OWED, 1)), NOW) == 4
            await unit.commit()
        async with database.view() as view:
            books = Books(view.connection)
            assert await books.balances() == {CASH: 3 * most - 1, OWED: 1 - 3 * most}
            journal = [posted async for posted in books.journal()]
            assert [posted.entry.lines[0].change for posted in journal] == [most, most, most, -1]
            link = FIRST_LINK
            for number, posted in enumerate(journal, 1):
                link = entry_link(link, number, NOW, posted.digest)
                assert (posted.number, posted.link) == (number, link)
            assert await books.head() == (4, link)


async def test_repeat_is_the_same_entry(tmp_path: Path) -> None:
    """The same entry again, alone or in one batch, answers with its number; another under its id is refused."""
    first = entry("one", (CASH, 5), (OWED, -5))
    async with books_database(tmp_path) as database, database.unit() as unit:
        books = Books(unit.connection)
        assert await books.post_many([first, first], NOW, CHART) == (1, 1)
        assert await books.post(first, NOW) == 1
        assert await books.balances() == {CASH: 5, OWED: -5}
        for other in (entry("one", (CASH, 6), (OWED, -6)), replace(first, event="other")):
            with pytest.raises(EntryConflict):
                await books.post_many([entry("two", (CASH, 1), (OWED, -1)), other], NOW)
        assert await books.balances() == {CASH: 5, OWED: -5}


async def test_only_open_accounts_are_posted_to(tmp_path: Path) -> None:
    """A line on an account that is not open, or is in another asset, is refused, and nothing is written."""
    async with books_database(tmp_path) as database, database.unit() as unit:
        books = Books(unit.connection)
        await books.open_accounts([CASH, OWED], NOW)
        await books.open_accounts([CASH], NOW)
        with pytest.raises(UnknownAccount):
            await books.post(entry(1, (GOLD, 1), (account("Equity:Funding", CNY), -1)), NOW)
        wrong = account("Assets:Cash", CNY)
        with pytest.raises(AccountConflict):
            await books.post(entry(2, (wrong, 1), (account("Liabilities:Customers", CNY), -1)), NOW)
        with pytest.raises(AccountConflict):
            await books.open_accounts([wrong], NOW)
        assert (await unit.connection.execute(select(func.count()).select_from(entries))).scalar_one() == 0


async def test_batch_costs_few_statements(tmp_path: Path) -> None:
    """Two hundred entries cost six statements."""
    async with books_database(tmp_path) as database, database.unit() as unit:
        books = Books(unit.connection)
        await books.open_accounts([CASH, OWED], NOW)
        made: list[str] = []
        from sqlalchemy import event

        event.listen(unit.connection.sync_connection, "after_cursor_execute", lambda *told: made.append(told[2]))
        await books.post_many([entry(place, (CASH, 1), (OWED, -1)) for place in range(200)], NOW)
        assert len(made) == 6, made


async def test_narratives_are_sealed(tmp_path: Path) -> None:
    """Whoever has the key reads a narrative; without it there is none, and nothing of it is in the database."""
    told = entry("told", (CASH, 5), (OWED, -5), narrative="for Maria's house")
    async with books_database(tmp_path) as database:
        async with database.unit() as unit:
            books = Books(unit.connection, KEY)
            assert await books.post_many([told, told], NOW, CHART) == (1, 1)
            await unit.commit()
        async with database.unit() as unit:
            with pytest.raises(BadInput):
                await Books(unit.connection).post(told, NOW)
        async with database.view() as view:
            assert (await Books(view.connection, KEY).entry(1)).entry == told
            blind = await Books(view.connection).entry(1)
            assert (blind.entry.narrative, b"Maria" in blind.sealed) == ("", False)
            with pytest.raises(NarrativeDamaged):
                await Books(view.connection, NarrativeKey(bytes(32))).entry(1)
    assert b"Maria" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert "Maria" not in repr(told)
    with pytest.raises(NarrativeDamaged):
        KEY.open(EntryId(id_of("another")), blind.sealed)


async def test_crash_before_the_commit_posts_nothing(tmp_path: Path) -> None:
    """What was not committed is not there, and posting it again gives it the same number."""
    death = Death(at=0)
    one = entry("one", (CASH, 5), (OWED, -5))
    async with books_database(tmp_path, death.on_commit) as database:
        with pytest.raises(Killed):
            async with database.unit() as unit:
                await Books(unit.connection).post_many([one], NOW, CHART)
                await unit.commit()
    async with books_database(tmp_path) as database, database.unit() as unit:
        books = Books(unit.connection)
        assert await books.balances() == {}
        assert await books.post_many([one], NOW, CHART) == (1,)
    assert Moment.BEFORE  # the crash was before the commit


async def test_reversal_takes_an_entry_back(tmp_path: Path) -> None:
    """A reversal has the same lines the other way round, names what it takes back, and comes once."""
    async with books_database(tmp_path) as database, database.unit() as unit:
        books = Books(unit.connection)
        await books.post_many([entry("one", (CASH, 5), (OWED, -5))], NOW, CHART)
        back = reversal(await books.entry(1))
        assert await books.post_many([back, back], NOW) == (2, 2)
        assert await books.balances() == {CASH: 0, OWED: 0}
        assert (await books.entry(2)).entry.reverses == 1
