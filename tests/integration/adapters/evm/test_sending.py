"""Sending through a real node that stops, forgets, and mines only when it is told."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.evm.errors import InsufficientBalance, NodeUnavailable, TransactionAbandoned, WrongChain
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.evm.types import BlockHeader, Call
from adapters.native.eip712 import account_of_secret
from adapters.native.errors import typed_revert
from foundation.errors import Retryable
from foundation.quantities import BlockHeight, Wei
from infra.anvil import Anvil
from tests.support.native_bridge import ETHER, address
from tests.support.patience import PATIENCE_S

POLICY = SenderPolicy(tend_seconds=0.05, resend_after_seconds=0.1)


@pytest.fixture
async def rpc(fresh_anvil: Anvil) -> AsyncIterator[EvmRpc]:
    """The RPC of a node of this test's own."""
    async with EvmRpc(fresh_anvil.url, reverted=typed_revert) as opened:
        yield opened


@pytest.fixture
async def still_anvil(tmp_path: Path) -> AsyncIterator[Anvil]:
    """A node that makes no blocks by itself but those for transactions."""
    async with Anvil(tmp_path / "still", block_seconds=100_000) as node:
        yield node


async def funded(anvil: Anvil) -> bytes:
    """The key of a new account with 10 ether."""
    secret = secrets.token_bytes(32)
    await anvil.faucet(address(account_of_secret(secret)), Wei(10 * ETHER))
    return secret


def pay(amount: int, to: bytes = b"\x21" * 20) -> Call:
    """A payment that adds `amount` wei to an account."""
    return Call(to, b"", f"pay {amount}", Wei(amount))


async def mine_nothing(anvil: Anvil) -> None:
    """Make no block but by `Anvil.mine`, until the node is started again."""
    # In mixed mode evm_setAutomine changes nothing.
    await anvil.rpc.call("evm_setIntervalMining", 0)


async def settled(anvil: Anvil, sender: TxSender) -> None:
    """Wait until nothing is on its way."""
    async with asyncio.timeout(PATIENCE_S):
        while sender.on_their_way:
            await anvil.mine()
            await asyncio.sleep(0.02)


async def test_a_node_stops_and_comes_back(fresh_anvil: Anvil, rpc: EvmRpc) -> None:
    """While a node is down all errors are ones that pass; when it is back all goes on, and nothing is sent twice."""
    secret, journal = await funded(fresh_anvil), VolatileJournal()
    async with TxSender(rpc, journal, secret, fresh_anvil.chain_id, POLICY) as sender:
        await sender.send(pay(1), "before")
        await mine_nothing(fresh_anvil)
        waiting = [asyncio.create_task(sender.send(pay(10), f"during {number}")) for number in range(3)]
        async with asyncio.timeout(PATIENCE_S):
            while (await rpc.transaction_counts(sender.account, ["pending"]))[0] < 4:
                await asyncio.sleep(0.02)
        await fresh_anvil.stop()
        with pytest.raises(NodeUnavailable) as refusal:
            await sender.send(pay(100), "down")
        assert isinstance(refusal.value, Retryable)
        with pytest.raises(NodeUnavailable):
            await rpc.block("finalized")
        assert not any(task.done() for task in waiting)
        await fresh_anvil.start()  # with an empty mempool
        results = await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)
        await sender.send(pay(100), "down")
        again = await asyncio.gather(*(sender.send(pay(10), f"during {number}") for number in range(3)))
        assert [result.transaction for result in again] == [result.transaction for result in results]
        await settled(fresh_anvil, sender)
        assert await rpc.balance(b"\x21" * 20) == 131
        assert await rpc.transaction_counts(sender.account, ["latest", "finalized"]) == [5, 5]


async def test_a_killed_node_gets_back_what_it_lost(tmp_path: Path) -> None:
    """A node that lost its newest blocks gets the lost transactions back, in their order, before a new one goes."""
    async with Anvil(tmp_path / "anvil", save_seconds=3_600) as anvil, EvmRpc(anvil.url) as rpc:
        secret, journal = await funded(anvil), VolatileJournal()
        async with TxSender(rpc, journal, secret, anvil.chain_id, POLICY) as sender:
            await sender.send(pay(1), "kept")
            await anvil.restart()  # which saves
            for number in range(3):
                await sender.send(pay(10), f"lost {number}")
            await settled(anvil, sender)
            anvil.kill()
            await anvil.start()
            assert await rpc.balance(b"\x21" * 20) == 1
            await sender.send(pay(100), "new")
            await settled(anvil, sender)
        assert await rpc.balance(b"\x21" * 20) == 131
        assert await rpc.transaction_counts(sender.account, ["latest"]) == [5]


