"""Every database comes to the same tables, whether it is made now or by one revision after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

import api.board.tables
import api.tables
import bridge.storage.database
import settlement.channels.schema
import settlement.connector.runtime
import settlement.connector.settle.engines.running
import settlement.gateway.runtime
import settlement.ledgers.book.tables
import settlement.swap.store.tables
from foundation.database import Database, Schema

SCHEMAS = {
    "bridge": bridge.storage.database.SCHEMA,
    "gateway": settlement.gateway.runtime.SCHEMA,
    "api": api.tables.SCHEMA,
    "board": api.board.tables.SCHEMA,
    "channels": settlement.channels.schema.SCHEMA,
    "book": settlement.ledgers.book.tables.SCHEMA,
    "connector": settlement.connector.runtime.SCHEMA,
    "swap": settlement.swap.store.tables.SCHEMA,
    "engine": settlement.connector.settle.engines.running.SCHEMA,
}


@pytest.fixture(params=SCHEMAS)
def schema(request: pytest.FixtureRequest) -> Schema:
    """Each database that a release may have to bring to a later one."""
    return SCHEMAS[request.param]


async def test_the_revisions_make_exactly_the_tables_that_the_code_uses(database_url: str, schema: Schema) -> None:
    """A database brought here revision by revision differs in nothing from one that is made at once."""

    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True, "version_table": schema.version_table}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, list(schema.metadata)))

    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(schema.migrate)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
        assert await connection.run_sync(schema.is_current)
    await engine.dispose()
    assert found == []


async def test_a_new_database_is_at_the_newest_revision(tmp_path: Path, schema: Schema) -> None:
    """What is made at once counts as brought through all revisions, so that the next release goes on from there."""
    url = f"sqlite:///{tmp_path / 'new.db'}"
    async with await Database.open(url, schema) as database, database.view() as view:
        assert await view.connection.run_sync(schema.is_current)
