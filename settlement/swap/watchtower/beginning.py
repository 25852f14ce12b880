"""Where on both chains a watchtower begins to read for a bundle: nothing of a swap is older than its terms."""

from __future__ import annotations

from typing import Final

from adapters.bitcoin.rpc import BitcoinRpc
from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight
from settlement.swap.evm.opening import Views
from settlement.swap.recovery.recover import height_at
from settlement.swap.watchtower.bundle import Bundle

_LEEWAY: Final = 4 * 3_600
"""A bitcoin block's time may be two hours off, and so may its neighbour's; a trader's clock less."""


async def bitcoin_birth(rpc: BitcoinRpc, bundle: Bundle) -> BlockHeight:
    """From which bitcoin block on the output may be there. Raises what the node does."""
    if bundle.birth or not bundle.since:
        return BlockHeight(bundle.birth)
    return await height_at(rpc, bundle.since - _LEEWAY)


async def evm_birth(views: Views, start: BlockHeight, since: int) -> BlockRef | None:
    """A block before all locks of swaps that were agreed at `since` (seconds) or later, by halving; None: begin with
    the Escrow.

    Raises what the endpoints do.
    """
    head = await views.heads.final()
    if head is None or not since or head.number <= start:
        return None
    low, high = int(start), int(head.number)  # the last block before that time is in between, or there is none
    (first,) = await views.heads.headers([start])
    if first.timestamp >= since - _LEEWAY:
        return None
    found = first.ref
    while low < high:
        middle = (low + high + 1) // 2
        (header,) = await views.heads.headers([BlockHeight(middle)])
        if header.timestamp < since - _LEEWAY:
            low, found = middle, header.ref
        else:
            high = middle - 1
    return found
