"""The books as CSV and Beancount files."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.books.accounts import chart
from settlement.books.export import COLUMNS, Period, balances_before, commodity, write_beancount, write_csv
from settlement.books.journal import reversal
from settlement.books.postings import entry_for, funding_entry, ledger_accounts
from settlement.books.store import Books
from settlement.custody.states import Role
from settlement.quantities import MAX_UNITS, Asset, Scale
from tests.support.settlement_books import CNY, EURO, KEY, LEDGERS, NOW, YUAN, C, account, books_database, entry, id_of
from tests.support.settlement_books import quote as a_quote

DAY = 86_400_000
FIRST = date(2026, 11, 18)  # of NOW, in UTC
WHOLE = Period(FIRST, date(2026, 11, 21))
TOKEN = ledger_accounts("token", Asset("EUR", Scale(18)))
ODD = ledger_accounts("odd", Asset("x", Scale(0)))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """The clearing bank's books: funding, a payment, and another on the next day that is taken back."""
    all_accounts = [
        getattr(each, name)
        for each in (EURO, YUAN, TOKEN, ODD)
        for name in ("nostro", "held", "claims", "customers", "conversion", "fees_earned", "funding")
    ]
    all_accounts += [EURO.incoming, EURO.incoming_contra]
    async with books_database(tmp_path) as opened:
        async with opened.unit() as unit:
            books = Books(unit.connection, KEY)
            await books.open_accounts(chart(C, all_accounts).accounts.values(), NOW)
            first = [funding_entry(id_of(name), each, 10_000_000) for name, each in LEDGERS.items()]
            first += [funding_entry(id_of("token"), TOKEN, MAX_UNITS), funding_entry(id_of("odd"), ODD, -7)]
            payment = [entry_for(Role.CLEARER, event, id_of(0), a_quote(), LEDGERS) for event in ("hold", "paid")]
            await books.post_many([*first, *payment], NOW)
            next_day = UnixMs(NOW + DAY)
            earned = entry_for(Role.CLEARER, "earned", id_of(0), a_quote(), LEDGERS)
            odd = entry("odd words", (EURO.nostro, 5), (EURO.funding, -5), narrative='=1+1 "of" \\ two\nlines')
            await books.post_many([earned, odd], next_day)
            await books.post(reversal(await books.entry(8)), UnixMs(NOW + 2 * DAY))
            await unit.commit()
        yield opened


async def _text(stream: AsyncIterator[str]) -> str:
    return "".join([part async for part in stream])


def _bean_check(path: Path) -> str:
    """What Beancount has against a file; nothing where it loads and all assertions hold."""
    program = Path(sys.executable).parent / "bean-check"
    done = subprocess.run([program, "--no-cache", path], capture_output=True, text=True, check=False)
    return done.stderr + done.stdout


@pytest.mark.parametrize(
    "period", [WHOLE, Period(date(2026, 11, 19), date(2026, 11, 19)), Period(date(2027, 1, 1), date(2027, 1, 1))]
)
async def test_beancount_agrees(database: Database, tmp_path: Path, period: Period) -> None:
    """Beancount itself loads the file of any period, and computes the same closing balances."""
    async with database.view() as view:
        text = await _text(write_beancount(view.connection, C, period, KEY))
        closing = await balances_before(view.connection, period.until)
    path = tmp_path / "books.beancount"
    path.write_text(text)
    assert _bean_check(path) == ""
    assert text.count(" balance ") == len(closing)
    nostro = EURO.nostro.asset.text(closing[EURO.nostro])
    wrong = text.replace(f"balance {EURO.nostro.name} {nostro}", f"balance {EURO.nostro.name} 1.00")
    path.write_text(wrong)
    assert "Balance failed" in _bean_check(path), "the assertions are looked at"


async def test_csv_has_each_line(database: Database) -> None:
    """Each line of the period is a row, its amount under debit or credit; each entry's debits are its credits."""
    async with database.view() as view:
        rows = list(csv.DictReader((await _text(write_csv(view.connection, WHOLE, KEY))).splitlines(keepends=True)))
        blind = await _text(write_csv(view.connection, WHOLE))
        journal = [posted async for posted in Books(view.connection).journal()]
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == sum(len(posted.entry.lines) for posted in journal)
    token = next(row for row in rows if row["account"] == TOKEN.nostro.name)
    assert (token["debit"], token["credit"]) == ("18.446744073709551615", "")
    assert {row["narrative"] for row in rows if row["number"] == "8"} == {'\'=1+1 "of" \\ two\nlines'}
    assert "two" not in blind
    assert rows[-1]["reverses"] == "8"


async def test_period_has_its_days_alone(database: Database) -> None:
    """A period has what was posted on its days, the last one included."""
    async with database.view() as view:
        text = await _text(write_csv(view.connection, Period(date(2026, 11, 19), date(2026, 11, 19))))
        before = await balances_before(view.connection, UnixMs(NOW + DAY))
    assert {line.partition(",")[0] for line in text.splitlines()} == {"number", "7", "8"}
    assert before[EURO.claims] == 1_000_00
    with pytest.raises(BadInput):
        Period(date(2026, 11, 19), FIRST)


def test_commodities() -> None:
    """A code that Beancount knows is kept; another becomes one that it knows, and no two become the same."""
    codes = ["EUR", "USDC.e", "x", "X", "eur", "EUR-", "A" * 20]
    made = [commodity(Asset(code, Scale(2))) for code in codes]
    assert made[0] == "EUR"
    assert len(set(made)) == len(codes)
    assert commodity(CNY) == "CNY"
    assert account("Assets:X")
