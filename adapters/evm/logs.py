"""Following the logs of contracts up to the finalized block, so that what was read is never taken back.

The follower keeps nothing: its caller stores the cursor (the last block that was read) in the same database
transaction as what it derived from the logs, and passes it in again. So a crash at any point reads again what was
not stored, and nothing is skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from adapters.evm.errors import ChainMoved, CursorReorged, NodeUnavailable, RpcRefused, TooManyLogs
from adapters.evm.types import BlockHeader, BlockRef, BlockTag, Log
from foundation.quantities import BlockHeight

MAX_RANGE: Final = 10_000
"""Blocks in one request, unless the provider wants fewer."""

_OVER_LIMIT_CODES: Final = frozenset({-32005, -32602})
_OVER_LIMIT_WORDS: Final = ("range", "limit", "too many", "too large", "more than", "exceed", "response size")


class LogSource(Protocol):
    """What following needs of a node; `adapters.evm.rpc.EvmRpc` has it."""

    async def blocks(self, numbers: Sequence[BlockHeight | BlockTag]) -> list[BlockHeader | None]:
        """Headers, None for blocks that the node does not have."""
        ...

    async def logs(
        self,
        addresses: Sequence[bytes],
        first: BlockHeight,
        last: BlockHeight,
        topics: Sequence[Sequence[bytes]] = (),
    ) -> list[Log]:
        """The logs in a range of blocks, in the chain's order."""
        ...


async def read_logs(
    source: LogSource,
    addresses: Sequence[bytes],
    first: BlockHeight,
    last: BlockHeight,
    topics: Sequence[Sequence[bytes]] = (),
    max_range: int = MAX_RANGE,
) -> list[Log]:
    """The logs from block `first` to block `last`, both included, in as many requests as the provider wants.

    Raises:
        TooManyLogs: the provider refuses even a single block.
        NodeUnavailable, AccessDenied, RpcRefused, BadAnswer: see `adapters.evm.rpc`.
    """
    found: list[Log] = []
    size, start = max_range, first
    while start <= last:
        end = BlockHeight(min(last, start + size - 1))
        try:
            found += await source.logs(addresses, start, end, topics)
        except RpcRefused as error:
            if not is_over_limit(error):
                raise
            if start == end:
                raise TooManyLogs(start, error.message) from error
            size = (end - start + 1) // 2
        else:
            start, size = BlockHeight(end + 1), min(max_range, size * 2)
    return found


@dataclass(frozen=True, slots=True)
class LogBatch:
    """All logs from block `first` to block `last`, both included. `last` is the cursor to store."""

    first: BlockHeight
    last: BlockRef
    logs: tuple[Log, ...]


class LogFollower:
    """Reads the logs of some contracts in ranges of final blocks, as large as the provider lets them be."""

    def __init__(
        self,
        source: LogSource,
        addresses: Sequence[bytes],
        start: BlockHeight,
        *,
        topics: Sequence[Sequence[bytes]] = (),
        max_range: int = MAX_RANGE,
    ) -> None:
        """Describe what to follow.

        Args:
            source: the node.
            addresses: of the contracts, 20 bytes each.
            start: the first block to read where there is no cursor; the one in which the contracts were deployed.
            topics: as in `EvmRpc.logs`.
            max_range: blocks in one request.
        """
        self._source = source
        self._addresses = tuple(addresses)
        self._start = start
        self._topics = topics
        self._max_range = max_range
        self._range = max_range

    async def read(self, cursor: BlockRef | None) -> LogBatch | None:
        """The next final blocks' logs after `cursor`; None where there are no more yet.

        Raises:
            CursorReorged: the block at the cursor is no longer in the final chain.
            ChainMoved: the node's answers do not belong to one chain.
            TooManyLogs: the provider refuses even a single block.
            NodeUnavailable, AccessDenied, RpcRefused, BadAnswer: see `adapters.evm.rpc`.
        """
        tip = await self._final_tip(cursor)
        first = self._start if cursor is None else BlockHeight(cursor.number + 1)
        if tip is None or tip.number < first:
            return None
        while True:
            last = BlockHeight(min(tip.number, first + self._range - 1))
            try:
                batch = await self._range_of(first, last, tip)
            except RpcRefused as error:
                if not is_over_limit(error):
                    raise
                if last == first:
                    raise TooManyLogs(first, error.message) from error
                self._range = max(1, (last - first + 1) // 2)
            except NodeUnavailable:
                # Perhaps it was too much to answer in time: less is asked for when the caller comes again.
                self._range = max(1, (last - first + 1) // 2)
                raise
            else:
                # Grown again, because a crowded stretch of blocks does not last.
                self._range = min(self._max_range, self._range * 2)
                return batch

    async def follow(self, cursor: BlockRef | None, poll_seconds: float = 0.2) -> AsyncIterator[LogBatch]:
        """Read for ever. After a block without logs comes an empty batch, so that the cursor can be stored.

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

    async def _final_tip(self, cursor: BlockRef | None) -> BlockHeader | None:
        if cursor is None:
            return (await self._source.blocks(["finalized"]))[0]
        tip, at_cursor = await self._source.blocks(["finalized", cursor.number])
        if tip is None or tip.number < cursor.number:
            return None  # the node is behind us: it restarted, or it is another one, and catches up
        found = None if at_cursor is None else at_cursor.hash
        if found != cursor.hash:
            raise CursorReorged(cursor.number, cursor.hash, found)
        return tip

    async def _range_of(self, first: BlockHeight, last: BlockHeight, tip: BlockHeader) -> LogBatch:
        logs = await self._source.logs(self._addresses, first, last, self._topics)
        header = tip if last == tip.number else (await self._source.blocks([last]))[0]
        if header is None:
            raise ChainMoved(last)
        for log in logs:
            if not first <= log.block.number <= last or (log.block.number == last and log.block.hash != header.hash):
                raise ChainMoved(log.block.number)
        return LogBatch(first, header.ref, tuple(logs))


def is_over_limit(error: RpcRefused) -> bool:
    """Whether a provider refused a range because of its size. Providers share no code for it, so words count too."""
    words = error.message.lower()
    return error.code in _OVER_LIMIT_CODES or any(word in words for word in _OVER_LIMIT_WORDS)
