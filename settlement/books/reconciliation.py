"""Our books against a statement from the other side: what matches, what is missing where, and what differs first. Pure.

Lines are written from our point of view: what makes our account larger is positive. A bank's camt.053 says `CRDT` of
what it owes its customer more, which is a debit in the customer's own books: so its credits are our debits, and a
statement of our account reads the right way round. What the other side has written about its own account (say, from its
journal) is turned round by `reversed_sides`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final

from settlement.books.journal import Posted
from settlement.connect.iso20022.camt053 import Statement
from settlement.connect.iso20022.documents import uetr_of
from settlement.custody.terms import PaymentId, source_transfer_id, target_transfer_id
from settlement.quantities import Asset

REFERENCE_CHARACTERS: Final = 35
"""What ISO 20022 allows for a reference; a transfer's id in hex is cut to it."""

_NO_REFERENCE: Final = frozenset({"", "NOTPROVIDED"})


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A movement of an account, as one side has it.

    Fields: references (each of which names the transfer: its id, the payment's end-to-end id or UETR); change (base
    units, positive: the account grew); on (value date); label (what the side itself calls it, for people).
    """

    references: frozenset[str]
    change: int
    on: date
    label: str


@dataclass(frozen=True, slots=True)
class AccountStatement:
    """One side of a reconciliation. Fields: asset; opening, closing (base units); lines, in order."""

    asset: Asset
    opening: int
    closing: int
    lines: tuple[StatementLine, ...]


class What(StrEnum):
    """How two sides differ."""

    OPENING = "opening balance"
    AMOUNT = "amount"
    SIGN = "sign"
    DATE = "value date"
    MISSING_HERE = "missing here"
    MISSING_THERE = "missing there"
    CLOSING = "closing balance"
    ASSET = "asset"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something on which the sides differ.

    Fields: what; ours, theirs (the lines; None where there is none, or it is about a balance); detail (for people, with
    both sides' values).
    """

    what: What
    ours: StatementLine | None
    theirs: StatementLine | None
    detail: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What came out. Fields: matched (pairs that agree); first_difference (None: there is none); differences (all, in
    order); missing_here (theirs that we lack); missing_there (ours that they lack).
    """

    matched: tuple[tuple[StatementLine, StatementLine], ...]
    first_difference: Difference | None
    differences: tuple[Difference, ...]
    missing_here: tuple[StatementLine, ...]
    missing_there: tuple[StatementLine, ...]


def reconcile(ours: AccountStatement, theirs: AccountStatement, days: int = 0) -> Reconciliation:
    """Compare two statements of one account.

    The first difference is the earliest transfer, by value date, on which the sides do not agree; a balance counts as
    first only where it opens the period or no transfer explains it.

    Args:
        ours, theirs: both from our point of view.
        days: by how many days value dates may differ.
    """
    show = ours.asset.text
    if ours.asset != theirs.asset:
        detail = f"ours is {ours.asset.code}/{ours.asset.scale}, theirs {theirs.asset.code}/{theirs.asset.scale}"
        only = Difference(What.ASSET, None, None, detail)
        return Reconciliation((), only, (only,), theirs.lines, ours.lines)
    pairs, missing_there, missing_here = _paired(ours.lines, theirs.lines)
    matched: list[tuple[StatementLine, StatementLine]] = []
    found: list[tuple[date, int, Difference]] = []
    places = {id(line): place for side in (ours.lines, theirs.lines) for place, line in enumerate(side)}
    for mine, other in pairs:
        difference = _compared(mine, other, ours.asset, days)
        if difference is None:
            matched.append((mine, other))
        else:
            found.append((min(mine.on, other.on), places[id(mine)], difference))
    for line in missing_here:
        detail = f"theirs {line.label} of {show(line.change)} on {line.on} is not in our books"
        found.append((line.on, places[id(line)], Difference(What.MISSING_HERE, None, line, detail)))
    for line in missing_there:
        detail = f"ours {line.label} of {show(line.change)} on {line.on} is not on their statement"
        found.append((line.on, places[id(line)], Difference(What.MISSING_THERE, line, None, detail)))
    found.sort(key=lambda each: each[:2])
    in_order = [difference for _, _, difference in found]
    differences = _with_balances(ours, theirs, in_order)
    first = differences[0] if differences else None
    return Reconciliation(tuple(matched), first, differences, missing_here, missing_there)


def reversed_sides(statement: AccountStatement) -> AccountStatement:
    """A statement that the other side has written of its own account with us: its debits are our credits."""
    lines = tuple(replace(line, change=-line.change) for line in statement.lines)
    return AccountStatement(statement.asset, -statement.opening, -statement.closing, lines)


def from_camt053(statement: Statement) -> AccountStatement:
    """A camt.053 of our account, from whoever keeps it."""
    lines = tuple(
        StatementLine(
            frozenset({entry.reference, entry.end_to_end_id, entry.uetr} - _NO_REFERENCE),
            entry.change,
            entry.booked_on,
            entry.reference,
        )
        for entry in statement.entries
    )
    return AccountStatement(statement.asset, statement.opening, statement.closing, lines)


def from_entries(asset: Asset, group: str, opening: int, posted: Iterable[Posted]) -> AccountStatement:
    """Our own side: what entries did to a group of accounts (`LedgerAccounts.group`), taken together.

    What only moves inside of the group, such as money being held, is no movement of the account.
    """
    lines: list[StatementLine] = []
    balance = opening
    for each in posted:
        change = sum(
            line.change
            for line in each.entry.lines
            if line.account.asset == asset and f"{line.account.name}:".startswith(f"{group}:")
        )
        if change:
            balance += change
            on = datetime.fromtimestamp(each.at // 1000, UTC).date()
            lines.append(StatementLine(references_of(each), change, on, f"entry {each.number}"))
    return AccountStatement(asset, opening, balance, tuple(lines))


def references_of(posted: Posted) -> frozenset[str]:
    """What the other side may call the movement of an entry: its payment's UETR, or the id of one of its transfers."""
    if posted.entry.payment_id is None:
        return frozenset({posted.entry.entry_id.hex()[:REFERENCE_CHARACTERS]})
    payment = PaymentId(posted.entry.payment_id)
    ids = (payment, source_transfer_id(payment), target_transfer_id(payment))
    cut = {each.hex()[:length] for each in ids for length in (32, REFERENCE_CHARACTERS, 64)}
    return frozenset({uetr_of(payment), *cut})


