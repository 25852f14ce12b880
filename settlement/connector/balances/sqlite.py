"""Balances on SQLite, for one connector process: a write takes tens of microseconds and happens on the event loop.

The process holds the lock file beside the database for as long as it runs. The disk is flushed off the loop: the log is
copied into the database by a thread, and only what came meanwhile by the loop.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.balances.book import Book, bounds
from settlement.connector.balances.model import (
    Batch,
    Direction,
    Durability,
    Incident,
    IncidentKind,
    Position,
    Settlement,
    ledger_account,
)
from settlement.connector.ports import BalancesUnavailable, NotOwed, OtherSettlement
from settlement.quantities import Clock, Condition, Units

_RETRY_SECONDS: Final = 0.005
_PATIENCE_SECONDS: Final = 1.0
_WAIT_MS: Final = 5_000
_LOG_BYTES: Final = 16 * 2**20
_FLUSH_WRITES: Final = 1_024
_SYNCHRONOUS: Final = {Durability.PROCESS: "NORMAL", Durability.POWER: "FULL"}


class SqliteBalances:
    """Writes a `Book` to SQLite. Use `open`; close it at the end. Implements `SettlementBalances`."""

    def __init__(self, connection: sqlite3.Connection, book: Book, clock: Clock, path: Path, lock: int) -> None:
        self._connection = connection
        self._durability = Durability.PROCESS
        self._book = book
        self._clock = clock
        self._path = path
        self._lock = lock
        self._process = 0
        self._is_due = False
        self._written: dict[str, int] = {}
        self._writes = 0
        self._failing_since: float | None = None
        self._flushing: asyncio.Task[None] | None = None
        book.kick = self._kick

    @classmethod
    async def open(cls, path: Path, book: Book, clock: Clock, durability: Durability) -> SqliteBalances:
        """Take over the balances at `path`, whose tables are there already, and fill the book's positions.

        Raises:
            BadInput: another process runs on them, or an account has another asset there.
            BalancesUnavailable: the file cannot be read.
        """
        lock = os.open(f"{path}.connector-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            cure = "stop it, or use postgresql for several processes"
            raise BadInput("database", f"another connector runs on {path}", cure) from error
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
        except sqlite3.Error as error:
            os.close(lock)
            raise BalancesUnavailable(str(error)) from error
        try:
            # Nothing else runs yet that waiting could hold up.
            connection.execute(f"PRAGMA busy_timeout = {_WAIT_MS}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
            self = cls(connection, book, clock, path, lock)
            self._durability = durability
            self._take_over()
            connection.execute("PRAGMA busy_timeout = 0")
        except BaseException as error:
            connection.close()
            os.close(lock)
            if isinstance(error, sqlite3.Error):
                raise BalancesUnavailable(str(error)) from error
            raise
        return self

    async def close(self) -> None:
        """Write what is left and end in order."""
        if self._flushing is not None:
            await self._flushing
        # The loop has nothing else to do any more, so another writer is waited for.
        self._run(f"PRAGMA busy_timeout = {_WAIT_MS}")
        self._write()
        try:
            self._run("UPDATE connector_processes SET outcome = 'stopped' WHERE id = ?", (self._process,))
            self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._connection.close()
            os.close(self._lock)

    async def settle_out(self, account: str, amount: Units, key: str, keep: int = 0) -> bool:
        """See `SettlementBalances`."""
        return await self._settle(Settlement(key, account, amount, Direction.OUT, keep))

    async def settle_in(self, account: str, amount: Units, key: str) -> bool:
        """See `SettlementBalances`."""
        return await self._settle(Settlement(key, account, amount, Direction.IN))

    async def settle_back(self, account: str, amount: Units, key: str) -> bool:
        """See `SettlementBalances`."""
        return await self._settle(Settlement(key, account, amount, Direction.OUT, is_undoing=True))

    async def balance(self, account: str) -> int:
        """See `SettlementBalances`."""
        return self._book.positions[account].elsewhere + self._written.get(account, 0)

    async def incidents(self, after: int = 0, limit: int = 1000) -> list[tuple[int, Incident]]:
        """Incidents with their numbers, oldest first, those above `after`."""
        rows = self._run(
            "SELECT number, kind, account, amount, condition, at_ms FROM connector_incidents"
            " WHERE number > ? ORDER BY number LIMIT ?",
            (after, limit),
        ).fetchall()
        return [
            (row[0], Incident(IncidentKind(row[1]), row[2], int(row[3]), Condition(row[4]), UnixMs(row[5])))
            for row in rows
        ]

    # Writing.

    def _kick(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        """All that this turn of the loop has brought, in one transaction."""
        self._is_due = False
        batch = self._book.collect()
        if batch is None:
            return
        try:
            self._run("BEGIN IMMEDIATE")
            self._put(batch)
            self._run("COMMIT")
        except sqlite3.Error:
            self._undo()
            self._book.put_back(batch)
            self._try_again()
            return
        self._failing_since = None
        self._book.is_available = True
        self._written.update(batch.deltas)
        self._book.landed(batch)
        self._writes += 1
        if self._writes % _FLUSH_WRITES == 0:
            self._flush()

    def _try_again(self) -> None:
        """Another writer of this file has it for a moment, or the disk is full. The loop never waits for either: the
        other writer may be a task of this very loop."""
        loop = asyncio.get_running_loop()
        if self._failing_since is None:
            self._failing_since = loop.time()
        elif loop.time() - self._failing_since > _PATIENCE_SECONDS:
            self._book.is_available = False
        self._is_due = True
        loop.call_later(_RETRY_SECONDS, self._write)

    def _put(self, batch: Batch) -> None:
        many = self._connection.executemany
        process = self._process
        rows = [(str(delta), account, process) for account, delta in batch.deltas]
        many("UPDATE connector_shares SET delta = ? WHERE account = ? AND process = ?", rows)
        if batch.opened:
            many(
                "INSERT INTO connector_flights VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (process, f.number, f.debtor, str(f.taken), f.creditor, str(f.given), f.condition, f.expires_at)
                    for f in batch.opened
                ],
            )
        if batch.closed:
            many(
                "DELETE FROM connector_flights WHERE process = ? AND number = ?",
                [(process, number) for number in batch.closed],
            )
        self._tell(batch.incidents)

    def _tell(self, incidents: Iterable[Incident]) -> None:
        self._connection.executemany(
            "INSERT INTO connector_incidents (process, kind, account, amount, condition, at_ms)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(self._process, i.kind.value, i.account, str(i.amount), i.condition, i.at) for i in incidents],
        )

    async def _settle(self, settlement: Settlement) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_SECONDS
        while True:
            try:
                return self._settle_now(settlement)
            except BalancesUnavailable:
                if loop.time() > deadline:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)

    def _settle_now(self, settlement: Settlement) -> bool:
        try:
            # What others have paid, or are about to be paid, survives power loss too.
            self._run("PRAGMA synchronous = FULL")
            self._run("BEGIN IMMEDIATE")
            is_new = self._put_settlement(settlement)
            self._run("COMMIT")
            self._run(f"PRAGMA synchronous = {_SYNCHRONOUS[self._durability]}")
        except BaseException as error:
            self._undo()
            self._run(f"PRAGMA synchronous = {_SYNCHRONOUS[self._durability]}")
            if isinstance(error, sqlite3.Error):
                raise BalancesUnavailable(str(error)) from error
            raise
        if is_new:
            position = self._book.positions[settlement.account]
            self._written[settlement.account] = self._written.get(settlement.account, 0) + settlement.change
            contra = ledger_account(position.terms.asset).id
            self._written[contra] = self._written.get(contra, 0) - settlement.change
            self._book.settled(settlement)
        return is_new

    def _put_settlement(self, settlement: Settlement) -> bool:
        position = self._book.positions[settlement.account]
        found = self._run(
            "SELECT account, amount, direction, is_undone FROM connector_settlements WHERE key = ?", (settlement.key,)
        ).fetchone()
        same = (settlement.account, str(settlement.amount), settlement.direction.value)
        if found is not None and tuple(found[:3]) != same:
            raise OtherSettlement(settlement.account, settlement.key)
        if settlement.is_undoing:
            if found is None:
                raise OtherSettlement(settlement.account, settlement.key)
            if found[3]:
                return False
            self._run("UPDATE connector_settlements SET is_undone = 1 WHERE key = ?", (settlement.key,))
        else:
            if found is not None:
                return False
            self._check_owed(position, settlement)
            self._run(
                "INSERT INTO connector_settlements VALUES (?, ?, ?, ?, 0, ?)", (settlement.key, *same, self._clock())
            )
        for account, change in (
            (settlement.account, settlement.change),
            (ledger_account(position.terms.asset).id, -settlement.change),
        ):
            self._run(
                "UPDATE connector_shares SET delta = ? WHERE account = ? AND process = ?",
                (str(self._written.get(account, 0) + change), account, self._process),
            )
        return True

    def _check_owed(self, position: Position, settlement: Settlement) -> None:
        if settlement.direction is Direction.IN:
            return
        after = position.delta - position.debits - settlement.amount
        committed = position.elsewhere + self._written.get(settlement.account, 0)
        if committed - settlement.amount < settlement.keep or after < position.lowest:
            raise NotOwed(settlement.account, settlement.amount, committed)

    # Beginning and ending.

    def _take_over(self) -> None:
        """Add what earlier processes have moved to the bases, and begin a share in each account."""
        now = self._clock()
        self._run("BEGIN IMMEDIATE")
        row = self._run(
            "INSERT INTO connector_processes (started_at_ms, batch) VALUES (?, 0) RETURNING id", (now,)
        ).fetchone()
        self._process = int(row[0])
        bases = self._fold()
        self._run("UPDATE connector_processes SET outcome = 'died' WHERE outcome IS NULL AND id <> ?", (self._process,))
        self._bury(now)
        for position in self._book.positions.values():
            position.elsewhere = self._base(position, bases)
            position.lowest, position.highest = bounds(position.terms, position.elsewhere)
            self._run(
                "INSERT INTO connector_shares VALUES (?, ?, '0', ?, ?)",
                (position.terms.id, self._process, str(position.lowest), str(position.highest)),
            )
        self._run("COMMIT")

    def _fold(self) -> dict[str, tuple[str, int, int]]:
        """Each account's asset, scale and balance, all of it in its base now."""
        found = {
            row[0]: (row[1], int(row[2]), int(row[3]))
            for row in self._run("SELECT id, asset, scale, base FROM connector_accounts").fetchall()
        }
        for account, delta in self._run("SELECT account, delta FROM connector_shares").fetchall():
            asset, scale, base = found[account]
            found[account] = (asset, scale, base + int(delta))
        self._connection.executemany(
            "UPDATE connector_accounts SET base = ? WHERE id = ?",
            [(str(balance), account) for account, (_, _, balance) in found.items()],
        )
        self._run("DELETE FROM connector_shares")
        return found

    def _bury(self, now: UnixMs) -> None:
        """What died under way becomes incidents."""
        left = self._run("SELECT creditor, given, condition FROM connector_flights").fetchall()
        self._tell(Incident(IncidentKind.UNSETTLED, row[0], int(row[1]), Condition(row[2]), now) for row in left)
        self._run("DELETE FROM connector_flights")

    def _base(self, position: Position, bases: dict[str, tuple[str, int, int]]) -> int:
        terms = position.terms
        limits = tuple(None if limit is None else str(limit) for limit in (terms.floor, terms.ceiling))
        found = bases.get(terms.id)
        if found is None:
            self._run(
                "INSERT INTO connector_accounts VALUES (?, ?, ?, '0', ?, ?)",
                (terms.id, terms.asset.code, terms.asset.scale, *limits),
            )
            return 0
        if found[:2] != (terms.asset.code, terms.asset.scale):
            problem = f"its balance is kept in {found[0]} with scale {found[1]}"
            raise BadInput(f"accounts.{terms.id}.asset", problem, "settle it and name the new account otherwise")
        self._run("UPDATE connector_accounts SET floor = ?, ceiling = ? WHERE id = ?", (*limits, terms.id))
        return found[2]

    def _run(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._run("ROLLBACK")

    # Keeping the log short.

    def _flush(self) -> None:
        log = Path(f"{self._path}-wal")
        if self._flushing is None and log.exists() and log.stat().st_size > _LOG_BYTES:
            self._flushing = asyncio.get_running_loop().create_task(self._flush_log())

    async def _flush_log(self) -> None:
        try:
            await asyncio.to_thread(_checkpoint, self._path)
            # Only when nothing is left to copy does SQLite begin the log anew.
            self._run("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error:
            return  # the log grows until the next time
        finally:
            self._flushing = None


def _checkpoint(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        connection.close()
