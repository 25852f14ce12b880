"""Bringing a database to this release's revision: all at once, once, and never half."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bridge.storage import Database, tables
from foundation.database import Schema


class Crash(Exception):
    """The node dies here."""


def names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def found(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return await connection.run_sync(names)


async def test_an_empty_database_gets_every_table(database_url: str) -> None:
    """From nothing to this release in one opening."""
    async with await Database.open(database_url):
        engine = create_async_engine(database_url)
        assert await found(engine) == {*tables.metadata.tables, "alembic_version"}
        await engine.dispose()


async def test_opening_again_changes_nothing(database_url: str) -> None:
    """What a database holds is there after any number of openings, at the same revision."""
    for count in range(3):
        async with await Database.open(database_url) as database, database.unit() as unit:
            assert await unit.node_meta.get("count") == (str(count).encode() if count else None)
            await unit.node_meta.put("count", str(count + 1).encode())
            await unit.commit()
    engine = create_async_engine(database_url)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).all() == [("0002",)]
    await engine.dispose()


async def test_a_migration_that_is_cut_off_leaves_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables and the revision's number come in one transaction, so that the next opening starts clean."""

    upgrade = Schema.upgrade

    def cut_off(schema: Schema, connection: Connection) -> None:
        upgrade(schema, connection)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Schema, "upgrade", cut_off)
        with pytest.raises(Crash):
            await Database.open(database_url)
    engine = create_async_engine(database_url)
    assert await found(engine) == set()
    await engine.dispose()
    async with await Database.open(database_url) as database, database.view() as view:
        assert await view.node_meta.get("any") is None
