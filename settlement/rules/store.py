"""The validator's memory, in the caller's transaction: use of the limits, decisions, sealed facts and approvals.

Units of work come one after the other (foundation.database), so two payments cannot both take the last of a limit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, Table, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Repository
from foundation.quantities import UnixMs
from settlement.quantities import Asset, Scale, tagged_hash
from settlement.rules import tables
from settlement.rules.decision import Decision
from settlement.rules.errors import ChainBroken, ReservationOver, UnknownReservation
from settlement.rules.facts import Approval, Facts, Rate, decode_facts, encode_facts
from settlement.rules.history import CountQuestion, SumQuestion, Usage, Use, Used, Ways

_NO_ENTRY: Final = bytes(32)
Cell: TypeAlias = tuple[str, str, str, str, str, str, int]
"""Day, payer, payee, origin, destination, asset's code and scale: what limits tell apart."""

_NONCE_BYTES: Final = 12


class UseState(StrEnum):
    """How a payment that passed stands with the limits."""

    RESERVED = "reserved"  # it counts, and may still fail
    SETTLED = "settled"  # it counts for good
    RELEASED = "released"  # it failed, and does not count


@dataclass(frozen=True, slots=True)
class KnownRate:
    """A rate that a decision used, as it is kept."""

    paid: Asset
    asset: Asset
    rate: Rate


@dataclass(frozen=True, slots=True)
class Entry:
    """A decision as it is kept. Fields: sequence (from 1); previous (hash of the entry before, zero for the first)."""

    sequence: int
    previous: bytes
    decision: Decision
    rates: tuple[KnownRate, ...]
    approvals: tuple[Approval, ...]


