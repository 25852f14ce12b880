"""Following a chain in memory: forwards, through reorganisations, and where it cannot go on."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from adapters.bitcoin.blocks import ScannedBlock, Watchlist, scan_block
from adapters.bitcoin.errors import ChainMoved, DeepReorg, MalformedBlock, NodeUnavailable, RpcRefused
from adapters.bitcoin.follower import TAIL_DEPTH, Batch, Connected, Disconnected, Tail, follow, scan_range
from adapters.bitcoin.primitives import BlockRef, OutPoint
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from tests.support.bitcoin_chain import FakeChain, transaction
from tests.support.patience import tasks_of

OURS = b"\x51\x20" + bytes(range(32))
THEIRS = b"\x00\x14" + bytes(20)
FOREIGN_COIN = OutPoint(b"\x02" * 32, 0)


def changes(batch: Batch) -> list[tuple[str, int]]:
    """The kind and height of each update."""
    return [(type(update).__name__, update.block.height) for update in batch.updates]


@pytest.fixture
def chain() -> FakeChain:
    """A chain with blocks 0 to 10."""
    made = FakeChain()
    made.mine_empty(10)
    return made


async def test_empty_tail_begins_with_the_genesis_block(chain: FakeChain) -> None:
    """A follower with nothing behind it connects every block, in order, each the successor of the one before."""
    batch = await follow(chain, Tail(), Watchlist())
    assert changes(batch) == [("Connected", height) for height in range(11)]
    connected = [update for update in batch.updates if isinstance(update, Connected)]
    assert connected[0].previous == bytes(32)
    assert all(after.previous == before.block.hash for before, after in pairwise(connected))
    assert [update.time for update in connected] == list(range(11))
    assert batch.tail.tip == chain.at(10)


async def test_start_begins_after_its_block(chain: FakeChain) -> None:
    """A follower that starts at a block connects only what comes after it."""
    batch = await follow(chain, Tail.start(chain.at(8)), Watchlist())
    assert changes(batch) == [("Connected", 9), ("Connected", 10)]
    assert [block.height for block in batch.tail.blocks] == [8, 9, 10]


async def test_nothing_to_do_at_the_tip(chain: FakeChain) -> None:
    """At the tip there are no updates, the tail stays, and no block is fetched."""
    tail = (await follow(chain, Tail(), Watchlist())).tail
    chain.served.clear()
    assert await follow(chain, tail, Watchlist()) == Batch((), tail)
    assert chain.served == []


async def test_limit_bounds_a_batch(chain: FakeChain) -> None:
    """A batch connects at most `limit` blocks; following on from its tail gives the rest, and none is fetched twice."""
    first = await follow(chain, Tail(), Watchlist(), limit=4)
    second = await follow(chain, first.tail, Watchlist(), limit=100)
    assert changes(first) + changes(second) == [("Connected", height) for height in range(11)]
    assert chain.served == chain.heights


async def test_reorganisation_goes_back_to_the_fork(chain: FakeChain) -> None:
    """Blocks that left the chain are disconnected newest first, then the new ones are connected."""
    tail = (await follow(chain, Tail(), Watchlist())).tail
    old = list(tail.blocks)
    chain.invalidate(3)
    chain.mine_empty(4)
    batch = await follow(chain, tail, Watchlist())
    assert batch.updates[:3] == tuple(Disconnected(old[height]) for height in (10, 9, 8))
    assert changes(batch)[3:] == [("Connected", height) for height in (8, 9, 10, 11)]
    assert batch.tail.blocks == tuple(chain.at(height) for height in range(12))


async def test_shorter_chain_only_disconnects(chain: FakeChain) -> None:
    """Where blocks were taken off and none added, as `invalidateblock` does, the batch only goes back."""
    tail = (await follow(chain, Tail(), Watchlist())).tail
    chain.invalidate(2)
    batch = await follow(chain, tail, Watchlist())
    assert changes(batch) == [("Disconnected", 10), ("Disconnected", 9)]
    assert batch.tail.tip == chain.at(8)


async def test_replay_after_an_uncommitted_batch_is_the_same(chain: FakeChain) -> None:
    """A caller that could not commit a batch gets the same one again from the same tail."""
    chain.mine(transaction([(FOREIGN_COIN, [])], [(5, OURS)]))
    tail, watched = Tail.start(chain.at(6)), Watchlist([OURS])
    assert await follow(chain, tail, watched) == await follow(chain, tail, watched)


@pytest.mark.parametrize("replaced", [3, 5])
async def test_fork_below_the_tail_needs_a_person(chain: FakeChain, replaced: int) -> None:
    """A reorganisation that replaces every remembered block is not followed."""
    tail = (await follow(chain, Tail.start(chain.at(8)), Watchlist())).tail
    chain.invalidate(replaced)
    chain.mine_empty(replaced + 1)
    with pytest.raises(DeepReorg) as refusal:
        await follow(chain, tail, Watchlist())
    assert (refusal.value.oldest, refusal.value.tip) == (8, 11)


async def test_node_that_has_to_catch_up_is_unavailable(chain: FakeChain) -> None:
    """A node whose chain ends before the tail begins is waited for: it was set back, not reorganised."""
    tail = Tail.start(chain.at(9))
    chain.invalidate(4)
    with pytest.raises(NodeUnavailable):
        await follow(chain, tail, Watchlist())


@pytest.mark.parametrize("shorter", [False, True], ids=["replaced", "shortened"])
async def test_reorganisation_within_a_batch_is_noticed(chain: FakeChain, shorter: bool) -> None:
    """A chain that changes while it is read gives no batch; the next attempt follows the new chain."""
    tail, trigger = (await follow(chain, Tail(), Watchlist(), limit=3)).tail, chain.heights[4]

    def reorganise(block_hash: bytes) -> None:
        if block_hash == trigger:
            chain.before_block = lambda _: None
            chain.invalidate(7)
            chain.mine_empty(0 if shorter else 9)

    chain.before_block = reorganise
    with pytest.raises(ChainMoved):
        await follow(chain, tail, Watchlist())
    batch = await follow(chain, tail, Watchlist())
    assert batch.tail.blocks == tuple(chain.at(height) for height in range(len(chain.heights)))


async def test_growth_within_a_batch_is_harmless(chain: FakeChain) -> None:
    """Blocks that are mined while a batch is read wait for the next batch."""
    chain.before_block = lambda _: chain.mine_empty(1)
    assert (await follow(chain, Tail(), Watchlist(), limit=20)).tail.tip == chain.at(10)


async def test_other_block_than_asked_for_is_refused(chain: FakeChain) -> None:
    """A block whose hash is not the one asked for is not used."""
    chain.raws[chain.heights[5]] = chain.raws[chain.heights[6]]
    with pytest.raises(MalformedBlock):
        await follow(chain, Tail(), Watchlist())


async def test_coin_spent_in_a_later_block_of_the_batch_is_seen(chain: FakeChain) -> None:
    """Coins received are watched from then on, within the batch and after it."""
    paid = transaction([(FOREIGN_COIN, [])], [(5, OURS), (6, OURS)])
    chain.mine(paid)
    chain.mine(transaction([(OutPoint(paid.GetTxid(), 0), [])], [(1, THEIRS)]))
    watched = Watchlist([OURS])
    batch = await follow(chain, Tail.start(chain.at(10)), watched)
    received, spent = [update.matches for update in batch.updates if isinstance(update, Connected)]
    assert [one.outpoint.vout for one in received.received] == [0, 1]
    assert [one.outpoint.vout for one in spent.spent] == [0]
    chain.mine(transaction([(OutPoint(paid.GetTxid(), 1), [])], [(1, THEIRS)]))
    (later,) = (await follow(chain, batch.tail, watched)).updates
    assert isinstance(later, Connected)
    assert [one.outpoint.vout for one in later.matches.spent] == [1]


async def test_large_block_is_read_beside_the_loop(chain: FakeChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of more than 200 kB is read in a thread, a small one where it is."""
    threads = []

    def observed(raw: bytes, watched: Watchlist) -> ScannedBlock:
        threads.append(threading.current_thread() is threading.main_thread())
        return scan_block(raw, watched)

    monkeypatch.setattr("adapters.bitcoin.follower.scan_block", observed)
    data = [(0, b"\x6a" + bytes(9000))] * 30
    chain.mine(transaction([(FOREIGN_COIN, [])], [(5, OURS), *data]))
    _, large = (await follow(chain, Tail.start(chain.at(9)), Watchlist([OURS]))).updates
    assert isinstance(large, Connected)
    assert [one.value for one in large.matches.received] == [5]
    assert threads == [True, False]


