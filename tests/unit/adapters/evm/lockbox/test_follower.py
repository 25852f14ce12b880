"""Following a Lockbox: all its events once, and no lie of an endpoint passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_abi.abi import encode

from adapters.evm.errors import (
    BadAnswer,
    CursorReorged,
    EndpointLied,
    EndpointsDisagree,
    FalseHeader,
    FalseLogs,
    FalseReceipts,
    FalseTransactions,
    MissingLogs,
    NodeUnavailable,
    TooManyLogs,
)
from adapters.evm.lockbox.bindings import Lockbox
from adapters.evm.lockbox.events import LockboxEvent, Locked
from adapters.evm.lockbox.follower import VerifiedFollower
from adapters.evm.types import BlockRef
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from tests.support.evm_endpoint import LOCKBOX, FakeChain, FakeTransport, Log, hexed, together

START = BlockHeight(2)
STRANGER = b"\x33" * 20
Follower = VerifiedFollower


def word(content: bytes) -> bytes:
    """An address as a topic."""
    return content.rjust(32, b"\0")


def locked(number: int, amount: int = 10) -> Log:
    """A log of a lock."""
    topics = (Lockbox.Locked.topic, number.to_bytes(32, "big"), bytes(32), word(b"\x44" * 20))
    return LOCKBOX, topics, encode(["uint256", "uint256", "address"], [number, amount, b"\x55" * 20])


def other() -> Log:
    """A log of another contract."""
    return STRANGER, (b"\x01" * 32,), b""


@pytest.fixture
def chain() -> FakeChain:
    """Twelve blocks: locks 1 (block 3), 2 and 3 (block 5, two transactions), 4 (block 9), among others' logs."""
    made = FakeChain()
    contents: dict[int, list[list[Log]]] = {
        3: [[other()], [other(), locked(1)]],
        4: [[other()], []],
        5: [[locked(2)], [other()], [locked(3), other()]],
        9: [[locked(4)]],
    }
    for number in range(1, 12):
        made.mine(*contents.get(number, []))
    return made


def follower(*nodes: FakeTransport, quorum: int | None = None, max_range: int = 2_000) -> Follower:
    """A follower through these endpoints."""
    return Follower(together(*nodes, quorum=quorum), LOCKBOX, START, max_range=max_range)


async def everything(one: Follower, cursor: BlockRef | None = None) -> tuple[list[LockboxEvent], BlockRef | None]:
    """All that can be read now, and the last cursor."""
    found: list[LockboxEvent] = []
    while (batch := await one.read(cursor)) is not None:
        assert batch.first == (START if cursor is None else cursor.number + 1)
        found += batch.events
        cursor = batch.last
    return found, cursor


def numbers(events: list[LockboxEvent]) -> list[int]:
    """The numbers of the locks."""
    return [event.number for event in events if isinstance(event, Locked)]


@pytest.mark.parametrize("max_range", [1, 2, 3, 2_000])
async def test_every_event_is_read_once(chain: FakeChain, max_range: int) -> None:
    """Whatever the range, all events come in order, with the block, the transaction and the place that are proved."""
    events, cursor = await everything(follower(chain.endpoint(), max_range=max_range))
    assert numbers(events) == [1, 2, 3, 4]
    assert cursor is not None
    assert hexed(cursor.hash) == chain.blocks[11]["hash"]
    third = events[2]
    assert isinstance(third, Locked)
    assert (third.at.block.number, third.at.index) == (5, 2)
    assert hexed(third.at.transaction) == chain.blocks[5]["transactions"][2]["hash"]
    assert (third.amount, third.recipient, third.sender) == (10, b"\x55" * 20, b"\x44" * 20)


async def test_a_cursor_goes_on(chain: FakeChain) -> None:
    """A new follower with a stored cursor reads only what came after it."""
    _, cursor = await everything(follower(chain.endpoint()))
    chain.mine([locked(5)])
    assert numbers((await everything(follower(chain.endpoint()), cursor))[0]) == [5]


async def test_before_the_start_there_is_nothing(chain: FakeChain) -> None:
    """While the start block is not final, nothing is read."""
    node = chain.endpoint()
    node.height = 1
    assert await follower(node).read(None) is None


async def test_receipts_are_read_one_by_one_where_need_be(chain: FakeChain) -> None:
    """An endpoint that does not know eth_getBlockReceipts is asked for each transaction's, and proves them too."""
    node = chain.endpoint()
    node.missing.add("eth_getBlockReceipts")
    assert numbers((await everything(follower(node)))[0]) == [1, 2, 3, 4]


async def test_blocks_that_cannot_hold_a_log_are_not_read(chain: FakeChain) -> None:
    """The bloom filter spares the receipts of blocks without a log of the Lockbox."""
    node = chain.endpoint()
    await everything(follower(node))
    assert {int(params[0], 16) for method, params in node.asked if method == "eth_getBlockReceipts"} == {3, 5, 9}