class RulesStore(Repository):
    """All tables of the validator. `facts_key`: 32 bytes, seals what is personal."""

    def __init__(self, connection: AsyncConnection, facts_key: bytes) -> None:
        super().__init__(connection)
        self._cipher = AESGCM(facts_key)

    # --- Use of the limits --------------------------------------------------------------------------------------------

    async def answer(self, sums: tuple[SumQuestion, ...], counts: tuple[CountQuestion, ...]) -> Usage:
        """The answers to `questions`."""
        found: dict[str, dict[Asset, Used]] = {}
        for question in sums:
            found[question.rule_id] = await self._sum(question)
        numbers = {question.rule_id: await self._count(question) for question in counts}
        return Usage(found, numbers)

    async def reserve(self, use: Use) -> None:
        """The payment counts from now on. Once for each payment."""
        await self._connection.execute(insert(tables.uses).values(**self.use_row(use)))
        await self._add(cell_row(cell_of(use)), use.facts.amount, 1)

    def use_row(self, use: Use) -> dict[str, object]:
        """The row of a payment that has just passed."""
        facts = use.facts
        row = {**cell_row(cell_of(use)), "payment_id": facts.payment_id, "state": UseState.RESERVED.value, "at": use.at}
        return {**row, "amount": str(facts.amount)}

    async def settle(self, payment_id: bytes) -> None:
        """The payment was made. Again changes nothing.

        Raises:
            UnknownReservation: it never passed.
            ReservationOver: it was released.
        """
        state = await self.state_of(payment_id)
        if state is None:
            raise UnknownReservation(payment_id)
        if state is UseState.RELEASED:
            raise ReservationOver(payment_id, state)
        await self._set_state(payment_id, UseState.SETTLED)

    async def release(self, payment_id: bytes) -> None:
        """The payment failed: it counts no more. Again changes nothing.

        Raises:
            UnknownReservation: it never passed.
            ReservationOver: it was settled.
        """
        c = tables.uses.c
        query = select(c.state, c.day, c.payer, c.payee, c.origin, c.destination, c.code, c.scale, c.amount).where(
            c.payment_id == payment_id
        )
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            raise UnknownReservation(payment_id)
        if row.state == UseState.SETTLED:
            raise ReservationOver(payment_id, row.state)
        if row.state == UseState.RELEASED:
            return
        await self._set_state(payment_id, UseState.RELEASED)
        names = ("day", "payer", "payee", "origin", "destination", "code", "scale")
        await self._add({name: getattr(row, name) for name in names}, -int(row.amount), -1)

    async def state_of(self, payment_id: bytes) -> UseState | None:
        """How the payment stands with the limits; None if it never passed."""
        state = await self._connection.scalar(select(tables.uses.c.state).where(tables.uses.c.payment_id == payment_id))
        return None if state is None else UseState(state)

    async def reserved_before(self, before: UnixMs, at_most: int = 1_000) -> tuple[bytes, ...]:
        """Payments that passed before a moment and neither settled nor failed, the oldest first."""
        c = tables.uses.c
        query = select(c.payment_id).where(c.state == UseState.RESERVED, c.at < before).order_by(c.at).limit(at_most)
        return tuple((await self._connection.scalars(query)).all())

    async def _sum(self, question: SumQuestion) -> dict[Asset, Used]:
        c = tables.days.c
        within = c.day.between(question.first_day.isoformat(), question.last_day.isoformat())
        query = select(c.code, c.scale, c.amount, c.count).where(within, *_conditions(tables.days, question.ways))
        used: dict[Asset, Used] = {}
        for code, scale, amount, count in await self._connection.execute(query):
            asset = Asset(code, Scale(scale))
            had = used.get(asset, Used())
            used[asset] = Used(had.amount + int(amount), had.count + count)
        return used

    async def _count(self, question: CountQuestion) -> int:
        c = tables.uses.c
        counted = and_(c.at > question.after, c.state != UseState.RELEASED, *_conditions(tables.uses, question.ways))
        some = select(c.payment_id).where(counted).limit(question.enough).subquery()
        return int(await self._connection.scalar(select(func.count()).select_from(some)) or 0)

    async def _add(self, cell: dict[str, object], amount: int, count: int) -> None:
        same = and_(*(tables.days.c[name] == value for name, value in cell.items()))
        row = (
            await self._connection.execute(select(tables.days.c.amount, tables.days.c.count).where(same))
        ).one_or_none()
        if row is None:
            await self._connection.execute(insert(tables.days).values(**cell, amount=str(amount), count=count))
            return
        total, number = int(row.amount) + amount, row[1] + count
        assert min(total, number) >= 0, "more was released than reserved"
        await self._connection.execute(update(tables.days).where(same).values(amount=str(total), count=number))

    async def _set_state(self, payment_id: bytes, state: UseState) -> None:
        await self._connection.execute(
            update(tables.uses).where(tables.uses.c.payment_id == payment_id).values(state=state)
        )

    # --- Decisions ----------------------------------------------------------------------------------------------------

    async def append(
        self, decision: Decision, facts: Facts, rates: tuple[KnownRate, ...], approvals: tuple[Approval, ...]
    ) -> Entry:
        """Keep a decision, chained to the one before, and the facts behind it, sealed."""
        sequence, previous = await self.head()
        entry = Entry(sequence + 1, previous, decision, rates, approvals)
        await self._connection.execute(insert(tables.decisions).values(**self.entry_row(entry)))
        await self._write(self._insert(tables.facts).on_conflict_do_nothing(), [self.facts_row(decision, facts)])
        return entry

    async def head(self) -> tuple[int, bytes]:
        """Number and hash (32 bytes) of the last decision; zero before the first."""
        c = tables.decisions.c
        query = select(c.sequence, c.entry_hash).order_by(c.sequence.desc()).limit(1)
        last = (await self._connection.execute(query)).one_or_none()
        return (0, _NO_ENTRY) if last is None else (last.sequence, last.entry_hash)

    def entry_row(self, entry: Entry) -> dict[str, object]:
        """The row of a decision."""
        raw = msgspec.json.encode(entry, order="deterministic")
        decision = entry.decision
        row = {"sequence": entry.sequence, "payment_id": decision.payment_id, "at": decision.at, "entry": raw}
        return {**row, "entry_hash": _entry_hash(raw)}

    def facts_row(self, decision: Decision, facts: Facts) -> dict[str, object]:
        """The row of the facts behind a decision, sealed."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, encode_facts(facts), decision.facts_digest)
        return {"digest": decision.facts_digest, "at": decision.at, "sealed": sealed}

    async def latest(self, payment_id: bytes) -> Entry | None:
        """The last decision on a payment."""
        c = tables.decisions.c
        query = select(c.entry).where(c.payment_id == payment_id).order_by(c.sequence.desc()).limit(1)
        raw = await self._connection.scalar(query)
        return None if raw is None else _entry(raw)

    async def entries(self, after: int = 0, at_most: int = 1_000) -> tuple[Entry, ...]:
        """Decisions after a sequence number, in order."""
        c = tables.decisions.c
        query = select(c.entry).where(c.sequence > after).order_by(c.sequence).limit(at_most)
        return tuple(_entry(raw) for raw in (await self._connection.scalars(query)).all())

    async def verify(self) -> tuple[int, bytes]:
        """Check the whole chain; the number of decisions and the last hash (32 bytes), to be compared with a copy.

        Raises:
            ChainBroken: an entry was changed, removed or put in.
        """
        sequence, previous = 0, _NO_ENTRY
        c = tables.decisions.c
        while True:
            query = select(c.sequence, c.entry, c.entry_hash).where(c.sequence > sequence).order_by(c.sequence)
            rows = (await self._connection.execute(query.limit(1_000))).all()
            if not rows:
                return sequence, previous
            for row in rows:
                entry = _entry(row.entry)
                if row.sequence != sequence + 1 or entry.sequence != row.sequence:
                    raise ChainBroken(sequence + 1, "is missing")
                if _entry_hash(row.entry) != row.entry_hash or entry.previous != previous:
                    raise ChainBroken(row.sequence, "was changed, or one before it")
                sequence, previous = row.sequence, row.entry_hash

    async def facts_of(self, digest: bytes) -> Facts | None:
        """The facts behind a decision; None once they were erased."""
        sealed = await self._connection.scalar(select(tables.facts.c.sealed).where(tables.facts.c.digest == digest))
        if sealed is None:
            return None
        return decode_facts(self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], digest))

    async def erase_facts(self, before: UnixMs) -> int:
        """Erase facts that were kept before a moment, as retention asks; how many. The decisions stay."""
        return (await self._connection.execute(delete(tables.facts).where(tables.facts.c.at < before))).rowcount

    # --- Approvals ----------------------------------------------------------------------------------------------------

    async def add_approval(self, approval: Approval, evidence: bytes) -> None:
        """Keep an authenticated approval, with its signature or the login's name. Again changes nothing."""
        clears = msgspec.json.encode(approval.clears).decode()
        row = {"subject": approval.subject, "person": approval.person, "at": approval.at, "clears": clears}
        await self._write(self._insert(tables.approvals).on_conflict_do_nothing(), [{**row, "evidence": evidence}])

    async def approvals(self, subject: bytes) -> tuple[Approval, ...]:
        """What was approved of these facts, the oldest first."""
        c = tables.approvals.c
        query = select(c.person, c.clears, c.at).where(c.subject == subject).order_by(c.at, c.person)
        return tuple(
            Approval(subject, person, msgspec.json.decode(clears, type=tuple[str, ...]), UnixMs(at))
            for person, clears, at in await self._connection.execute(query)
        )


