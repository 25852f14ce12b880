"""Several bitcoin nodes as one: what they have to agree on, and what goes to all."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.bitcoin.errors import MempoolRefused, NodeUnavailable, Refusal
from adapters.bitcoin.primitives import BlockRef
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, SatPerKvB
from settlement.ledgers.bitcoin.feed import FinalBlocks
from settlement.ledgers.bitcoin.nodes import BitcoinNodes, NodesDisagree, nodes_of
from settlement.ledgers.bitcoin.waiting import settle_blocks, settle_seconds, settle_seconds_least

RAW, TXID = b"raw", b"\x07" * 32


class Node:
    """A node. Fields: height; salt (of its blocks' hashes); is_down; refusal; sent; knows (of its mempool); rate."""

    def __init__(self, height: int = 10, salt: int = 0) -> None:
        self.height = height
        self.salt = salt
        self.is_down = False
        self.refusal: Refusal | None = None
        self.sent: list[bytes] = []
        self.knows: list[bytes] = []
        self.rate = 1_000

    def _serve(self) -> None:
        if self.is_down:
            raise NodeUnavailable("any", "it is down")

    async def tip(self) -> BlockRef:
        self._serve()
        return BlockRef(BlockHeight(self.height), await self.block_hash(BlockHeight(self.height)))

    async def block_hash(self, height: BlockHeight) -> bytes:
        self._serve()
        return bytes([height, self.salt]) * 16

    async def block(self, block_hash: bytes) -> bytes:
        self._serve()
        return b"block"

    async def submit(self, raw: bytes) -> bytes:
        self._serve()
        if self.refusal is not None:
            raise MempoolRefused(TXID, -26, "no", self.refusal)
        self.sent.append(raw)
        return TXID

    async def mempool_entry(self, txid: bytes) -> object | None:
        self._serve()
        return "entry" if txid in self.knows else None

    async def estimate_fee_rate(self, blocks: int) -> SatPerKvB | None:
        self._serve()
        return SatPerKvB(self.rate) if self.rate else None


def together(*nodes: Node) -> Any:
    """Nodes as one."""
    return BitcoinNodes({f"node{index}": node for index, node in enumerate(nodes)})  # type: ignore[misc]


async def test_final_blocks_are_those_of_all_nodes() -> None:
    """The newest final block is the slowest node's, and all have it."""
    assert await FinalBlocks(together(Node(10), Node(8)), 3).tip() == BlockRef(BlockHeight(6), b"\x06\x00" * 16)


async def test_a_node_with_another_block_stops_everything() -> None:
    """A lying node is outvoted by nobody: the error names each with its block."""
    with pytest.raises(NodesDisagree) as refusal:
        await FinalBlocks(together(Node(), Node(salt=1), Node()), 3).tip()
    assert refusal.value.height == 8
    assert refusal.value.hashes["node1"] == b"\x08\x01" * 16


async def test_two_blocks_at_the_tip_are_no_disagreement() -> None:
    """Where two newest blocks are found at once, what is final is the same."""

    class Forked(Node):
        async def block_hash(self, height: BlockHeight) -> bytes:
            return b"\xff" * 32 if height == 10 else await super().block_hash(height)

    assert (await FinalBlocks(together(Node(), Forked()), 2).tip()).height == 9


async def test_a_node_that_is_down_agrees_to_nothing() -> None:
    """Silence is no agreement; what only one has to serve, another serves."""
    down = Node()
    down.is_down = True
    nodes = together(down, Node())
    with pytest.raises(NodeUnavailable):
        await nodes.block_hash(BlockHeight(3))
    assert await nodes.block(b"hash") == b"block"


async def test_what_is_sent_goes_to_all_nodes() -> None:
    """One that is down or refuses does not keep a claim from the others, and one that lacks it is given it again."""
    down, refusing, good = Node(), Node(), Node()
    down.is_down, refusing.refusal = True, Refusal.FEE_TOO_LOW
    nodes = together(down, refusing, good)
    assert await nodes.submit(RAW) == TXID
    assert good.sent == [RAW]
    good.knows.append(TXID)
    assert await nodes.mempool_entry(TXID) is None
    refusing.knows.append(TXID)
    assert await nodes.mempool_entry(TXID) == "entry"
    good.refusal = Refusal.ALREADY_KNOWN
    with pytest.raises(MempoolRefused) as refused:
        await nodes.submit(RAW)
    assert refused.value.refusal is Refusal.ALREADY_KNOWN


async def test_the_highest_estimate_counts() -> None:
    """A node that says that blocks are cheap cannot have a claim linger."""
    cheap, dear = Node(), Node()
    cheap.rate, dear.rate = 0, 9_000
    assert await together(cheap, dear).estimate_fee_rate(3) == 9_000
    dear.rate = 0
    assert await together(cheap, dear).estimate_fee_rate(3) is None


def test_nodes_are_told_apart_by_name() -> None:
    """One node is itself; of several with one name each has a number; none is refused."""
    one: Any = Node()
    assert nodes_of([("a", one)]) is one
    several: Any = nodes_of([("a", one), ("a", Node()), ("b", Node())])
    assert list(several._nodes) == ["a", "a#2", "b"]
    with pytest.raises(BadInput):
        BitcoinNodes({})


def test_the_time_to_settle_allows_for_blocks_that_come_late() -> None:
    """It covers confirmations, a median time that lags, and a block or two of waiting, but once in 100,000 times."""
    assert settle_blocks(3) == 12
    assert settle_seconds(3) == 6 * 3_600
    assert settle_seconds(1) < settle_seconds(6)
    assert all(settle_seconds_least(number) * 2 < settle_seconds(number) for number in range(1, 20))
