"""A statement of an account on a ledger, out of our own books: what moved its balance, and by which payment.

For ledgers that keep no statements themselves, such as a chain. Entries are posted when the ledger's word is final, and
the monitors compare balances with the ledger each minute (books.md), so what is told here is what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.quantities import UnixMs
from settlement.books.postings import LedgerAccounts
from settlement.books.tables import AMOUNT_BASE, entries, lines


@dataclass(frozen=True, slots=True)
class Movement:
    """One line. Fields: number, entry_id (32 bytes), event and payment_id (of the entry); change (signed base units);
    after (the balance then)."""

    number: int
    entry_id: bytes
    event: str
    payment_id: bytes | None
    at: UnixMs
    change: int
    after: int


@dataclass(frozen=True, slots=True)
class BooksStatement:
    """A page. Fields: opening, closing (balances before its first and after its last line, base units); next_after
    (where the next page begins, None at the end)."""

    opening: int
    movements: tuple[Movement, ...]
    closing: int
    next_after: int | None


class BooksStatements:
    """Reads statements on one connection. What was posted never changes, so pages fit together at any time."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def page(
        self, accounts: LedgerAccounts, since: UnixMs, until: UnixMs, after: int, limit: int
    ) -> BooksStatement:
        """Movements at or after `since` and before `until`, in entries with numbers above `after`, at most `limit`.

        What is only set aside, or comes back, moves no balance and is not told.
        """
        names = (accounts.nostro.name, accounts.held.name)
        start, end = max(after, await self._before(since)), await self._before(until)
        high, low = func.sum(lines.c.high), func.sum(lines.c.low)
        # A hold and its return: the same amount on both accounts, the other way round.
        nothing = or_(and_(high == 0, low == 0), and_(high == -1, low == AMOUNT_BASE))
        query = (
            select(lines.c.number, high, low)
            .where(lines.c.account.in_(names), lines.c.number > start, lines.c.number <= end)
            .group_by(lines.c.number)
            .having(not_(nothing))
            .order_by(lines.c.number)
            .limit(limit + 1)
        )
        moved = [(int(number), _units(*parts)) for number, *parts in await self._connection.execute(query)]
        page, is_more = moved[:limit], len(moved) > limit
        opening = await self._balance(names, start)
        movements = await self._movements(page, opening)
        closing = movements[-1].after if movements else opening
        return BooksStatement(opening, movements, closing, page[-1][0] if is_more else None)

    async def _movements(self, moved: Sequence[tuple[int, int]], opening: int) -> tuple[Movement, ...]:
        if not moved:
            return ()
        c = entries.c
        query = select(c.number, c.entry_id, c.event, c.payment_id, c.at).where(
            c.number.between(moved[0][0], moved[-1][0])
        )
        found = {row.number: row for row in await self._connection.execute(query)}
        movements: list[Movement] = []
        balance = opening
        for number, change in moved:
            balance += change
            row = found[number]
            payment = None if row.payment_id is None else bytes(row.payment_id)
            at = UnixMs(row.at)
            movements.append(Movement(number, bytes(row.entry_id), row.event, payment, at, change, balance))
        return tuple(movements)

    async def _before(self, moment: UnixMs) -> int:
        """The number of the last entry before a moment, 0 where there is none."""
        latest = select(func.max(entries.c.at)).where(entries.c.at < moment).scalar_subquery()
        query = select(func.max(entries.c.number)).where(entries.c.at == latest)
        return int((await self._connection.execute(query)).scalar_one() or 0)

    async def _balance(self, names: Sequence[str], number: int) -> int:
        """The balance after the entry of this number."""
        query = select(func.sum(lines.c.high), func.sum(lines.c.low))
        found = await self._connection.execute(query.where(lines.c.account.in_(names), lines.c.number <= number))
        return _units(*found.one())


def _units(high: Any, low: Any) -> int:
    """Sums of the two parts of amounts; PostgreSQL gives them as decimals, and none where there are no lines."""
    return int(high or 0) * AMOUNT_BASE + int(low or 0)