def cell_of(use: Use) -> Cell:
    """Where a payment's use is added up."""
    facts = use.facts
    places = (facts.payer, facts.payee, facts.origin, facts.destination)
    return (use.day.isoformat(), *places, facts.source.code, facts.source.scale)


def cell_row(cell: Cell) -> dict[str, object]:
    """The columns of a cell."""
    return dict(zip(("day", "payer", "payee", "origin", "destination", "code", "scale"), cell, strict=True))


def _conditions(table: Table, ways: Ways) -> list[ColumnElement[bool]]:
    """`Ways.cover` in SQL."""
    c = table.c
    conditions: list[ColumnElement[bool]] = [
        c[name] == value
        for name in ("payer", "payee", "origin", "destination")
        if (value := getattr(ways, name)) is not None
    ]
    if ways.scope.payers:
        conditions.append(c.payer.in_(sorted(ways.scope.payers)))
    if ways.scope.payees:
        conditions.append(c.payee.in_(sorted(ways.scope.payees)))
    if ways.scope.corridors:
        conditions.append(or_(*(_corridor(table, corridor) for corridor in sorted(ways.scope.corridors))))
    return conditions


def _corridor(table: Table, corridor: str) -> ColumnElement[bool]:
    origin, destination = corridor.split("-")
    parts = [table.c.origin == origin] if origin != "*" else []
    parts += [table.c.destination == destination] if destination != "*" else []
    return and_(True, *parts)


def _entry(raw: bytes) -> Entry:
    return msgspec.json.decode(raw, type=Entry)


def _entry_hash(raw: bytes) -> bytes:
    return tagged_hash("rules/decision", raw)
