"""Follows final blocks for as long as the ledger is open, and keeps what they say of our holds and coins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.bitcoin.blocks import Watchlist
from adapters.bitcoin.follower import Connected, Disconnected, Tail, follow, hash_at, scan_range
from adapters.bitcoin.primitives import BlockRef
from adapters.bitcoin.rpc import Header
from foundation.database.database import Database
from foundation.errors import Retryable
from foundation.quantities import BlockHeight
from settlement.ledgers.bitcoin.nodes import LedgerNode
from settlement.ledgers.bitcoin.projection import project
from settlement.ledgers.bitcoin.pulse import Pulse
from settlement.ledgers.bitcoin.store import BitcoinLedgerStore
from settlement.ledgers.bitcoin.types import BitcoinLedgerConfig, Entry
from settlement.ledgers.protocol import LedgerMismatch

LOOK_BACK: Final = 144
"""Blocks, about a day. A notice is told before its output is broadcast, so none should ever lie behind us: what is
looked for is what a payer told too late, which is its own loss."""

NEAR: Final = 6
"""So many blocks are looked through at once for every notice."""

LOOK_SECONDS: Final = 600.0
"""Between two looks further back: whoever sends notices with old birthdays costs us no more than that."""

_BACK_OFF_FIRST: Final = 0.1
_BACK_OFF_MOST: Final = 5.0


class FinalBlocks:
    """A node's blocks up to the newest one that has enough confirmations: what follows never goes back."""

    def __init__(self, rpc: LedgerNode, confirmations: int) -> None:
        self._rpc = rpc
        self._behind = confirmations - 1

    async def tip(self) -> BlockRef:
        """The newest final block; the genesis block where none is."""
        newest = await self._rpc.tip()
        height = BlockHeight(max(0, newest.height - self._behind))
        return BlockRef(height, await self._rpc.block_hash(height))

    async def block_hash(self, height: BlockHeight) -> bytes:
        """See `BlockSource`."""
        return await self._rpc.block_hash(height)

    async def block(self, block_hash: bytes) -> bytes:
        """See `BlockSource`."""
        return await self._rpc.block(block_hash)

    async def header(self, block_hash: bytes) -> Header:
        """See `BlockSource`."""
        return await self._rpc.header(block_hash)


