"""Following an Escrow to finality: see `adapters.evm.follower`."""

from __future__ import annotations

from adapters.evm.endpoints import Endpoints
from adapters.evm.escrow.events import EscrowEvent, decode_event
from adapters.evm.follower import MAX_RANGE, ContractFollower
from adapters.evm.lockbox.types import check_address
from foundation.quantities import BlockHeight


class EscrowFollower(ContractFollower[EscrowEvent]):
    """One Escrow on one chain; `start` is the block in which it was deployed."""

    def __init__(self, endpoints: Endpoints, escrow: bytes, start: BlockHeight, *, max_range: int = MAX_RANGE) -> None:
        """See `ContractFollower`. Raises `BadInput`: no address."""
        check_address(escrow, "escrow", zero_allowed=False)
        super().__init__(endpoints, escrow, start, decode_event, max_range=max_range)
