"""One EVM chain as a node deals with it: its endpoints, and this node's account on it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from adapters.evm.endpoints import Endpoints
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from adapters.evm.lockbox.errors import typed_revert
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from bridge.directory import EvmOrigin
from bridge.settings import EvmSection
from bridge.storage import Database, DatabaseJournal
from foundation.quantities import UnixMs
from mpc.transport import wall_clock


@dataclass(frozen=True, slots=True)
class Outpost:
    """Fields: section (its block of the configuration); endpoints (for what must be right); rpc and sender (this node's
    account, over the first endpoint: what it sends is shown by proved events, whatever that endpoint says).
    """

    section: EvmSection
    endpoints: Endpoints
    rpc: EvmRpc
    sender: TxSender

    @property
    def chain(self) -> bytes:
        """The chain's id, 32 bytes."""
        return self.section.id

    @classmethod
    async def open(
        cls, stack: AsyncExitStack, section: EvmSection, origin: EvmOrigin, database: Database, secret: bytes
    ) -> Self:
        """Open it; `stack` closes it. `secret`: of this node's account, 32 bytes.

        Raises:
            WrongChain: an endpoint serves another chain (fatal).
            What the endpoints and the database raise where they are away: call again later, with a new stack.
        """
        endpoints = Endpoints.at(section.urls, origin.chain, quorum=section.quorum, reverted=typed_revert)
        stack.push_async_callback(endpoints.close)
        await endpoints.check()
        rpc = EvmRpc(section.urls[0], reverted=typed_revert)
        stack.push_async_callback(rpc.close)
        journal = DatabaseJournal(database, _clock, origin.chain.caip2)
        policy = SenderPolicy(fees=FeePolicy(cap=section.max_fee))
        sender = TxSender(rpc, journal, secret, origin.chain_number, policy)
        await sender.start()
        stack.push_async_callback(sender.close)
        return cls(section, endpoints, rpc, sender)


def _clock() -> UnixMs:
    return wall_clock()
