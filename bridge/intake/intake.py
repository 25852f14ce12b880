"""The two intakes together: one at a time, each batch committed whole, the world told after the commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import structlog

from adapters.bitcoin.blocks import Watchlist, scan_block
from adapters.bitcoin.follower import Batch, BlockSource, Connected, Tail, follow, scan_range
from adapters.bitcoin.primitives import BlockRef, OutPoint
from adapters.evm.lockbox.events import LockboxBatch
from adapters.evm.types import BlockRef as NativeBlockRef
from adapters.native.events import EventBatch, GroupProposed, PayoutReserved
from bridge.intake.bitcoin import BitcoinIntake
from bridge.intake.common import BITCOIN_CURSOR, GROUPS, NATIVE_CURSOR, Context, evm_cursor
from bridge.intake.evm import EvmIntake
from bridge.intake.native import (
    IDENTITY_EVENTS,
    NativeIntake,
    SeenSpend,
    early_scripts,
    event_cursor,
    split_ids,
)
from bridge.signals import Signal
from bridge.storage import Database, DepositTermsRow, UnitOfWork
from foundation.quantities import BlockHeight

_LOG: Final = structlog.get_logger(__name__)
_CURSOR_SECONDS: Final = 10.0
"""How often the native cursor is stored while nothing happens."""


class Intake:
    """Follows all chains into the database. Fields: changed (set after each commit that changed something)."""

    def __init__(self, database: Database, source: BlockSource, context: Context, changed: Signal) -> None:
        self._database = database
        self._source = source
        self._context = context
        self._watched = Watchlist()
        self._bitcoin = BitcoinIntake(context, self._watched)
        self._evm = EvmIntake(context)
        self._native = NativeIntake(context, self._bitcoin, self._evm)
        self._one_at_a_time = asyncio.Lock()
        self._tail: Tail | None = None
        self.native_cursor: NativeBlockRef | None = None
        self.evm_cursors: dict[bytes, NativeBlockRef] = {}
        """How far each EVM chain is read, by its id."""
        self._evm_stored_at: dict[bytes, float] = {}
        self._cursor_stored_at = float("-inf")
        self.changed = changed

    @property
    def tip(self) -> BlockRef | None:
        """The newest bitcoin block that is in the database."""
        return None if self._tail is None else self._tail.tip

    @property
    def bridge_works(self) -> bool:
        """Whether a group serves the chain, so that there may be coins of the bridge on it. `load` comes first."""
        return self._context.directory.active is not None

    async def load(self) -> None:
        """Take up what the database knows. Call once, before anything else; the directory is read by it.

        Raises:
            What the native chain's reads and the database raise; call again then.
        """
        async with self._database.view() as view:
            groups = split_ids(await view.node_meta.get(GROUPS) or b"")
            self.native_cursor = event_cursor(await view.cursors.get(NATIVE_CURSOR))
            stored = await view.cursors.get(BITCOIN_CURSOR)
            self._watched.add_scripts(await view.deposit_terms.all_scripts())
            self._watched.add_outpoints(OutPoint(c.txid, c.vout) for c in await view.coins.unspent())
        self._tail = None if stored is None else Tail.decode(stored)
        await self._context.directory.refresh(groups)
        self._watched.add_scripts(self._context.directory.vault_scripts)
        for chain in self._context.directory.origins:
            # What waits for its asset is looked at again with these when the native chain registers it.
            await self.evm_cursor(chain)

    async def start_at(self, block: BlockRef) -> None:
        """Begin to follow bitcoin after `block`, unless the database knows better.

        That is written down: a node that restarts before its first block must not pass over the blocks in between.

        Raises:
            DatabaseUnavailable: call again later.
        """
        if self._tail is not None:
            return
        tail = Tail.start(block)
        async with self._database.unit() as uow:
            await uow.cursors.put(BITCOIN_CURSOR, tail.encode())
            await uow.commit()
        self._tail = tail

    async def bitcoin(self) -> bool:
        """Apply the next blocks. Returns whether there were any.

        Raises:
            NodeUnavailable, ChainMoved, DatabaseUnavailable: call again later. DeepReorg: a person has to look.
        """
        assert self._tail is not None, "start_at comes first"
        # Asked without the lock: a node that hangs must not keep this one from following the other chains.
        if await self._source.tip() == self._tail.tip:
            return False
        async with self._one_at_a_time:
            batch = await follow(self._source, self._tail, self._watched)
            if not batch.updates:
                return False
            async with self._database.unit() as uow:
                stored = await uow.cursors.get(BITCOIN_CURSOR)
                if stored is not None and stored != self._tail.encode():
                    # A commit took effect whose answer was lost. Its blocks may have left the chain since: only who
                    # knows them takes them off again.
                    self._tail = Tail.decode(stored)
                    return True
                await self._bitcoin.apply(uow, batch)
                await uow.commit()
            self._tail = batch.tail
            self._bitcoin.watch(update for update in batch.updates if isinstance(update, Connected))
        self._log(batch)
        self.changed.set()
        return True

    async def evm_cursor(self, chain: bytes) -> NativeBlockRef | None:
        """Where the follower of an EVM chain (id, 32 bytes) goes on; None: at the beginning."""
        if chain not in self.evm_cursors:
            async with self._database.view() as view:
                stored = event_cursor(await view.cursors.get(evm_cursor(chain)))
            if stored is None:
                return None
            self.evm_cursors[chain] = stored
        return self.evm_cursors[chain]

    async def evm(self, chain: bytes, batch: LockboxBatch) -> None:
        """Apply a batch of final, proved events of an EVM chain's vault.

        Raises:
            DatabaseUnavailable: call again later, with the same batch.
        """
        if not batch.events and time.monotonic() - self._evm_stored_at.get(chain, float("-inf")) < _CURSOR_SECONDS:
            self.evm_cursors[chain] = batch.last
            return
        async with self._one_at_a_time:
            async with self._database.unit() as uow:
                stored = event_cursor(await uow.cursors.get(evm_cursor(chain)))
                if stored is not None and stored.number >= batch.first:
                    # A commit took effect whose answer was lost: to apply it again would count what is held again.
                    self.evm_cursors[chain] = stored
                    self.changed.set()
                    return
                await self._evm.apply(uow, self._context.directory.origins[chain], batch)
                await uow.commit()
            self.evm_cursors[chain] = batch.last
            self._evm_stored_at[chain] = time.monotonic()
        if batch.events:
            self.changed.set()

    async def native(self, batch: EventBatch) -> None:
        """Apply a batch of final events.

        Raises:
            As `bitcoin`, and what the native chain's reads raise: call again later, with the same batch.
        """
        if not batch.events and not self._is_cursor_due():
            # Nothing happened: to read these blocks again after a crash is harmless, to write each down costs more.
            self.native_cursor = batch.last
            return
        async with self._one_at_a_time:
            if any(isinstance(event, IDENTITY_EVENTS) for event in batch.events):
                await self._refresh(batch)
            rows = self._native.terms_of(batch)
            scanned = await self._scan(rows)
            spends = await self._spends(batch)
            cursor = batch.last
            async with self._database.unit() as uow:
                stored = event_cursor(await uow.cursors.get(NATIVE_CURSOR))
                if stored is not None and stored.number >= batch.first:
                    # A commit took effect whose answer was lost: to apply it again would count its mints again.
                    cursor = stored
                else:
                    await self._apply_native(uow, batch, rows, scanned, spends)
                    await uow.commit()
            self.native_cursor = cursor
            self._cursor_stored_at = time.monotonic()
            self._watched.add_scripts(row.script for row in rows)
            self._bitcoin.watch(scanned)
        if batch.events:
            self.changed.set()

    async def _apply_native(
        self,
        uow: UnitOfWork,
        batch: EventBatch,
        rows: Sequence[DepositTermsRow],
        scanned: Sequence[Connected],
        spends: Mapping[OutPoint, SeenSpend],
    ) -> None:
        tip = None if self.tip is None else self.tip.height
        await uow.deposit_terms.add(*rows)
        evm_tips = {chain: cursor.number for chain, cursor in self.evm_cursors.items()}
        steps = await self._native.apply(uow, batch, tip, evm_tips, spends)
        for block in scanned:
            await self._bitcoin.connect(uow, steps, block)
        if scanned and tip is not None:
            await self._bitcoin.advance(uow, steps, tip)
        await steps.save()

    def _is_cursor_due(self) -> bool:
        return time.monotonic() - self._cursor_stored_at >= _CURSOR_SECONDS

    async def _refresh(self, batch: EventBatch) -> None:
        """Read the directory anew, the batch's new groups included."""
        async with self._database.view() as view:
            known = split_ids(await view.node_meta.get(GROUPS) or b"")
        named = [event.id for event in batch.events if isinstance(event, GroupProposed)]
        directory = self._context.directory
        await directory.refresh(dict.fromkeys([*known, *named]))
        self._watched.add_scripts(directory.vault_scripts)

    async def _scan(self, rows: Iterable[DepositTermsRow]) -> list[Connected]:
        """The blocks that this node has read already, and in which addresses are paid that are new to it.

        An announcement may name any birthday, so this looks back only as far as the configuration allows. A node
        that has read no block yet began below all that the bridge has on bitcoin: nothing was passed over.
        """
        if self.tip is None or self._tail is None or len(self._tail.blocks) == 1:
            return []
        early = early_scripts(rows, self.tip.height)
        async with self._database.view() as view:
            known = await view.deposit_terms.by_scripts(early)
        early = {s: height for s, height in early.items() if s not in known or known[s].birthday > height}
        if not early:
            return []
        first = max(min(early.values()), self.tip.height - self._context.policy.rescan_limit, 0)
        watched = Watchlist()
        watched.add_scripts(early)
        _LOG.info("scanning again for new addresses", addresses=len(early), first=first, last=self.tip.height)
        found = scan_range(self._source, BlockHeight(first), self.tip, watched)
        return [block async for block in found if block.matches.received or block.matches.spent]

    async def _spends(self, batch: EventBatch) -> dict[OutPoint, SeenSpend]:
        """How the anchors of payouts that are new to this node are spent, where they are."""
        reserved = [event for event in batch.events if isinstance(event, PayoutReserved)]
        anchors = [OutPoint(*event.inputs[0]) for event in reserved if event.inputs]
        spends: dict[OutPoint, SeenSpend] = {}
        for anchor in anchors:
            async with self._database.view() as view:
                coin = await view.coins.get(anchor.txid, anchor.vout)
            if coin is None or coin.spent_block_hash is None or coin.spent_height is None:
                continue
            watched = Watchlist()
            watched.add_outpoints([anchor])
            block = scan_block(await self._source.block(coin.spent_block_hash), watched)
            (spend,) = block.matches.spent
            spends[anchor] = SeenSpend(spend, coin.spent_height)
        return spends

    def _log(self, batch: Batch) -> None:
        tip = batch.tail.tip
        matches = [u.matches for u in batch.updates if isinstance(u, Connected)]
        _LOG.info(
            "bitcoin blocks",
            height=None if tip is None else tip.height,
            connected=len(matches),
            disconnected=len(batch.updates) - len(matches),
            received=sum(len(m.received) for m in matches),
            spent=sum(len(m.spent) for m in matches),
        )
