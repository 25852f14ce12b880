"""The native chain as the bridge sees it: its blocks, the contracts' events, and their state at a block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from adapters.evm.logs import LogFollower, read_logs
from adapters.evm.rpc import EvmRpc
from adapters.evm.types import BlockHeader, BlockRef, Log
from adapters.native.bindings import Hub
from adapters.native.bonds_reads import BondsReads
from adapters.native.calls import Calls
from adapters.native.deployment import Deployment
from adapters.native.eip712 import HubDigests, RegistryDigests
from adapters.native.events import DepositAnnounced, EventBatch, NativeEvent, decode_event
from adapters.native.hub_reads import HubReads
from adapters.native.proofs import group_proof_message
from adapters.native.reads import At
from adapters.native.registry_reads import RegistryReads
from adapters.native.types import Announcement
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Wei


class NativeChain(RegistryReads, BondsReads, HubReads):
    """Typed reads of one bridge's contracts. It fulfils `NativeReads` and `NativeBlocks`, which say what raises.

    Fields: rpc; deployment; calls (builds what a sender sends); hub_digests, registry_digests (what is signed).
    """

    def __init__(self, rpc: EvmRpc, deployment: Deployment) -> None:
        """For the contracts of `deployment`, through `rpc`, made with `reverted=typed_revert`; the caller closes it."""
        super().__init__(rpc, deployment)
        self.calls = Calls(deployment)
        self.hub_digests = HubDigests(deployment.chain_id, deployment.hub)
        self.registry_digests = RegistryDigests(deployment.chain_id, deployment.registry)
        self._names = {deployment.registry: "Registry", deployment.bonds: "Bonds", deployment.hub: "Hub"}
        self._follower = LogFollower(rpc, list(self._names), deployment.start_block)

    async def check(self) -> None:
        """Make sure that the node serves the chain of the deployment, and that the contracts are there.

        Raises:
            WrongChain: another chain.
            BadInput: an address without a contract.
        """
        await self.rpc.check_chain(self.deployment.chain_id, self.deployment.genesis)
        for address, name in self._names.items():
            if not await self.rpc.code(address):
                raise BadInput(f"deployment.{name.lower()}", f"no contract is at 0x{address.hex()}")

    async def finalized_block(self) -> BlockRef:
        """The newest final block."""
        return await self._tagged("finalized")

    async def latest_block(self) -> BlockRef:
        """The newest block."""
        return await self._tagged("latest")

    async def block(self, at: At) -> BlockHeader | None:
        """A block's header with its time, None where there is no such block."""
        return await self.rpc.block(at)

    async def events(self, first: BlockHeight, last: BlockHeight) -> list[NativeEvent]:
        """The events from block `first` to block `last`, both included, in the chain's order. Raises as `read_logs`."""
        return list(self._decoded(await read_logs(self.rpc, list(self._names), first, last)))

    async def next_events(self, cursor: BlockRef | None) -> EventBatch | None:
        """The next final events after `cursor`; None where there are no more yet. Raises as `LogFollower.read`."""
        batch = await self._follower.read(cursor)
        return None if batch is None else EventBatch(batch.first, batch.last, self._decoded(batch.logs))

    async def follow(self, cursor: BlockRef | None, poll_seconds: float = 0.2) -> AsyncIterator[EventBatch]:
        """Final events for ever; empty batches too, so that the cursor can be stored. Raises as `LogFollower.read`."""
        async for batch in self._follower.follow(cursor, poll_seconds):
            yield EventBatch(batch.first, batch.last, self._decoded(batch.logs))

    async def announcement(self, announcement: bytes) -> Announcement | None:
        """The terms of a deposit address that were announced under this id, as the final blocks have them.

        The id commits to all of them but the birthday; of several announcements the lowest birthday is returned, with
        which no coin is missed.

        Raises:
            As `read_logs`.
        """
        topics = [[Hub.DepositAnnounced.topic], [announcement]]
        first, last = self.deployment.start_block, (await self.finalized_block()).number
        logs = await read_logs(self.rpc, [self.deployment.hub], first, last, topics)
        found = [event.terms for event in self._decoded(logs) if isinstance(event, DepositAnnounced)]
        return min(found, key=lambda terms: terms.birthday, default=None)

    async def balance(self, account: bytes, at: At = "latest") -> Wei:
        """What an account has for gas."""
        return await self.rpc.balance(account, at)

    def group_proof_message(self, group: bytes, epoch: int, key: bytes) -> bytes:
        """What a group's new key signs, 32 bytes, as the Registry computes it. Raises `BadInput`."""
        return group_proof_message(self.deployment.chain_id, self.deployment.registry, group, epoch, key)

    def decoded(self, logs: Sequence[Log]) -> tuple[NativeEvent, ...]:
        """The contracts' events among logs, as those of a receipt. Raises `BadAnswer`."""
        return self._decoded(logs)

    def _decoded(self, logs: Sequence[Log]) -> tuple[NativeEvent, ...]:
        events = [decode_event(self._names[log.address], log) for log in logs if log.address in self._names]
        return tuple(event for event in events if event is not None)
