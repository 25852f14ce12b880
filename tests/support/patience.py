"""How long tests wait for what must come, and what they tell where it does not."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

_TIMES: Final = float(os.environ.get("CAUSEWAY_TEST_PATIENCE", "1"))
PATIENCE_S: Final = 90.0 * _TIMES
"""Seconds until something counts as never coming: far more than it takes, because machines are shared and some slow."""

TEST_S: Final = 300.0 * _TIMES
"""Seconds that a whole test may take."""

_OURS: Final = ("/adapters/", "/bridge/", "/foundation/", "/infra/", "/mpc/", "/settlement/", "/tests/")
T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T | None]], what: str, pause_s: float = 0.05) -> T:
    """Look again and again until there is something; what there was.

    Raises:
        AssertionError: there was nothing for `PATIENCE_S`. Where every task waits is printed then: what hangs is there.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while True:
        found = await look()
        if found:
            return found
        if loop.time() > deadline:
            print("\n".join(waits()), file=sys.stderr)
            raise AssertionError(f"not in {PATIENCE_S:.0f} s: {what}")
        await asyncio.sleep(pause_s)


async def until(is_so: Callable[[], bool], pause_s: float = 0.0005) -> None:
    """Let other tasks work until something is so in this process. Raises `TimeoutError` after `PATIENCE_S`."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(pause_s)


def tasks_of(package: str) -> set[asyncio.Task[Any]]:
    """Other tasks of this loop that run a coroutine of a package (its folder, `adapters/bitcoin`), or of its tests. The
    whole session's nodes have tasks on the same loop, which come and go."""
    folder = f"/{package}/"
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return {task for task in others if any(folder in place for place in _places(task.get_coro()))}


def waits() -> list[str]:
    """Where each task of this loop waits, outermost first, in our own code."""
    found = []
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        places = [place for place in _places(task.get_coro()) if any(part in place for part in _OURS)]
        found.append(f"{task.get_name()} waits at {' > '.join(places) or 'nothing of ours'}")
    return found


def _places(waiting: Any) -> Iterator[str]:
    """The places of a coroutine, of what it awaits, and so on."""
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is not None:
            yield f"{frame.f_code.co_filename}:{frame.f_lineno}"
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