async def test_ranges_are_halved(chain: FakeChain) -> None:
    """A provider that allows only short ranges of logs is asked for as little as it wants."""
    node = chain.endpoint()
    node.max_logs_range = 2
    assert numbers((await everything(follower(node)))[0]) == [1, 2, 3, 4]


async def test_a_refused_single_block_is_told(chain: FakeChain) -> None:
    """Where not even one block's logs are answered, the block is named."""
    node = chain.endpoint()
    node.max_logs_range = 0
    with pytest.raises(TooManyLogs) as refusal:
        await follower(node).read(None)
    assert refusal.value.number == START


async def test_less_is_asked_of_a_slow_node(chain: FakeChain) -> None:
    """After an answer that did not come in time the next range is half as long."""
    node = chain.endpoint()
    one = follower(node)

    def slow(params: list[Any], truth: Any) -> Any:
        if int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) >= 4:
            raise NodeUnavailable("eth_getLogs", "no answer in time")
        return truth

    node.lies["eth_getLogs"] = slow
    failures = 0
    while True:
        try:
            batch = await one.read(None)
            break
        except NodeUnavailable:
            failures += 1
    assert failures == 2
    assert batch is not None
    assert batch.last.number == 3


def change_first_log(**fields: str) -> Callable[[list[Any], Any], Any]:
    """A lie: the first log has other fields."""
    return lambda _params, truth: [truth[0] | fields, *truth[1:]] if truth else truth