async def test_failure_leaves_no_request_running(chain: FakeChain) -> None:
    """When a block cannot be had, the error is raised and what was fetched ahead is ended."""

    def refuse(block_hash: bytes) -> None:
        if block_hash == chain.heights[2]:
            raise RpcRefused("getblock", -1, "Block not available (pruned data)")

    chain.before_block = refuse
    with pytest.raises(RpcRefused):
        await follow(chain, Tail(), Watchlist())
    assert not tasks_of("adapters/bitcoin")


async def test_tail_forgets_the_oldest(chain: FakeChain) -> None:
    """A tail keeps as many blocks as its depth says."""
    batch = await follow(chain, Tail(depth=4), Watchlist())
    assert [block.height for block in batch.tail.blocks] == [7, 8, 9, 10]
    assert Tail().depth == TAIL_DEPTH == 288


async def test_tail_survives_storage(chain: FakeChain) -> None:
    """A tail that was encoded and decoded is the same, empty or not."""
    for tail in (Tail(), Tail(depth=7), (await follow(chain, Tail.start(chain.at(3)), Watchlist())).tail):
        assert Tail.decode(tail.encode()) == tail


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        Tail().encode()[:-1],
        b"\x02" + Tail().encode()[1:],
        Tail.start(BlockRef(BlockHeight(1), bytes(32))).encode()[:-1],
        b"\x01" + bytes(8),  # a depth of 0
        b"\x01\x00\x00\x00\x01\x00\x00\x00\x05",  # a height without a block
        b"\x01\x00\x00\x00\x01\x00\x00\x00\x05" + bytes(64),  # more blocks than its depth
        b"\x01\x00\x00\x00\x02\xff\xff\xff\xff" + bytes(64),  # heights beyond four bytes
    ],
)
def test_malformed_tail_is_refused(data: bytes) -> None:
    """Stored bytes that are no tail are refused, naming it."""
    with pytest.raises(BadInput) as refusal:
        Tail.decode(data)
    assert refusal.value.field == "tail"


