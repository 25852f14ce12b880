"""What the chain and the mempool show of swaps' outputs, at each look, as one consistent view.

A look brings the watch to the node's tip and tells, for each watched script, every output that pays to it, with its
confirmations, and what spends it. A reorganisation is a view with fewer confirmations, or without the output. Views are
whole: whoever missed one has lost nothing. Between looks, `encode` keeps where the watch stands.

The mempool shows spends of known outputs, and outputs of transactions whose ids are known (`expect`): no node tells
the mempool by script. What a spend in the mempool shows, a preimage for instance, is as good as in a block; that it
stays is not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from adapters.bitcoin.errors import ChainMoved, RpcRefused
from adapters.bitcoin.follower import TAIL_DEPTH, Connected, Disconnected, Tail, Update, follow
from adapters.bitcoin.primitives import BlockRef, OutPoint, TxOut
from adapters.bitcoin.rpc import BitcoinRpc, Header
from adapters.bitcoin.transactions import ParsedTx, parse_transaction
from foundation.quantities import BlockHeight, Satoshi
from settlement.swap.bitcoin.search import blocks_with
from settlement.swap.bitcoin.sightings import COINBASE_MATURITY, Sighting, Sightings

MAX_EXPECTED: Final = 64
"""Transaction ids that are looked for in the mempool, for each script; the oldest is forgotten."""
_BATCH: Final = 500
"""Outpoints in one question about the mempool."""
_TRIES: Final = 5
"""Looks at a chain that moves all the while, before the caller is told to come again."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SpendView:
    """What spends an output.

    Fields: txid; confirmations (0: in the mempool); witness (of the input that spends it); outputs (of the spender).
    """

    txid: bytes
    confirmations: int
    witness: tuple[bytes, ...]
    outputs: tuple[TxOut, ...]


@dataclass(frozen=True, slots=True)
class OutputView:
    """An output that pays to a watched script. Fields: outpoint; value; confirmations (0: in the mempool); spend."""

    outpoint: OutPoint
    value: Satoshi
    confirmations: int
    spend: SpendView | None = None


@dataclass(frozen=True, slots=True)
class ChainView:
    """One look. Fields: tip; median_time (seconds: a time lock in the next block has to be below it, BIP-113);
    outputs (of each watched script, oldest first)."""

    tip: BlockRef
    median_time: int
    outputs: Mapping[bytes, tuple[OutputView, ...]]

    def of(self, script: bytes) -> tuple[OutputView, ...]:
        """A script's outputs; none for one that was not watched."""
        return self.outputs.get(script, ())


