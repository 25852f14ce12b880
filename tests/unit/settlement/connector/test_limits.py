"""Rates of packets, margins of expiries, and deadlines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.limits import TokenBucket, Window
from settlement.connector.timers import SLOT_MS, Timers
from settlement.ilp.errors import Code
from settlement.ilp.packets import encode
from tests.support.connector import ALICE, BOB, CAROL, START, ManualClock, make_core, make_prepare


def test_bucket_lets_the_rate_pass_exactly() -> None:
    """Over a long time exactly the rate passes, whatever the steps of the clock."""
    bucket = TokenBucket(7, 7, START)
    passed = sum(bucket.take(UnixMs(START + ms)) for ms in range(0, 10_000, 3))
    assert passed == 7 + 7 * 9_999 // 1_000


def test_bucket_gains_nothing_from_a_clock_that_goes_back() -> None:
    """Setting the clock back and forth gives no tokens."""
    bucket = TokenBucket(1, 1, START)
    assert bucket.take(START)
    assert not bucket.take(UnixMs(START - 100_000))
    assert not bucket.take(UnixMs(START - 99_500))


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1)])
def test_bucket_that_lets_nothing_pass_is_refused(rate: int, burst: int) -> None:
    """A limit of nothing is a mistake of the configuration."""
    with pytest.raises(BadInput):
        TokenBucket(rate, burst, START)


@pytest.mark.parametrize("arguments", [(0, 1, 1), (1, 0, 1), (1, 10, 9)])
def test_window_without_a_margin_is_refused(arguments: tuple[int, int, int]) -> None:
    """Margins are above zero, and the longest hold leaves a hop its time."""
    with pytest.raises(BadInput):
        Window(*arguments)


class Item:
    """Counts how often it was told."""

    def __init__(self, deadline: int) -> None:
        self.deadline = UnixMs(deadline)
        self.told = 0

    def expired(self) -> None:
        self.told += 1


async def test_timers_tell_after_the_deadline_and_once() -> None:
    """Nobody is told early, all are told within two slots, and what was removed is not told."""
    clock = ManualClock()
    timers = Timers(clock)
    items = [Item(START + ms) for ms in (0, 10, 50, 1_000)]
    gone = Item(START + 10)
    for item in (*items, gone):
        timers.add(item)
    timers.remove(gone)
    for _ in range(1_000 // SLOT_MS + 3):
        timers.tick()
        for item in items:
            assert item.told == 0 or item.deadline < clock.now
            assert item.told == 1 or clock.now <= item.deadline + 2 * SLOT_MS
        clock.forward(SLOT_MS)
    assert [item.told for item in (*items, gone)] == [1, 1, 1, 1, 0]
    timers.close()


async def test_packet_above_the_limit_is_refused_unread(tmp_path: Path) -> None:
    """A flood costs as little as can be: nothing of a packet above the limit is looked at, held or remembered."""
    core = await make_core(tmp_path, [replace(ALICE, packets_per_second=1, burst=1), BOB])
    core.take("alice", make_prepare(1))
    for raw in (b"", b"no packet at all", encode(make_prepare(1, "test.nowhere.x"))):
        assert core.take("alice", raw).code == Code.RATE_LIMITED
    assert core.accounts["alice"].refused == {"T05": 3}
    assert len(core.pipeline.timers) == len(core.links["bob"].sent) == 1
    await core.close()


async def test_limit_of_one_sender_is_no_limit_of_another(tmp_path: Path) -> None:
    """While one account is above its limit, the packets of others pass."""
    core = await make_core(tmp_path, [replace(ALICE, packets_per_second=1, burst=1), BOB, CAROL])
    for _ in range(5):
        core.take("alice", make_prepare(1))
    assert core.take("carol", make_prepare(10_000, "test.clearing.bob")).all == []
    await core.close()
