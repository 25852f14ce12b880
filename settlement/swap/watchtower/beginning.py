"""Where on bitcoin's chain a watchtower begins to read for a bundle: nothing of a swap is older than its terms."""

from __future__ import annotations

from typing import Final

from adapters.bitcoin.rpc import BitcoinRpc
from foundation.quantities import BlockHeight
from settlement.swap.recovery.recover import height_at
from settlement.swap.watchtower.bundle import Bundle

_LEEWAY: Final = 4 * 3_600
"""A bitcoin block's time may be two hours off, and so may its neighbour's."""


async def bitcoin_birth(rpc: BitcoinRpc, bundle: Bundle) -> BlockHeight:
    """From which bitcoin block on the output may be there. Raises what the node does."""
    if bundle.birth or not bundle.since:
        return BlockHeight(bundle.birth)
    return await height_at(rpc, bundle.since - _LEEWAY)
