"""Where a watch of the EVM chain begins: no lock of a swap is older than its terms."""

from __future__ import annotations

from typing import Final

from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight
from settlement.swap.evm.opening import Views

_LEEWAY: Final = 4 * 3_600
"""By so much may a trader's clock be ahead of the chain's, or a chain's time behind."""


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
