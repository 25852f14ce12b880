"""Real blocks of anvil verify, and real Lockboxes are followed on several chains at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey
from eth_account import Account

from adapters.evm.endpoint import Endpoint
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import CursorReorged, WrongChain
from adapters.evm.headers import check_link
from adapters.evm.hexes import data
from adapters.evm.lockbox.calls import LockboxCalls
from adapters.evm.lockbox.errors import NotOurLockbox
from adapters.evm.lockbox.events import LockboxEvent, Locked, Released
from adapters.evm.lockbox.follower import VerifiedFollower
from adapters.evm.lockbox.messages import proof
from adapters.evm.lockbox.types import NATIVE_COIN, Payment
from adapters.evm.lockbox.vault import LockboxVault
from adapters.evm.receipts import proved_logs
from adapters.evm.transactions import proved_hashes
from adapters.evm.types import BlockRef, Call
from contracts import artifacts
from foundation.quantities import BlockHeight, TokenUnits
from infra.anvil import Anvil
from registry.caip import evm_chain
from registry.chains import Chain
from registry.ids import lock_id

SECRET = PrivateKey(hashlib.sha256(b"group").digest())
KEY = SECRET.public_key.format()[1:]
RECIPIENT = b"\x77" * 20
WINDOW_SECONDS = 86_400
CHAIN_IDS = (31_337, 4_711)


@dataclass
class World:
    """A chain with a Lockbox, and an unlocked account on it."""

    node: Anvil
    lockbox: bytes
    start: BlockHeight
    sender: str
    chain: Chain

    def endpoints(self, *urls: str) -> Endpoints:
        """This node, and others."""
        return Endpoints.at([self.node.url, *urls], self.chain)

    async def send(self, call: Call) -> None:
        """Send a call, and see it mined."""
        assert call.to is not None
        message = {"from": self.sender, "to": data(call.to), "data": data(call.data), "value": hex(call.value)}
        receipt = await mined(self.node, message)
        assert receipt["status"] == "0x1"

    async def lock(self, amount: int) -> None:
        """Lock some of the coin."""
        await self.send(LockboxCalls(self.lockbox).lock(NATIVE_COIN, TokenUnits(amount), RECIPIENT))


async def mined(node: Anvil, message: dict[str, Any]) -> Any:
    """Send a transaction; its receipt."""
    transaction = await node.rpc.call("eth_sendTransaction", message)
    receipt: Any = await node.rpc.call("eth_getTransactionReceipt", transaction)
    if receipt is None:
        # The node mines each transaction at once, but answers before; a block asked for comes after it.
        await node.mine()
        receipt = await node.rpc.call("eth_getTransactionReceipt", transaction)
    return receipt


async def world_on(node: Anvil) -> World:
    """A Lockbox of our group on this node's chain."""
    accounts: Any = await node.rpc.call("eth_accounts")
    arguments = KEY + bytes(32) + WINDOW_SECONDS.to_bytes(32, "big")
    code = data(artifacts.load("Lockbox").bytecode + arguments)
    receipt = await mined(node, {"from": accounts[0], "data": code})
    genesis: Any = await node.rpc.call("eth_getBlockByNumber", "0x0", False)
    chain = Chain.named(evm_chain(node.chain_id), bytes.fromhex(genesis["hash"][2:]), 1)
    start = BlockHeight(int(receipt["blockNumber"], 16))
    return World(node, bytes.fromhex(receipt["contractAddress"][2:]), start, accounts[0], chain)


@pytest.fixture
async def world(anvil: Anvil) -> World:
    """A Lockbox on the session's chain."""
    return await world_on(anvil)


@asynccontextmanager
async def other_chain(folder: Path, **options: Any) -> AsyncIterator[Anvil]:
    """A node of this test's own, with a chain of its own."""
    async with Anvil(folder, **options) as node:
        yield node


async def everything(follower: VerifiedFollower, cursor: BlockRef | None = None) -> tuple[list[LockboxEvent], BlockRef]:
    """All events up to now, and the cursor."""
    found: list[LockboxEvent] = []
    while (batch := await follower.read(cursor)) is not None:
        found += batch.events
        cursor = batch.last
    assert cursor is not None
    return found, cursor


async def mixed_block(node: Anvil) -> int:
    """A block with transactions of the types 0, 1, 2 and 4, one of which fails; its number."""
    accounts: Any = await node.rpc.call("eth_accounts")
    keys = [node.account_key(index) for index in range(4)]
    fee = hex(10**11)
    common = {"to": bytes.fromhex(accounts[5][2:]), "value": 1, "gas": 100_000, "chainId": node.chain_id}
    dynamic = {"maxFeePerGas": fee, "maxPriorityFeePerGas": 1}
    # Counted before any is sent: the authorizing account sends nothing itself.
    nonces = [int(str(await node.rpc.call("eth_getTransactionCount", one, "latest")), 16) for one in accounts[:10]]
    authority = Account.from_key(node.account_key(9))
    delegation = {"chainId": node.chain_id, "address": bytes.fromhex(accounts[6][2:]), "nonce": nonces[9]}
    access = [{"address": bytes.fromhex(accounts[6][2:]), "storageKeys": ["0x" + "01" * 32]}]
    wanted: list[dict[str, Any]] = [
        common | {"gasPrice": fee},
        common | {"gasPrice": fee, "accessList": access, "type": 1},
        common | dynamic | {"to": b"", "data": "0xfe", "accessList": access, "type": 2},  # a contract that fails
        common | dynamic | {"authorizationList": [authority.sign_authorization(delegation)], "type": 4},
    ]
    await node.rpc.call("evm_setIntervalMining", 0)  # no block unless asked for
    for key, nonce, fields in zip(keys, nonces, wanted, strict=False):
        signed = Account.sign_transaction(fields | {"nonce": nonce}, key)
        await node.rpc.call("eth_sendRawTransaction", data(bytes(signed.raw_transaction)))
    await node.mine()
    receipt: Any = await node.rpc.call("eth_getTransactionReceipt", data(bytes(signed.hash)))
    return int(receipt["blockNumber"], 16)