class BitcoinWatch:
    """Watches scripts at one node. One look at a time.

    Methods raise what `BitcoinRpc` raises, and `DeepReorg` where the chain was replaced from below what is remembered.
    """

    def __init__(self, rpc: BitcoinRpc, sightings: Sightings) -> None:
        """Go on from what was kept. The caller has checked the node's network (`BitcoinRpc.check_network`)."""
        self._rpc = rpc
        self._sightings = sightings
        self._watched = sightings.watchlist()
        self._waiting: deque[tuple[bytes, BlockHeight]] = deque()
        self._expected: dict[bytes, dict[bytes, None]] = {}
        self._seen: dict[bytes, ParsedTx] = {}
        self._lock = asyncio.Lock()

    @classmethod
    async def start(cls, rpc: BitcoinRpc, depth: int = TAIL_DEPTH) -> BitcoinWatch:
        """Begin at the node's tip, remembering the `depth` blocks up to it in case that they are reorganised."""
        tip = await rpc.tip()
        first = max(0, tip.height - depth + 1)
        heights = [BlockHeight(height) for height in range(first, tip.height)]
        hashes = await rpc.batch([("getblockhash", [height]) for height in heights]) if heights else []
        blocks = [BlockRef(height, bytes.fromhex(text)[::-1]) for height, text in zip(heights, hashes, strict=True)]
        return cls(rpc, Sightings(Tail((*blocks, tip), max(depth, 1))))

    @property
    def sightings(self) -> Sightings:
        """Where the watch stands: to be kept (`encode`) together with what was made of the last look."""
        return self._sightings

    @property
    def scripts(self) -> frozenset[bytes]:
        """What is watched, from the next look on."""
        return frozenset((*self._sightings.births, *(script for script, _ in self._waiting)))

    def watch(self, script: bytes, birth: BlockHeight) -> None:
        """Watch a script from the next look on, which also reads the blocks from height `birth` on for it.

        To be called again after a start for every swap that is open: what is known costs nothing, and what was not
        looked for yet is not in what was kept. `birth`: no earlier block can pay to it, for instance the tip when the
        swap was agreed.
        """
        known = self._sightings.births.get(script)
        if known is None or birth < known:
            self._waiting.append((script, birth))

    def unwatch(self, script: bytes) -> None:
        """Watch a script no more, and forget its outputs."""
        self._waiting = deque(one for one in self._waiting if one[0] != script)
        self._expected.pop(script, None)
        self._sightings = self._sightings.without_script(script)
        self._watched = self._sightings.watchlist()

    def expect(self, script: bytes, txid: bytes) -> None:
        """Look for a transaction (id, 32 bytes) that pays to this script in the mempool too."""
        expected = self._expected.setdefault(script, {})
        expected.pop(txid, None)
        expected[txid] = None
        while len(expected) > MAX_EXPECTED:
            del expected[next(iter(expected))]

    async def look(self) -> ChainView:
        """Read what is new, and tell how things stand.

        Raises:
            ChainMoved: the chain moved all the while; come again.
        """
        async with self._lock:
            for attempt in range(_TRIES):
                try:
                    return await self._look()
                except ChainMoved:
                    if attempt == _TRIES - 1:
                        raise
            raise AssertionError("the last attempt returns or raises")

    async def _look(self) -> ChainView:
        header = await self._follow()
        while self._waiting:
            await self._catch_up(*self._waiting[0])
            self._waiting.popleft()
        unspent = [one.outpoint for one in self._sightings.found.values() if one.spend is None]
        fresh = await self._fresh()
        spends = await self._spends([*unspent, *(one.outpoint for outputs in fresh.values() for one in outputs)])
        # What was confirmed meanwhile is in neither: one view has to be of one moment.
        if await self._rpc.tip() != self._sightings.tip:
            raise ChainMoved(self._sightings.tip.height)
        outputs = {script: self._of(script, fresh.get(script, ()), spends) for script in self._sightings.births}
        return ChainView(self._sightings.tip, header.median_time, outputs)

    def _of(
        self, script: bytes, fresh: Iterable[OutputView], spends: Mapping[OutPoint, SpendView]
    ) -> tuple[OutputView, ...]:
        in_blocks = (self._view(one, spends) for one in self._sightings.of(script) if self._is_mature(one))
        return (*in_blocks, *(replace(one, spend=spends.get(one.outpoint)) for one in fresh))

    # --- Blocks ---

    async def _follow(self) -> Header:
        while True:
            batch = await follow(self._rpc, self._sightings.tail, self._watched)
            if not batch.updates:
                break
            self._expect_again(batch.updates)
            self._sightings = self._sightings.applied(batch.updates, batch.tail)
            self._watched = self._sightings.watchlist()
        header = await self._rpc.header(self._sightings.tip.hash)
        if header.confirmations < 1:
            raise ChainMoved(self._sightings.tip.height)
        return header

    def _expect_again(self, updates: Iterable[Update]) -> None:
        """What leaves the chain usually goes back to the mempool."""
        gone = {update.block for update in updates if isinstance(update, Disconnected)}
        for one in self._sightings.found.values():
            if one.block in gone:
                self.expect(one.script, one.outpoint.txid)

    async def _catch_up(self, script: bytes, birth: BlockHeight) -> None:
        """Read the blocks that were read without this script."""
        tip = self._sightings.tip
        blocks: list[Connected] = []
        if birth <= tip.height:
            blocks = await blocks_with(self._rpc, [script], birth, tip)
        self._sightings = self._sightings.with_script(script, birth, blocks)
        self._watched = self._sightings.watchlist()

    def _is_mature(self, one: Sighting) -> bool:
        return not one.is_coinbase or self._confirmations(one.block) >= COINBASE_MATURITY

    def _confirmations(self, block: BlockRef) -> int:
        return self._sightings.tip.height - block.height + 1

    def _view(self, one: Sighting, spends: Mapping[OutPoint, SpendView]) -> OutputView:
        spend = spends.get(one.outpoint)
        if one.spend is not None:
            confirmations = self._confirmations(one.spend.block)
            spend = SpendView(one.spend.txid, confirmations, one.spend.witness, one.spend.outputs)
        return OutputView(one.outpoint, one.value, self._confirmations(one.block), spend)

    # --- The mempool ---

    async def _fresh(self) -> dict[bytes, list[OutputView]]:
        """Outputs of expected transactions that are in the mempool."""
        found: dict[bytes, list[OutputView]] = {}
        confirmed = {point.txid for point in self._sightings.found}
        for script, expected in self._expected.items():
            for txid in expected:
                if txid in confirmed or script not in self._sightings.births:
                    continue
                # Asked first, for a node with an index of all transactions would answer with one in a block as well.
                if await self._rpc.mempool_entry(txid) is None:
                    continue
                parsed = await self._transaction(txid)
                paid = enumerate(parsed.outputs) if parsed is not None else ()
                new = [OutputView(OutPoint(txid, at), one.value, 0) for at, one in paid if one.script == script]
                found.setdefault(script, []).extend(new)
        return found

    async def _spends(self, points: Sequence[OutPoint]) -> dict[OutPoint, SpendView]:
        """What the mempool spends of these."""
        found: dict[OutPoint, SpendView] = {}
        for start in range(0, len(points), _BATCH):
            asked = points[start : start + _BATCH]
            for point, txid in zip(asked, await self._rpc.spenders(asked), strict=True):
                parsed = None if txid is None else await self._transaction(txid)
                if parsed is not None and point in parsed.inputs:
                    witness = parsed.witnesses[parsed.inputs.index(point)]
                    found[point] = SpendView(parsed.txid, 0, witness, parsed.outputs)
        self._forget(spend.txid for spend in found.values())
        return found

    async def _transaction(self, txid: bytes) -> ParsedTx | None:
        """A transaction of the mempool; None where it has left. Its witness never changes while it is there."""
        if txid not in self._seen:
            try:
                raw = await self._rpc.transaction(txid)
            except RpcRefused as refused:
                _log.warning("a transaction of the mempool cannot be read", reason=refused.message)
                return None
            if raw is None:
                return None
            self._seen[txid] = parse_transaction(raw)
        return self._seen[txid]

    def _forget(self, current: Iterable[bytes]) -> None:
        """Keep only the transactions that are still of interest."""
        kept = {*current, *(txid for expected in self._expected.values() for txid in expected)}
        self._seen = {txid: parsed for txid, parsed in self._seen.items() if txid in kept}
