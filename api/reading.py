"""Pages of a gateway's payments and events, and statements, out of its database and its ledgers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from sqlalchemy import and_, func, or_, select

from api.ports import EventShown, LineShown, Money, NotPossible, StatementShown
from api.showing import quote_of
from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.books.statement import BooksStatements, Movement
from settlement.custody.states import Role, role_of
from settlement.custody.store import Stored as StoredPayment
from settlement.custody.tables import history, payments
from settlement.custody.terms import PaymentId, source_transfer_id, target_transfer_id
from settlement.gateway.bookkeeping import GatewayBooks
from settlement.gateway.office import Ledgers
from settlement.ledgers.book.client import BookClient
from settlement.ledgers.book.statement import Booking
from settlement.ledgers.protocol import Ledger
from settlement.quantities import Asset

_QUOTED = "quoted"
"""A clearing bank's quotes that nobody has used are no payments."""


Stored: TypeAlias = Callable[[Sequence[PaymentId]], Awaitable[Mapping[PaymentId, StoredPayment]]]


class Reading:
    """Reads; see the module."""

    def __init__(self, database: Database, books: Ledgers, stored: Stored) -> None:
        """`stored`: gives payments by their ids."""
        self._database = database
        self._books = books
        self._stored = stored

    async def payments(
        self, limit: int, before: tuple[UnixMs, bytes] | None, stages: Sequence[tuple[str, str]]
    ) -> tuple[PaymentId, ...]:
        """Payments' ids, newest first; `stages`: pairs of role and stage that are wanted, all where there is none."""
        c = payments.c
        query = select(c.payment_id).where(c.stage.not_in((_QUOTED, "lapsed")))
        if before is not None:
            at, number = before
            query = query.where(or_(c.created_at < at, and_(c.created_at == at, c.payment_id < number)))
        if stages:
            query = query.where(or_(*(and_(c.role == role, c.stage == stage) for role, stage in stages)))
        query = query.order_by(c.created_at.desc(), c.payment_id.desc()).limit(limit)
        async with self._database.view() as view:
            return tuple(PaymentId(bytes(number)) for number in (await view.connection.execute(query)).scalars())

    async def events(self, after: int, limit: int) -> tuple[EventShown, ...]:
        """What happened after a number. Writers come one after the other, so a number that is seen has none below it
        that comes later."""
        c = history.c
        query = (
            select(c.id, c.payment_id, c.stage, c.note, c.at)
            .where(c.id > after, c.stage.not_in((_QUOTED, "lapsed")))
            .order_by(c.id)
            .limit(limit)
        )
        async with self._database.view() as view:
            rows = (await view.connection.execute(query)).all()
        return tuple(EventShown(row.id, bytes(row.payment_id), row.stage, row.note, UnixMs(row.at)) for row in rows)

    async def last_event(self) -> int:
        """The newest event's number."""
        async with self._database.view() as view:
            return int(await view.connection.scalar(select(func.max(history.c.id))) or 0)

    async def statement(
        self, ledger: Ledger, name: str, asset: Asset, since: UnixMs, until: UnixMs, after: int, limit: int
    ) -> StatementShown:
        """A page of what was booked on our account: by the ledger, or by our books where it keeps no statements.

        Raises:
            NotPossible: neither does.
        """
        if not isinstance(ledger, BookClient):
            return await self._by_books(ledger, name, asset, since, until, after, limit)
        page = await ledger.statement(since, until, after, limit)
        known = await self._payments_of([booking.transfer_id for booking in page.bookings], since, until)
        return StatementShown(
            name,
            str(page.account),
            Money(asset, page.opening),
            Money(asset, page.closing),
            tuple(_line(booking, asset, known) for booking in page.bookings),
            page.next_after,
            "ledger",
        )

    async def _by_books(
        self, ledger: Ledger, name: str, asset: Asset, since: UnixMs, until: UnixMs, after: int, limit: int
    ) -> StatementShown:
        if not isinstance(self._books, GatewayBooks):
            raise NotPossible(f"{name} keeps no statements; its payments are under /v1/payments")
        async with self._database.view() as view:
            statements = BooksStatements(view.connection)
            page = await statements.page(self._books.accounts[name], since, until, after, limit)
        numbers = {PaymentId(one.payment_id) for one in page.movements if one.payment_id is not None}
        payments = await self._stored(sorted(numbers))
        return StatementShown(
            name,
            str(ledger.own),
            Money(asset, page.opening),
            Money(asset, page.closing),
            tuple(_booked(one, asset, payments) for one in page.movements),
            page.next_after,
            "books",
        )

    async def _payments_of(self, transfers: Sequence[bytes], since: UnixMs, until: UnixMs) -> dict[bytes, bytes]:
        """The payments that transfers belong to. A transfer's id is made of its payment's, and not the other way round:
        the payments that changed in the period are tried."""
        if not transfers:
            return {}
        c = payments.c
        query = select(c.payment_id).where(c.created_at < until, c.updated_at >= since).limit(100_000)
        async with self._database.view() as view:
            numbers = [PaymentId(bytes(number)) for number in (await view.connection.execute(query)).scalars()]
        made = {make(number): bytes(number) for number in numbers for make in (source_transfer_id, target_transfer_id)}
        return {transfer: made[transfer] for transfer in transfers if transfer in made}


def _booked(one: Movement, asset: Asset, payments: Mapping[PaymentId, StoredPayment]) -> LineShown:
    """A line of our books. What no payment moved has no other side, and its entry's id stands for a transfer's."""
    transfer, counterparty = one.entry_id, ""
    payment = None if one.payment_id is None else PaymentId(one.payment_id)
    stored = None if payment is None else payments.get(payment)
    quote = None if stored is None else quote_of(stored.state)
    if payment is not None and stored is not None and quote is not None:
        role = role_of(stored.state)
        is_source = role is Role.PAYER or (role is Role.CLEARER and one.event == "earned")
        leg = quote.source if is_source else quote.target
        transfer = source_transfer_id(payment) if is_source else target_transfer_id(payment)
        counterparty = leg.payee if one.change < 0 else leg.payer
    money, after = Money(asset, one.change), Money(asset, one.after)
    return LineShown(one.number, one.at, money, after, counterparty, transfer, one.payment_id)


def _line(booking: Booking, asset: Asset, known: dict[bytes, bytes]) -> LineShown:
    return LineShown(
        booking.number,
        booking.at,
        Money(asset, booking.amount),
        Money(asset, booking.after),
        str(booking.counterparty),
        booking.transfer_id,
        known.get(booking.transfer_id),
    )
