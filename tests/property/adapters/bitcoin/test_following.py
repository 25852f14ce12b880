"""Scanning against a naive reading by another library; following against scanning from scratch."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from bitcoin.core import CBlock, CTransaction
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bitcoin.blocks import BlockMatches, Received, Spent, Watchlist, scan_block
from adapters.bitcoin.errors import MalformedBlock
from adapters.bitcoin.follower import Connected, Disconnected, Tail, follow
from adapters.bitcoin.primitives import BlockRef, OutPoint, TxOut
from foundation.quantities import Satoshi
from tests.support.bitcoin_chain import FakeChain, block, transaction

SCRIPTS = [b"", b"\x51", b"\x51\x20" + bytes(32), b"\x00\x14" + bytes(20), b"\x6a" * 300]
FOREIGN = [OutPoint(bytes([index + 1]) * 32, index) for index in range(3)]

items = st.lists(st.binary(max_size=4) | st.just(bytes(300)), max_size=3)
pays = st.lists(st.tuples(st.integers(0, 1 << 40), st.sampled_from(SCRIPTS)), min_size=1, max_size=4)


@st.composite
def transactions(draw: st.DrawFn) -> list[CTransaction]:
    """A few transactions that spend foreign coins, and coins of those before them."""
    made: list[CTransaction] = []
    coins = list(FOREIGN)
    for locktime in range(draw(st.integers(0, 5))):
        points = draw(st.lists(st.sampled_from(coins), min_size=1, max_size=3, unique=True))
        tx = transaction([(point, draw(items)) for point in points], draw(pays), locktime)
        made.append(tx)
        coins += [OutPoint(tx.GetTxid(), vout) for vout in range(len(tx.vout))]
    return made


def naive(raw: bytes, scripts: set[bytes], outpoints: set[OutPoint]) -> BlockMatches:
    """What a block has, read by python-bitcoinlib into objects, one after the other."""
    received: list[Received] = []
    spent: list[Spent] = []
    for index, tx in enumerate(CBlock.deserialize(raw).vtx):
        outputs = tuple(TxOut(Satoshi(out.nValue), bytes(out.scriptPubKey)) for out in tx.vout)
        for vin, spend in enumerate(tx.vin):
            point = OutPoint(spend.prevout.hash, spend.prevout.n)
            if index and point in outpoints | {one.outpoint for one in received}:
                witness = tuple(tx.wit.vtxinwit[vin].scriptWitness.stack) if tx.has_witness() else ()
                spent.append(Spent(point, tx.GetTxid(), vin, witness, outputs))
        for vout, output in enumerate(outputs):
            if output.script in scripts:
                received.append(Received(OutPoint(tx.GetTxid(), vout), output.value, output.script, index == 0))
    return BlockMatches(tuple(received), tuple(spent))


@settings(max_examples=80)
@given(transactions(), pays, st.sets(st.sampled_from(SCRIPTS)), st.sets(st.sampled_from(FOREIGN)))
def test_scan_agrees_with_a_naive_reading(
    txs: list[CTransaction], reward: list[tuple[int, bytes]], scripts: set[bytes], outpoints: set[OutPoint]
) -> None:
    """A scan finds what reading every object finds, whatever is watched."""
    raw = block(txs, pays=reward).serialize()
    scanned = scan_block(raw, Watchlist(scripts, outpoints))
    assert scanned.matches == naive(raw, scripts, outpoints)
    assert scanned.hash == CBlock.deserialize(raw).GetHash()


@settings(max_examples=200)
@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda tail: bytes(80) + b"\x01" + tail))
def test_random_bytes_are_malformed(raw: bytes) -> None:
    """No bytes lead to any other error than that the block is malformed."""
    with pytest.raises(MalformedBlock):
        scan_block(raw, Watchlist(SCRIPTS, FOREIGN))


@settings(max_examples=150)
@given(transactions(), st.data())
def test_altered_blocks_are_malformed(txs: list[CTransaction], data: st.DataObject) -> None:
    """A piece of a block's transactions that is replaced by something else is noticed."""
    raw = block(txs).serialize()
    start = data.draw(st.integers(80, len(raw) - 1))
    end = data.draw(st.integers(start, min(len(raw), start + 12)))
    altered = raw[:start] + data.draw(st.binary(max_size=12)) + raw[end:]
    if altered == raw:
        return
    with pytest.raises(MalformedBlock):
        scan_block(altered, Watchlist(SCRIPTS, FOREIGN))


