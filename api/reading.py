"""Pages of a gateway's payments and events, and statements, out of its database and its ledgers."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, func, or_, select

from api.ports import EventShown, LineShown, Money, NotPossible, StatementShown
from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.custody.tables import history, payments
from settlement.custody.terms import PaymentId, source_transfer_id, target_transfer_id
from settlement.ledgers.book.client import BookClient
from settlement.ledgers.book.statement import Booking
from settlement.ledgers.protocol import Ledger
from settlement.quantities import Asset

_QUOTED = "quoted"
"""A clearing bank's quotes that nobody has used are no payments."""


class Reading:
    """Reads; see the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        """A page of what a ledger has booked on our account.

        Raises:
            NotPossible: the ledger keeps no statements.
        """
        if not isinstance(ledger, BookClient):
            raise NotPossible(f"{name} keeps no statements; its payments are under /v1/payments")
        page = await ledger.statement(since, until, after, limit)
        known = await self._payments_of([booking.transfer_id for booking in page.bookings], since, until)
        return StatementShown(
            name,
            str(page.account),
            Money(asset, page.opening),
            Money(asset, page.closing),
            tuple(_line(booking, asset, known) for booking in page.bookings),
            page.next_after,
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
