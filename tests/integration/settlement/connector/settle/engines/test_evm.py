"""Two connectors settle in a token on anvil, through their engines, everything over HTTP."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer, unused_port
from eth_abi.abi import encode
from eth_account import Account

from adapters.evm.agreed_node import AgreedNode
from adapters.evm.endpoints import Endpoints
from adapters.evm.ends import FinalEnds
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from contracts import artifacts
from foundation.database import Database, Schema
from foundation.quantities import BlockHeight, UnixMs, Wei
from infra.anvil import Anvil
from registry.caip import evm_chain
from registry.chains import OWN_FINALITY, Chain
from settlement.connector.settle.engines.engine import Engine
from settlement.connector.settle.engines.evm import EvmRail, TokenRail, text_of
from settlement.connector.settle.engines.evm_feed import TransferFeed
from settlement.connector.settle.engines.service import engine_api
from settlement.connector.settle.messages import EngineMessages
from settlement.connector.settle.outgoing import SettleRule
from settlement.connector.settle.rfc38 import Rfc38Client
from settlement.connector.settle.server import accounting_api
from settlement.connector.settle.settler import Settler
from settlement.connector.settle.tables import METADATA
from settlement.ilp.link import Reply
from settlement.ilp.packets import decode_prepare
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.quantities import Scale
from tests.support.engines import SCHEMA
from tests.support.evm_origin import encode_call
from tests.support.patience import PATIENCE_S
from tests.support.settling import MemoryBalances

pytestmark = pytest.mark.integration

QUICK = SenderPolicy(FeePolicy(), poll_seconds=0.02, tend_seconds=0.1)
ETHER = 10**18
TOKEN = "operator's token"


class Wire:
    """A connector's link to the other one."""

    is_up = True

    def __init__(self, name: str, messages: dict[str, EngineMessages]) -> None:
        self.name = name
        self.messages = messages

    def send(self, prepare: bytes, reply: Reply) -> None:
        other = "b" if self.name == "a" else "a"
        self.messages[other](self.name, decode_prepare(prepare).destination, prepare, reply)


@dataclass
class Side:
    """One connector with its engine, its balances, and its account on the chain."""

    account: bytes
    balances: MemoryBalances
    settler: Settler


def clock() -> UnixMs:
    """Milliseconds that never go back."""
    return UnixMs(int(asyncio.get_running_loop().time() * 1000))


async def token_on(anvil: Anvil, holder: bytes, amount: int) -> tuple[bytes, BlockHeight]:
    """A new token, of which `holder` has some; and the block that it is in."""
    accounts: Any = await anvil.rpc.call("eth_accounts")
    arguments = encode(["string", "string", "uint8"], ["Settled Dollar", "USD", 6])
    code = "0x" + (artifacts.load("MappingToken").bytecode + arguments).hex()
    receipt = await _mined(anvil, {"from": accounts[0], "data": code})
    address = bytes.fromhex(receipt["contractAddress"][2:])
    call = encode_call("mint(address,uint256)", ["address", "uint256"], [holder, amount])
    await _mined(anvil, {"from": accounts[0], "to": receipt["contractAddress"], "data": "0x" + call.hex()})
    return address, BlockHeight(int(receipt["blockNumber"], 16))


async def _mined(anvil: Anvil, message: dict[str, Any]) -> Any:
    transaction = await anvil.rpc.call("eth_sendTransaction", message)
    receipt: Any = await anvil.rpc.call("eth_getTransactionReceipt", transaction)
    if receipt is None:
        await anvil.mine()
        receipt = await anvil.rpc.call("eth_getTransactionReceipt", transaction)
    return receipt


