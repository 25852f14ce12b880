"""Where commands come in: those that arrive while a commit is under way go into the next one together."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog

from foundation.database import Database, DatabaseUnavailable
from foundation.errors import Retryable
from foundation.quantities import UnixMs
from settlement.ledgers.book.core import USUAL_TERMS, Changes, Terms, apply
from settlement.ledgers.book.store import BookStore
from settlement.ledgers.book.types import Answer, Command
from settlement.ledgers.protocol import Refusal, Refused
from settlement.quantities import Clock

_log = structlog.get_logger(__name__)


class DeskFull(Retryable):
    """More commands wait than the desk takes. Fields: waiting (commands)."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(f"{waiting} commands wait already")


@dataclass(frozen=True, slots=True)
class DeskLimits:
    """What a desk takes.

    Fields: batch_max (commands in one transaction); waiting_max (commands that may wait); tick_ms (how often it looks
    for holds that are due, and for what other processes wrote).
    """

    batch_max: int = 1_000
    waiting_max: int = 20_000
    tick_ms: int = 100


USUAL_LIMITS = DeskLimits()


@dataclass(frozen=True, slots=True)
class _Waiting:
    commands: Sequence[Command]
    answers: asyncio.Future[tuple[Answer, ...]]


class Desk:
    """Does commands in batches, one transaction each, at one moment each. Use as `async with`.

    Several desks, in several processes, may serve one database: units of work come one after the other.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        terms: Terms = USUAL_TERMS,
        limits: DeskLimits = USUAL_LIMITS,
        committed: Callable[[Changes], None] = lambda changes: None,
        noticed: Callable[[int], None] = lambda number: None,
    ) -> None:
        """Tells `committed` of each batch of its own that took effect, and `noticed`, at each tick, the number of the
        newest entry, whoever wrote it. Neither raises.
        """
        self._database = database
        self._clock = clock
        self._terms = terms
        self._limits = limits
        self._committed = committed
        self._noticed = noticed
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """The desk, working."""
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._tick())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. What still waits has not been done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._refuse(list(self._queue), DatabaseUnavailable("the ledger is stopping"))
        self._queue.clear()

    async def submit(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        """Do `commands`, durably; one answer each, in order. Without any, return what is due.

        Raises:
            DeskFull: none of them was taken.
            DatabaseUnavailable: they may or may not have been done; the same commands may be asked again.
        """
        if self._waiting + len(commands) > self._limits.waiting_max:
            raise DeskFull(self._waiting)
        waiting = _Waiting(commands, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._waiting += len(commands)
        self._arrived.set()
        return await waiting.answers

    async def sweep(self) -> None:
        """Return what is due, and look for what other processes wrote."""
        async with self._database.view() as view:
            store = BookStore(view.connection)
            number, at = await store.last_entry()
            due = await store.due(max(self._clock(), at))
        self._noticed(number)
        if due:
            await self.submit(())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._limits.tick_ms / 1000)
            try:
                await self.sweep()
            except Retryable as error:
                _log.warning("book: the tick failed", error=str(error))

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                await self._one_batch(self._next())

    def _next(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size = 0
        while self._queue and (not taken or size + len(self._queue[0].commands) <= self._limits.batch_max):
            waiting = self._queue.popleft()
            size += len(waiting.commands)
            taken.append(waiting)
        self._waiting -= size
        return taken

    async def _one_batch(self, taken: list[_Waiting]) -> None:
        try:
            commands = [command for waiting in taken for command in waiting.commands]
            sweep = not all(waiting.commands for waiting in taken)
            changes = await do_batch(self._database, commands, self._clock, self._terms, sweep=sweep)
        except asyncio.CancelledError:
            self._refuse(taken, DatabaseUnavailable("the ledger is stopping"))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to those who wait, and the next are served
            if not isinstance(error, Retryable):
                _log.exception("book: a batch failed")
            self._refuse(taken, error)
            return
        start = 0
        for waiting in taken:
            end = start + len(waiting.commands)
            with contextlib.suppress(asyncio.InvalidStateError):  # who asked has gone away; it is done all the same
                waiting.answers.set_result(changes.answers[start:end])
            start = end
        self._committed(changes)

    @staticmethod
    def _refuse(taken: Sequence[_Waiting], error: Exception) -> None:
        for waiting in taken:
            if not waiting.answers.done():
                waiting.answers.set_exception(error)


async def do_batch(
    database: Database, commands: Sequence[Command], clock: Clock, terms: Terms, *, sweep: bool = False
) -> Changes:
    """Do `commands` in one transaction, at one moment that is not before the newest entry's.

    With `sweep` it also returns the holds that nobody has named and whose time-out has passed.

    Raises:
        DatabaseUnavailable: it may or may not have been done.
    """
    async with database.unit() as unit:
        store = BookStore(unit.connection)
        last, at = await store.last_entry()
        # Read under the lock: no batch before this one can have a later moment, whichever process it was in.
        now = UnixMs(max(clock(), at))
        changes = apply(await store.known(commands, last), commands, now, terms)
        if sweep or any(map(_lacks_funds, changes.answers)):
            # Money that has come back by now is there, whether or not somebody has returned it yet.
            known = await store.known(commands, last, await store.due(now))
            changes = apply(known, commands, now, terms)
        if changes.made or changes.moved:
            await store.store(changes)
            await unit.commit()
    return changes


def _lacks_funds(answer: Answer) -> bool:
    return isinstance(answer, Refused) and answer.reason is Refusal.INSUFFICIENT_FUNDS
