"""The validator's memory with the writes of one transaction gathered: for a process that alone decides on a database.

What is open is remembered, and so is the end of the chain of decisions. What a transaction decides is written by
`flush` in a few statements, however many payments it was about; where a rule looks at what was used up, it is written
before the rule looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import BulkInsert, BulkUpdate
from settlement.rules import tables
from settlement.rules.decision import Decision
from settlement.rules.errors import ReservationOver, UnknownReservation
from settlement.rules.facts import Approval, Facts
from settlement.rules.history import CountQuestion, SumQuestion, Usage, Use
from settlement.rules.store import Cell, Entry, KnownRate, RulesStore, UseState, cell_of, cell_row

_ADD_DECISIONS = BulkInsert(tables.decisions)
_ADD_FACTS = BulkInsert(tables.facts, ("digest",))
_ADD_USES = BulkInsert(tables.uses)
_SET_STATES = BulkUpdate(tables.uses, ("payment_id",), ("state",))


@dataclass
class _Known:
    """What is known of one payment. Fields: latest (decision); use; state (None: it never passed)."""

    latest: Entry | None = None
    use: Use | None = None
    state: UseState | None = None


class RulesBuffer:
    """See the module. `flush` before each commit; `forget` where a transaction did not take effect."""

    def __init__(self, facts_key: bytes) -> None:
        self._facts_key = facts_key
        self._head: tuple[int, bytes] | None = None
        self._digests: set[bytes] = set()
        self._known: dict[bytes, _Known] = {}
        self._decisions: list[dict[str, object]] = []
        self._facts: list[dict[str, object]] = []
        self._uses: list[dict[str, object]] = []
        self._states: dict[bytes, UseState] = {}
        self._days: dict[Cell, tuple[int, int]] = {}

    def on(self, connection: AsyncConnection) -> BufferedRulesStore:
        """The store, for the transaction of this connection."""
        return BufferedRulesStore(connection, self._facts_key, self)

    def fresh(self, payments: Iterable[bytes]) -> None:
        """Payments that nobody has decided on yet, so that nobody needs to look."""
        for payment in payments:
            self._known.setdefault(payment, _Known())

    def drop(self, payments: Iterable[bytes]) -> None:
        """Payments that are over."""
        for payment in payments:
            known = self._known.pop(payment, None)
            if known is not None and known.latest is not None:
                self._digests.discard(known.latest.decision.facts_digest)

    async def flush(self, connection: AsyncConnection) -> None:
        """Write what was gathered."""
        await self.on(connection).flush()

    def forget(self) -> None:
        """The transaction did not take effect: all is read again."""
        self._head = None
        self._known.clear()
        self._digests.clear()
        self._decisions.clear()
        self._facts.clear()
        self._uses.clear()
        self._states.clear()
        self._days.clear()


class BufferedRulesStore(RulesStore):
    """`RulesStore` by way of a buffer."""

    def __init__(self, connection: AsyncConnection, facts_key: bytes, buffer: RulesBuffer) -> None:
        super().__init__(connection, facts_key)
        self._buffer = buffer

    async def answer(self, sums: tuple[SumQuestion, ...], counts: tuple[CountQuestion, ...]) -> Usage:
        """The answers to `questions`; what was gathered counts."""
        if sums or counts:
            await self.flush()
        return await super().answer(sums, counts)

    async def approvals(self, subject: bytes) -> tuple[Approval, ...]:
        """As `RulesStore.approvals`."""
        # An approval names the digest of what the person saw, so there is none before a first decision.
        return await super().approvals(subject) if subject in self._buffer._digests else ()

    async def latest(self, payment_id: bytes) -> Entry | None:
        """The last decision on a payment."""
        return (await self._of(payment_id)).latest

    async def state_of(self, payment_id: bytes) -> UseState | None:
        """How the payment stands with the limits; None if it never passed."""
        return (await self._of(payment_id)).state

    async def append(
        self, decision: Decision, facts: Facts, rates: tuple[KnownRate, ...], approvals: tuple[Approval, ...]
    ) -> Entry:
        """Keep a decision, chained to the one before, and the facts behind it, sealed."""
        buffer = self._buffer
        sequence, previous = buffer._head if buffer._head is not None else await self.head()
        entry = Entry(sequence + 1, previous, decision, rates, approvals)
        row = self.entry_row(entry)
        entry_hash = row["entry_hash"]
        assert isinstance(entry_hash, bytes)
        buffer._head = (entry.sequence, entry_hash)
        buffer._decisions.append(row)
        buffer._facts.append(self.facts_row(decision, facts))
        (await self._of(decision.payment_id)).latest = entry
        buffer._digests.add(decision.facts_digest)
        return entry

    async def reserve(self, use: Use) -> None:
        """The payment counts from now on. Once for each payment."""
        known = await self._of(use.facts.payment_id)
        known.use, known.state = use, UseState.RESERVED
        self._buffer._uses.append(self.use_row(use))
        self._tally(use, 1)

    async def settle(self, payment_id: bytes) -> None:
        """As `RulesStore.settle`."""
        known = await self._of(payment_id)
        if known.state is None:
            raise UnknownReservation(payment_id)
        if known.state is UseState.RELEASED:
            raise ReservationOver(payment_id, known.state)
        self._set(payment_id, known, UseState.SETTLED)

    async def release(self, payment_id: bytes) -> None:
        """As `RulesStore.release`."""
        known = await self._of(payment_id)
        if known.use is None:  # from before a restart
            await self.flush()
            await super().release(payment_id)
            known.state = UseState.RELEASED
            return
        if known.state is UseState.SETTLED:
            raise ReservationOver(payment_id, known.state)
        if known.state is UseState.RESERVED:
            self._set(payment_id, known, UseState.RELEASED)
            self._tally(known.use, -1)

    async def flush(self) -> None:
        """Write what was gathered."""
        buffer = self._buffer
        await _ADD_DECISIONS.write(self._connection, buffer._decisions)
        await _ADD_FACTS.write(self._connection, buffer._facts)
        await _ADD_USES.write(self._connection, buffer._uses)
        changed = [{"payment_id": payment, "state": state.value} for payment, state in buffer._states.items()]
        await _SET_STATES.write(self._connection, changed)
        for cell, (amount, count) in buffer._days.items():
            if amount or count:
                await self._add(cell_row(cell), amount, count)
        for gathered in (buffer._decisions, buffer._facts, buffer._uses):
            gathered.clear()
        buffer._states.clear()
        buffer._days.clear()

    async def _of(self, payment_id: bytes) -> _Known:
        known = self._buffer._known.get(payment_id)
        if known is None:
            known = _Known(await super().latest(payment_id), None, await super().state_of(payment_id))
            self._buffer._known[payment_id] = known
            if known.latest is not None:
                self._buffer._digests.add(known.latest.decision.facts_digest)
        return known

    def _set(self, payment_id: bytes, known: _Known, state: UseState) -> None:
        if known.state is not state:
            known.state = self._buffer._states[payment_id] = state

    def _tally(self, use: Use, times: int) -> None:
        cell = cell_of(use)
        amount, count = self._buffer._days.get(cell, (0, 0))
        self._buffer._days[cell] = (amount + times * use.facts.amount, count + times)
