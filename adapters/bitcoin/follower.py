"""Following the node's active chain block by block, back to the fork and forth again where it was reorganised.

Nothing is stored here: a batch names what changed and the tail to go on from, and the caller commits the tail together
with what it made of the changes. The same tail gives the same batch again, as long as the node's chain is the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from adapters.bitcoin.blocks import BlockMatches, ScannedBlock, Watchlist, scan_block
from adapters.bitcoin.errors import ChainMoved, DeepReorg, MalformedBlock, NodeUnavailable, RpcRefused
from adapters.bitcoin.primitives import BlockRef
from adapters.bitcoin.rpc import Header
from foundation.errors import BadInput
from foundation.quantities import BlockHeight

TAIL_DEPTH: Final = 288
"""Blocks that a follower remembers, about two days: a deeper reorganisation needs a person."""

_NO_BLOCK: Final = bytes(32)
"""What the genesis block names as its predecessor."""

_AHEAD: Final = 4
"""Blocks that are fetched while one is read."""

_THREAD_BYTES: Final = 200_000
"""Larger blocks are read in a thread, so that the event loop goes on."""

_BEYOND_TIP: Final = -8
_FORMAT: Final = 1
_HEAD_BYTES: Final = 9
_MOST: Final = 0xFFFFFFFF


class BlockSource(Protocol):
    """What a follower needs of a node; `BitcoinRpc` has it, and says there what the methods return and raise."""

    async def tip(self) -> BlockRef: ...

    async def block_hash(self, height: BlockHeight) -> bytes: ...

    async def block(self, block_hash: bytes) -> bytes: ...

    async def header(self, block_hash: bytes) -> Header: ...


@dataclass(frozen=True, slots=True)
class Connected:
    """A block was added to the chain. Fields: block; previous (hash of its predecessor); time (seconds); matches."""

    block: BlockRef
    previous: bytes
    time: int
    matches: BlockMatches


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The newest block was taken off the chain: what it confirmed is unconfirmed. Fields: block."""

    block: BlockRef


Update: TypeAlias = Connected | Disconnected


@dataclass(frozen=True, slots=True)
class Tail:
    """The newest blocks that a follower has connected, oldest first. An empty tail begins with the genesis block.

    Fields: blocks (heights without gaps); depth (how many are remembered).
    """

    blocks: tuple[BlockRef, ...] = ()
    depth: int = TAIL_DEPTH

    def __post_init__(self) -> None:
        """Raises `BadInput`."""
        if not max(1, len(self.blocks)) <= self.depth <= _MOST:
            raise BadInput("tail", f"has {len(self.blocks)} blocks and a depth of {self.depth}")
        for height, block in enumerate(self.blocks, self.blocks[0].height if self.blocks else 0):
            if block.height != height or not 0 <= height <= _MOST or len(block.hash) != 32:
                raise BadInput("tail", f"has a gap or a malformed block at height {height}")

    @classmethod
    def start(cls, block: BlockRef, depth: int = TAIL_DEPTH) -> Tail:
        """The tail of a follower that begins after `block`, which must never be reorganised away."""
        return cls((block,), depth)

    @property
    def tip(self) -> BlockRef | None:
        """The newest block; None where the follower has not begun."""
        return self.blocks[-1] if self.blocks else None

    def extended(self, block: BlockRef) -> Tail:
        """With one block more; the oldest is forgotten where there are too many."""
        return Tail((*self.blocks, block)[-self.depth :], self.depth)

    def cut(self, kept: int) -> Tail:
        """The oldest `kept` blocks."""
        return Tail(self.blocks[:kept], self.depth)

    def encode(self) -> bytes:
        """Format (1 byte), depth (4), height of the oldest block (4), its hash and those that follow (32 each)."""
        first = self.blocks[0].height if self.blocks else 0
        head = bytes([_FORMAT]) + self.depth.to_bytes(4, "big") + first.to_bytes(4, "big")
        return head + b"".join(block.hash for block in self.blocks)

    @classmethod
    def decode(cls, data: bytes) -> Tail:
        """The inverse of `encode`. Raises `BadInput`."""
        if data[:1] != bytes([_FORMAT]) or len(data) % 32 != _HEAD_BYTES:
            raise BadInput("tail", "is not in a format that this version knows")
        depth, first = int.from_bytes(data[1:5], "big"), int.from_bytes(data[5:_HEAD_BYTES], "big")
        hashes = [data[at : at + 32] for at in range(_HEAD_BYTES, len(data), 32)]
        if first and not hashes:
            raise BadInput("tail", "names a height, and no block")
        blocks = (BlockRef(BlockHeight(first + index), digest) for index, digest in enumerate(hashes))
        return cls(tuple(blocks), depth)


@dataclass(frozen=True, slots=True)
class Batch:
    """What changed, in order: blocks taken off (newest first), then blocks added. Fields: updates; tail (after them).

    No updates: the follower is at the node's tip.
    """

    updates: tuple[Update, ...]
    tail: Tail


