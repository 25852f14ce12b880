"""Following a Lockbox to finality: see `adapters.evm.follower`."""

from __future__ import annotations

from adapters.evm.endpoints import Endpoints
from adapters.evm.follower import MAX_RANGE, ContractFollower
from adapters.evm.lockbox.events import LockboxEvent, decode_event
from adapters.evm.lockbox.types import check_address
from foundation.quantities import BlockHeight


class VerifiedFollower(ContractFollower[LockboxEvent]):
    """One Lockbox on one chain; `start` is `Vault.start_block` of the Registry."""

    def __init__(self, endpoints: Endpoints, lockbox: bytes, start: BlockHeight, *, max_range: int = MAX_RANGE) -> None:
        """See `ContractFollower`. Raises `BadInput`: no address."""
        check_address(lockbox, "lockbox", zero_allowed=False)
        super().__init__(endpoints, lockbox, start, decode_event, max_range=max_range)
