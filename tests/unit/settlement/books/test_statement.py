"""Statements out of our own books: pages that fit together, on both engines, and add up exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.quantities import UnixMs
from settlement.books.journal import Entry, Line
from settlement.books.postings import chart_of, entry_for, funding_entry
from settlement.books.statement import BooksStatements, Movement
from settlement.books.store import Books
from settlement.custody.states import Role
from settlement.quantities import MAX_UNITS, PartyId
from tests.support.settlement_books import EURO, KEY, LEDGERS, NOW, YUAN, books_database, id_of, quote

CHART = chart_of(PartyId("clearing"), LEDGERS)
END = UnixMs(2**53 - 1)
HUGE = MAX_UNITS


def _payment(number: int, *events: str) -> list[Entry]:
    return [entry_for(Role.CLEARER, event, id_of(number), quote(payment=number), LEDGERS) for event in events]


ENTRIES: list[list[Entry]] = [
    [funding_entry(id_of("opening"), EURO, 5), funding_entry(id_of("yuan"), YUAN, HUGE)],
    _payment(1, "hold", "paid", "earned"),
    _payment(2, "hold", "returned"),
    [funding_entry(id_of("drawn"), EURO, -7)],
    _payment(3, "hold", "paid"),
    [Entry(id_of("within"), "moved", (Line(EURO.nostro, -HUGE), Line(EURO.held, HUGE)))],
    [funding_entry(id_of("huge"), EURO, -HUGE)],
]


async def _posted(books: Books) -> None:
    for number, batch in enumerate(ENTRIES):
        await books.post_many(batch, UnixMs(NOW + number), CHART)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_add_up_and_fit_together(tmp_path: Path, limit: int) -> None:
    """Whatever the pages' size, each movement comes once, holds that came back never, and the balances agree."""
    async with books_database(tmp_path) as database, database.unit() as unit:
        books = Books(unit.connection, KEY)
        await _posted(books)
        for accounts in (EURO, YUAN):
            pages = [await BooksStatements(unit.connection).page(accounts, UnixMs(0), END, 0, limit)]
            while (after := pages[-1].next_after) is not None:
                pages.append(await BooksStatements(unit.connection).page(accounts, UnixMs(0), END, after, limit))
            moves = [one for page in pages for one in page.movements]
            assert [page.opening for page in pages[1:]] == [page.closing for page in pages[:-1]]
            balances = await books.balances()
            assert pages[0].opening == 0
            assert pages[-1].closing == balances[accounts.nostro] + balances.get(accounts.held, 0)
            assert [one.after for one in moves] == [
                sum(each.change for each in moves[: n + 1]) for n in range(len(moves))
            ]
            expected = (
                [("funding", 5), ("earned", 1_001_00), ("funding", -7), ("funding", -HUGE)]
                if accounts is EURO
                else [("funding", HUGE), ("paid", -2_000_00), ("paid", -2_000_00)]
            )
            assert [(one.event, one.change) for one in moves] == expected


async def test_a_period_begins_with_what_was_there(tmp_path: Path) -> None:
    """A statement from a moment on opens with the balance before it; its end belongs to the next period."""
    async with books_database(tmp_path) as database, database.unit() as unit:
        await _posted(Books(unit.connection, KEY))
        statements = BooksStatements(unit.connection)
        page = await statements.page(EURO, UnixMs(NOW + 1), UnixMs(NOW + 3), 0, 10)
        assert (page.opening, page.closing, page.next_after) == (5, 5 + 1_001_00, None)
        (line,) = page.movements
        assert line == Movement(5, line.entry_id, "earned", id_of(1), UnixMs(NOW + 1), 1_001_00, 5 + 1_001_00)
        empty = await statements.page(EURO, UnixMs(NOW + 2), UnixMs(NOW + 3), 0, 10)
        assert (empty.opening, empty.closing, empty.movements) == (page.closing, page.closing, ())


async def test_books_that_are_empty_have_an_empty_statement(tmp_path: Path) -> None:
    """Before anything was posted the statement is of nothing, from nothing to nothing."""
    async with books_database(tmp_path) as database, database.view() as view:
        page = await BooksStatements(view.connection).page(EURO, UnixMs(0), END, 0, 10)
    assert (page.opening, page.movements, page.closing, page.next_after) == (0, (), 0, None)


@pytest.mark.integration
async def test_postgresql_gives_the_same(tmp_path: Path, postgres_url: str) -> None:
    """Sums that an engine gives as decimals are as exact."""
    found = []
    for url in ("", postgres_url):
        async with books_database(tmp_path, url=url) as database, database.unit() as unit:
            await _posted(Books(unit.connection, KEY))
            statements = BooksStatements(unit.connection)
            found.append([await statements.page(each, UnixMs(0), END, 0, 10) for each in (EURO, YUAN)])
    assert found[0] == found[1]
