"""Following one contract to finality: every event of it, once, in order, and proved.

A follower keeps nothing that matters: its caller stores the cursor (the last block that was read) in the same database
transaction as what it derived from the events, and passes it in again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, Generic, TypeVar

from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import CursorReorged, NodeUnavailable
from adapters.evm.headers import Header
from adapters.evm.proved import prove_range
from adapters.evm.types import Batch, BlockRef, Log
from foundation.quantities import BlockHeight

MAX_RANGE: Final = 2_000
"""Blocks in one batch at most, which bounds what is held of them."""

Event = TypeVar("Event")


class ContractFollower(Generic[Event]):
    """One contract on one chain. Followers of several run beside each other and share nothing."""

    def __init__(
        self,
        endpoints: Endpoints,
        contract: bytes,
        start: BlockHeight,
        decode: Callable[[Log], Event | None],
        *,
        max_range: int = MAX_RANGE,
    ) -> None:
        """Describe what to follow.

        Args:
            endpoints: the chain's.
            contract: its address, 20 bytes.
            start: the first block to read where there is no cursor.
            decode: the event in a log that the contract emitted; None for one that is left out.
            max_range: blocks in one batch.
        """
        self._endpoints = endpoints
        self._contract = contract
        self._start = start
        self._decode = decode
        self._max_range = self._range = max_range

    async def read(self, cursor: BlockRef | None) -> Batch[Event] | None:
        """The events in the next final blocks after `cursor`; None where there are no more yet.

        Raises:
            CursorReorged: the block at the cursor is no longer in the final chain.
            EndpointsDisagree, TooFewEndpoints: see `adapters.evm.endpoints`; nothing may be acted on until they agree.
            WrongChain: an endpoint serves another chain.
            EndpointLied: no endpoint proves what it says (its kinds say what is wrong).
            BadAnswer: also where a log is no event that we know.
            NodeUnavailable, AccessDenied, RpcRefused, TooManyLogs: no endpoint serves.
        """
        final = await self._endpoints.final()
        first = self._start if cursor is None else BlockHeight(cursor.number + 1)
        if final is None or final.number < first:
            # Where an endpoint is behind the cursor it catches up; at the cursor it has to have the cursor's block.
            if final is not None and cursor is not None and final.number == cursor.number:
                _check_cursor(cursor, final)
            return None
        top = await self._agreed_top(cursor, first, final)
        try:
            proved = await self._endpoints.read(lambda one: prove_range(one, self._contract, cursor, first, top))
        except NodeUnavailable:
            # Perhaps it was too much to answer in time: less is asked for when the caller comes again.
            self._range = max(1, (top.number - first + 1) // 2)
            raise
        # As much as could be afforded this time, and up to twice as much the next.
        read = proved.last.number - first + 1
        self._range = min(self._max_range, 2 * (self._range if proved.last == top else read))
        events = (self._decode(log) for log in proved.logs)
        return Batch(first, proved.last, tuple(event for event in events if event is not None))

    async def follow(self, cursor: BlockRef | None, poll_seconds: float = 1.0) -> AsyncIterator[Batch[Event]]:
        """Read for ever. After blocks without events comes an empty batch, so that the cursor can be stored.

        Raises:
            As `read`. After a `Retryable` call it again with the stored cursor.
        """
        while True:
            batch = await self.read(cursor)
            if batch is None:
                await asyncio.sleep(poll_seconds)
                continue
            yield batch
            cursor = batch.last

    async def _agreed_top(self, cursor: BlockRef | None, first: BlockHeight, final: Header) -> BlockRef:
        """The block up to which to read: one on which the endpoints agree, on the chain of the cursor."""
        last = BlockHeight(min(final.number, first + self._range - 1))
        # The cursor's block is compared too: between it and the final block there may be more blocks than are read at
        # once, and an endpoint could make up a fork that nobody has compared yet.
        wanted = [] if cursor is None else [cursor.number]
        wanted += [] if last == final.number else [last]
        agreed = await self._endpoints.headers(wanted) if wanted else []
        if cursor is not None:
            _check_cursor(cursor, agreed[0])
        return final.ref if last == final.number else agreed[-1].ref


def _check_cursor(cursor: BlockRef, found: Header) -> None:
    if found.hash != cursor.hash:
        raise CursorReorged(cursor.number, cursor.hash, found.hash)
