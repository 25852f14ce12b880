"""`settlement.swap.bitcoin.watch`, `sightings` and `search` over a chain in memory."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest
from bitcoin.core import CTransaction

from adapters.bitcoin.errors import BadAnswer, ChainMoved, DeepReorg
from adapters.bitcoin.primitives import BlockRef, OutPoint, hash_text
from adapters.bitcoin.rpc import BitcoinRpc
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from settlement.swap.bitcoin import sightings as sightings_module
from settlement.swap.bitcoin.search import blocks_with
from settlement.swap.bitcoin.sightings import Sightings
from settlement.swap.bitcoin.watch import MAX_EXPECTED, BitcoinWatch
from tests.support.bitcoin_chain import block as built
from tests.support.bitcoin_chain import transaction
from tests.support.swap_chain import FakeNode

SCRIPT, OTHER = b"\x51\x20" + b"\x01" * 32, b"\x51\x20" + b"\x02" * 32
SOMEWHERE = b"\x00\x14" + bytes(20)
WITNESS = (b"\x07" * 64,)


def rpc_of(node: FakeNode) -> BitcoinRpc:
    """The node, as a watch takes it."""
    return cast(BitcoinRpc, node)


def paying(value: int = 1_000, script: bytes = SCRIPT, label: bytes = b"\x05") -> CTransaction:
    """A transaction that pays a script."""
    return transaction([(OutPoint(label * 32, 0), (b"\x01" * 64,))], [(value, script)])


def spending(coin: CTransaction, witness: Sequence[bytes] = WITNESS) -> CTransaction:
    """A transaction that spends what `paying` made."""
    return transaction([(OutPoint(coin.GetTxid(), 0), witness)], [(500, SOMEWHERE)])


@pytest.fixture
def node() -> FakeNode:
    """Ten blocks."""
    node = FakeNode()
    node.mine_empty(10)
    return node


@pytest.fixture
async def watch(node: FakeNode) -> BitcoinWatch:
    """A watch of one script, at the tip."""
    watch = await BitcoinWatch.start(rpc_of(node))
    watch.watch(SCRIPT, BlockHeight(10))
    await watch.look()
    return watch


async def shown(watch: BitcoinWatch, script: bytes = SCRIPT) -> list[tuple[bytes, int, tuple[bytes, int] | None]]:
    """Outputs and spends of a script, as txids with their confirmations."""
    spends = [(one, one.spend) for one in (await watch.look()).of(script)]
    return [(one.outpoint.txid, one.confirmations, (s.txid, s.confirmations) if s else None) for one, s in spends]


async def test_output_and_spend_are_told_with_their_confirmations(node: FakeNode, watch: BitcoinWatch) -> None:
    """An output is told from its block on; its spend in the mempool, then in a block."""
    coin = paying()
    spend = spending(coin)
    node.confirm(coin)
    assert await shown(watch) == [(coin.GetTxid(), 1, None)]
    node.put(spend)
    assert await shown(watch) == [(coin.GetTxid(), 1, (spend.GetTxid(), 0))]
    node.confirm(spend)
    node.mine()
    assert await shown(watch) == [(coin.GetTxid(), 3, (spend.GetTxid(), 2))]
    view = await watch.look()
    assert (view.tip.height, view.median_time) == (13, 13)
    assert view.of(SCRIPT)[0].spend is not None
    assert view.of(OTHER) == ()


async def test_output_and_spend_in_one_block_are_both_seen(node: FakeNode, watch: BitcoinWatch) -> None:
    """What is paid and spent within a block, or between two looks, is told."""
    coin = paying()
    node.confirm(coin, spending(coin))
    assert await shown(watch) == [(coin.GetTxid(), 1, (spending(coin).GetTxid(), 1))]


async def test_a_reorganisation_takes_back_what_it_takes_off(node: FakeNode, watch: BitcoinWatch) -> None:
    """An output goes with its block, a spend with its own, and both come again with other blocks."""
    coin = paying()
    spend = spending(coin)
    node.confirm(coin)
    node.confirm(spend)
    assert await shown(watch) == [(coin.GetTxid(), 2, (spend.GetTxid(), 1))]
    node.invalidate(1)
    node.mine_empty(2)
    assert await shown(watch) == [(coin.GetTxid(), 3, None)]
    node.invalidate(3)
    node.mine_empty(4)
    assert await shown(watch) == []
    node.put(coin)
    assert await shown(watch) == [(coin.GetTxid(), 0, None)]
    node.put(spend)
    assert await shown(watch) == [(coin.GetTxid(), 0, (spend.GetTxid(), 0))]
    node.confirm(coin)
    assert await shown(watch) == [(coin.GetTxid(), 1, (spend.GetTxid(), 0))]


async def test_another_spend_takes_the_place_of_one(node: FakeNode, watch: BitcoinWatch) -> None:
    """A spend in the mempool that is replaced is told no more; the one in a block counts."""
    coin = paying()
    first, second = spending(coin), spending(coin, (b"\x08" * 64, b"other"))
    node.confirm(coin)
    node.put(first)
    assert (await watch.look()).of(SCRIPT)[0].spend is not None
    node.mempool.clear()
    node.confirm(second)
    (output,) = (await watch.look()).of(SCRIPT)
    assert output.spend is not None
    assert output.spend.witness == (b"\x08" * 64, b"other")


async def test_a_view_is_of_one_moment(node: FakeNode, watch: BitcoinWatch) -> None:
    """A block that comes between the questions does not make a spend vanish: the look begins again."""
    coin = paying()
    spend = spending(coin)
    node.confirm(coin)
    node.put(spend)
    moves = [lambda: node.confirm(spend)]
    node.before_spenders = lambda: moves.pop()() if moves else None
    assert await shown(watch) == [(coin.GetTxid(), 2, (spend.GetTxid(), 1))]


async def test_a_chain_that_never_rests_is_said_to_move(node: FakeNode, watch: BitcoinWatch) -> None:
    """After a few attempts the caller is told to come again; nothing is lost by it."""
    coin = paying()
    node.confirm(coin)
    node.before_spenders = node.mine
    with pytest.raises(ChainMoved):
        await watch.look()
    node.before_spenders = lambda: None
    assert [txid for txid, _, _ in await shown(watch)] == [coin.GetTxid()]


async def test_a_fork_below_what_is_remembered_needs_a_person(node: FakeNode) -> None:
    """A watch that remembers three blocks does not guess what a deeper fork took back."""
    watch = await BitcoinWatch.start(rpc_of(node), depth=3)
    node.invalidate(4)
    node.mine_empty(6)
    with pytest.raises(DeepReorg):
        await watch.look()


async def test_expected_transactions_are_told_from_the_mempool(node: FakeNode, watch: BitcoinWatch) -> None:
    """Only outputs to the script count, once: in the mempool, then in the block."""
    coin = transaction([(OutPoint(b"\x05" * 32, 0), WITNESS)], [(7, OTHER), (1_000, SCRIPT)])
    watch.expect(SCRIPT, coin.GetTxid())
    assert await shown(watch) == []
    node.put(coin)
    (output,) = (await watch.look()).of(SCRIPT)
    assert (output.outpoint, output.value, output.confirmations) == (OutPoint(coin.GetTxid(), 1), 1_000, 0)
    node.confirm(coin)
    assert await shown(watch) == [(coin.GetTxid(), 1, None)]


async def test_expectations_are_bounded(node: FakeNode, watch: BitcoinWatch) -> None:
    """The oldest expected transaction of a script is forgotten first."""
    coin = paying()
    watch.expect(SCRIPT, coin.GetTxid())
    node.put(coin)
    for number in range(MAX_EXPECTED - 1):
        watch.expect(SCRIPT, number.to_bytes(32, "big"))
    assert len(await shown(watch)) == 1
    watch.expect(SCRIPT, b"\xff" * 32)
    assert await shown(watch) == []


async def test_new_coins_of_miners_are_told_when_they_can_be_spent(node: FakeNode, watch: BitcoinWatch) -> None:
    """A coinbase's output funds nothing for a hundred blocks, in which no claim of it could be mined."""
    made = built(previous=node.heights[-1], tag=b"coinbase", pays=[(5_000, SCRIPT)])
    node.heights.append(made.GetHash())
    node.raws[made.GetHash()] = made.serialize()
    assert await shown(watch) == []
    node.mine_empty(98)
    assert await shown(watch) == []
    node.mine()
    assert [confirmations for _, confirmations, _ in await shown(watch)] == [100]


