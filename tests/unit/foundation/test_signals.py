"""A command ends in order by a signal, and heeds none that it was started to ignore."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from foundation.signals import cancelled_by, heed
from tests.support.patience import PATIENCE_S

NUMBER = signal.SIGHUP


@pytest.fixture
def former() -> Iterator[None]:
    """What this process does at the signal is as before, afterwards."""
    kept = signal.getsignal(NUMBER)
    yield
    signal.signal(NUMBER, kept)


def own(number: int, frame: Any) -> None:
    """A handler of somebody's."""


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("before", [signal.SIG_DFL, own])
def test_a_signal_cancels_and_what_was_before_holds_again(former, loop, before):
    """On both loops that commands have; whoever handled it before does so again."""
    signal.signal(NUMBER, before)

    async def work() -> str:
        try:
            with cancelled_by(NUMBER):
                os.kill(os.getpid(), NUMBER)
                await asyncio.sleep(PATIENCE_S)
        except asyncio.CancelledError:
            return "in order"
        return "not heard"

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(work()) == "in order"
    assert signal.getsignal(NUMBER) is before


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_signal_that_was_to_be_ignored_stays_so(former, loop):
    """`nohup causeway swap resume &` goes on when the terminal goes, then and afterwards; another signal ends it."""
    signal.signal(NUMBER, signal.SIG_IGN)

    async def work() -> str:
        with cancelled_by(NUMBER, signal.SIGTERM):
            os.kill(os.getpid(), NUMBER)
            await asyncio.sleep(0.05)
            assert signal.getsignal(NUMBER) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        return "went on"

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(work()) == "went on"
    assert signal.getsignal(NUMBER) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("is_first_first", [True, False])
async def test_blocks_that_overlap_leave_what_was_before_the_first(former, is_first_first):
    """Several commands may run in one process; no loop's own handler stays behind."""
    signal.signal(NUMBER, own)
    blocks = [cancelled_by(NUMBER), cancelled_by(NUMBER)]
    for block in blocks:
        block.__enter__()
    for block in blocks if is_first_first else reversed(blocks):
        block.__exit__(None, None, None)
    assert signal.getsignal(NUMBER) is own


async def test_another_thread_gets_no_signals():
    """What runs there goes on without them."""

    async def work() -> dict[signal.Signals, Any]:
        with cancelled_by(NUMBER):
            return heed(lambda: None, signal.SIGTERM)

    assert await asyncio.to_thread(asyncio.run, work()) == {}