def _paired(
    ours: Sequence[StatementLine], theirs: Sequence[StatementLine]
) -> tuple[list[tuple[StatementLine, StatementLine]], tuple[StatementLine, ...], tuple[StatementLine, ...]]:
    """Lines that share a reference, each with one other; of several the one that agrees in amount is taken first."""
    by_reference: defaultdict[str, list[int]] = defaultdict(list)
    for place, line in enumerate(theirs):
        for reference in line.references:
            by_reference[reference].append(place)
    taken: set[int] = set()
    partner: dict[int, int] = {}
    for is_strict in (True, False):
        for place, line in enumerate(ours):
            if place in partner:
                continue
            candidates = sorted({at for reference in line.references for at in by_reference[reference]} - taken)
            fitting = [at for at in candidates if not is_strict or theirs[at].change == line.change]
            if fitting:
                partner[place] = fitting[0]
                taken.add(fitting[0])
    pairs = [(ours[place], theirs[partner[place]]) for place in sorted(partner)]
    left = tuple(line for place, line in enumerate(ours) if place not in partner)
    return pairs, left, tuple(line for place, line in enumerate(theirs) if place not in taken)


def _compared(mine: StatementLine, other: StatementLine, asset: Asset, days: int) -> Difference | None:
    show = asset.text
    if mine.change == -other.change:
        what = What.SIGN
    elif mine.change != other.change:
        what = What.AMOUNT
    elif abs((mine.on - other.on).days) > days:
        what = What.DATE
    else:
        return None
    detail = (
        f"{what}: ours {mine.label} of {show(mine.change)} on {mine.on}, "
        f"theirs {other.label} of {show(other.change)} on {other.on}"
    )
    return Difference(what, mine, other, detail)


def _with_balances(
    ours: AccountStatement, theirs: AccountStatement, found: Sequence[Difference]
) -> tuple[Difference, ...]:
    show = ours.asset.text

    def balance(what: What, mine: int, other: int) -> tuple[Difference, ...]:
        detail = f"{what}: ours {show(mine)}, theirs {show(other)}"
        return () if mine == other else (Difference(what, None, None, detail),)

    opening = balance(What.OPENING, ours.opening, theirs.opening)
    return (*opening, *found, *balance(What.CLOSING, ours.closing, theirs.closing))
