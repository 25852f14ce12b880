"""Connections to SQLite or PostgreSQL, by a URL: one writer at a time, and the drivers' errors translated."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, ExceptionContext, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from foundation.database.errors import DatabaseUnavailable
from foundation.errors import BadInput

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_LOCK_KEY = 0x6361757365776179  # "causeway": one lock for all writers of a database
BUSY_MS = 30_000
_CONNECTIONS = 10
_SWITCH_PAUSE_SECONDS = 0.01
_SQLITE_PASSING = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
)
_LOCK_NOT_AVAILABLE = "55P03"
_POSTGRESQL_PASSING = frozenset({"08", "40", "53", "57"})
"""Classes of SQLSTATE: connection, serialization or deadlock, out of resources, shutting down or cancelled."""
_PLANS = {"enable_seqscan": "off", "jit": "off"}
"""Every query here goes by a key. A plan that was made while a table was empty is kept until the server next analyses
it, and would read the whole of it for each query while it grows; and no plan is worth compiling."""
_VIEW = "causeway_view"
"""Execution option of connections that only read."""


async def open_engine(url: str, busy_ms: int) -> AsyncEngine:
    """An engine for the database at `url`; a SQLite file is made where there is none.

    Args:
        url: `sqlite:////absolute/path`, `sqlite:///relative/path` or `postgresql://user:password@host/name`.
        busy_ms: how long to wait for another process's write lock.

    Raises:
        BadInput: the URL is none that we can use.
        DatabaseUnavailable: the file cannot be made or stays locked.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite":
        return _postgresql(parsed, busy_ms)
    assert parsed.database is not None, "checked by _parsed"
    await asyncio.to_thread(_prepare_file, Path(parsed.database), busy_ms)
    return _sqlite(parsed, busy_ms)


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
    engine = create_async_engine(
        url, pool_size=_CONNECTIONS, connect_args={"timeout": busy_ms / 1000}, hide_parameters=True
    )
    event.listen(engine.sync_engine, "handle_error", _connection_lost)
    event.listen(engine.sync_engine, "handle_error", _cancelled)

    @event.listens_for(engine.sync_engine, "connect")
    def opened(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction by itself
        cursor = connection.cursor()
        for pragma in ("synchronous = FULL", "foreign_keys = ON", f"busy_timeout = {busy_ms}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        reading = bool(connection.get_execution_options().get(_VIEW))
        if connection.info.get(_VIEW) is not reading:  # it stays so; and each statement takes a turn of a thread
            connection.info.pop(_VIEW, None)
            connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reading else 'OFF'}")
            connection.info[_VIEW] = reading
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL, busy_ms: int) -> AsyncEngine:
    settings = {"lock_timeout": str(busy_ms), "application_name": "causeway", **_PLANS}
    engine = create_async_engine(
        url,
        pool_size=_CONNECTIONS,
        pool_pre_ping=True,
        pool_use_lifo=True,  # units come one after the other: the same connection has their statements prepared
        connect_args={"server_settings": settings},
        hide_parameters=True,  # errors are logged, and values may be secret or personal
    )
    event.listen(engine.sync_engine, "handle_error", _connection_lost)

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        if not connection.get_execution_options().get(_VIEW):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")

    return engine


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection from the pool; what was not committed is undone at the end."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(engine.connect())
        except OSError as error:
            raise DatabaseUnavailable(_problem(error)) from error
        yield connection


async def begin_view(connection: AsyncConnection) -> None:
    """Begin a transaction that sees one moment and cannot write."""
    if connection.dialect.name == "postgresql":
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True, **{_VIEW: True})
    else:
        await connection.execution_options(**{_VIEW: True})
    await connection.begin()


def _connection_lost(context: ExceptionContext) -> BaseException | None:
    """An error of the socket or the file under the driver, which it passes on as it is.

    It is caught here, and not around the caller's block, where somebody else's OSError or time-out may come by.
    """
    if isinstance(context.original_exception, OSError):
        return DatabaseUnavailable(_problem(context.original_exception))
    return None


def _cancelled(context: ExceptionContext) -> None:
    """Keep the connection of a task that was cancelled while one of its statements ran.

    SQLAlchemy takes such a connection for broken, and closes it with the statement's cursor open. SQLite then keeps the
    transaction, and with it the write lock, until Python's garbage collector finds the cursor: for minutes nobody could
    write. But nothing is broken: the driver runs each statement to its end in a thread, and what is asked after it
    comes after it. So the cursor is closed, and the transaction undone when the connection goes back to the pool.
    """
    if not isinstance(context.original_exception, Exception):
        context.is_disconnect = False


@contextmanager
def translated() -> Iterator[None]:
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
