"""Where a node without memory begins to read bitcoin."""

from __future__ import annotations

import pytest

from adapters.bitcoin.primitives import BlockRef
from adapters.bitcoin.rpc import Header
from adapters.evm.types import BlockHeader, BlockTag
from bridge.beginning import first_block
from foundation.quantities import BlockHeight, Wei

DAY = 24 * 3600
SPACING = 600
EPOCH = 1_700_000_000


class Bitcoin:
    """A chain with a block every ten minutes, each odd one's time an hour behind. Fields: asked (headers)."""

    def __init__(self, height: int) -> None:
        self.height = height
        self.asked = 0

    async def tip(self) -> BlockRef:
        return BlockRef(BlockHeight(self.height), _hash(self.height))

    async def block_hash(self, height: BlockHeight) -> bytes:
        return _hash(height)

    async def block(self, block_hash: bytes) -> bytes:
        raise AssertionError("no block is read")

    async def header(self, block_hash: bytes) -> Header:
        self.asked += 1
        height = int.from_bytes(block_hash, "big")
        time = EPOCH + height * SPACING - (3600 if height % 2 else 0)
        block, confirmations = BlockRef(BlockHeight(height), block_hash), self.height - height + 1
        return Header(block, _hash(height - 1), time, confirmations, median_time=time)


class Native:
    """A chain whose contracts were deployed at a time, or that has forgotten when."""

    def __init__(self, time: int | None) -> None:
        self.time = time

    async def block(self, at: BlockHeight | BlockTag) -> BlockHeader | None:
        assert at == 5
        return None if self.time is None else BlockHeader(BlockHeight(5), bytes(32), bytes(32), self.time, Wei(0), 0)


def _hash(height: int) -> bytes:
    return max(0, height).to_bytes(32, "big")


@pytest.mark.parametrize(
    ("height", "deployed", "works", "least", "most"),
    [
        pytest.param(
            50_000, EPOCH + 30_000 * SPACING, True, 30_000 - 156, 30_000 - 140, id="a day below the contracts"
        ),
        pytest.param(50_000, None, True, 0, 0, id="nobody knows when"),
        pytest.param(50_000, EPOCH + 50_000 * SPACING, True, 49_850, 49_862, id="deployed just now"),
        pytest.param(50_000, EPOCH + 60_000 * SPACING, True, 49_988, 49_988, id="never at a block that may go"),
        pytest.param(100, EPOCH + 50 * SPACING, True, 0, 0, id="a young chain"),
        pytest.param(50_000, EPOCH, False, 49_988, 49_988, id="no group yet"),
        pytest.param(7, EPOCH, False, 0, 0, id="hardly a chain"),
    ],
)
async def test_it_begins_below_the_contracts_where_the_bridge_works_and_near_the_tip_where_not(
    height: int, deployed: int | None, works: bool, least: int, most: int
) -> None:
    """All that the bridge has on bitcoin lies above the block, and few headers are asked for."""
    bitcoin = Bitcoin(height)
    found = await first_block(bitcoin, Native(deployed), BlockHeight(5), works_already=works)
    assert least <= found.height <= most
    assert found.hash == _hash(found.height)
    assert bitcoin.asked <= 17