async def test_a_late_watch_reads_what_it_missed(node: FakeNode, watch: BitcoinWatch) -> None:
    """A script that is watched late is looked for from its birth on, not before."""
    early, coin = paying(script=OTHER, label=b"\x06"), paying(script=OTHER)
    node.confirm(early)
    node.mine()
    node.confirm(coin)
    node.confirm(spending(coin))
    await watch.look()
    watch.watch(OTHER, BlockHeight(12))
    assert await shown(watch, OTHER) == [(coin.GetTxid(), 2, (spending(coin).GetTxid(), 1))]
    watch.watch(OTHER, BlockHeight(13))
    assert watch.sightings.births[OTHER] == 12
    watch.watch(OTHER, BlockHeight(0))
    assert [txid for txid, _, _ in await shown(watch, OTHER)] == [early.GetTxid(), coin.GetTxid()]
    assert [spend is not None for _, _, spend in await shown(watch, OTHER)] == [False, True]


async def test_a_watch_goes_on_where_it_was_kept(node: FakeNode, watch: BitcoinWatch) -> None:
    """What is stored and read again is the same, and follows on through a reorganisation."""
    coin = paying()
    node.confirm(coin)
    node.confirm(spending(coin))
    await watch.look()
    again = BitcoinWatch(rpc_of(node), Sightings.decode(watch.sightings.encode()))
    assert again.sightings == watch.sightings
    node.invalidate(1)
    node.mine_empty(2)
    assert await shown(again) == await shown(watch) == [(coin.GetTxid(), 3, None)]


