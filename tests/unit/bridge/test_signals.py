"""Waking those who wait for a change, without losing one."""

from __future__ import annotations

import asyncio

from bridge.signals import Signal


async def test_a_change_wakes_all_who_wait() -> None:
    """Everybody who waits is told of one change."""
    signal = Signal()
    waiting = [asyncio.create_task(signal.wait(signal.version, 10)) for _ in range(3)]
    await asyncio.sleep(0)
    signal.set()
    assert await asyncio.gather(*waiting) == [True] * 3


async def test_a_change_between_looking_and_waiting_is_not_lost() -> None:
    """Who remembers the version before it looked does not sleep over what came meanwhile."""
    signal = Signal()
    seen = signal.version
    signal.set()
    signal.set()
    assert await signal.wait(seen, 10)
    assert signal.version == seen + 2


async def test_without_a_change_the_time_runs_out_and_nobody_is_left_waiting() -> None:
    """A wait ends by itself, and a cancelled one leaves nothing behind."""
    signal = Signal()
    assert not await signal.wait(signal.version, 0.001)
    task = asyncio.create_task(signal.wait(signal.version, 10))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not signal._waiters
    signal.set()
