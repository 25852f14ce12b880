"""Where a node without memory begins to read bitcoin: below all that the bridge has there."""

from __future__ import annotations

from typing import Final, Protocol

from adapters.bitcoin.follower import BlockSource
from adapters.bitcoin.primitives import BlockRef
from adapters.evm.types import BlockHeader, BlockTag
from foundation.quantities import BlockHeight

_NEVER_REORGANISED: Final = 12
"""Blocks below the tip: a node must not begin at a block that a reorg takes away."""

_CLOCKS_SECONDS: Final = 24 * 3600
"""How far the two chains' clocks may be apart. A bitcoin block's time is that of its miner: up to two hours ahead,
and behind by as much as the eleven blocks before it took (consensus rules)."""


class NativeBlocks(Protocol):
    """What this asks of the native chain; `adapters.native.chain.NativeChain` has it."""

    async def block(self, at: BlockHeight | BlockTag) -> BlockHeader | None: ...


async def first_block(
    source: BlockSource, native: NativeBlocks, deployed_at: BlockHeight, *, works_already: bool
) -> BlockRef:
    """The block after which a node begins that knows nothing.

    Where the bridge works already, the node has lost its memory or is new in an old group: no vault and no deposit
    address is older than the contracts, so it begins a day before them. Where no group has a key yet, nothing is on
    bitcoin, and it begins near the tip.

    Args:
        source: the bitcoin node.
        native: the native chain.
        deployed_at: the native block in which the contracts were deployed.
        works_already: a group has its key, finally.

    Raises:
        NodeUnavailable, ChainMoved: call again later.
    """
    tip = await source.tip()
    height = max(0, tip.height - _NEVER_REORGANISED)
    if works_already:
        header = await native.block(deployed_at)
        # A node that has thrown away its old blocks cannot say when that was: then all of bitcoin is read.
        before = 0 if header is None else header.timestamp - _CLOCKS_SECONDS
        height = min(height, await _height_before(source, before, BlockHeight(height)))
    return BlockRef(BlockHeight(height), await source.block_hash(BlockHeight(height)))


async def _height_before(source: BlockSource, seconds: int, highest: BlockHeight) -> BlockHeight:
    """A height up to `highest` whose block is older than `seconds` since 1970, just below one that is not; 0 if none.

    The times of neighbouring blocks are not quite in order, which the margin makes up for.
    """
    low, high = 0, highest + 1
    while high - low > 1:
        middle = BlockHeight((low + high) // 2)
        header = await source.header(await source.block_hash(middle))
        if header.time < seconds:
            low = middle
        else:
            high = middle
    return BlockHeight(low)
