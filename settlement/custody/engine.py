"""One party's payments: changes in, states and outbox committed together, effects out.

Changes that wait are taken together: one transaction loads their payments, steps them, stores states, effects, history
and cursors, and removes the effects that were carried out. So a hundred payments cost a few statements, and a crash at
any point leaves the last commit, from which everything goes on.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Database, DatabaseUnavailable
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody.states import State, Times, note_of, stage_of, step, wakes_at
from settlement.custody.store import Due, PaymentStore, Stored
from settlement.custody.terms import PaymentId
from settlement.quantities import Clock

_BATCH = 256
_RETRY_SECONDS = 0.5
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Acted:
    """What something that was done in a transaction leads to: changes of payments, and effects for the outbox."""

    changes: tuple[tuple[PaymentId, c.AnyChange], ...] = ()
    effects: tuple[tuple[PaymentId, c.AnyEffect], ...] = ()


Run: TypeAlias = Callable[[AsyncConnection, "State | None", UnixMs], Awaitable[Acted]]


@dataclass(frozen=True, slots=True)
class Act:
    """Something done in the transaction for one payment, with its state as it is then.

    Fields: payment; run (reads and writes tables of its own, and is called again if the commit fails).
    """

    payment: PaymentId
    run: Run


@dataclass(frozen=True, slots=True)
class Begin:
    """A payment begins at this party.

    Fields: payment; begun (the first state and its effects); again (what happens instead where it has begun before).
    """

    payment: PaymentId
    begun: tuple[State, c.Effects]
    again: c.AnyChange | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What came in together and is committed together.

    Fields: begins (payments that begin here); changes (payment and change); acts (what is done in the transaction after
    them); done (numbers of effects that were carried out); cursors (ledger, cursor).
    """

    acts: tuple[Act, ...] = ()
    changes: tuple[tuple[PaymentId, c.AnyChange], ...] = ()
    begins: tuple[Begin, ...] = ()
    done: tuple[int, ...] = ()
    cursors: tuple[tuple[str, str], ...] = ()


class Office(Protocol):
    """What the engine's party does with payments beside stepping them."""

    def admit(
        self, changes: Sequence[tuple[PaymentId, c.AnyChange]], states: dict[PaymentId, State]
    ) -> list[tuple[PaymentId, c.AnyChange]]:
        """The changes whose signatures hold, all verified at once; of a hold whose do not, it is said."""

    async def within(
        self, connection: AsyncConnection, payment: PaymentId, effect: c.AnyEffect, state: State, now: UnixMs
    ) -> Acted | None:
        """Carry out what belongs into the transaction (rules, books, alarms). None: the effect is for the outbox."""

    async def moved(
        self, connection: AsyncConnection, payment: PaymentId, before: State | None, after: State, now: UnixMs
    ) -> None:
        """A payment came to stand elsewhere; in the same transaction."""

    async def flush(self, connection: AsyncConnection, now: UnixMs) -> None:
        """Write what was gathered in this transaction, before its commit."""

    def forget(self) -> None:
        """The transaction did not take effect: what was remembered from it is not so."""

    def destination(self, payment: PaymentId, effect: c.AnyEffect, state: State | None) -> str:
        """Who carries out an effect of the outbox: `ledger:<id>` or `party:<id>`."""

    def deliver(self, due: Sequence[Due]) -> None:
        """Effects to be carried out, after the commit; does not wait."""


