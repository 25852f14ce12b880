"""Balances on PostgreSQL, for any number of connector processes on one database.

One connection does everything and is the process's life: it holds an advisory lock, and writes go over it alone. When
it breaks, the lock is gone and nothing can be written under the old id any more; whoever notices first (this process
with a new connection, or another one) adds what the old id had written to the accounts and gives its room back. So a
process that was taken for dead cannot write, and one that was killed leaves nothing behind but what it committed.

While one write is under way the next collects: the more packets, the larger the writes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import structlog

from foundation.errors import BadInput
from settlement.connector.balances import postgres_rows as rows
from settlement.connector.balances.book import Book
from settlement.connector.balances.model import (
    Batch,
    Direction,
    Durability,
    Incident,
    Position,
    Settlement,
    ledger_account,
)
from settlement.connector.balances.room import RoomQueue, has_room
from settlement.connector.balances.shares import Bounds, free_room, narrowed, raised, reach, widened
from settlement.connector.balances.uncut import Uncut
from settlement.connector.ports import BalancesUnavailable, NotOwed
from settlement.quantities import Clock, Units

_ROOM: Final = "connector_room"
"""The channel on which a process says that it lacks room in an account (the payload)."""
_KEEP_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 0.2
_WAIT_FOR_ROOM_SECONDS: Final = 0.02
_ROUNDS: Final = 4
_STATEMENT_SECONDS: Final = 10.0
_SYNCHRONOUS: Final = {Durability.PROCESS: "off", Durability.POWER: "on"}
# Time-outs are OSErrors.
_GONE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, rows.Fenced)
_log = structlog.get_logger(__name__)


class PostgresBalances:
    """Writes a `Book` to PostgreSQL. Use `open`; close it at the end. Implements `SettlementBalances`."""

    def __init__(self, url: str, book: Book, clock: Clock, durability: Durability) -> None:
        self._url = url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._book = book
        self._clock = clock
        self._durability = durability
        self._connection: Any = None
        self._using = asyncio.Lock()
        self._process = 0
        self._number = 0
        self._members = 1
        self._unknown: tuple[int, Batch] | None = None
        self._written: dict[str, int] = {}
        self._writer: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._settling = Uncut()
        self._room = RoomQueue(self._try_for_room, self._start)
        self._is_closing = False

    @classmethod
    async def open(cls, url: str, book: Book, clock: Clock, durability: Durability) -> PostgresBalances:
        """Join the processes at `url`, whose tables are there already, and fill the book's positions.

        Raises:
            BadInput: an account has another asset there.
            BalancesUnavailable: the database does not answer.
        """
        self = cls(url, book, clock, durability)
        try:
            await self._join()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise BalancesUnavailable(str(error) or type(error).__name__) from error
        book.kick = self._kick
        book.lender = self._room.ask
        self._start(self._keep())
        return self

    async def close(self) -> None:
        """Write what is left, give all room back and end in order."""
        await self._settling.wait()
        self._is_closing = True
        if self._writer is not None:
            await self._writer
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(*_GONE):
            async with self._using:
                batch = self._book.collect()
                if batch is not None:
                    await self._write(batch)
                await rows.end_process(self._connection, self._process)
            await self._connection.close(timeout=_STATEMENT_SECONDS)

    async def settle_out(self, account: str, amount: Units, key: str, keep: int = 0) -> bool:
        """See `SettlementBalances`."""
        return await self._settling.run(self._settle(Settlement(key, account, amount, Direction.OUT, keep)))

    async def settle_in(self, account: str, amount: Units, key: str) -> bool:
        """See `SettlementBalances`."""
        return await self._settling.run(self._settle(Settlement(key, account, amount, Direction.IN)))

    async def settle_back(self, account: str, amount: Units, key: str) -> bool:
        """See `SettlementBalances`."""
        return await self._settling.run(self._settle(Settlement(key, account, amount, Direction.OUT, is_undoing=True)))

    async def balance(self, account: str) -> int:
        """See `SettlementBalances`."""
        return (await self.balances())[account]

    async def balances(self) -> dict[str, int]:
        """All balances of all processes as written. Raises `BalancesUnavailable`."""
        async with self._asking() as connection:
            return await rows.balances(connection)

    async def incidents(self, after: int = 0, limit: int = 1000) -> list[tuple[int, Incident]]:
        """Incidents of all processes with their numbers, those above `after`. Raises `BalancesUnavailable`."""
        async with self._asking() as connection:
            return await rows.read_incidents(connection, after, limit)

    # Writing.

    def _kick(self) -> None:
        if self._writer is None and not self._is_closing:
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            while True:
                async with self._using:
                    batch = self._book.collect()
                    if batch is None:
                        return
                    is_written = await self._write(batch)
                if not is_written:
                    if self._is_closing:
                        return
                    await asyncio.sleep(_RETRY_SECONDS)
                    await self._recover()
        finally:
            self._writer = None

    async def _write(self, batch: Batch) -> bool:
        """Write one batch; False where it is not known to have taken effect. The lock is held."""
        number = self._number + 1
        try:
            await rows.write(self._connection, self._process, number, batch)
        except Exception as error:  # noqa: BLE001  whatever it was, only the database knows what became of the batch
            self._book.is_available = False
            _log.warning("balances.write_failed", process=self._process, error=repr(error))
            self._unknown = (number, batch)
            # Nothing may be written under this id any more: whether this batch was is asked under the next.
            self._connection.terminate()
            return False
        self._number = number
        self._written.update(batch.deltas)
        self._book.is_available = True
        self._book.landed(batch)
        return True

    async def _recover(self) -> None:
        """Begin anew under another id, once the database answers; given up when this process ends."""
        while not self._is_closing:
            try:
                async with self._using:
                    if self._unknown is not None or self._connection.is_closed():
                        await self._join()
                return
            except (*_GONE, BadInput) as error:
                _log.warning("balances.unavailable", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _join(self) -> None:
        """Connect as a new process; what the old one had written is in the accounts then. The lock is held, or new."""
        settings = {"application_name": "causeway-connector", "synchronous_commit": _SYNCHRONOUS[self._durability]}
        connection: Any = await asyncpg.connect(
            self._url, server_settings=settings, timeout=_STATEMENT_SECONDS, command_timeout=_STATEMENT_SECONDS
        )
        try:
            process = await rows.begin_process(connection, self._clock())
            if self._process:
                await self._leave_behind(connection)
            await rows.reap(connection, process, self._clock())
            terms = [position.terms for position in self._book.positions.values()]
            await rows.open_accounts(connection, process, terms)
            await connection.add_listener(_ROOM, self._heard)
        except BaseException:
            connection.terminate()
            raise
        self._connection, self._process, self._number = connection, process, 0
        self._begin_share()
        await self._refresh()
        for position in self._book.positions.values():
            await self._widen(position, 0, 0, is_forced=True)
        self._book.is_available = True

    async def _leave_behind(self, connection: Any) -> None:
        """End the old id, and find out whether its last batch was written."""
        for _ in range(_ROUNDS):
            if await rows.bury(connection, self._process, self._clock()):
                break
            await rows.end_session_of(connection, self._process)
            await asyncio.sleep(_WAIT_FOR_ROOM_SECONDS)
        else:
            raise rows.Fenced
        unknown, self._unknown = self._unknown, None
        if unknown is None:
            return
        number, batch = unknown
        try:
            was_written = await rows.batch_of(connection, self._process) == number
        except BaseException:
            self._unknown = unknown
            raise
        if was_written:
            self._written.update(batch.deltas)
            self._book.landed(batch)
        else:
            self._book.put_back(batch)

    def _begin_share(self) -> None:
        """What the old id had written is no part of the new one's deltas."""
        for name, position in self._book.positions.items():
            position.delta -= self._written.get(name, 0)
            position.lowest = position.highest = 0
        self._written = {}

    # Room.

    async def _try_for_room(self, position: Position, debit: int, credit: int) -> bool:
        name = position.terms.id
        for round_ in range(_ROUNDS):
            try:
                async with self._asking() as connection:
                    await self._widen(position, debit, credit)
                    if has_room(position, debit, credit):
                        return True
                    if self._members <= 1:
                        return False
                    await self._call_for_room(connection, name, debit, credit)
            except BalancesUnavailable:
                return False
            if round_ < _ROUNDS - 1:
                await asyncio.sleep(_WAIT_FOR_ROOM_SECONDS)
        return False

    async def _widen(self, position: Position, debit: int, credit: int, *, is_forced: bool = False) -> None:
        """Widen this process's bounds so that `debit` and `credit` can be held too. The lock is held.

        `is_forced`: at least to what is in flight already, which was promised before the connection broke.
        """
        name, connection = position.terms.id, self._connection
        needed = reach(position, self._written.get(name, 0))
        async with connection.transaction():
            base, shares = await rows.lock_account(connection, name)
            mine = next((share for share in shares if share.process == self._process), None)
            if mine is None:
                raise rows.Fenced
            self._members = max(1, len(shares))
            wanted = Bounds(needed.lowest - debit, needed.highest + credit)
            old = Bounds(mine.lowest, mine.highest)
            bounds = widened(old, wanted, free_room(position.terms, base, shares), self._members)
            if is_forced:
                bounds = Bounds(min(bounds.lowest, needed.lowest), max(bounds.highest, needed.highest))
            if bounds != old:
                await rows.set_bounds(connection, name, self._process, bounds)
        position.elsewhere = base + sum(share.delta for share in shares if share.process != self._process)
        position.lowest, position.highest = bounds.lowest, bounds.highest

    async def _call_for_room(self, connection: Any, name: str, down: int, up: int) -> None:
        """Tell the other processes what is wanted."""
        await connection.execute("SELECT pg_notify($1, $2)", _ROOM, f"{self._process} {down} {up} {name}")

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        """Another process lacks room in an account."""
        process, down, up, name = str(payload).split(" ", 3)
        position = self._book.positions.get(name)
        if position is not None and process != str(self._process):
            self._start(self._give_back(position, (int(down), int(up))))

    async def _give_back(self, position: Position, wanted: tuple[int, int]) -> None:
        name = position.terms.id
        with contextlib.suppress(BalancesUnavailable):
            async with self._asking() as connection:
                bounds = narrowed(position, self._written.get(name, 0), wanted)
                if bounds == Bounds(position.lowest, position.highest):
                    return
                # Memory first: nothing is held any more that the database is about to give to others.
                position.lowest, position.highest = bounds.lowest, bounds.highest
                async with connection.transaction():
                    await rows.lock_account(connection, name)
                    await rows.set_bounds(connection, name, self._process, bounds)

    # Settlements.

    async def _settle(self, settlement: Settlement) -> bool:
        position = self._book.positions[settlement.account]
        is_paying = rows.is_paying(settlement)
        for round_ in range(_ROUNDS):
            async with self._asking() as connection:
                # Packets go on while we wait for the database: what is about to be paid is held, as a packet's is.
                held = settlement.amount if is_paying else 0
                position.debits += held
                try:
                    return await self._put_settlement(connection, position, settlement)
                except rows.NoRoom:
                    if round_ == _ROUNDS - 1:
                        break
                finally:
                    position.debits -= held
                await self._call_for_room(connection, settlement.account, settlement.amount, 0)
            await asyncio.sleep(_WAIT_FOR_ROOM_SECONDS)
        raise BalancesUnavailable(f"other processes hold the room of {settlement.account}")

    async def _put_settlement(self, connection: Any, position: Position, settlement: Settlement) -> bool:
        """Settle in one transaction. Raises `NoRoom` where other processes hold what it needs. The lock is held."""
        name, ledger = settlement.account, ledger_account(position.terms.asset).id
        changes = rows.change_of(settlement, ledger)
        async with connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = on")
            base, shares = await rows.lock_account(connection, name)
            if not await rows.put_settlement(connection, settlement, self._clock()):
                return False
            balance = base + sum(share.delta for share in shares)
            wanted = reach(position, self._written.get(name, 0))
            if rows.is_paying(settlement):
                if balance - settlement.amount < settlement.keep:
                    raise NotOwed(name, settlement.amount, balance)
                mine = Bounds(position.lowest, position.highest)
                bounds = widened(mine, wanted, free_room(position.terms, base, shares), len(shares))
                if bounds.lowest > wanted.lowest:
                    raise rows.NoRoom
            else:
                # No credit is held until the new bound is written: it counts for the others' room.
                bounds, position.highest = raised(position, wanted, settlement.change), wanted.highest
                if len(shares) > 1 and position.terms.ceiling is not None:
                    await self._call_for_room(connection, name, 0, settlement.change)
            await rows.set_bounds(connection, name, self._process, bounds)
            await rows.move(connection, self._process, changes)
        for account, change in changes:
            self._written[account] = self._written.get(account, 0) + change
        self._book.settled(settlement)
        position.lowest, position.highest = bounds.lowest, bounds.highest
        return True

    # Keeping.

    async def _keep(self) -> None:
        """Once a second: give back the room of the dead, and learn what the living have moved."""
        while True:
            await asyncio.sleep(_KEEP_SECONDS)
            try:
                async with self._asking() as connection:
                    for process in await rows.reap(connection, self._process, self._clock()):
                        _log.warning("balances.process_died", process=process)
                    await self._refresh()
            except BalancesUnavailable:
                await self._recover()
                self._kick()

    async def _refresh(self) -> None:
        for name, balance in (await rows.balances(self._connection, self._process)).items():
            position = self._book.positions.get(name)
            if position is not None:
                position.elsewhere = balance

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Any]:
        """The connection, for this task alone. Raises `BalancesUnavailable`; the connection is given up then."""
        async with self._using:
            connection = self._connection
            try:
                if connection.is_closed():
                    raise BalancesUnavailable("the connection is lost")
                yield connection
            except _GONE as error:
                self._book.is_available = False
                connection.terminate()
                raise BalancesUnavailable(str(error) or type(error).__name__) from error

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