async def test_many_senders_on_a_chain_that_waits(still_anvil: Anvil) -> None:
    """Senders of several accounts, each with several transactions in the mempool, are all served by one block."""
    async with EvmRpc(still_anvil.url) as rpc:
        await mine_nothing(still_anvil)
        keys = [await funded(still_anvil) for _ in range(4)]
        senders = [TxSender(rpc, VolatileJournal(), key, still_anvil.chain_id, POLICY) for key in keys]
        for sender in senders:
            await sender.start()
        tasks = [asyncio.create_task(sender.send(pay(1), f"key {number}")) for sender in senders for number in range(5)]
        async with asyncio.timeout(PATIENCE_S):
            for sender in senders:
                while await rpc.transaction_counts(sender.account, ["pending"]) != [5]:
                    await asyncio.sleep(0.02)
        assert not any(task.done() for task in tasks)
        await still_anvil.mine()
        results = await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)
        assert len({result.receipt.block for result in results}) == 1
        assert await rpc.balance(b"\x21" * 20) == 20
        for sender in senders:
            await sender.close()


async def test_a_stuck_transaction_is_replaced(still_anvil: Anvil) -> None:
    """The node takes our replacement of a transaction that lingers, and mines one of the two."""
    async with EvmRpc(still_anvil.url) as rpc:
        await mine_nothing(still_anvil)
        journal, secret = VolatileJournal(), await funded(still_anvil)
        policy = replace(POLICY, bump_after_seconds=0.05)
        async with TxSender(rpc, journal, secret, still_anvil.chain_id, policy) as sender:
            task = asyncio.create_task(sender.send(pay(1), "key"))
            async with asyncio.timeout(PATIENCE_S):
                while len(await journal.by_key(sender.account, "key")) < 3:
                    await asyncio.sleep(0.02)
            await still_anvil.mine()
            result = await asyncio.wait_for(task, PATIENCE_S)
            versions = await journal.by_key(sender.account, "key")
            assert result.transaction in {version.hash for version in versions[1:]}
            await settled(still_anvil, sender)
        assert await rpc.balance(b"\x21" * 20) == 1


async def test_a_stranger_with_the_same_key_takes_a_nonce(still_anvil: Anvil) -> None:
    """Two senders of one account, against the rule: the loser learns that its transaction can never be mined."""
    async with EvmRpc(still_anvil.url) as rpc:
        secret = await funded(still_anvil)
        first, second = (TxSender(rpc, VolatileJournal(), secret, still_anvil.chain_id, POLICY) for _ in range(2))
        async with first, second:
            await second.send(pay(1), "learns the nonce")
            await first.send(pay(10), "first")
            task = asyncio.create_task(second.send(pay(100), "second"))
            async with asyncio.timeout(PATIENCE_S):
                while not task.done():
                    await still_anvil.mine()
                    await asyncio.sleep(0.02)
            with pytest.raises(TransactionAbandoned):
                await task
            await second.send(pay(100), "second, under a new key")
        assert await rpc.balance(b"\x21" * 20) == 111


async def test_an_account_without_coins_is_told(anvil: Anvil) -> None:
    """An account that cannot pay gets a typed error that passes when it is funded."""
    secret = secrets.token_bytes(32)
    async with EvmRpc(anvil.url) as rpc, TxSender(rpc, VolatileJournal(), secret, anvil.chain_id) as sender:
        with pytest.raises(InsufficientBalance):
            await sender.send(pay(1, b"\x22" * 20), "key")
        await anvil.faucet(address(sender.account), Wei(ETHER))
        await sender.send(pay(1, b"\x22" * 20), "key")


async def test_the_nodes_chain_is_checked(anvil: Anvil) -> None:
    """A node of another chain, or of another history under the same number, is refused."""
    async with EvmRpc(anvil.url) as rpc:
        genesis = await rpc.block(BlockHeight(0))
        assert isinstance(genesis, BlockHeader)
        await rpc.check_chain(anvil.chain_id, genesis.hash)
        with pytest.raises(WrongChain):
            await rpc.check_chain(1)
        with pytest.raises(WrongChain):
            await rpc.check_chain(anvil.chain_id, bytes(32))
