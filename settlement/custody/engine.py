"""One party's payments: changes in, states and outbox committed together, effects out.

Changes that wait are taken together: one transaction steps their payments, stores states, effects, history and cursors,
and removes the effects that were carried out. So a hundred payments cost a few statements, and a crash at any point
leaves the last commit, from which everything goes on.

Open payments are kept in memory, which is right because one process alone works on a party's database: each start
takes over, and who was there before stops at its next transaction.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from foundation.database import Database, DatabaseUnavailable
from foundation.errors import Fatal, Retryable
from settlement.custody import changes as c
from settlement.custody.news import News, Office
from settlement.custody.sealing import Sealer
from settlement.custody.states import State, Times, is_open, wakes_at
from settlement.custody.store import Due, PaymentStore, Stored
from settlement.custody.terms import PaymentId
from settlement.custody.work import Work
from settlement.quantities import Clock

_BATCH: Final = 256
_RETRY_SECONDS: Final = 0.5
_log = structlog.get_logger(__name__)


class EngineStopped(Retryable):
    """The engine has ended; whether what was handed in was committed is not known."""

    def __init__(self) -> None:
        super().__init__("the gateway has stopped")


class Superseded(Fatal):
    """Another process has taken the party's payments over; this one has to end. Fields: start; current."""

    def __init__(self, start: int, current: int) -> None:
        self.start = start
        self.current = current
        super().__init__(f"start {start} of this gateway was followed by start {current} on the same database")


@dataclass
class _Waiting:
    news: News
    committed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Engine:
    """Runs one party's payments. Start `run` as a task; hand news in by `submit`."""

    def __init__(self, database: Database, office: Office, times: Times, clock: Clock, sealer: Sealer) -> None:
        self._database = database
        self._office = office
        self._times = times
        self._clock = clock
        self._sealer = sealer
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(maxsize=10_000)
        self._alarm_clock: list[tuple[int, bytes]] = []
        self._wake = asyncio.Event()
        self._known: dict[PaymentId, Stored] = {}
        self._in_doubt: list[int] = []
        self._start = 0
        self._next_number = 1
        self._stopped = False

    async def submit(self, news: News) -> None:
        """Hand in what happened; returns when it is committed.

        Raises:
            EngineStopped: whether it was committed is not known.
        """
        if self._stopped:
            raise EngineStopped
        waiting = _Waiting(news)
        await self._queue.put(waiting)
        self._wake.set()
        await waiting.committed

    def state(self, payment: PaymentId) -> State | None:
        """Where an open payment stands, by the last commit; None where it has ended, or is not there."""
        stored = self._known.get(payment)
        return None if stored is None else stored.state

    async def recover(self) -> None:
        """After a start: take over, deliver what the outbox holds, and set the clock for the open payments.

        Raises:
            StateDamaged: the database is another party's, or was changed.
        """
        async with self._database.unit() as unit:
            store = PaymentStore(unit.connection, self._sealer)
            self._start = await store.take_over()
            due = await store.due()
            self._known = await store.load(await store.open_payments())
            await unit.commit()
        self._next_number = max((one.number for one in due), default=0) + 1
        pending = {(one.payment, type(one.effect)) for one in due}
        again: list[Due] = []
        for payment, found in self._known.items():
            self._set_clock(payment, found.state)
            for effect in self._office.resumed(payment, found.state):
                if (payment, type(effect)) not in pending:
                    to = self._office.destination(payment, effect, found.state)
                    again.append(Due(self._number(), payment, to, effect))  # in no outbox: the next start says it again
        self._office.deliver((*due, *again))

    async def run(self) -> None:
        """Take what waits, commit it, deliver; until cancelled, or another process takes over.

        Raises:
            Superseded: another process works on this database.
        """
        waiting: list[_Waiting] = []
        try:
            while True:
                waiting = await self._next()
                try:
                    await self._commit_surely(waiting)
                except Superseded:
                    raise
                except Exception:  # noqa: BLE001 - a bug met by one payment must not stop the others: each by itself
                    _log.exception("a batch failed", size=len(waiting))
                    for one in waiting:
                        await self._commit_alone(one)
        finally:
            self._stopped = True
            while not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            for one in waiting:
                if not one.committed.done():
                    one.committed.set_exception(EngineStopped())
                    one.committed.exception()  # nobody may be waiting any more

    async def _commit_surely(self, waiting: Sequence[_Waiting]) -> None:
        """Commit, however long the database is away. A commit in doubt is repeated: replayed changes move nothing."""
        while True:
            try:
                await self._commit(waiting)
                break
            except DatabaseUnavailable as problem:
                _log.warning("database unavailable", problem=str(problem))
                await asyncio.sleep(_RETRY_SECONDS)
        for one in waiting:
            if not one.committed.done():
                one.committed.set_result(None)

    async def _commit_alone(self, one: _Waiting) -> None:
        try:
            await self._commit_surely([one])
        except Superseded:
            raise
        except Exception as problem:  # noqa: BLE001 - whoever handed it in is told
            _log.exception("news refused")
            if not one.committed.done():
                one.committed.set_exception(problem)

    async def _next(self) -> list[_Waiting]:
        """What waits, at most a batch of it, and a tick for each payment whose time is up."""
        while True:
            taken: list[_Waiting] = []
            while not self._queue.empty() and len(taken) < _BATCH:
                taken.append(self._queue.get_nowait())
            due = self._ring()
            if due:
                taken.append(_Waiting(News(changes=tuple((payment, c.Tick()) for payment in due))))
            if taken:
                return taken
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

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    async def _commit(self, waiting: Sequence[_Waiting]) -> None:
        try:
            await self._commit_once(waiting)
        except BaseException:
            # A commit in doubt may have taken effect: what is remembered is read again.
            self._known.clear()
            self._office.forget()
            raise

    async def _commit_once(self, waiting: Sequence[_Waiting]) -> None:
        now = self._clock()
        news = [one.news for one in waiting]
        async with self._database.unit() as unit:
            store = PaymentStore(unit.connection, self._sealer)
            current = await store.current_start()
            if current != self._start:
                raise Superseded(self._start, current)
            lost = await store.due(self._in_doubt) if self._in_doubt else ()
            work = Work(self._office, self._times, unit.connection, now, self._known)
            await work.take(store, news)
            stored = await store.save(work.changed, work.before, work.trail, now)
            due = tuple(Due(self._number(), payment, to, effect) for payment, to, effect in work.effects)
            self._in_doubt.extend(one.number for one in due)
            await store.add_due(due, now)
            await store.done(number for one in news for number in one.done)
            for ledger, cursor in {ledger: cursor for one in news for ledger, cursor in one.cursors}.items():
                await store.set_cursor(ledger, cursor)
            await unit.commit()
        self._in_doubt.clear()
        self._remember(stored)
        self._office.deliver((*lost, *due))

    def _remember(self, stored: Mapping[PaymentId, Stored]) -> None:
        ended: list[PaymentId] = []
        for payment, now_stored in stored.items():
            if is_open(now_stored.state):
                before = self._known.get(payment)
                self._known[payment] = now_stored
                if before is None or wakes_at(before.state, self._times) != wakes_at(now_stored.state, self._times):
                    self._set_clock(payment, now_stored.state)
            else:
                self._known.pop(payment, None)
                ended.append(payment)
        self._office.committed(ended)
