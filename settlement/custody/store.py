"""A party's payments in its database, read and written in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import BulkDelete, BulkInsert, BulkSelect, Repository
from foundation.quantities import UnixMs
from settlement.custody.changes import AnyEffect
from settlement.custody.sealing import Sealer, What
from settlement.custody.states import (
    Role,
    State,
    decode_effect,
    decode_state,
    encode_effect,
    encode_state,
    is_open,
    note_of,
    role_of,
    stage_of,
)
from settlement.custody.tables import IS_OPEN, cursors, history, outbox, payments, tenure
from settlement.custody.terms import PaymentId

_LOAD = BulkSelect(
    select(
        *(payments.c.payment_id, payments.c.role, payments.c.state),
        *(payments.c.version, payments.c.created_at, payments.c.updated_at),
    ),
    payments.c.payment_id,
)
_SAVE = BulkInsert(payments, ("payment_id",), ("stage", "state", "is_open", "version", "updated_at"))
_NOTE = BulkInsert(history)
_ADD_DUE = BulkInsert(outbox)
_DONE = BulkDelete(outbox, "id")
_SET_CURSOR = BulkInsert(cursors, ("ledger",), ("cursor",))


@dataclass(frozen=True, slots=True)
class Stored:
    """A payment as the database has it. Fields: state; version (how often it has changed); created_at; updated_at."""

    state: State
    version: int
    created_at: UnixMs
    updated_at: UnixMs


@dataclass(frozen=True, slots=True)
class Due:
    """An effect that is still to be carried out. Fields: number (unique, ascending); payment; destination; effect."""

    number: int
    payment: PaymentId
    destination: str
    effect: AnyEffect


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of a payment's history."""

    at: UnixMs
    stage: str
    note: str


class PaymentStore(Repository):
    """Payments, their outbox, their history and the ledgers' cursors, on the connection of a unit or a view.

    States and effects are sealed: shared secrets and preimages are in them.
    """

    def __init__(self, connection: AsyncConnection, sealer: Sealer) -> None:
        super().__init__(connection)
        self._sealer = sealer

    # --- Who works ----------------------------------------------------------------------------------------------------

    async def take_over(self) -> int:
        """The number of this start; whoever worked under an earlier one stops at its next transaction."""
        statement = self._insert(tenure).values(place=1, number=1)
        following = statement.on_conflict_do_update(index_elements=["place"], set_={"number": tenure.c.number + 1})
        await self._connection.execute(following)
        return await self.current_start()

    async def current_start(self) -> int:
        """The number of the last start; 0 before the first."""
        return (await self._connection.execute(select(tenure.c.number))).scalar_one_or_none() or 0

    # --- Payments -----------------------------------------------------------------------------------------------------

    async def load(self, wanted: Iterable[PaymentId]) -> dict[PaymentId, Stored]:
        """The payments of these ids that are there."""
        found: dict[PaymentId, Stored] = {}
        rows = await _LOAD.read(self._connection, list(wanted))
        for number, role, state, version, created, updated in rows:
            payment = PaymentId(number)
            opened = self._sealer.open(payment, What.STATE, state)
            found[payment] = Stored(decode_state(Role(role), opened), version, created, updated)
        return found

    async def save(
        self,
        changed: Mapping[PaymentId, State],
        before: Mapping[PaymentId, Stored],
        trail: Sequence[tuple[PaymentId, State]],
        now: UnixMs,
    ) -> dict[PaymentId, Stored]:
        """Store the new states, and the history: a line for each stage that was passed, also within one transaction.

        Returns:
            The payments as they are stored then.
        """
        rows: list[dict[str, object]] = []
        stored: dict[PaymentId, Stored] = {}
        for number, state in changed.items():
            old = before.get(number)
            version, created = (1, now) if old is None else (old.version + 1, old.created_at)
            stored[number] = Stored(state, version, created, now)
            rows.append(
                {
                    "payment_id": number,
                    "role": role_of(state).value,
                    "stage": stage_of(state),
                    "state": self._sealer.seal(number, What.STATE, encode_state(state)),
                    "is_open": int(is_open(state)),
                    "version": version,
                    "created_at": created,
                    "updated_at": now,
                }
            )
        await _SAVE.write(self._connection, rows)
        lines = [
            {"payment_id": number, "at": now, "stage": stage_of(state), "note": note_of(state)}
            for number, state in trail
        ]
        await _NOTE.write(self._connection, lines)
        return stored

    # --- The outbox ---------------------------------------------------------------------------------------------------

    async def add_due(self, due: Sequence[Due], now: UnixMs) -> None:
        """Put effects into the outbox, under numbers that nobody else gives out."""
        rows = [
            {
                "id": one.number,
                "payment_id": one.payment,
                "destination": one.destination,
                "effect": self._sealer.seal(one.payment, What.EFFECT, encode_effect(one.effect)),
                "created_at": now,
            }
            for one in due
        ]
        await _ADD_DUE.write(self._connection, rows)

    async def due(self, numbers: Sequence[int] | None = None) -> tuple[Due, ...]:
        """What is still to be carried out, all or of these numbers, oldest first."""
        query = select(outbox.c.id, outbox.c.payment_id, outbox.c.destination, outbox.c.effect).order_by(outbox.c.id)
        if numbers is not None:
            query = query.where(outbox.c.id.between(min(numbers), max(numbers)))
        return tuple(
            Due(number, PaymentId(payment), to, decode_effect(self._sealer.open(payment, What.EFFECT, effect)))
            for number, payment, to, effect in await self._connection.execute(query)
        )

    async def done(self, numbers: Iterable[int]) -> None:
        """These effects were carried out."""
        await _DONE.write(self._connection, list(numbers))

    # --- Reading ------------------------------------------------------------------------------------------------------

    async def open_payments(self) -> tuple[PaymentId, ...]:
        """The payments that have not ended."""
        query = select(payments.c.payment_id).where(IS_OPEN).order_by(payments.c.created_at)
        return tuple(PaymentId(number) for number in (await self._connection.execute(query)).scalars())

    async def page(self, limit: int, before: UnixMs | None = None) -> tuple[tuple[PaymentId, Stored], ...]:
        """Payments, newest first, made before a moment."""
        query = select(payments.c.payment_id).order_by(payments.c.created_at.desc()).limit(limit)
        if before is not None:
            query = query.where(payments.c.created_at < before)
        wanted = [PaymentId(number) for number in (await self._connection.execute(query)).scalars()]
        found = await self.load(wanted)
        return tuple((number, found[number]) for number in wanted)

    async def history(self, payment: PaymentId) -> tuple[Moment, ...]:
        """What happened to a payment, in order."""
        query = select(history.c.at, history.c.stage, history.c.note).where(history.c.payment_id == payment)
        return await self._rows(Moment, query.order_by(history.c.id))

    async def cursor(self, ledger: str) -> str:
        """How far a ledger's feed was read; empty at the beginning."""
        query = select(cursors.c.cursor).where(cursors.c.ledger == ledger)
        return (await self._connection.execute(query)).scalar_one_or_none() or ""

    async def set_cursor(self, ledger: str, cursor: str) -> None:
        """A ledger's feed was read up to here."""
        await _SET_CURSOR.write(self._connection, [{"ledger": ledger, "cursor": cursor}])