async def test_real_blocks_verify(tmp_path: Path) -> None:
    """Headers of a real node hash and link; receipts and transactions of all types make the header's roots."""
    async with other_chain(tmp_path / "anvil", block_seconds=3_600) as node:
        number = await mixed_block(node)
        endpoint = Endpoint.at(node.url)
        try:
            headers = await endpoint.headers([BlockHeight(n) for n in range(number + 1)])
            for parent, child in pairwise(headers):
                assert parent is not None
                assert child is not None
                check_link(parent.ref, child, endpoint.name)
            last = headers[-1]
            assert last is not None
            (receipts,) = await endpoint.block_receipts([last])
            assert {receipt["type"] for receipt in receipts} == {"0x0", "0x1", "0x2", "0x4"}
            assert len(proved_logs(receipts, last, endpoint.name)) == 4
            (block,) = await endpoint.full_blocks([last])
            hashes = [data(one) for one in proved_hashes(block, last, endpoint.name)]
            assert hashes == [receipt["transactionHash"] for receipt in receipts]
        finally:
            await endpoint.close()


async def test_locks_and_releases_are_followed(world: World) -> None:
    """What is locked and released on a real chain arrives as proved events; the vault tells the same."""
    await world.lock(10**18)
    await world.lock(5)
    async with world.endpoints() as endpoints:
        vault = LockboxVault(endpoints, world.lockbox)
        at = BlockHeight(await world.node.height())
        await vault.check(KEY, at)
        messages = await vault.messages(at)
        payments = [Payment(1, NATIVE_COIN, b"\x78" * 20, TokenUnits(10**17), TokenUnits(3))]
        message = messages.release(payments)
        signed = proof(SECRET.sign_schnorr(message), KEY, message)
        await world.send(LockboxCalls(world.lockbox).release(payments, signed))
        events, cursor = await everything(VerifiedFollower(endpoints, world.lockbox, world.start))
        first, second, third = events
        assert isinstance(first, Locked)
        assert isinstance(second, Locked)
        assert isinstance(third, Released)
        assert (first.number, first.amount, first.recipient) == (1, 10**18, RECIPIENT)
        assert second.id == lock_id(world.node.chain_id, world.lockbox, 2)
        assert (third.number, third.payee, third.amount, third.fee) == (1, b"\x78" * 20, 10**17, 3)
        assert await vault.balance(NATIVE_COIN, cursor.number) == 9 * 10**17 + 2
        assert await vault.consumed([1, 2], cursor.number) == [True, False]
        assert await vault.lock_count(cursor.number) == 2
        with pytest.raises(NotOurLockbox):
            await vault.check(b"\x01" * 32, cursor.number)


async def test_a_reorg_below_the_cursor_is_told(tmp_path: Path) -> None:
    """When a chain's last blocks are replaced although they were held for final, the follower says so."""
    async with other_chain(tmp_path / "anvil", block_seconds=3_600) as node:
        world = await world_on(node)
        for amount in range(1, 6):
            await world.lock(amount)
        async with world.endpoints() as endpoints:
            follower = VerifiedFollower(endpoints, world.lockbox, world.start)
            events, cursor = await everything(follower)
            assert len(events) == 5
            await node.rpc.call("anvil_reorg", 3, [])
            await world.lock(9)
            with pytest.raises(CursorReorged) as told:
                await follower.read(cursor)
            assert told.value.number == cursor.number
            again, _ = await everything(VerifiedFollower(endpoints, world.lockbox, world.start))
            amounts = [event.amount for event in again if isinstance(event, Locked)]
            assert amounts[-1] == 9
            assert 5 not in amounts


async def test_two_chains_are_followed_at_once(tmp_path: Path) -> None:
    """A follower for each chain reads its own Lockbox, and neither takes the other's chain for its own."""
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(other_chain(tmp_path / str(one), chain_id=one, block_seconds=3_600))
            for one in CHAIN_IDS
        ]
        worlds = [await world_on(node) for node in nodes]
        for index, world in enumerate(worlds):
            for amount in range(1, 3 + index):
                await world.lock(amount)
        endpoints = [await stack.enter_async_context(world.endpoints()) for world in worlds]
        followers = [
            VerifiedFollower(one, world.lockbox, world.start) for one, world in zip(endpoints, worlds, strict=True)
        ]
        read = await asyncio.gather(*(everything(follower) for follower in followers))
        assert [[e.amount for e in events if isinstance(e, Locked)] for events, _ in read] == [[1, 2], [1, 2, 3]]
        mixed = await stack.enter_async_context(worlds[0].endpoints(nodes[1].url))
        with pytest.raises(WrongChain) as refusal:
            await mixed.final()
        assert refusal.value.field == "chain id"
