"""The fixtures that other tests build upon."""

from __future__ import annotations

import asyncpg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from foundation.quantities import Satoshi, Wei
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind, Wallet
from infra.postgres import Postgres
from infra.rpc import Json, JsonRpc


async def test_a_stopped_or_paused_shared_node_serves_the_next_test_first(bitcoind: Bitcoind) -> None:
    """A test may leave the shared node paused (the next test shows that it serves again)."""
    bitcoind.pause()


async def test_a_stopped_or_paused_shared_node_serves_the_next_test_then(bitcoind: Bitcoind) -> None:
    """The node which the test before paused answers."""
    assert await bitcoind.healthy()


async def test_funded_wallet_can_pay(bitcoind: Bitcoind, funded_wallet: Wallet) -> None:
    """The funded wallet has 10 BTC and its payment confirms in the next block."""
    assert await funded_wallet.balance() == 10 * 100_000_000
    payee = await bitcoind.wallet("payee")
    before = await payee.balance()
    await funded_wallet.send(await payee.address(), Satoshi(12_345_678))
    await bitcoind.mine()
    assert await payee.balance() == before + 12_345_678


async def test_faucet_pays_though_somebody_mines_at_the_same_moment(
    bitcoind: Bitcoind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its payment is in a block, and no longer in the mempool, when it looks for it there."""
    payee = await bitcoind.wallet("paid-at-once")
    ask = JsonRpc.call

    async def mined_first(rpc: JsonRpc, method: str, *params: Json, path: str = "/") -> Json:
        if method == "getmempoolentry":
            await bitcoind.mine()
        return await ask(rpc, method, *params, path=path)

    address = await payee.address()
    monkeypatch.setattr(JsonRpc, "call", mined_first)
    await bitcoind.faucet(address, Satoshi(12_345))
    assert await payee.balance() == 12_345


async def test_faucet_gives_ether(anvil: Anvil) -> None:
    """The EVM faucet adds to what an account has."""
    account = "0x" + "ab" * 20
    before = int(str(await anvil.rpc.call("eth_getBalance", account, "latest")), 16)
    await anvil.faucet(account, Wei(10**18))
    assert int(str(await anvil.rpc.call("eth_getBalance", account, "latest")), 16) == before + 10**18


async def test_database_url_names_an_empty_database(database_url: str) -> None:
    """The database is empty and can be written, on SQLite and on PostgreSQL."""
    engine = create_async_engine(database_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(sqlalchemy.text("CREATE TABLE seen (id INTEGER)"))
            await connection.execute(sqlalchemy.text("INSERT INTO seen VALUES (7)"))
            assert (await connection.execute(sqlalchemy.text("SELECT id FROM seen"))).scalar_one() == 7
    finally:
        await engine.dispose()


async def test_dropped_database_is_gone_though_somebody_is_connected(postgres: Postgres) -> None:
    """A database is removed even where a test forgot to close its connection."""
    url = await postgres.create_database("forgotten")
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await postgres.drop_database("forgotten")
    assert connection.is_closed() or await _refused(connection)


async def _refused(connection: asyncpg.Connection) -> bool:
    try:
        await connection.execute("SELECT 1")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError):
        return True
    return False
