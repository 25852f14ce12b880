"""One chain through several bitcoin nodes, none of which is believed alone.

A block's hash commits to all that is in it, and blocks are held against their hashes as they are read. So what the
nodes have to agree on is the hashes of final blocks; the rest is read from whichever serves. What is sent goes to all:
a node that keeps a claim to itself delays nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import structlog

from adapters.bitcoin.addresses import Network
from adapters.bitcoin.answers import MempoolEntry
from adapters.bitcoin.errors import MempoolRefused, NodeUnavailable, Refusal
from adapters.bitcoin.primitives import BlockRef, hash_text
from adapters.bitcoin.rpc import BitcoinRpc, Header
from foundation.errors import BadInput, CausewayError, Retryable
from foundation.quantities import BlockHeight, SatPerKvB

_log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")

_BEHIND_MAX: Final = 3
"""Blocks; one that is further behind holds everything up, and people should know."""


class NodesDisagree(Retryable):
    """Nodes have different blocks at a final height: one of them lies, or is on a fork. Nothing is outvoted.

    Fields: height; hashes (what each node says, by its name).
    """

    cure = "compare the nodes with a third one, and remove the one that is wrong from the configuration"

    def __init__(self, height: BlockHeight, hashes: Mapping[str, bytes]) -> None:
        self.height = height
        self.hashes = dict(hashes)
        told = ", ".join(f"{name} has {hash_text(block)}" for name, block in sorted(hashes.items()))
        super().__init__(f"bitcoin block {height:,}: {told}")


class LedgerNode(Protocol):
    """What a ledger needs of a node; `BitcoinRpc` has it, and says what each raises, and so have `BitcoinNodes`."""

    async def call(self, method: str, *params: object) -> Any: ...

    async def check_network(self, network: Network) -> None: ...

    async def tip(self) -> BlockRef: ...

    async def block_hash(self, height: BlockHeight) -> bytes: ...

    async def block(self, block_hash: bytes) -> bytes: ...

    async def header(self, block_hash: bytes) -> Header: ...

    async def submit(self, raw: bytes) -> bytes: ...

    async def mempool_entry(self, txid: bytes) -> MempoolEntry | None: ...

    async def transaction(self, txid: bytes) -> bytes | None: ...

    async def estimate_fee_rate(self, blocks: int) -> SatPerKvB | None: ...

    async def relay_floor(self) -> SatPerKvB: ...

    async def incremental_relay_fee(self) -> SatPerKvB: ...


class BitcoinNodes:
    """Several nodes as one. All have to answer where they have to agree. See `LedgerNode`."""

    def __init__(self, nodes: Mapping[str, LedgerNode]) -> None:
        """By their names, which errors tell: never a URL with a password. Raises `BadInput`: there are none."""
        if not nodes:
            raise BadInput("nodes", "there are none", "at least one bitcoin node")
        self._nodes = dict(nodes)

    async def check_network(self, network: Network) -> None:
        """Each of them follows this chain."""
        await self._all(lambda node: node.check_network(network))

    async def tip(self) -> BlockRef:
        """The lowest of their newest blocks. They need not agree on it: two blocks may be found at once."""
        tips = await self._all(lambda node: node.tip())
        lowest = min(tips.values(), key=lambda block: block.height)
        if max(tip.height for tip in tips.values()) - lowest.height > _BEHIND_MAX:
            heights = {name: tip.height for name, tip in tips.items()}
            _log.warning("a bitcoin node is behind: nothing newer is final until it has caught up", heights=heights)
        return lowest

    async def block_hash(self, height: BlockHeight) -> bytes:
        """What all of them have at a height. Raises `NodesDisagree`."""
        hashes = await self._all(lambda node: node.block_hash(height))
        if len(set(hashes.values())) > 1:
            _log.warning("bitcoin nodes disagree", height=height, hashes={n: hash_text(h) for n, h in hashes.items()})
            raise NodesDisagree(height, hashes)
        return next(iter(hashes.values()))

    async def block(self, block_hash: bytes) -> bytes:
        """From the first that serves it; who reads it holds it against its hash."""
        return await self._first(lambda node: node.block(block_hash))

    async def header(self, block_hash: bytes) -> Header:
        """From the first that serves it."""
        return await self._first(lambda node: node.header(block_hash))

    async def call(self, method: str, *params: object) -> Any:
        """From the first that serves it."""
        return await self._first(lambda node: node.call(method, *params))

    async def transaction(self, txid: bytes) -> bytes | None:
        """From the first that has it."""
        answers = await self._served(lambda node: node.transaction(txid))
        return next((raw for raw in answers if raw is not None), None)

    async def mempool_entry(self, txid: bytes) -> MempoolEntry | None:
        """Where all that answer have it; None where one of them has to be given it again."""
        answers = await self._served(lambda node: node.mempool_entry(txid))
        return None if None in answers else answers[0]

    async def submit(self, raw: bytes) -> bytes:
        """Give it to all of them; the id, once one has taken it.

        Raises:
            MempoolRefused: none takes it. A node that has it already says so, and that is said first.
        """
        refusals: list[MempoolRefused] = []

        async def ask(node: LedgerNode) -> bytes | None:
            try:
                return await node.submit(raw)
            except MempoolRefused as refused:
                refusals.append(refused)
                return None

        taken = [txid for txid in await self._served(ask) if txid is not None]
        if taken:
            return taken[0]
        raise next((one for one in refusals if one.refusal is Refusal.ALREADY_KNOWN), refusals[0])

    async def estimate_fee_rate(self, blocks: int) -> SatPerKvB | None:
        """The highest estimate: a claim that lingers costs more than its fee, which the policy caps."""
        answers = await self._served(lambda node: node.estimate_fee_rate(blocks))
        return max((rate for rate in answers if rate is not None), default=None)

    async def relay_floor(self) -> SatPerKvB:
        """The highest."""
        return max(await self._served(lambda node: node.relay_floor()))

    async def incremental_relay_fee(self) -> SatPerKvB:
        """The highest."""
        return max(await self._served(lambda node: node.incremental_relay_fee()))

    async def _all(self, ask: Callable[[LedgerNode], Awaitable[Answer]]) -> dict[str, Answer]:
        """What each of them answers. Raises the first failure: silence is no agreement."""
        answers = await asyncio.gather(*(ask(node) for node in self._nodes.values()))
        return dict(zip(self._nodes, answers, strict=True))

    async def _served(self, ask: Callable[[LedgerNode], Awaitable[Answer]]) -> list[Answer]:
        """What those answer that serve, one at least. Raises the first failure where none does."""
        asked = [ask(node) for node in self._nodes.values()]
        answers: list[Answer | BaseException] = list(await asyncio.gather(*asked, return_exceptions=True))
        served: list[Answer] = []
        failures: list[BaseException] = []
        for name, answer in zip(self._nodes, answers, strict=True):
            if not isinstance(answer, BaseException):
                served.append(answer)
            elif isinstance(answer, CausewayError):
                failures.append(answer)
                _log.warning("a bitcoin node does not serve", node=name, problem=str(answer))
            else:
                raise answer
        if not served:
            raise failures[0]
        return served

    async def _first(self, ask: Callable[[LedgerNode], Awaitable[Answer]]) -> Answer:
        failures: list[CausewayError] = []
        for name, node in self._nodes.items():
            try:
                return await ask(node)
            except CausewayError as error:
                failures.append(error)
                _log.warning("a bitcoin node does not serve", node=name, problem=str(error))
        raise next((one for one in failures if isinstance(one, NodeUnavailable)), failures[0])


def nodes_of(nodes: Sequence[tuple[str, BitcoinRpc]]) -> LedgerNode:
    """One node as it is, several as one; the second one of a name is that name and #2."""
    if len(nodes) == 1:
        return nodes[0][1]
    named: dict[str, LedgerNode] = {}
    for name, node in nodes:
        count = sum(known == name or known.startswith(f"{name}#") for known in named)
        named[name if not count else f"{name}#{count + 1}"] = node
    return BitcoinNodes(named)