@dataclass
class _Waiting:
    news: News
    committed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Engine:
    """Runs one party's payments. Start `run` as a task; hand news in by `submit`."""

    def __init__(self, database: Database, office: Office, times: Times, clock: Clock) -> None:
        self._database = database
        self._office = office
        self._times = times
        self._clock = clock
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(maxsize=10_000)
        self._alarm_clock: list[tuple[int, bytes]] = []
        self._wake = asyncio.Event()

    async def submit(self, news: News) -> None:
        """Hand in what happened; returns when it is committed.

        Raises:
            asyncio.CancelledError: the engine ended; whether it was committed is not known.
        """
        waiting = _Waiting(news)
        await self._queue.put(waiting)
        self._wake.set()
        await waiting.committed

    async def recover(self) -> None:
        """After a start: deliver what the outbox holds, and set the clock for the open payments."""
        async with self._database.view() as view:
            store = PaymentStore(view.connection)
            due = await store.due()
            stored = await store.load(await store.open_payments())
        for payment, found in stored.items():
            self._set_clock(payment, found.state)
        self._office.deliver(due)

    async def run(self) -> None:
        """Take what waits, commit it, deliver; until cancelled."""
        while True:
            waiting = await self._next()
            try:
                await self._commit_surely(waiting)
            except Exception:  # noqa: BLE001 - a bug met by one payment must not stop the others; each by itself, then
                _log.exception("a batch failed", size=len(waiting))
                for one in waiting:
                    await self._commit_alone(one)

    async def _commit_surely(self, waiting: Sequence[_Waiting]) -> None:
        """Commit, however long the database is away. A commit in doubt is repeated: replayed changes move nothing."""
        while True:
            try:
                await self._commit(waiting)
                break
            except DatabaseUnavailable as problem:
                _log.warning("database unavailable", problem=problem.problem)
                await asyncio.sleep(_RETRY_SECONDS)
        for one in waiting:
            if not one.committed.done():
                one.committed.set_result(None)

    async def _commit_alone(self, one: _Waiting) -> None:
        try:
            await self._commit_surely([one])
        except Exception as problem:  # noqa: BLE001 - whoever handed it in is told
            _log.exception("news refused")
            if not one.committed.done():
                one.committed.set_exception(problem)

    async def _next(self) -> list[_Waiting]:
        """What waits, at most a batch of it; or, when time is up for payments, a tick for them."""
        while True:
            if not self._queue.empty():
                taken: list[_Waiting] = []
                while not self._queue.empty() and len(taken) < _BATCH:
                    taken.append(self._queue.get_nowait())
                return taken
            due = self._ring()
            if due:
                return [_Waiting(News(changes=tuple((payment, c.Tick()) for payment in due)))]
            self._wake.clear()
            try:
                async with asyncio.timeout(self._until_next()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _ring(self) -> list[PaymentId]:
        now = self._clock()
        due: set[bytes] = set()
        while self._alarm_clock and self._alarm_clock[0][0] <= now and len(due) < _BATCH:
            due.add(heapq.heappop(self._alarm_clock)[1])
        return [PaymentId(payment) for payment in sorted(due)]

    def _until_next(self) -> float | None:
        return None if not self._alarm_clock else max(0.0, (self._alarm_clock[0][0] - self._clock()) / 1000)

    def _set_clock(self, payment: PaymentId, state: State) -> None:
        moment = wakes_at(state, self._times)
        if moment is not None:
            heapq.heappush(self._alarm_clock, (moment, payment))

    async def _commit(self, waiting: Sequence[_Waiting]) -> None:
        try:
            await self._commit_once(waiting)
        except BaseException:
            self._office.forget()
            raise

    async def _commit_once(self, waiting: Sequence[_Waiting]) -> None:
        now = self._clock()
        async with self._database.unit() as unit:
            store = PaymentStore(unit.connection)
            work = _Work(self._office, self._times, unit.connection, now)
            await work.take(store, [one.news for one in waiting])
            await store.save(work.changed, work.before, work.trail, now)
            due = await store.add_due(work.effects, now)
            await store.done(number for one in waiting for number in one.news.done)
            for ledger, cursor in {ledger: cursor for one in waiting for ledger, cursor in one.news.cursors}.items():
                await store.set_cursor(ledger, cursor)
            await unit.commit()
        for payment, state in work.changed.items():
            self._set_clock(payment, state)
        self._office.deliver(due)


class _Work:
    """One transaction's payments."""

    def __init__(self, office: Office, times: Times, connection: AsyncConnection, now: UnixMs) -> None:
        self.before: dict[PaymentId, Stored] = {}
        self.changed: dict[PaymentId, State] = {}
        self.trail: list[tuple[PaymentId, State]] = []
        self.effects: list[tuple[PaymentId, str, c.AnyEffect]] = []
        self._states: dict[PaymentId, State] = {}
        self._office = office
        self._times = times
        self._connection = connection
        self._now = now

    async def take(self, store: PaymentStore, news: Sequence[News]) -> None:
        begins = [begun for one in news for begun in one.begins]
        changes = [change for one in news for change in one.changes]
        await self._load(store, {begin.payment for begin in begins} | {number for number, _ in changes})
        for begin in begins:
            if begin.payment not in self._states:
                state, effects = begin.begun
                self._states[begin.payment] = self.changed[begin.payment] = state
                self.trail.append((begin.payment, state))
                await self._apply(begin.payment, effects)
            elif begin.again is not None:
                await self._step_all([(begin.payment, begin.again)])
        await self._step_all(changes)
        for act in (act for one in news for act in one.acts):
            await self._load(store, {act.payment})
            acted = await act.run(self._connection, self._states.get(act.payment), self._now)
            await self._load(store, {number for number, _ in (*acted.changes, *acted.effects)})
            self._put_out(acted.effects)
            await self._step_all(acted.changes)
        for payment, state in self.changed.items():
            old = self.before.get(payment)
            before = None if old is None else old.state
            await self._office.moved(self._connection, payment, before, state, self._now)
        await self._office.flush(self._connection, self._now)

    async def _load(self, store: PaymentStore, wanted: set[PaymentId]) -> None:
        missing = wanted - self._states.keys()
        if missing:
            found = await store.load(missing)
            self.before.update(found)
            self._states.update((number, stored.state) for number, stored in found.items())

    async def _step_all(self, changes: Sequence[tuple[PaymentId, c.AnyChange]]) -> None:
        for payment, change in self._office.admit(changes, self._states):
            await self._step(payment, change)

    async def _step(self, payment: PaymentId, change: c.AnyChange) -> None:
        state = self._states.get(payment)
        if state is None:
            return  # a payment that this party does not have
        after, effects = step(state, change, self._now, self._times)
        if after is not state:
            self._states[payment] = self.changed[payment] = after
            if (stage_of(after), note_of(after)) != (stage_of(state), note_of(state)):
                self.trail.append((payment, after))
            _log.debug("payment", payment=payment.hex(), stage=stage_of(after))
        await self._apply(payment, effects)

    async def _apply(self, payment: PaymentId, effects: Iterable[c.AnyEffect]) -> None:
        for effect in effects:
            state = self._states[payment]
            acted = await self._office.within(self._connection, payment, effect, state, self._now)
            if acted is None:
                self._put_out([(payment, effect)])
                continue
            self._put_out(acted.effects)
            await self._step_all(acted.changes)

    def _put_out(self, effects: Iterable[tuple[PaymentId, c.AnyEffect]]) -> None:
        for payment, effect in effects:
            to = self._office.destination(payment, effect, self._states.get(payment))
            self.effects.append((payment, to, effect))
