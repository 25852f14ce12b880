"""Which service fees wait to be distributed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.earned import VOUCHERS, earned, note_distributed, note_earned
from bridge.storage import Database
from tests.support.bridge_database import fresh_database

ASSET, OTHER, GROUP = b"a" * 32, b"b" * 32, b"g" * 32
EVERY_INDEX = 2**256 - 1


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await fresh_database(tmp_path / "earned.db")
    yield opened
    await opened.close()


async def waits(database: Database) -> list[tuple[bytes, bytes, int]]:
    async with database.view() as view:
        return [(item.asset, item.group, item.signers) for item in await earned(view)]


async def test_each_kind_waits_once_until_it_is_distributed(database: Database) -> None:
    """By asset, by group and by who signed; vouchers' indices fill a whole word."""
    assert await waits(database) == []
    async with database.unit() as uow:
        for _ in range(2):
            await note_earned(uow, ASSET, VOUCHERS, EVERY_INDEX)
            await note_earned(uow, ASSET, GROUP, 3)
        await note_earned(uow, ASSET, GROUP, 5)
        await note_earned(uow, OTHER, GROUP, 3)
        await uow.commit()
    kinds = [(ASSET, VOUCHERS, EVERY_INDEX), (ASSET, GROUP, 3), (ASSET, GROUP, 5), (OTHER, GROUP, 3)]
    assert await waits(database) == kinds
    async with database.unit() as uow:
        for _ in range(2):
            await note_distributed(uow, ASSET, GROUP, 3)
        await uow.commit()
    assert await waits(database) == [kinds[0], kinds[2], kinds[3]]


async def test_what_is_earned_again_waits_again(database: Database) -> None:
    """A distribution ends what waited before it."""
    async with database.unit() as uow:
        await note_distributed(uow, ASSET, GROUP, 3)
        await note_earned(uow, ASSET, GROUP, 3)
        await note_distributed(uow, ASSET, GROUP, 3)
        await note_earned(uow, ASSET, GROUP, 3)
        await uow.commit()
    assert await waits(database) == [(ASSET, GROUP, 3)]


async def test_nothing_is_noted_without_the_commit(database: Database) -> None:
    """It belongs to the events of its unit of work."""
    async with database.unit() as uow:
        await note_earned(uow, ASSET, GROUP, 3)
    assert await waits(database) == []