async def test_what_is_watched_no_more_is_forgotten(node: FakeNode, watch: BitcoinWatch) -> None:
    """Outputs, expectations and pending searches go with the script."""
    coin = paying()
    node.confirm(coin)
    await watch.look()
    watch.expect(SCRIPT, coin.GetTxid())
    watch.watch(OTHER, BlockHeight(0))
    watch.unwatch(OTHER)
    watch.unwatch(SCRIPT)
    assert watch.scripts == frozenset()
    assert (await watch.look()).outputs == {}
    assert watch.sightings.found == {}


async def test_memory_is_bounded_and_keeps_the_largest(
    node: FakeNode, watch: BitcoinWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of small payments to a script pushes out small ones, never the swap's own."""
    monkeypatch.setattr(sightings_module, "MAX_OUTPUTS", 3)
    coin = paying(9_999)
    node.confirm(coin)
    node.confirm(*(paying(100 + number, label=bytes([number + 10])) for number in range(8)))
    values = [one.value for one in (await watch.look()).of(SCRIPT)]
    assert values[0] == 9_999
    assert sorted(values[1:]) == [106, 107]


@pytest.mark.parametrize("data", [b"", b"\x91\x02", msgspec.msgpack.encode([9, b"", {}, []])])
def test_what_was_not_kept_by_us_is_refused(data: bytes) -> None:
    """Bytes of another form or version are refused."""
    with pytest.raises(BadInput):
        Sightings.decode(data)


# --- search ---


async def test_filters_save_reading_blocks(node: FakeNode) -> None:
    """Where the node has filters, only the blocks that they name are read, in order, and their false alarms dropped."""
    coin = paying()
    hit, spent = node.confirm(coin), node.confirm(spending(coin))
    node.mine_empty(20)
    tip = await node.tip()

    def filters(wanted: Sequence[str], first: int, last: int) -> dict[str, Any]:
        assert (wanted, first, last) == ([f"raw({SCRIPT.hex()})"], 5, tip.height)
        return {"relevant_blocks": [hash_text(one.hash) for one in (spent, node.at(20), hit)], "completed": True}

    node.filters = filters
    found = await blocks_with(rpc_of(node), [SCRIPT], BlockHeight(5), tip)
    assert [one.block for one in found] == [hit, spent]
    assert len(node.served) == 3
    assert [len(one.matches.received) + len(one.matches.spent) for one in found] == [1, 1]


@pytest.mark.parametrize("answer", [None, {"relevant_blocks": [], "completed": False}])
async def test_without_filters_blocks_are_read(node: FakeNode, answer: object) -> None:
    """A node without an index, or whose search was cut short, has its blocks read instead."""
    if answer is not None:
        node.filters = lambda *_: answer
    coin = paying()
    hit = node.confirm(coin)
    node.mine_empty(20)
    found = await blocks_with(rpc_of(node), [SCRIPT], BlockHeight(3), await node.tip())
    assert [one.block for one in found] == [hit]
    assert node.asked == ["scanblocks"]


async def test_a_short_range_is_read_at_once(node: FakeNode) -> None:
    """For a few blocks nobody asks for filters."""
    assert await blocks_with(rpc_of(node), [SCRIPT], BlockHeight(3), await node.tip()) == []
    assert node.asked == []


async def test_a_search_of_a_chain_that_moved_is_refused(node: FakeNode) -> None:
    """Blocks that are not in the chain any more are not told as if they were."""
    hit = node.confirm(paying())
    node.mine_empty(20)
    tip = await node.tip()
    node.filters = lambda *_: {"relevant_blocks": [hash_text(hit.hash)]}
    node.invalidate(21)
    node.mine_empty(21)
    for last in (tip, await node.tip()):
        with pytest.raises(ChainMoved):
            await blocks_with(rpc_of(node), [SCRIPT], BlockHeight(0), last)


async def test_nonsense_of_a_node_is_refused(node: FakeNode) -> None:
    """An answer of another form is no empty search."""
    node.mine_empty(20)
    node.filters = lambda *_: {"relevant_blocks": ["xyz"]}
    with pytest.raises(BadAnswer):
        await blocks_with(rpc_of(node), [SCRIPT], BlockHeight(0), BlockRef(BlockHeight(30), node.heights[30]))


async def test_a_pruned_node_tells_what_is_unspent(node: FakeNode) -> None:
    """Where old blocks are gone, the node's coins tell the outputs that can still be moved, with their blocks."""
    coin = paying()
    hit = node.confirm(coin)
    node.mine()
    tip = await node.tip()
    node.is_pruned = True
    node.coins = [
        {
            "txid": hash_text(coin.GetTxid()),
            "vout": 0,
            "scriptPubKey": SCRIPT.hex(),
            "amount": Decimal("0.00001"),
            "height": hit.height,
        }
    ]
    (found,) = await blocks_with(rpc_of(node), [SCRIPT], BlockHeight(3), tip)
    assert found.block == hit
    assert [(one.value, one.is_coinbase) for one in found.matches.received] == [(1_000, True)]
    with pytest.raises(ChainMoved):
        await blocks_with(rpc_of(node), [SCRIPT], BlockHeight(3), hit)
