"""An open database on each engine, and units of work that leave nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from bridge.storage import Database, UnitOfWork
from infra.postgres import Postgres


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A new database at this release's revision, on SQLite and on PostgreSQL."""
    async with await Database.open(database_url) as opened:
        yield opened


@pytest.fixture(scope="session")
async def _shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Database]]:
    """Databases by engine that stay empty, because nobody commits to them; each is made when it is first asked for."""
    opened: dict[str, Database] = {}
    async with AsyncExitStack() as stack:
        url = f"sqlite:///{tmp_path_factory.mktemp('shared') / 'test.db'}"
        opened["sqlite"] = await stack.enter_async_context(await Database.open(url))
        yield opened
        if "postgresql" in opened:
            await opened["postgresql"].close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def _server(request: pytest.FixtureRequest) -> Postgres | None:
    """The server to use, None for SQLite. Asked for by hand, so that the SQLite run starts none."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres")


@pytest.fixture
async def unit(_server: Postgres | None, _shared: dict[str, Database]) -> AsyncIterator[UnitOfWork]:
    """An open unit of work on an empty database; it sees its own writes, and nothing is committed."""
    engine = "sqlite" if _server is None else "postgresql"
    if _server is not None and engine not in _shared:
        _shared[engine] = await Database.open(await _server.create_database("never_committed"))
    async with _shared[engine].unit() as opened:
        yield opened
