"""Reconciliation finds what was changed, and exactly that."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from settlement.books.reconciliation import (
    AccountStatement,
    StatementLine,
    What,
    reconcile,
    reversed_sides,
)
from tests.support.settlement_books import EUR

DAY = date(2026, 11, 18)
CHANGES = st.lists(st.integers(-(2**63), 2**64 - 1).filter(bool), min_size=1, max_size=20)


def _side(lines: list[StatementLine]) -> AccountStatement:
    return AccountStatement(EUR, 7, 7 + sum(line.change for line in lines), tuple(lines))


def _lines(changes: list[int]) -> list[StatementLine]:
    return [
        StatementLine(frozenset({f"ref-{place}"}), change, DAY + timedelta(days=place // 3), f"line {place}")
        for place, change in enumerate(changes)
    ]


@given(CHANGES, st.randoms(use_true_random=False))
def test_order_does_not_matter(changes: list[int], random: object) -> None:
    """The same lines in another order, or written from the other side, all match."""
    lines = _lines(changes)
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for theirs in (_side(shuffled), reversed_sides(reversed_sides(_side(shuffled)))):
        outcome = reconcile(_side(lines), theirs)
        assert outcome.differences == ()
        assert len(outcome.matched) == len(lines)


@given(CHANGES, st.data())
def test_first_seeded_difference_is_found(changes: list[int], data: st.DataObject) -> None:
    """Of all that was changed on the other side, the first is the earliest transfer, and no other is told."""
    lines = _lines(changes)
    theirs: list[StatementLine | None] = list(lines)
    kinds = st.sampled_from([What.AMOUNT, What.SIGN, What.DATE, What.MISSING_THERE])
    chosen = data.draw(st.dictionaries(st.integers(0, len(lines) - 1), kinds, max_size=5))
    for place, what in chosen.items():
        line = lines[place]
        theirs[place] = {
            What.AMOUNT: replace(line, change=line.change + (1 if line.change > 0 else -1)),
            What.SIGN: replace(line, change=-line.change),
            What.DATE: replace(line, on=line.on + timedelta(days=400)),
            What.MISSING_THERE: None,
        }[what]
    outcome = reconcile(_side(lines), _side([line for line in theirs if line is not None]))
    told = [each for each in outcome.differences if each.what is not What.CLOSING]
    assert [(each.ours, each.what) for each in told] == [(lines[place], chosen[place]) for place in sorted(chosen)]
    assert len(outcome.matched) == len(lines) - len(chosen)
    if chosen:
        assert outcome.first_difference is not None
        assert outcome.first_difference.ours == lines[min(chosen)]


@given(CHANGES, st.integers(0, 20), st.integers(1, 2**40))
def test_line_that_we_lack_is_found(changes: list[int], place: int, change: int) -> None:
    """A movement that only the other side has is named, wherever it stands."""
    lines = _lines(changes)
    extra = StatementLine(frozenset({"strange"}), change, DAY, "strange")
    theirs = [*lines[:place], extra, *lines[place:]]
    outcome = reconcile(_side(lines), _side(theirs))
    assert (outcome.missing_here, outcome.missing_there) == ((extra,), ())
    assert [each.what for each in outcome.differences] == [What.MISSING_HERE, What.CLOSING]