async def follow(source: BlockSource, tail: Tail, watched: Watchlist, *, limit: int = 16) -> Batch:
    """Bring a follower nearer to the node's tip, by at most `limit` blocks.

    Coins received are added to `watched`, so that their spends in later blocks are found; whoever drops the batch may
    leave them there.

    Raises:
        ChainMoved: the node's chain was reorganised while it was read; follow again.
        DeepReorg: the fork is older than the tail.
        NodeUnavailable: also where the node's chain ends before the tail begins: it has to catch up.
        MalformedBlock: the node served a block that is not what its hash says.
    """
    assert limit > 0, "a batch has room for a block"
    tip = await source.tip()
    if tip == tail.tip:
        return Batch((), tail)
    kept = await _fork(source, tail, tip)
    updates: list[Update] = [Disconnected(block) for block in reversed(tail.blocks[kept:])]
    tail = tail.cut(kept)
    first = BlockHeight(tail.tip.height + 1 if tail.tip else 0)
    last = BlockHeight(min(tip.height, first + limit - 1))
    async with aclosing(_connect(source, first, last, tail.tip, watched)) as connected:
        async for update in connected:
            updates.append(update)
            tail = tail.extended(update.block)
    return Batch(tuple(updates), tail)


async def scan_range(
    source: BlockSource, first: BlockHeight, last: BlockRef, watched: Watchlist
) -> AsyncIterator[Connected]:
    """Read the blocks from height `first` up to `last` once more, for something that was watched too late.

    Coins received are added to `watched`. What was yielded counts only when the iteration ends without an error.

    Raises:
        ChainMoved: `last` is not in the active chain, or left it meanwhile.
        NodeUnavailable, MalformedBlock: as in `follow`.
    """
    if await hash_at(source, last.height) != last.hash:
        raise ChainMoved(last.height)
    newest: BlockRef | None = None
    async with aclosing(_connect(source, first, last.height, None, watched)) as connected:
        async for update in connected:
            newest = update.block
            yield update
    if newest is not None and newest != last:
        raise ChainMoved(last.height)


async def _fork(source: BlockSource, tail: Tail, tip: BlockRef) -> int:
    """How many blocks of the tail are in the node's active chain."""
    if not tail.blocks:
        return 0
    oldest = tail.blocks[0].height
    if tip.height < oldest:
        raise NodeUnavailable("getblockchaininfo", f"its chain ends at height {tip.height:,}, before {oldest:,}")
    # Blocks up to the fork are shared, those after it are not: look at the newest, then halve.
    low, high = 0, min(len(tail.blocks), tip.height - oldest + 1)
    middle = high - 1
    while low < high:
        if await hash_at(source, tail.blocks[middle].height) == tail.blocks[middle].hash:
            low = middle + 1
        else:
            high = middle
        middle = (low + high) // 2
    if low == 0:
        raise DeepReorg(oldest, tip.height)
    return low


async def _connect(
    source: BlockSource, first: BlockHeight, last: BlockHeight, before: BlockRef | None, watched: Watchlist
) -> AsyncGenerator[Connected, None]:
    """Read blocks in order, each the successor of the one before it. `before` None: the first is taken as it is."""
    previous = before.hash if before else _NO_BLOCK if first == 0 else None
    async with aclosing(_fetch(source, range(first, last + 1))) as fetched:
        async for block, raw in fetched:
            scanned = await _scan(raw, watched)
            if scanned.hash != block.hash:
                raise MalformedBlock(0, f"is not the block {block} that was asked for")
            if previous is not None and scanned.previous != previous:
                raise ChainMoved(block.height)
            previous = scanned.hash
            watched.add_outpoints(received.outpoint for received in scanned.matches.received)
            yield Connected(block, scanned.previous, scanned.time, scanned.matches)


async def _fetch(source: BlockSource, heights: Sequence[int]) -> AsyncGenerator[tuple[BlockRef, bytes], None]:
    """The active chain's blocks at `heights`, a few of them fetched ahead."""
    waiting = deque(heights)
    tasks: deque[asyncio.Task[tuple[BlockRef, bytes]]] = deque()
    try:
        while waiting or tasks:
            while waiting and len(tasks) < _AHEAD:
                tasks.append(asyncio.create_task(_block_at(source, BlockHeight(waiting.popleft()))))
            yield await tasks[0]
            tasks.popleft()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _block_at(source: BlockSource, height: BlockHeight) -> tuple[BlockRef, bytes]:
    digest = await hash_at(source, height)
    return BlockRef(height, digest), await source.block(digest)


async def hash_at(source: BlockSource, height: BlockHeight) -> bytes:
    """The active chain's block at a height. Raises `ChainMoved`: the chain is shorter now."""
    try:
        return await source.block_hash(height)
    except RpcRefused as refused:
        if refused.code == _BEYOND_TIP:  # the chain was longer a moment ago
            raise ChainMoved(height) from refused
        raise


async def _scan(raw: bytes, watched: Watchlist) -> ScannedBlock:
    if len(raw) < _THREAD_BYTES:
        return scan_block(raw, watched)
    return await asyncio.to_thread(scan_block, raw, watched)
