"""A database with a schema, views of it, and units of work on it.

Writers come one after the other on both engines: a unit of work takes SQLite's write lock (BEGIN IMMEDIATE) or an
advisory lock of PostgreSQL when it begins. So what a unit reads cannot change under it, and no write is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Generic, Protocol, Self, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from foundation.database.engine import BUSY_MS, begin_view, connected, open_engine, translated
from foundation.database.schema import Schema

_MIGRATING: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

Commit: TypeAlias = Callable[[AsyncConnection], Awaitable[None]]


class Moment(StrEnum):
    """When a commit hook is called."""

    BEFORE = "before"  # the commit; what it raises undoes the unit
    AFTER = "after"  # the commit took effect


class CommitHook(Protocol):
    """Told of each commit; tests crash a process here."""

    async def __call__(self, moment: Moment) -> None:
        """The commit is about to happen, or has just happened."""


class View:
    """The database as of one moment; stores are made on its `connection`. Writing through a view fails."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection


class UnitOfWork(View):
    """A view that may write. What is not committed when the unit ends is undone."""

    def __init__(self, connection: AsyncConnection, commit: Commit) -> None:
        super().__init__(connection)
        self._commit = commit
        self._open = True

    async def commit(self) -> None:
        """Make all that the unit wrote durable. Once; the unit is over then.

        Raises:
            DatabaseUnavailable: the database went away; the commit may or may not have taken effect.
        """
        assert self._open, "the unit of work is over"
        self._open = False
        await self._commit(self.connection)

    def end(self) -> None:
        """No commit from here on."""
        self._open = False


ViewType = TypeVar("ViewType", bound=View)
UnitType = TypeVar("UnitType", bound=UnitOfWork)


class DatabaseOf(Generic[ViewType, UnitType]):
    """A database whose views and units of work offer stores of their own."""

    def __init__(
        self,
        engine: AsyncEngine,
        view: Callable[[AsyncConnection], ViewType],
        unit: Callable[[AsyncConnection, Commit], UnitType],
        commit_hook: CommitHook | None = None,
    ) -> None:
        self._engine = engine
        self._new_view = view
        self._new_unit = unit
        self._commit_hook = commit_hook
        self._writer = asyncio.Lock()
        self._writing: asyncio.Task[object] | None = None

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[UnitType]:
        """A unit of work: all that it writes takes effect at its `commit`, or nothing does.

        One at a time; others wait. Do no network I/O inside, and open no unit inside another of the same task.

        Raises:
            DatabaseUnavailable: the database does not answer. After a failed commit, read before writing again.
        """
        assert self._writing is None or self._writing is not asyncio.current_task(), "a unit of work inside another"
        async with self._writer:
            self._writing = asyncio.current_task()
            try:
                with translated():
                    async with connected(self._engine) as connection:
                        await connection.begin()
                        unit = self._new_unit(connection, self._commit)
                        try:
                            yield unit
                        finally:
                            unit.end()
            finally:
                self._writing = None

    @asynccontextmanager
    async def view(self) -> AsyncIterator[ViewType]:
        """A consistent view of the last commit, for reading; it waits for no writer, and no writer waits for it.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        with translated():
            async with connected(self._engine) as connection:
                await begin_view(connection)
                yield self._new_view(connection)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
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


class Database(DatabaseOf[View, UnitOfWork]):
    """A database whose stores are made on the connection of a view or a unit. Use `open`; close it at the end."""

    @classmethod
    async def open(
        cls, url: str, schema: Schema, *, commit_hook: CommitHook | None = None, busy_ms: int = BUSY_MS
    ) -> Self:
        """Open the database at `url`, making it and bringing it to the schema's revision where needed.

        Raises:
            BadInput, DatabaseNewer, DatabaseUnavailable: as `open_current` says.
        """
        return cls(await open_current(url, schema, busy_ms), View, UnitOfWork, commit_hook)


async def open_current(url: str, schema: Schema, busy_ms: int = BUSY_MS) -> AsyncEngine:
    """An engine for the database at `url`, at this release's revision; several processes may open one at once.

    Args:
        url: `sqlite:////absolute/path`, `sqlite:///relative/path` or `postgresql://user:password@host/name`.
        schema: the tables that it is to have.
        busy_ms: how long to wait for another process's write lock.

    Raises:
        BadInput: the URL is none that we can use.
        DatabaseNewer: a newer release has migrated the database.
        DatabaseUnavailable: it does not answer, or stays locked.
    """
    engine = await open_engine(url, busy_ms)
    try:
        with translated():
            await _migrate(engine, schema)
    except BaseException:
        await engine.dispose()
        raise
    return engine


async def _migrate(engine: AsyncEngine, schema: Schema) -> None:
    """Bring the database to this release's revision. Where it is there already, no writer is waited for."""
    async with connected(engine) as connection:
        await begin_view(connection)
        if await connection.run_sync(schema.is_current):
            return
    # Alembic's context is one for the whole process: databases are migrated one after the other.
    migrating = _MIGRATING.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with migrating, connected(engine) as connection, connection.begin():
        await connection.run_sync(schema.upgrade)