LIES: dict[str, tuple[type[EndpointLied], str, Callable[[list[Any], Any], Any]]] = {
    "a log left out": (MissingLogs, "eth_getLogs", lambda _params, truth: truth[1:]),
    "all logs left out": (MissingLogs, "eth_getLogs", lambda _params, _truth: []),
    "an altered amount": (FalseLogs, "eth_getLogs", change_first_log(data=hexed(locked(1, 10**9)[2]))),
    "another transaction": (FalseLogs, "eth_getLogs", change_first_log(transactionHash="0x" + "99" * 32)),
    "another block": (FalseLogs, "eth_getLogs", change_first_log(blockHash="0x" + "99" * 32)),
    "an invented log in the same block": (
        FalseLogs,
        "eth_getLogs",
        lambda _params, truth: [*truth, truth[0] | {"logIndex": "0x7"}],
    ),
    "an invented log in an empty block": (
        FalseLogs,
        "eth_getLogs",
        lambda _params, truth: [*truth, truth[0] | {"blockNumber": "0x7"}],
    ),
    "a log out of the range": (
        FalseLogs,
        "eth_getLogs",
        lambda _params, truth: [*truth, truth[0] | {"blockNumber": "0x1"}],
    ),
    "receipts of no transaction": (FalseReceipts, "eth_getBlockReceipts", lambda _params, _truth: []),
    "another block's transactions": (
        FalseTransactions,
        "eth_getBlockByHash",
        lambda _params, truth: truth | {"transactions": truth["transactions"][1:]},
    ),
    "a block by hash that is not there": (FalseTransactions, "eth_getBlockByHash", lambda _params, _truth: None),
    "a header with another bloom filter": (
        FalseHeader,
        "eth_getBlockByNumber",
        lambda params, truth: truth | {"logsBloom": "0x" + "00" * 256} if params[0] == "0x5" else truth,
    ),
    "a header that is missing": (
        FalseHeader,
        "eth_getBlockByNumber",
        lambda params, truth: None if params[0] == "0x4" else truth,
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_told_where_nobody_else_can_be_asked(chain: FakeChain, lie: str) -> None:
    """A single endpoint that lies is caught, by name and block, and nothing is read."""
    kind, method, how = LIES[lie]
    node = chain.endpoint("liar")
    node.lies[method] = how
    with pytest.raises(kind) as caught:
        await follower(node).read(None)
    assert caught.value.endpoint == "liar"


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_does_not_stop_an_honest_endpoint(chain: FakeChain, lie: str) -> None:
    """Beside an honest endpoint a liar is reported, and all events are read."""
    kind, method, how = LIES[lie]
    liar, honest = chain.endpoint("liar"), chain.endpoint("honest")
    liar.lies[method] = how
    endpoints = together(liar, honest)
    events, _ = await everything(Follower(endpoints, LOCKBOX, START))
    assert numbers(events) == [1, 2, 3, 4]
    assert isinstance(endpoints.lies["liar"], kind)


async def test_receipts_of_another_block_are_refused(chain: FakeChain) -> None:
    """An endpoint that gives true receipts of another block is caught."""
    liar = chain.endpoint("liar")
    liar.lies["eth_getBlockReceipts"] = lambda _params, _truth: chain.receipts[5]
    with pytest.raises(FalseReceipts) as caught:
        await follower(liar).read(None)
    assert caught.value.number == 3


async def test_altered_receipts_are_refused(chain: FakeChain) -> None:
    """Receipts and logs that tell the same lie about an amount are caught by the header."""
    liar = chain.endpoint("liar")
    liar.chain = chain.fork(len(chain.blocks) - 1)
    liar.chain.receipts[9][0]["logs"][0]["data"] = hexed(locked(4, 10**30)[2])
    liar.chain.logs[9][0]["data"] = hexed(locked(4, 10**30)[2])
    with pytest.raises(FalseReceipts) as caught:
        await follower(liar).read(None)
    assert caught.value.number == 9


async def test_an_invented_fork_is_not_believed(chain: FakeChain) -> None:
    """A chain of headers that are true in themselves, and lead elsewhere, is refused although its receipts fit.

    The liar answers honestly wherever it is compared, and invents the blocks between.
    """
    fork = chain.fork(5)
    for number in range(6, 12):
        fork.mine(*([[locked(77, 10**30)]] if number == 8 else []))
    liar = chain.endpoint("liar")
    liar.chain = fork
    honest = FakeTransport(chain, "x")

    def where_compared(params: list[Any], truth: Any) -> Any:
        if params[0] in ("finalized", "0x0", hex(len(chain.blocks) - 1)):
            return honest._eth_getBlockByNumber(*params)
        return truth

    liar.lies["eth_getBlockByNumber"] = where_compared
    with pytest.raises(FalseHeader):
        await follower(liar).read(None)
    endpoints = together(liar, chain.endpoint("honest"))
    assert numbers((await everything(Follower(endpoints, LOCKBOX, START)))[0]) == [1, 2, 3, 4]


async def test_a_fork_in_the_middle_is_a_disagreement(chain: FakeChain) -> None:
    """Where a range ends below the final block, the endpoints are compared there too."""
    fork = chain.fork(2)
    for _ in range(3, 12):
        fork.mine()
    liar = chain.endpoint("liar")
    honest_tip = chain.endpoint("x")
    liar.chain = fork
    liar.lies["eth_getBlockByNumber"] = lambda params, truth: (
        honest_tip._eth_getBlockByNumber(*params) if params[0] in ("finalized", "0xb") else truth
    )
    with pytest.raises(EndpointsDisagree):
        await follower(liar, chain.endpoint(), max_range=4).read(None)


@pytest.mark.parametrize("length", [6, 9, 20])
async def test_a_reorg_below_the_cursor_is_told(chain: FakeChain, length: int) -> None:
    """If the block at the cursor is another one now, reading stops; a chain that is shorter is waited for."""
    node = chain.endpoint()
    _, cursor = await everything(follower(node))
    assert cursor is not None
    node.chain = chain.fork(5)
    for _ in range(length):
        node.chain.mine()
    one = follower(node)
    if len(node.chain.blocks) <= cursor.number:
        assert await one.read(cursor) is None
        return
    with pytest.raises(CursorReorged) as told:
        await one.read(cursor)
    assert (told.value.number, told.value.expected) == (cursor.number, cursor.hash)
    assert hexed(told.value.found or b"") == node.chain.blocks[cursor.number]["hash"]


async def test_an_unknown_event_stops_the_reading(chain: FakeChain) -> None:
    """A log that no Lockbox of ours emits is not passed over: another contract would be at the address."""
    chain.mine([(LOCKBOX, (b"\x66" * 32,), b"")])
    with pytest.raises(BadAnswer):
        await everything(follower(chain.endpoint()))


async def test_a_crowded_range_ends_early(chain: FakeChain) -> None:
    """A range with very many transactions is read in parts, each of which ends at a proved block."""
    node = chain.endpoint()

    def crowded(_params: list[Any], truth: Any) -> Any:
        return truth if truth is None else truth | {"transactions": ["0x" + "00" * 32] * 15_000}

    node.lies["eth_getBlockByNumber"] = crowded
    one = follower(node)
    batch = await one.read(None)
    assert batch is not None
    assert hexed(batch.last.hash) == chain.blocks[3]["hash"]
    assert numbers(list(batch.events)) == [1]
    assert numbers((await everything(one, batch.last))[0]) == [2, 3, 4]


async def test_following_waits_for_new_blocks(chain: FakeChain) -> None:
    """Following yields a batch for each stretch of blocks, and goes on when there are more."""
    seen: list[int] = []
    async for batch in follower(chain.endpoint()).follow(None, poll_seconds=0.0005):
        seen += numbers(list(batch.events))
        if batch.last.number == 11:
            chain.mine([locked(5)])
        if batch.last.number == 12:
            break
    assert seen == [1, 2, 3, 4, 5]


def test_a_lockbox_has_an_address(chain: FakeChain) -> None:
    """What is no address cannot be followed."""
    with pytest.raises(BadInput):
        Follower(together(chain.endpoint()), bytes(20), START)
