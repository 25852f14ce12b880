"""Opening a node's database, and units of work on it.

Writers come one after the other on both engines: a unit of work takes SQLite's write lock (BEGIN IMMEDIATE) or an
advisory lock of PostgreSQL when it begins. So what a unit reads cannot change under it, and no write is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, ExceptionContext, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bridge.storage.errors import DatabaseUnavailable
from bridge.storage.migrate import is_current, upgrade
from bridge.storage.unit import UnitOfWork, View
from foundation.errors import BadInput

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_LOCK_KEY = 0x6361757365776179  # "causeway": one lock for all writers of a database
_BUSY_MS = 30_000
_CONNECTIONS = 10
_SWITCH_PAUSE_SECONDS = 0.01
_SQLITE_PASSING = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
)
_LOCK_NOT_AVAILABLE = "55P03"
_POSTGRESQL_PASSING = frozenset({"08", "40", "53", "57"})
"""Classes of SQLSTATE: connection, serialization or deadlock, out of resources, shutting down or cancelled."""
_MIGRATING: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
_VIEW = "causeway_view"
"""Execution option of connections that only read."""


class Moment(StrEnum):
    """When a commit hook is called."""

    BEFORE = "before"  # the commit; what it raises undoes the unit
    AFTER = "after"  # the commit took effect


class CommitHook(Protocol):
    """Told of each commit; tests crash a node here."""

    async def __call__(self, moment: Moment) -> None:
        """The commit is about to happen, or has just happened."""


class Database:
    """One node's database. Use `open`; close it at the end."""

    def __init__(self, engine: AsyncEngine, commit_hook: CommitHook | None = None) -> None:
        self._engine = engine
        self._commit_hook = commit_hook
        self._writer = asyncio.Lock()
        self._writing: asyncio.Task[object] | None = None

    @classmethod
    async def open(cls, url: str, *, commit_hook: CommitHook | None = None, busy_ms: int = _BUSY_MS) -> Database:
        """Open the database at `url`, making it and bringing it to this release's revision where needed.

        Several processes may open one database at once, also while another one writes.

        Args:
            url: `sqlite:////absolute/path`, `sqlite:///relative/path` or `postgresql://user:password@host/name`.
            commit_hook: called before and after each commit of a unit of work.
            busy_ms: how long to wait for another process's write lock.

        Raises:
            BadInput: the URL is none that we can use.
            DatabaseNewer: a newer release has migrated the database.
            DatabaseUnavailable: it does not answer, or stays locked.
        """
        parsed = _parsed(url)
        if parsed.get_backend_name() == "sqlite":
            assert parsed.database is not None, "checked by _parsed"
            await asyncio.to_thread(_prepare_file, Path(parsed.database), busy_ms)
            engine = _sqlite(parsed, busy_ms)
        else:
            engine = _postgresql(parsed, busy_ms)
        try:
            with _translated():
                await _migrate(engine)
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine, commit_hook)

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[UnitOfWork]:
        """A unit of work: all that it writes takes effect at its `commit`, or nothing does.

        One at a time; others wait. Do no network I/O inside, and open no unit inside another of the same task.

        Raises:
            DatabaseUnavailable: the database does not answer. After a failed commit, read before writing again.
        """
        assert self._writing is None or self._writing is not asyncio.current_task(), "a unit of work inside another"
        async with self._writer:
            self._writing = asyncio.current_task()
            try:
                with _translated():
                    async with _connection(self._engine) as connection:
                        await connection.begin()
                        unit = UnitOfWork(connection, self._commit)
                        try:
                            yield unit
                        finally:
                            unit.end()
            finally:
                self._writing = None

    @asynccontextmanager
    async def view(self) -> AsyncIterator[View]:
        """A consistent view of the last commit, for reading; it waits for no writer, and no writer waits for it.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        with _translated():
            async with _connection(self._engine) as connection:
                await _begin_view(connection)
                yield View(connection)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def __aenter__(self) -> Database:
        """The open database, to be closed at the end of the block."""
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close it."""
        await self.close()

    async def _commit(self, connection: AsyncConnection) -> None:
        if self._commit_hook is not None:
            await self._commit_hook(Moment.BEFORE)
        try:
            await connection.commit()
        except BaseException:
            # SQLite leaves a transaction open whose COMMIT failed; back in the pool it would keep the write lock.
            await connection.invalidate()
            raise
        if self._commit_hook is not None:
            await self._commit_hook(Moment.AFTER)


