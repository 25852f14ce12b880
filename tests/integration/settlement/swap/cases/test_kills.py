"""Both sides are killed (SIGKILL) at every step, and started again: the swap ends as if nothing had been."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from settlement.swap.machine.states import Outcome
from settlement.swap.terms import Mode
from tests.support.processes import ROOT
from tests.support.swap_cases import OpenCase, Side
from tests.support.swap_killed import killed_at, patient

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("mode", Mode)
async def test_both_are_killed_at_every_step(case: OpenCase, mode: Mode) -> None:
    """After each step that is stored, and each order that is carried out: no order is lost, and none pays twice."""
    async with case(mode) as swap, AsyncExitStack() as stack:
        for side in swap.sides.values():
            side.person.tune = patient
            await side.work(runs=False)
        assert swap.initiator.engine is not None
        await swap.initiator.engine.trading.take(await swap.offered(swap.follower))
        for side in swap.sides.values():
            await side.vanish()
        lives = [await started(side, stack) for side in swap.sides.values()]
        assert await asyncio.gather(*(life.wait() for life in lives)) == [0, 0]
        for side in swap.sides.values():
            engine = await side.work(runs=False)
            (row,) = await engine.office.swaps()
            assert row.state.outcome is Outcome.SWAPPED
            assert len(killed_at(side.person.folder)) >= 11
            assert len([one for one in killed_at(side.person.folder) if one.startswith("done")]) >= 4
        await swap.all_got()


async def started(side: Side, stack: AsyncExitStack) -> asyncio.subprocess.Process:
    """Somebody's life after life, until the swap has ended."""
    folder: Path = side.person.folder
    ahead = str(side.case.chains.clock.ahead_s)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.swap_killed", str(folder), ahead, cwd=ROOT
    )

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    stack.push_async_callback(end)
    return process
