"""Following logs to the finalized block: all of them, once, however little the provider answers at a time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from eth_utils.crypto import keccak

from adapters.evm.errors import ChainMoved, CursorReorged, NodeUnavailable, RpcRefused, TooManyLogs
from adapters.evm.logs import LogFollower, read_logs
from adapters.evm.types import BlockHeader, BlockRef, BlockTag, Log
from foundation.quantities import BlockHeight, Wei

HUB = b"\x01" * 20
START = BlockHeight(3)


class Source:
    """Blocks, of which some have a log, behind a provider with a limit."""

    def __init__(self, final: int, logs_at: Sequence[int] = ()) -> None:
        self.final = final
        self.logs_at = list(logs_at)
        self.limit = 10**6
        self.refusal: Exception = RpcRefused("eth_getLogs", -32005, "query returned more than 10000 results")
        self.asked: list[tuple[int, int]] = []
        self.fork = b""

    def hash(self, number: int) -> bytes:
        """A block's hash; another one on a fork."""
        return keccak(self.fork + b"block%d" % number)

    async def blocks(self, numbers: Sequence[BlockHeight | BlockTag]) -> list[BlockHeader | None]:
        """See `LogSource`. The newest block is ten above the final one."""
        heights = [self.final if number == "finalized" else number for number in numbers]
        return [
            BlockHeader(BlockHeight(n), self.hash(n), self.hash(n - 1), n, Wei(1), 1)
            if isinstance(n, int) and 0 <= n <= self.final + 10
            else None
            for n in heights
        ]

    async def logs(
        self, addresses: Sequence[bytes], first: BlockHeight, last: BlockHeight, topics: Sequence[Sequence[bytes]] = ()
    ) -> list[Log]:
        """See `LogSource`."""
        self.asked.append((first, last))
        if last - first + 1 > self.limit:
            raise self.refusal
        return [
            Log(HUB, (), b"", BlockRef(BlockHeight(n), self.hash(n)), keccak(b"tx"), 0)
            for n in self.logs_at
            if first <= n <= last
        ]


async def everything(follower: LogFollower, cursor: BlockRef | None = None) -> tuple[list[int], BlockRef | None]:
    """All that can be read now, and the last cursor."""
    numbers: list[int] = []
    while (batch := await follower.read(cursor)) is not None:
        assert batch.first == (START if cursor is None else cursor.number + 1)
        numbers += [log.block.number for log in batch.logs]
        cursor = batch.last
    return numbers, cursor


async def test_only_final_blocks_are_read() -> None:
    """Reading begins at the start block and ends at the final one, although newer blocks exist."""
    source = Source(20, [2, 3, 10, 20, 21, 25])
    numbers, cursor = await everything(LogFollower(source, [HUB], START))
    assert numbers == [3, 10, 20]
    assert cursor == BlockRef(BlockHeight(20), source.hash(20))


async def test_a_chain_below_the_start_has_nothing() -> None:
    """Before the contracts' block is final there is nothing to read."""
    assert await LogFollower(Source(2, [2]), [HUB], START).read(None) is None


async def test_a_cursor_goes_on_where_it_was() -> None:
    """A new follower with a stored cursor reads what came after it, and nothing again."""
    source = Source(20, [10, 20])
    _, cursor = await everything(LogFollower(source, [HUB], START))
    source.final, source.logs_at = 30, [10, 20, 21, 30]
    assert (await everything(LogFollower(source, [HUB], START), cursor))[0] == [21, 30]


async def test_ranges_are_halved_until_the_provider_answers() -> None:
    """A provider that refuses long ranges is asked for half as much until it answers, and nothing is skipped."""
    source = Source(1_000, range(3, 1_001))
    source.limit = 10
    numbers, _ = await everything(LogFollower(source, [HUB], START))
    assert numbers == list(range(3, 1_001))
    assert len(source.asked) < 350


async def test_ranges_grow_again() -> None:
    """After a crowded stretch longer ranges are asked for again."""
    source = Source(20_000)
    source.limit = 10
    follower = LogFollower(source, [HUB], START)
    batch = await follower.read(None)
    assert batch is not None
    source.limit, source.asked = 10**6, []
    await everything(follower, batch.last)
    assert len(source.asked) < 15


