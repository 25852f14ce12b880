"""Who did what is kept for a time, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from api import retention
from api.retention import forget, keep_forgetting
from api.settings import load_settings
from api.tables import acts, transfers
from api.transfers import Names, TransferStore
from foundation.database import DatabaseUnavailable
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from tests.support.api_gateway import NOW, PAYMENT, SECRET, Api, open_api
from tests.support.patience import PATIENCE_S

DAY = 24 * 3_600_000
NAMES = Names("M-1", "I-1", "E-1", "T-1", "7d8e6a52-0f9b-4c1d-8b1a-0123456789ab")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as made:
        yield made


async def _kept(api: Api) -> tuple[int, int]:
    async with api.database.view() as view:
        counts = [await view.connection.scalar(select(func.count()).select_from(one)) for one in (acts, transfers)]
    return int(counts[0] or 0), int(counts[1] or 0)


async def _old(api: Api, number: int, at: int) -> None:
    line = {"principal": "shop", "credential": "shop", "method": "POST", "path": "/", "status": 202, "at": at}
    async with api.database.unit() as unit:
        await unit.connection.execute(insert(acts), [line] * number)
        await TransferStore(unit.connection, SECRET).put(bytes([number % 256]) * 32, NAMES, UnixMs(at))
        await unit.commit()


async def test_what_is_older_is_forgotten_and_the_rest_stays(api: Api) -> None:
    """To the last moment of its days an act is there; a moment later it is forgotten, with the names of transfers."""
    await _old(api, 2_500, NOW - 400 * DAY - 1)
    await _old(api, 1, NOW - 400 * DAY)
    await api.post("/v1/payments", PAYMENT)
    assert await _kept(api) == (2_502, 2)
    assert await forget(api.database, 400, NOW) == 2_500
    assert await _kept(api) == (2, 1)
    assert await forget(api.database, 400, NOW) == 0


async def test_an_outage_puts_it_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database does not answer, nothing ends: it is tried again."""
    done = asyncio.Event()
    troubles = [DatabaseUnavailable("gone")]

    async def forgetting(*arguments: object) -> int:
        if troubles:
            raise troubles.pop()
        done.set()
        return 1

    monkeypatch.setattr(retention, "forget", forgetting)
    monkeypatch.setattr(retention, "_EVERY_SECONDS", 0.0)
    async with keep_forgetting(api.database, 1, lambda: NOW):
        await asyncio.wait_for(done.wait(), PATIENCE_S)


async def test_names_are_sealed_and_bound_to_their_payment(api: Api) -> None:
    """What a client called its transfer is not readable in the database, and opens for its payment alone."""
    number = b"p" * 32
    async with api.database.unit() as unit:
        store = TransferStore(unit.connection, SECRET)
        await store.put(number, NAMES, NOW)
        await unit.commit()
    async with api.database.view() as view:
        raw = await view.connection.scalar(select(transfers.c.names))
        assert await TransferStore(view.connection, SECRET).get(number) == NAMES
        assert await TransferStore(view.connection, SECRET).get(b"q" * 32) is None
    assert b"E-1" not in raw


def test_the_days_are_the_operators(tmp_path: Path) -> None:
    """400 days where nothing is said, as many as the file says, and none below one."""
    file = tmp_path / "api.toml"
    assert load_settings(file).acts_days == 400
    file.write_text("[retention]\nacts_days = 30\n")
    assert load_settings(file).acts_days == 30
    file.write_text("[retention]\nacts_days = 0\n")
    with pytest.raises(BadInput):
        load_settings(file)
