"""Following a Channels contract to finality: see `adapters.evm.follower`."""

from __future__ import annotations

from typing import TypeAlias

from adapters.evm.channels.events import ChannelsEvent, decode_event
from adapters.evm.endpoints import Endpoints
from adapters.evm.follower import MAX_RANGE, ContractFollower
from adapters.evm.lockbox.types import check_address
from adapters.evm.types import Batch
from foundation.quantities import BlockHeight

ChannelsBatch: TypeAlias = Batch[ChannelsEvent]


class ChannelsFollower(ContractFollower[ChannelsEvent]):
    """One contract on one chain; `start` is the block in which it was deployed."""

    def __init__(
        self, endpoints: Endpoints, contract: bytes, start: BlockHeight, *, max_range: int = MAX_RANGE
    ) -> None:
        """See `ContractFollower`. Raises `BadInput`: no address."""
        check_address(contract, "channels", zero_allowed=False)
        super().__init__(endpoints, contract, start, decode_event, max_range=max_range)
