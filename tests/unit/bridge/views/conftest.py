"""An empty database to write a situation into; nothing of it is ever committed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.storage import Database, UnitOfWork


@pytest.fixture(scope="module")
async def _empty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    async with await Database.open(f"sqlite:///{tmp_path_factory.mktemp('views') / 'test.db'}") as opened:
        yield opened


@pytest.fixture
async def unit(_empty: Database) -> AsyncIterator[UnitOfWork]:
    """An open unit of work, which is a view that sees its own writes."""
    async with _empty.unit() as opened:
        yield opened
