"""Our books against the other side's statement."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from foundation.quantities import UnixMs
from settlement.books.export import Period, balances_before
from settlement.books.postings import chart_of, entry_for, funding_entry
from settlement.books.reconciliation import (
    AccountStatement,
    StatementLine,
    What,
    from_camt053,
    from_entries,
    reconcile,
    reversed_sides,
)
from settlement.books.store import Books
from settlement.connect.iso20022.camt053 import Entry, Statement, read_statement, write_statement
from settlement.connect.iso20022.documents import uetr_of
from settlement.connect.iso20022.parties import Account
from settlement.custody.states import Role
from settlement.custody.terms import PaymentId, source_transfer_id
from tests.support.settlement_books import CNY, EUR, EURO, KEY, LEDGERS, NOW, A, books_database, id_of, quote

DAY = date(2026, 11, 18)
NEXT = date(2026, 11, 19)


def _line(reference: str, change: int, on: date = DAY) -> StatementLine:
    return StatementLine(frozenset({reference}), change, on, reference)


def _side(*lines: StatementLine, opening: int = 100) -> AccountStatement:
    return AccountStatement(EUR, opening, opening + sum(line.change for line in lines), lines)


ONE, TWO, THREE = _line("one", 5), _line("two", -3), _line("three", 9, NEXT)


def test_agreement_is_told() -> None:
    """Where both sides say the same, in whatever order, all lines match and nothing differs."""
    outcome = reconcile(_side(ONE, TWO, THREE), _side(THREE, ONE, TWO))
    assert outcome.first_difference is None
    assert [mine.label for mine, _ in outcome.matched] == ["one", "two", "three"]
    assert (outcome.missing_here, outcome.missing_there, outcome.differences) == ((), (), ())


def test_first_difference_is_named_with_both_values() -> None:
    """Of several differences the earliest by value date is the first, and both sides' values are told."""
    theirs = _side(ONE, replace(TWO, change=-4), replace(THREE, change=8))
    outcome = reconcile(_side(ONE, TWO, THREE), theirs)
    first = outcome.first_difference
    assert first is not None
    assert (first.what, first.ours, first.theirs) == (What.AMOUNT, TWO, theirs.lines[1])
    assert first.detail == "amount: ours two of -0.03 on 2026-11-18, theirs two of -0.04 on 2026-11-18"
    assert [each.what for each in outcome.differences] == [What.AMOUNT, What.AMOUNT, What.CLOSING]


def test_missing_lines_are_told_on_both_sides() -> None:
    """A transfer that one side lacks is missing there, and may be the first difference."""
    outcome = reconcile(_side(ONE, TWO), _side(TWO, THREE))
    assert (outcome.missing_there, outcome.missing_here) == ((ONE,), (THREE,))
    assert outcome.first_difference is not None
    assert (outcome.first_difference.what, outcome.first_difference.ours) == (What.MISSING_THERE, ONE)


def test_sign_and_date() -> None:
    """A movement the wrong way round is told as such; value dates may differ by the days that are allowed."""
    turned = reconcile(_side(ONE), _side(replace(ONE, change=-5)))
    assert turned.first_difference is not None
    assert turned.first_difference.what is What.SIGN
    late = _side(replace(ONE, on=NEXT))
    assert reconcile(_side(ONE), late, days=1).first_difference is None
    strict = reconcile(_side(ONE), late).first_difference
    assert strict is not None
    assert strict.what is What.DATE


def test_balances_are_compared() -> None:
    """Another opening balance is the first of all differences."""
    outcome = reconcile(_side(ONE), _side(ONE, opening=101))
    assert outcome.first_difference is not None
    assert outcome.first_difference.detail == "opening balance: ours 1.00, theirs 1.01"
    assert len(outcome.matched) == 1


def test_other_currency_matches_nothing() -> None:
    """Statements in two currencies are not compared line by line."""
    outcome = reconcile(_side(ONE), replace(_side(ONE), asset=CNY))
    assert outcome.first_difference is not None
    assert (outcome.first_difference.what, outcome.matched) == (What.ASSET, ())


def test_same_reference_twice() -> None:
    """Two movements under one reference are matched by amount before anything is called a difference."""
    there, back = _line("one", 5), _line("one", -5)
    assert reconcile(_side(there, back), _side(back, there)).first_difference is None
    doubled = reconcile(_side(there), _side(there, there))
    assert doubled.missing_here == (there,)


def test_other_sides_own_journal_is_turned_round() -> None:
    """What the other bank writes of what it owes us is ours with all signs turned."""
    assert reconcile(_side(ONE, TWO), reversed_sides(_side(_line("one", -5), _line("two", 3), opening=-100))) == (
        reconcile(_side(ONE, TWO), _side(ONE, TWO))
    )


def _camt(*entries: Entry, opening: int) -> Statement:
    closing = opening + sum(entry.change for entry in entries)
    times = (UnixMs(NOW + 9), NOW, UnixMs(NOW + 9))
    return Statement("message", "statement", *times, Account("DE02120300000000202051"), EUR, opening, closing, entries)


async def test_camt053_is_compared_with_the_books(tmp_path: Path) -> None:
    """A bank's own statement, in XML, agrees with our journal; a transfer that it books otherwise is named."""
    paid, back = PaymentId(id_of("paid")), PaymentId(id_of("back"))
    posted = [
        entry_for(Role.PAYER, event, payment, quote(), LEDGERS)
        for payment, event in ((paid, "hold"), (back, "hold"), (paid, "paid"), (back, "returned"))
    ]
    async with books_database(tmp_path) as database, database.unit() as unit:
        books = Books(unit.connection, KEY)
        chart = chart_of(A, LEDGERS)
        await books.post_many([funding_entry(id_of(1), EURO, 5_000_00)], UnixMs(NOW - 86_400_000), chart)
        await books.post_many(posted, NOW, chart)
        since = Period(DAY, DAY).since
        before = await balances_before(unit.connection, since)
        opening = before[EURO.nostro] + before.get(EURO.held, 0)
        ours = from_entries(EUR, EURO.group, opening, [each async for each in books.journal(since=since)])
    assert [line.change for line in ours.lines] == [-1_001_00], "holding and giving back move nothing"
    by_uetr = Entry("bank-1", -1_001_00, DAY, uetr=uetr_of(paid))
    by_transfer = Entry(source_transfer_id(paid).hex()[:35], -1_001_00, DAY, "NOTPROVIDED")
    for entry in (by_uetr, by_transfer):
        raw = write_statement(_camt(entry, opening=5_000_00))
        theirs = from_camt053(read_statement(raw, {"EUR": EUR}))
        assert reconcile(ours, theirs).first_difference is None
    wrong = from_camt053(_camt(replace(by_uetr, change=-1_001_01), opening=5_000_00))
    first = reconcile(ours, wrong).first_difference
    assert first is not None
    assert (first.what, first.theirs and first.theirs.label) == (What.AMOUNT, "bank-1")
    assert "ours entry 4 of -1001.00" in first.detail