def _migrating() -> asyncio.Lock:
    """Alembic's context is one for the whole process: databases are migrated one after the other."""
    return _MIGRATING.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise BadInput("database", "not a database URL", "write sqlite:////path or postgresql://host/name") from error
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise BadInput("database", f"{backend} is not supported", "use sqlite or postgresql")
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
            raise BadInput("database", "a node's memory must survive it", "name a file: sqlite:////path")
        if not Path(parsed.database).absolute().parent.is_dir():
            raise BadInput("database", f"the folder of {parsed.database} does not exist", "create it")
    return parsed.set(drivername=_DRIVERS[backend])


def _prepare_file(path: Path, busy_ms: int) -> None:
    """Make the file, readable for its owner alone, and switch it to WAL, which it stays in.

    An existing file is not opened here: closing it again would drop the locks that SQLite holds on it for other
    connections of this process (SQLite, "How To Corrupt An SQLite Database File", 2.2).
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise DatabaseUnavailable(_problem(error)) from error
    deadline = time.monotonic() + busy_ms / 1000
    while True:
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=busy_ms / 1000, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                return
        except sqlite3.OperationalError as error:
            # The switch needs the file for itself and, unlike other statements, does not wait for it.
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(str(error)) from error
        except sqlite3.DatabaseError as error:
            raise BadInput("database", f"{path} is no SQLite database", "name another file") from error
        time.sleep(_SWITCH_PAUSE_SECONDS)


def _sqlite(url: URL, busy_ms: int) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=_CONNECTIONS, connect_args={"timeout": busy_ms / 1000})
    event.listen(engine.sync_engine, "handle_error", _connection_lost)

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction by itself
        cursor = connection.cursor()
        for pragma in ("synchronous = FULL", "foreign_keys = ON", f"busy_timeout = {busy_ms}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        reading = bool(connection.get_execution_options().get(_VIEW))
        connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reading else 'OFF'}")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL, busy_ms: int) -> AsyncEngine:
    settings = {"lock_timeout": str(busy_ms), "application_name": "causeway"}
    engine = create_async_engine(
        url, pool_size=_CONNECTIONS, pool_pre_ping=True, connect_args={"server_settings": settings}
    )
    event.listen(engine.sync_engine, "handle_error", _connection_lost)

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        if not connection.get_execution_options().get(_VIEW):
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})

    return engine


@asynccontextmanager
async def _connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection from the pool; what was not committed is undone at the end."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(engine.connect())
        except OSError as error:
            raise DatabaseUnavailable(_problem(error)) from error
        yield connection


async def _begin_view(connection: AsyncConnection) -> None:
    """Begin a transaction that sees one moment and cannot write."""
    if connection.dialect.name == "postgresql":
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True, **{_VIEW: True})
    else:
        await connection.execution_options(**{_VIEW: True})
    await connection.begin()


async def _migrate(engine: AsyncEngine) -> None:
    """Bring the database to this release's revision. Where it is there already, no writer is waited for."""
    async with _connection(engine) as connection:
        await _begin_view(connection)
        if await connection.run_sync(is_current):
            return
    async with _migrating(), _connection(engine) as connection, connection.begin():
        await connection.run_sync(upgrade)


def _connection_lost(context: ExceptionContext) -> BaseException | None:
    """An error of the socket or the file under the driver, which it passes on as it is.

    It is caught here, and not around the caller's block, where somebody else's OSError or time-out may come by.
    """
    if isinstance(context.original_exception, OSError):
        return DatabaseUnavailable(_problem(context.original_exception))
    return None


@contextmanager
def _translated() -> Iterator[None]:
    """The driver's way to say "not now" becomes `DatabaseUnavailable`; what is our mistake stays as it is."""
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseUnavailable(_problem(error)) from error
    except DBAPIError as error:
        if error.connection_invalidated or _is_passing(error):
            raise DatabaseUnavailable(_problem(error)) from error
        raise


def _is_passing(error: DBAPIError) -> bool:
    """Whether the same statement may succeed later."""
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", None)
        # The low byte is the primary code. The module's own errors, such as a closed connection, have none.
        return isinstance(error, OperationalError) and (code is None or code & 0xFF in _SQLITE_PASSING)
    state = getattr(error.orig, "sqlstate", None) or ""
    return isinstance(error, InterfaceError) or state == _LOCK_NOT_AVAILABLE or state[:2] in _POSTGRESQL_PASSING


def _problem(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error) or type(error).__name__