class BitcoinFeed:
    """What final blocks say of one ledger. Start it; close it at the end."""

    def __init__(
        self, config: BitcoinLedgerConfig, rpc: LedgerNode, database: Database, script: bytes, pulse: Pulse
    ) -> None:
        """For the account whose coins `script` keeps (scriptPubKey). Nothing is read yet."""
        self._config = config
        self._rpc = rpc
        self._source = FinalBlocks(rpc, config.confirmations)
        self._database = database
        self._script = script
        self._pulse = pulse
        self._watched = Watchlist([script])
        self._fresh: list[Entry] = []
        self._old: list[Entry] = []
        self._looked_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self.tail: Tail | None = None
        self.tend: Callable[[], Awaitable[None]] | None = None
        """Called after each look at the node: what is on its way has to be looked after."""

    def store(self, connection: AsyncConnection) -> BitcoinLedgerStore:
        """The store on a connection."""
        return BitcoinLedgerStore(connection, self._config.ledger_id, self._script, self._config.sealer)

    async def start(self) -> None:
        """Take up what is kept, and begin to follow. The node may be down."""
        async with self._database.view() as view:
            store = self.store(view.connection)
            self.tail = await store.tail()
            entries = await store.open_entries()
            self._watched.add_outpoints(coin.outpoint for coin in await store.coins())
        self._fresh += [entry for entry in entries if entry.state is None]
        self._watched.add_scripts(entry.terms.htlc(self._config.network).script for entry in entries)
        self._watched.add_outpoints(entry.coin for entry in entries if entry.coin is not None)
        self._task = asyncio.create_task(self._run(), name=f"ledger {self._config.ledger_id}")

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def height(self) -> BlockHeight:
        """The newest final block that was read. Only once `Pulse.current` has returned."""
        assert self.tail is not None, "blocks were read"
        assert self.tail.tip is not None, "blocks were read"
        return self.tail.tip.height

    def expect(self, entry: Entry) -> None:
        """Look for a hold's output, in the blocks after its birthday too that were read already."""
        self._fresh.append(entry)

    async def _run(self) -> None:
        back_off = _BACK_OFF_FIRST
        is_checked = False
        while True:
            try:
                if not is_checked:
                    await self._check()
                    is_checked = True
                is_behind = await self._step()
                self._pulse.beat(is_caught_up=not is_behind)
                if not is_behind and self.tend is not None:
                    await self.tend()
            except Retryable as error:
                self._pulse.miss(error)
                await asyncio.sleep(back_off)
                back_off = min(2 * back_off, _BACK_OFF_MOST)
                continue
            except Exception as error:
                self._pulse.stop(error)
                raise
            back_off = _BACK_OFF_FIRST
            if not is_behind:
                await asyncio.sleep(self._config.poll_seconds)

    async def _check(self) -> None:
        """The node's chain is the configured one, and we begin somewhere in it."""
        await self._rpc.check_network(self._config.network)
        if self.tail is None:
            start = self._config.start_height
            self.tail = Tail.start(BlockRef(start, await self._rpc.block_hash(start)))

    async def _step(self) -> bool:
        """Read what is new; whether more may be."""
        assert self.tail is not None, "checked before"
        await self._catch_up()
        batch = await follow(self._source, self.tail, self._watched)
        for change in batch.updates:
            if isinstance(change, Disconnected):
                if await hash_at(self._source, change.block.height) == change.block.hash:
                    return False  # it is there: there are fewer blocks on it than when it was read
                expected = f"at most {self._config.confirmations} deep"
                raise LedgerMismatch(self._config.ledger_id, "reorg", expected, f"at the final block {change.block}")
        connected = [change for change in batch.updates if isinstance(change, Connected)]
        if connected:
            await self._keep(connected, batch.tail)
        return bool(connected)

    async def _catch_up(self) -> None:
        """Look for the outputs of holds that we were told of, in the blocks that we have read without knowing them."""
        assert self.tail is not None, "checked before"
        assert self.tail.tip is not None, "it begins with a block"
        tip = self.tail.tip
        fresh, self._fresh = self._fresh, []
        # At once: what comes from now on is seen, whatever has still to be looked for behind.
        self._watched.add_scripts(entry.terms.htlc(self._config.network).script for entry in fresh)
        near = [entry for entry in fresh if entry.birthday >= tip.height - NEAR]
        self._old += [entry for entry in fresh if entry.birthday < tip.height - NEAR]
        is_far = bool(self._old) and time.monotonic() - self._looked_at >= LOOK_SECONDS
        wanted = [*near, *(self._old if is_far else ())]
        if not wanted:
            return
        try:
            oldest = min(entry.birthday for entry in wanted)
            first = BlockHeight(max(oldest + 1, tip.height - LOOK_BACK + 1, 0))
            if first <= tip.height:
                watched = Watchlist(entry.terms.htlc(self._config.network).script for entry in wanted)
                found = [block async for block in scan_range(self._source, first, tip, watched)]
                await self._keep(found, self.tail)
        except BaseException:
            self._fresh += near
            raise
        if is_far:
            self._old, self._looked_at = [], time.monotonic()

    async def _keep(self, blocks: list[Connected], tail: Tail) -> None:
        """Store what blocks say, and where they end, at once."""
        async with self._database.unit() as unit:
            store = self.store(unit.connection)
            for block in blocks:
                if not block.matches.received and not block.matches.spent:
                    continue
                entries = {entry.key: entry for entry in await store.open_entries()}
                projection = project(entries, self._script, self._config.network, block)
                await store.keep(projection, block.block.height)
                held = (entry.coin for entry in projection.entries if entry.coin is not None)
                self._watched.add_outpoints(held)
            await store.move(tail)
            await unit.commit()
        self.tail = tail
