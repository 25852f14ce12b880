"""An engine's HTTP service, and its configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.settle.engines.config import EngineConfig, read_secret
from settlement.connector.settle.engines.escrow import EscrowRail
from settlement.connector.settle.engines.service import engine_api
from settlement.connector.settle.quantity import Quantity
from settlement.connector.settle.rfc38 import OtherSideFailed, Rfc38Client
from tests.support.engines import MemoryLedger, engine_of, offices, payment_of

BOOK: dict[str, Any] = {
    "url": "http://127.0.0.1:1",
    "ledger_id": "x",
    "account": "a",
    "asset": "EUR",
    "scale": 2,
    "key_file": "key",
    "secret_file": "secret",
}
GOOD: dict[str, Any] = {"database": "sqlite:///engine.db", "connector": "http://127.0.0.1:2", "book": BOOK}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Rfc38Client, Database, str]]:
    client = MemoryLedger().client("one")
    facts = await client.facts()
    one, _ = offices()

    def rail(database: Database) -> EscrowRail:
        return EscrowRail(database, client, facts, bytes(32), lambda: UnixMs(1))

    engine, database = await engine_of(one, f"sqlite:///{tmp_path / 'e.db'}", rail, lambda: UnixMs(1))
    async with database, TestServer(engine_api(engine, "token")) as server:
        url = str(server.make_url(""))
        async with Rfc38Client(url, token="token") as caller:
            yield caller, database, url


async def test_accounts_and_settlements_are_taken_as_rfc_38_asks(served: tuple[Rfc38Client, Database, str]):
    """Accounts are made and deleted, settlements taken once for a key, and an unknown account is 404."""
    caller, database, url = served
    await caller.create_account("peer-1")
    await caller.create_account("peer-1")
    for _ in range(2):
        await caller.settle("peer-1", Quantity(5, 2), "key")
    payment = await payment_of(database, "peer-1", "key")
    assert payment is not None
    assert payment.units == 5
    await caller.delete_account("peer-1")
    for call in (caller.delete_account("peer-1"), caller.settle("peer-1", Quantity(5, 2), "other")):
        with pytest.raises(OtherSideFailed) as refusal:
            await call
        assert refusal.value.status == 404
    headers = {"Authorization": "Bearer token"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for body in (b"", b"{}", b'{"id": 5}', b'{"id": "a b"}'):
            answer = await session.post(f"{url}/accounts", data=body)
            assert (answer.status, answer.content_type) == (400, "application/problem+json")
        answer = await session.post(f"{url}/accounts", data=b'{"id": "peer-2"}')
        assert answer.status == 201
        answer = await session.delete(f"{url}/accounts/peer-2")
        assert answer.status == 204


async def test_nobody_without_the_token_has_the_engine_pay(served: tuple[Rfc38Client, Database, str]):
    """Without the operator's token every call is refused, and nothing is owed."""
    _, database, url = served
    async with Rfc38Client(url) as stranger:
        for call in (stranger.create_account("x"), stranger.settle("other", Quantity(5, 2), "key")):
            with pytest.raises(OtherSideFailed) as refusal:
                await call
            assert refusal.value.status == 401
    assert await payment_of(database, "other", "key") is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"book": None}, "engine"),
        ({"bitcoin": {}}, "bitcoin"),
        ({"host": "0.0.0.0"}, "host"),
        ({"port": 70_000}, "port"),
        ({"colour": "red"}, "engine"),
        ({"book": {**BOOK, "scale": 300}}, "book.scale"),
    ],
)
def test_a_configuration_that_is_wrong_is_named(change: dict[str, Any], field: str, tmp_path: Path):
    """No rail or two, an open address without a token, and values out of bounds are refused by name."""
    with pytest.raises(BadInput) as refusal:
        EngineConfig.checked({key: value for key, value in (GOOD | change).items() if value is not None}, tmp_path)
    assert refusal.value.field == field


def test_files_lie_beside_the_configuration(tmp_path: Path):
    """Relative paths are relative to the file, and a secret that is none is refused without being shown."""
    config = EngineConfig.checked(GOOD, tmp_path)
    assert config.database == f"sqlite:///{tmp_path / 'engine.db'}"
    assert config.book is not None
    assert config.book.secret_file == str(tmp_path / "secret")
    (tmp_path / "secret").write_text("hunter2")
    for path in (config.book.secret_file, str(tmp_path / "missing")):
        with pytest.raises(BadInput) as refusal:
            read_secret(path, "book.secret_file")
        assert refusal.value.field == "book.secret_file"
        assert "hunter2" not in str(refusal.value)
