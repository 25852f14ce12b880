"""The development network, whose nodes are processes, as a network of the bridge's tests; and a killer of nodes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.native.chain import NativeChain
from adapters.native.errors import typed_revert
from bridge.settings import Settings
from cli.context import CONFIG
from cli.dev.network import DevNetwork, DevPlan
from cli.dev.nodes import DevNode
from foundation.quantities import Wei
from mpc.curve import tagged_hash
from mpc.identity import Identity
from tests.support.bridge_life import Life
from tests.support.bridge_network import ETHER, BridgeNetwork, BridgeNode, eventually


@dataclass
class ProcessNode(BridgeNode):
    """A node that runs as a process. Its keys stay there: `identity` is nobody's."""

    process: DevNode | None = None

    @property
    def runs(self) -> bool:
        """It is started again whenever it was killed."""
        return True

    async def killed(self) -> None:
        """Kill it (SIGKILL), start it again, and wait until it is up."""
        assert self.process is not None
        self.process.kill()
        await self.process.start()
        await eventually(self._up, f"{self.name} is up again")

    async def _up(self) -> bool:
        assert self.process is not None
        return await self.process.is_up()


@contextlib.asynccontextmanager
async def process_network(folder: Path, plan: DevPlan) -> AsyncIterator[BridgeNetwork]:
    """A network of processes, whose group is active."""
    async with DevNetwork(folder, plan) as dev, EvmRpc(dev.anvil.url, reverted=typed_revert) as rpc:
        assert dev.deployment is not None
        policy = SenderPolicy(fees=FeePolicy(), poll_seconds=0.02)
        secret = tagged_hash("test announcer", str(folder).encode())
        chain_id = dev.deployment.chain_id
        async with TxSender(rpc, VolatileJournal(), secret, chain_id, policy) as announcer:
            native = NativeChain(rpc, dev.deployment)
            net = BridgeNetwork(folder, dev.bitcoind, dev.anvil, dev.deployment, native, announcer)
            await dev.anvil.faucet("0x" + announcer.account.hex(), Wei(100 * ETHER))
            net.storemen = [_node(node) for node in dev.storemen]
            net.vouchers = [_node(node) for node in dev.vouchers]
            yield net
            for sender in net.senders.values():
                await sender.close()
            for node in net.nodes:
                await node.forget()


@contextlib.asynccontextmanager
async def one_after_another_killed(life: Life, seed: int, most: int) -> AsyncIterator[list[str]]:
    """Kill up to `most` nodes in random order, one at a time, while the block lasts; yields the names of the killed."""
    killed: list[str] = []
    order = random.Random(seed)

    async def kill() -> None:
        while len(killed) < most:
            node = order.choice([node for node in life.net.nodes if node.name not in killed[-3:]])
            assert isinstance(node, ProcessNode)
            killed.append(node.name)
            await node.killed()

    async def some() -> bool:
        return len(killed) > 2

    killer = asyncio.create_task(kill())
    try:
        yield killed
        await eventually(some, "some were killed")
    finally:
        killer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await killer
        for node in life.net.nodes:
            if isinstance(node, ProcessNode) and node.process is not None:
                await node.process.start()


def _node(node: DevNode) -> ProcessNode:
    settings = Settings.load(node.folder / CONFIG)
    nobody = Identity.from_host_secret(tagged_hash("test", node.name.encode()))
    return ProcessNode(settings, nobody, node.public.member, process=node)