async def balance(anvil: Anvil, token: bytes, holder: bytes) -> int:
    """What an account has of a token."""
    async with EvmRpc(anvil.url) as rpc:
        data = encode_call("balanceOf(address)", ["address"], [holder])
        return int.from_bytes(await rpc.call(Call(token, data, "balanceOf")), "big")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def side(
    stack: AsyncExitStack,
    folder: Path,
    name: str,
    anvil: Anvil,
    token: tuple[bytes, BlockHeight],
    secret: bytes,
    messages: dict[str, EngineMessages],
) -> Side:
    """A connector's settling half, and its engine, each with an HTTP server and a database of its own."""
    peer = "b" if name == "a" else "a"
    genesis: Any = await anvil.rpc.call("eth_getBlockByNumber", "0x0", False)
    chain = Chain.named(evm_chain(anvil.chain_id), bytes.fromhex(genesis["hash"][2:]), OWN_FINALITY)
    account = bytes.fromhex(Account.from_key(secret).address[2:])
    await anvil.faucet(text_of(account), Wei(10 * ETHER))
    engine_db = await stack.enter_async_context(await Database.open(f"sqlite:///{folder / name}-engine.db", SCHEMA))
    own_db = await stack.enter_async_context(await Database.open(f"sqlite:///{folder / name}.db", Schema((METADATA,))))
    endpoints = await stack.enter_async_context(Endpoints.at([anvil.url], chain))
    journal = DatabaseJournal(engine_db, chain.caip2)
    sender = await stack.enter_async_context(TxSender(AgreedNode(endpoints), journal, secret, anvil.chain_id, QUICK))
    feed = TransferFeed(endpoints, token[0], account, token[1])
    named, ends = TokenRail(chain.caip2, token[0], 6), FinalEnds(endpoints)
    rail = EvmRail(engine_db, named, sender, journal, secret, feed, ends, poll_seconds=0.05)
    # Each knows the other's URL before either serves.
    port = unused_port()
    to_connector = await stack.enter_async_context(Rfc38Client(f"http://127.0.0.1:{port}", token=TOKEN))
    engine = Engine(engine_db, rail, to_connector, clock, underway_ms=50)
    engine_server = await stack.enter_async_context(TestServer(engine_api(engine, TOKEN)))
    to_engine = await stack.enter_async_context(Rfc38Client(str(engine_server.make_url("")), token=TOKEN))
    balances = MemoryBalances({peer: 0})
    rule = SettleRule(peer, Scale(9), threshold=1_000_000_000, settle_to=0)
    settler = Settler(own_db, balances, {peer: rule}, {peer: to_engine}, clock)
    messages[name] = EngineMessages({peer: Wire(name, messages)}, {peer: to_engine}, clock)
    stack.push_async_callback(messages[name].close)
    await stack.enter_async_context(TestServer(accounting_api(settler, messages[name], TOKEN), port=port))
    for job in (engine.run(), settler.run()):
        task = asyncio.create_task(job)
        stack.push_async_callback(_ended, task)
    return Side(account, balances, settler)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_a_connector_owes_reaches_the_other_ones_balance(
    stack: AsyncExitStack, tmp_path: Path, anvil: Anvil
):
    """What a connector owes above its threshold moves as a token, and raises the balance at the peer by whole units."""

    keys = [secrets.token_bytes(32) for _ in range(2)]
    payer = bytes.fromhex(Account.from_key(keys[0]).address[2:])
    token = await token_on(anvil, payer, 5_000_000)
    messages: dict[str, EngineMessages] = {}
    a, b = [
        await side(stack, tmp_path, name, anvil, token, key, messages) for name, key in zip("ab", keys, strict=True)
    ]
    credited = asyncio.Event()
    settle_in = b.balances.settle_in

    async def heard(*arguments: Any) -> bool:
        done = await settle_in(*arguments)
        credited.set()
        return done

    b.balances.settle_in = heard  # type: ignore[method-assign]
    a.balances.balances["b"] = 1_234_567_890
    a.settler("b", 1_234_567_890)
    async with asyncio.timeout(PATIENCE_S):
        await credited.wait()
    assert a.balances.balances["b"] == 0
    assert b.balances.balances["a"] == 1_234_567_000
    assert await balance(anvil, token[0], b.account) == 1_234_567
    assert await balance(anvil, token[0], a.account) == 5_000_000 - 1_234_567
