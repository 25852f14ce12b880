"""What blocks have shown of watched scripts: each output that pays to one, and what spent it. Pure.

A block that is taken off the chain takes what it showed with it. What the mempool shows is never kept here: it is laid
over at each look (`watch`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from adapters.bitcoin.blocks import Spent, Watchlist
from adapters.bitcoin.follower import Connected, Disconnected, Tail, Update
from adapters.bitcoin.primitives import BlockRef, OutPoint, TxOut
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi

MAX_OUTPUTS: Final = 1_000
"""Kept for each script, the largest: to push a swap's output out, a stranger has to pay more than it so often."""
COINBASE_MATURITY: Final = 100
"""Blocks before a miner's new coins can be spent. An output that cannot be claimed yet funds nothing."""
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class SpendSight:
    """A block's spend of an output. Fields: txid; witness (of the input); outputs (all, of the spender); block."""

    txid: bytes
    witness: tuple[bytes, ...]
    outputs: tuple[TxOut, ...]
    block: BlockRef


@dataclass(frozen=True, slots=True)
class Sighting:
    """An output in a block. Fields: outpoint; value; script; block; is_coinbase; spend (None: no block spends it)."""

    outpoint: OutPoint
    value: Satoshi
    script: bytes
    block: BlockRef
    is_coinbase: bool = False
    spend: SpendSight | None = None


@dataclass(frozen=True, slots=True)
class Sightings:
    """What the blocks up to the tail's tip show. Immutable.

    Fields: tail; births (each watched script, and the height from which on blocks were read for it); found (outputs, by
    outpoint).
    """

    tail: Tail
    births: Mapping[bytes, BlockHeight] = field(default_factory=dict)
    found: Mapping[OutPoint, Sighting] = field(default_factory=dict)

    @property
    def tip(self) -> BlockRef:
        """The newest block that was read."""
        assert self.tail.tip is not None, "a watch begins with a block"
        return self.tail.tip

    def of(self, script: bytes) -> tuple[Sighting, ...]:
        """A script's outputs, oldest first."""
        mine = (one for one in self.found.values() if one.script == script)
        return tuple(sorted(mine, key=lambda one: (one.block.height, one.outpoint)))

    def watchlist(self) -> Watchlist:
        """What a follower has to look for."""
        return Watchlist(self.births, (one.outpoint for one in self.found.values() if one.spend is None))

    def applied(self, updates: Iterable[Update], tail: Tail) -> Sightings:
        """After blocks were taken off and added."""
        found = dict(self.found)
        for update in updates:
            if isinstance(update, Disconnected):
                _take_off(found, update.block)
            else:
                _add(found, update, self.births)
        return replace(self, tail=tail, found=_bounded(found))

    def with_script(self, script: bytes, birth: BlockHeight, blocks: Iterable[Connected]) -> Sightings:
        """With one script more. `blocks`: what those up to the tip show of it that were read without it."""
        births = {**self.births, script: birth}
        found = dict(self.found)
        for block in blocks:
            _add(found, block, births)
        return replace(self, births=births, found=_bounded(found))

    def without_script(self, script: bytes) -> Sightings:
        """With one script less, and its outputs."""
        births = {known: birth for known, birth in self.births.items() if known != script}
        found = {point: one for point, one in self.found.items() if one.script != script}
        return replace(self, births=births, found=found)

    def encode(self) -> bytes:
        """As a database keeps it: a watch goes on from there."""
        outputs = [_stored(one) for one in self.found.values()]
        stored = _StoredAll(_FORMAT, self.tail.encode(), dict(self.births), outputs)
        return msgspec.msgpack.encode(stored)

    @classmethod
    def decode(cls, data: bytes) -> Sightings:
        """The inverse of `encode`. Raises `BadInput`."""
        try:
            stored = msgspec.msgpack.decode(data, type=_StoredAll)
        except msgspec.MsgspecError as error:
            raise BadInput("watch", "what is kept cannot be read", "watch anew from the swaps' birthdays") from error
        if stored.version != _FORMAT:
            raise BadInput("watch", f"is of version {stored.version}", f"version {_FORMAT}")
        births = {script: BlockHeight(height) for script, height in stored.births.items()}
        outputs = (_restored(one) for one in stored.outputs)
        return cls(Tail.decode(stored.tail), births, {one.outpoint: one for one in outputs})


def _take_off(found: dict[OutPoint, Sighting], block: BlockRef) -> None:
    for point, one in list(found.items()):
        if one.block == block:
            del found[point]
        elif one.spend is not None and one.spend.block == block:
            found[point] = replace(one, spend=None)


def _add(
    found: dict[OutPoint, Sighting], block: Connected, scripts: Iterable[bytes] | Mapping[bytes, BlockHeight]
) -> None:
    known = frozenset(scripts)
    for paid in block.matches.received:
        if paid.script in known:
            seen = Sighting(paid.outpoint, paid.value, paid.script, block.block, paid.is_coinbase)
            # Read twice, it keeps what is known of its spend.
            found.setdefault(paid.outpoint, seen)
    for spent in block.matches.spent:
        one = found.get(spent.outpoint)
        if one is not None:
            found[spent.outpoint] = replace(one, spend=_spend(spent, block.block))


def _spend(spent: Spent, block: BlockRef) -> SpendSight:
    return SpendSight(spent.spender, spent.witness, spent.outputs, block)


def _bounded(found: dict[OutPoint, Sighting]) -> dict[OutPoint, Sighting]:
    """The largest outputs of each script."""
    if len(found) <= MAX_OUTPUTS:
        return found
    by_script: dict[bytes, list[Sighting]] = {}
    for one in found.values():
        by_script.setdefault(one.script, []).append(one)
    kept = {}
    for outputs in by_script.values():
        largest = sorted(outputs, key=lambda one: (-one.value, one.outpoint))[:MAX_OUTPUTS]
        kept.update({one.outpoint: one for one in largest})
    return kept


class _StoredSpend(msgspec.Struct, frozen=True, array_like=True):
    txid: bytes
    witness: tuple[bytes, ...]
    outputs: tuple[tuple[int, bytes], ...]
    height: int
    block: bytes


class _StoredOutput(msgspec.Struct, frozen=True, array_like=True):
    outpoint: bytes
    value: int
    script: bytes
    height: int
    block: bytes
    is_coinbase: bool
    spend: _StoredSpend | None


class _StoredAll(msgspec.Struct, frozen=True, array_like=True):
    version: int
    tail: bytes
    births: dict[bytes, int]
    outputs: list[_StoredOutput]


def _stored(one: Sighting) -> _StoredOutput:
    spend = None
    if one.spend is not None:
        outputs = tuple((int(output.value), output.script) for output in one.spend.outputs)
        block = one.spend.block
        spend = _StoredSpend(one.spend.txid, one.spend.witness, outputs, block.height, block.hash)
    at = one.block
    point = one.outpoint.serialized()
    return _StoredOutput(point, int(one.value), one.script, at.height, at.hash, one.is_coinbase, spend)


def _restored(one: _StoredOutput) -> Sighting:
    spend = None
    if one.spend is not None:
        outputs = tuple(TxOut(Satoshi(value), script) for value, script in one.spend.outputs)
        block = BlockRef(BlockHeight(one.spend.height), one.spend.block)
        spend = SpendSight(one.spend.txid, one.spend.witness, outputs, block)
    at = BlockRef(BlockHeight(one.height), one.block)
    return Sighting(OutPoint.parse(one.outpoint), Satoshi(one.value), one.script, at, one.is_coinbase, spend)