def test_tail_without_gaps() -> None:
    """A tail is one piece of a chain."""
    with pytest.raises(BadInput):
        Tail((BlockRef(BlockHeight(1), bytes(32)), BlockRef(BlockHeight(3), bytes(32))))


async def test_rescan_finds_what_was_watched_too_late(chain: FakeChain) -> None:
    """A range is read again: each block of it, with the matches, up to the given one."""
    paid = transaction([(FOREIGN_COIN, [])], [(5, OURS)])
    chain.mine(paid)
    chain.mine(transaction([(OutPoint(paid.GetTxid(), 0), [])], [(1, THEIRS)]))
    chain.mine_empty(3)
    found = [update async for update in scan_range(chain, BlockHeight(9), chain.at(13), Watchlist([OURS]))]
    assert [update.block for update in found] == [chain.at(height) for height in range(9, 14)]
    assert [(len(update.matches.received), len(update.matches.spent)) for update in found] == [
        (0, 0),
        (0, 0),
        (1, 0),
        (0, 1),
        (0, 0),
    ]


async def test_rescan_of_nothing(chain: FakeChain) -> None:
    """A range that begins after its end has no blocks."""
    assert [update async for update in scan_range(chain, BlockHeight(6), chain.at(5), Watchlist())] == []


async def test_rescan_refuses_a_block_that_was_left_behind(chain: FakeChain) -> None:
    """A range up to a block that is not in the active chain is not read, whatever the chain's length."""
    last = chain.at(8)
    for grown in (0, 5):
        chain.invalidate(3)
        chain.mine_empty(grown)
        with pytest.raises(ChainMoved):
            _ = [update async for update in scan_range(chain, BlockHeight(2), last, Watchlist())]


@pytest.mark.parametrize("replaced", [4, 9])
async def test_rescan_notices_a_reorganisation(chain: FakeChain, replaced: int) -> None:
    """A range whose blocks were replaced while it was read ends with an error, even where all of it was replaced."""
    last = chain.at(10)

    def reorganise(_: bytes) -> None:
        chain.before_block = lambda _: None
        chain.invalidate(replaced)
        chain.mine_empty(replaced + 2)

    chain.before_block = reorganise
    with pytest.raises(ChainMoved):
        _ = [update async for update in scan_range(chain, BlockHeight(5), last, Watchlist())]
