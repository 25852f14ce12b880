"""An engine as its configuration describes it: database, rail, connector, server."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.primitives import BlockRef
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.evm.agreed_node import AgreedNode
from adapters.evm.endpoints import Endpoints
from adapters.evm.ends import FinalEnds
from adapters.evm.sender import TxSender
from foundation.database import Database, Schema
from foundation.quantities import BlockHeight, SatPerKvB, UnixMs
from registry.caip import evm_chain
from registry.chains import Chain
from settlement.connector.settle.engines.bitcoin import BitcoinPolicy, BitcoinRail
from settlement.connector.settle.engines.config import (
    BitcoinConfig,
    BookConfig,
    EngineConfig,
    EvmConfig,
    read_secret,
    read_text,
)
from settlement.connector.settle.engines.engine import Engine
from settlement.connector.settle.engines.escrow import EscrowRail
from settlement.connector.settle.engines.evm import EvmRail, TokenRail, address_of
from settlement.connector.settle.engines.evm_feed import TransferFeed
from settlement.connector.settle.engines.rail import Rail
from settlement.connector.settle.engines.service import engine_api
from settlement.connector.settle.engines.tables import METADATA
from settlement.connector.settle.rfc38 import Rfc38Client
from settlement.ledgers.book.client import BookAccess, BookClient
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.ledgers.evm.tables import METADATA as EVM_METADATA
from settlement.ledgers.protocol import LedgerAccount, LedgerId
from settlement.quantities import Asset, Scale

SCHEMA = Schema((METADATA, EVM_METADATA), Path(__file__).parent / "migrations")


def wall_clock() -> UnixMs:
    """Now."""
    return UnixMs(time.time_ns() // 1_000_000)


class RunningEngine:
    """A served engine; an asynchronous context manager. `url` is where, once it runs; `wait` ends only by a failure."""

    def __init__(self, config: EngineConfig, schema: Schema = SCHEMA) -> None:
        """Describe it; nothing is opened yet."""
        self._config = config
        self._schema = schema
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Open everything and serve. Raises `BadInput`, and what the rail's chain or ledger raises."""
        async with AsyncExitStack() as stack:
            config = self._config
            token = read_text(config.token_file, "token_file") if config.token_file else ""
            database = await stack.enter_async_context(await Database.open(config.database, self._schema))
            connector = await stack.enter_async_context(Rfc38Client(config.connector, token=token))
            engine = Engine(database, await _rail(stack, config, database), connector, wall_clock)
            self._task = asyncio.create_task(engine.run(), name="settlement engine")
            stack.push_async_callback(_ended, self._task)
            runner = web.AppRunner(engine_api(engine, token), access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, config.host, config.port)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving, and close everything."""
        await self._stack.aclose()

    async def wait(self) -> None:
        """Until the engine fails, with its error."""
        assert self._task is not None, "the engine runs"
        await asyncio.shield(self._task)


async def _rail(stack: AsyncExitStack, config: EngineConfig, database: Database) -> Rail:
    if config.evm is not None:
        return await _evm(stack, config.evm, database)
    if config.bitcoin is not None:
        return await _bitcoin(stack, config.bitcoin, database)
    assert config.book is not None, "checked by the configuration"
    return await _book(stack, config.book, database)


async def _evm(stack: AsyncExitStack, config: EvmConfig, database: Database) -> Rail:
    genesis = bytes.fromhex(config.genesis.removeprefix("0x"))
    chain = Chain.named(evm_chain(config.chain_id), genesis, config.confirmations)
    endpoints = await stack.enter_async_context(Endpoints.at(config.urls, chain))
    await endpoints.check()
    secret = read_secret(config.key_file, "evm.key_file")
    journal = DatabaseJournal(database, chain.caip2)
    sender = await stack.enter_async_context(TxSender(AgreedNode(endpoints), journal, secret, config.chain_id))
    token = TokenRail(chain.caip2, address_of(config.token, "evm.token"), config.decimals, config.least)
    feed = TransferFeed(endpoints, token.token, sender.account, BlockHeight(config.start_block))
    return EvmRail(database, token, sender, journal, secret, feed, FinalEnds(endpoints))


async def _bitcoin(stack: AsyncExitStack, config: BitcoinConfig, database: Database) -> Rail:
    network = config.known_network()
    password = read_text(config.password_file, "bitcoin.password_file")
    rpc = await stack.enter_async_context(BitcoinRpc(config.url, config.user, password))
    await rpc.check_network(network)
    height = BlockHeight(config.start_height)
    start = BlockRef(height, await rpc.block_hash(height))
    fees = FeePolicy(SatPerKvB(config.fee_floor), SatPerKvB(config.fee_cap), SatPerKvB(config.fee_fallback))
    policy = BitcoinPolicy(network, fees, start, config.confirmations, config.bump_blocks, config.least)
    return BitcoinRail(database, rpc, policy, read_secret(config.secret_file, "bitcoin.secret_file"))


async def _book(stack: AsyncExitStack, config: BookConfig, database: Database) -> Rail:
    access = BookAccess(
        LedgerId(config.ledger_id),
        Asset(config.asset, Scale(config.scale)),
        config.url,
        LedgerAccount(config.account),
        read_text(config.key_file, "book.key_file"),
    )
    client = await stack.enter_async_context(BookClient(access))
    secret = read_secret(config.secret_file, "book.secret_file")
    return EscrowRail(database, client, await client.facts(), secret, wall_clock, hold_ms=config.hold_ms)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
