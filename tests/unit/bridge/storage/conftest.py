"""An open database on each engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.storage import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A new database at this release's revision, on SQLite and on PostgreSQL."""
    async with await Database.open(database_url) as opened:
        yield opened