@dataclass
class Mirror:
    """A caller: applies updates to what it has, checking that each one fits."""

    blocks: list[Connected] = field(default_factory=list)

    def apply(self, update: Connected | Disconnected) -> None:
        if isinstance(update, Disconnected):
            assert self.blocks.pop().block == update.block, "only the newest block is taken off"
            return
        if self.blocks:
            assert update.previous == self.blocks[-1].block.hash, "a block is added to its predecessor"
        assert update.block.height == len(self.blocks)
        self.blocks.append(update)


step = st.one_of(
    st.tuples(st.just("mine"), st.integers(1, 4)),
    st.tuples(st.just("reorganise"), st.integers(1, 6)),
    st.tuples(st.just("pay"), st.integers(0, 4)),
    st.tuples(st.just("follow"), st.integers(1, 5)),
)


def move(chain: FakeChain, kind: str, count: int) -> None:
    """One change of the node's chain, which keeps its genesis block."""
    if kind == "mine":
        chain.mine_empty(count)
    elif kind == "pay":
        paid = transaction([(FOREIGN[0], [b"\x01"])], [(7, SCRIPTS[1]), (8, SCRIPTS[2])], len(chain.raws))
        chain.mine(paid)
        chain.mine_empty(count)
        chain.mine(transaction([(OutPoint(paid.GetTxid(), 0), [])], [(1, SCRIPTS[3])]))
    else:
        chain.invalidate(min(count, len(chain.heights) - 1))
        chain.mine_empty(count // 2)


@settings(max_examples=60)
@given(st.lists(step, min_size=1, max_size=20))
def test_updates_add_up_to_the_active_chain(steps: list[tuple[str, int]]) -> None:
    """Whatever was reorganised between batches, the updates add up to the active chain and to its matches."""
    asyncio.run(follow_along(steps))


async def follow_along(steps: list[tuple[str, int]]) -> None:
    """Take the steps, follow to the end, and compare with following from scratch."""
    chain, mirror, tail = FakeChain(), Mirror(), Tail()
    watched = Watchlist([SCRIPTS[1], SCRIPTS[2]], FOREIGN)
    for kind, count in [*steps, ("follow", 1000)]:
        if kind != "follow":
            move(chain, kind, count)
            continue
        batch = await follow(chain, tail, watched, limit=count)
        tail = Tail.decode(batch.tail.encode())
        for update in batch.updates:
            mirror.apply(update)
    scratch = await follow(chain, Tail(), Watchlist([SCRIPTS[1], SCRIPTS[2]], FOREIGN), limit=1000)
    assert tuple(mirror.blocks) == scratch.updates
    assert [one.block for one in mirror.blocks] == [chain.at(height) for height in range(len(chain.heights))]
    assert tail == scratch.tail


@settings(max_examples=60)
@given(
    st.lists(st.builds(BlockRef, st.just(0), st.binary(min_size=32, max_size=32)), max_size=6),
    st.integers(0, 1 << 31),
    st.integers(6, 1 << 31),
)
def test_tail_round_trip(blocks: list[BlockRef], first: int, depth: int) -> None:
    """Any tail survives its encoding."""
    tail = Tail(tuple(BlockRef(first + index, one.hash) for index, one in enumerate(blocks)), depth)  # type: ignore[arg-type]  # plain numbers as heights
    assert Tail.decode(tail.encode()) == tail
