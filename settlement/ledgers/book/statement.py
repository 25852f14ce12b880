"""An account's statement: what was booked on it, from an opening balance to a closing one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.quantities import UnixMs
from settlement.ledgers.book.tables import entries, lines
from settlement.ledgers.book.types import EntryKind
from settlement.ledgers.protocol import LedgerAccount, TransferId

_BOOKED = (EntryKind.FULFIL.value, EntryKind.PAYMENT.value)
"""Holds that stand or have gone back move no balance, so they are on no statement."""


@dataclass(frozen=True, slots=True)
class Booking:
    """One line. Fields: number (of the entry); amount (signed base units); after (balance); counterparty (account)."""

    number: int
    kind: EntryKind
    transfer_id: TransferId
    at: UnixMs
    counterparty: LedgerAccount
    amount: int
    after: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A page of a statement.

    Fields: opening and closing (balances before its first and after its last line); next_after (where the next page
    begins, None at the end).
    """

    account: LedgerAccount
    opening: int
    bookings: tuple[Booking, ...]
    closing: int
    next_after: int | None


class Statements:
    """Reads statements on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def page(self, account: LedgerAccount, since: UnixMs, until: UnixMs, after: int, limit: int) -> Statement:
        """Bookings at or after `since` and before `until`, with numbers above `after`, at most `limit`."""
        start = max(after, await self._before(since))
        booked = and_(lines.c.account == account, lines.c.number == entries.c.number, entries.c.kind.in_(_BOOKED))
        query = (
            select(
                entries.c.number,
                entries.c.kind,
                entries.c.transfer_id,
                entries.c.at,
                entries.c.payer,
                entries.c.payee,
                lines.c.sign,
                lines.c.amount,
                lines.c.after,
            )
            .where(booked, lines.c.number > start, lines.c.number <= await self._before(until))
            .order_by(lines.c.number)
            .limit(limit + 1)
        )
        found = [_booking(account, row) for row in await self._connection.execute(query)]
        page = tuple(found[:limit])
        opening = await self._balance(account, start)
        closing = page[-1].after if page else opening
        return Statement(account, opening, page, closing, page[-1].number if len(found) > limit else None)

    async def _before(self, moment: UnixMs) -> int:
        """The number of the last entry before a moment, 0 where there is none; entries are in the order of time."""
        query = select(func.max(entries.c.number)).where(
            entries.c.at == select(func.max(entries.c.at)).where(entries.c.at < moment).scalar_subquery()
        )
        return int((await self._connection.execute(query)).scalar_one() or 0)

    async def _balance(self, account: LedgerAccount, number: int) -> int:
        """The balance after the entry of this number."""
        query = (
            select(lines.c.after)
            .where(lines.c.account == account, lines.c.number <= number)
            .order_by(lines.c.number.desc())
            .limit(1)
        )
        return int((await self._connection.execute(query)).scalar_one_or_none() or 0)


def _booking(account: LedgerAccount, row: Sequence[Any]) -> Booking:
    number, kind, transfer_id, at, payer, payee, sign, amount, balance = row
    return Booking(
        number,
        EntryKind(kind),
        TransferId(bytes(transfer_id)),
        UnixMs(at),
        LedgerAccount(payee if account == payer else payer),
        sign * int(amount),
        int(balance),
    )