async def test_a_provider_that_is_too_slow_is_asked_for_less() -> None:
    """A request that is not answered in time is an error that passes, and the next one asks for half."""
    source = Source(1_000, [7])
    source.limit, source.refusal = 100, NodeUnavailable("eth_getLogs", "no answer in time")
    follower, failures = LogFollower(source, [HUB], START), 0
    while True:
        try:
            batch = await follower.read(None)
            break
        except NodeUnavailable:
            failures += 1
    assert failures == 4
    assert batch is not None
    assert [log.block.number for log in batch.logs] == [7]


async def test_a_single_block_that_is_refused_is_told() -> None:
    """Where not even one block's logs are answered, the block is named."""
    source = Source(20)
    source.limit = 0
    with pytest.raises(TooManyLogs) as refusal:
        await LogFollower(source, [HUB], START).read(None)
    assert refusal.value.number == START


async def test_other_refusals_are_passed_on() -> None:
    """A refusal that has nothing to do with size is raised as it is, at once."""
    source = Source(20)
    source.limit, source.refusal = 0, RpcRefused("eth_getLogs", -32601, "the method does not exist")
    with pytest.raises(RpcRefused):
        await LogFollower(source, [HUB], START).read(None)
    assert len(source.asked) == 1


async def test_a_final_block_that_changed_is_told() -> None:
    """If the block at the cursor is another one now, reading stops, with both hashes."""
    source = Source(20)
    _, cursor = await everything(LogFollower(source, [HUB], START))
    assert cursor is not None
    source.fork, source.final = b"fork", 25
    with pytest.raises(CursorReorged) as refusal:
        await LogFollower(source, [HUB], START).read(cursor)
    assert (refusal.value.number, refusal.value.expected, refusal.value.found) == (20, cursor.hash, source.hash(20))


async def test_a_node_that_is_behind_is_waited_for() -> None:
    """A node whose final block is below the cursor has nothing new; it catches up."""
    source = Source(20)
    _, cursor = await everything(LogFollower(source, [HUB], START))
    source.final = 15
    assert await LogFollower(source, [HUB], START).read(cursor) is None


@pytest.mark.parametrize("stray", [2, 21])
async def test_logs_of_other_blocks_are_refused(stray: int) -> None:
    """A node that answers with logs outside of the range is not believed."""
    source = Source(20)

    async def lying(*_: object) -> list[Log]:
        return [Log(HUB, (), b"", BlockRef(BlockHeight(stray), source.hash(stray)), keccak(b"tx"), 0)]

    source.logs = lying  # type: ignore[method-assign]  # the lie of this test
    with pytest.raises(ChainMoved):
        await LogFollower(source, [HUB], START).read(None)


async def test_logs_of_another_chain_are_refused() -> None:
    """A node whose logs have another last block than its headers is asked again."""
    source = Source(20, [20])
    first = source.logs

    async def forked(*arguments: object) -> list[Log]:
        source.fork = b"fork"
        logs = await first(*arguments)  # type: ignore[arg-type]  # passed through
        source.fork = b""
        return logs

    source.logs = forked  # type: ignore[method-assign]  # the race of this test
    with pytest.raises(ChainMoved):
        await LogFollower(source, [HUB], START).read(None)


async def test_following_yields_and_goes_on() -> None:
    """Following yields a batch for each stretch, and waits for new final blocks."""
    source = Source(20, [5, 22])
    follower = LogFollower(source, [HUB], START)
    seen: list[int] = []
    async for batch in follower.follow(None, poll_seconds=0.0005):
        seen += [log.block.number for log in batch.logs]
        if batch.last.number == 20:
            source.final = 24
        if batch.last.number == 24:
            break
    assert seen == [5, 22]


async def test_a_range_is_read_in_as_many_parts_as_it_takes() -> None:
    """A range that is longer than the provider allows is read whole, in order."""
    source = Source(500, range(0, 501, 3))
    source.limit = 7
    logs = await read_logs(source, [HUB], BlockHeight(10), BlockHeight(400))
    assert [log.block.number for log in logs] == list(range(12, 401, 3))
    source.limit = 0
    with pytest.raises(TooManyLogs):
        await read_logs(source, [HUB], BlockHeight(10), BlockHeight(400))
