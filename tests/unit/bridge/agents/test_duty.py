"""Duties run again and again; one that fails waits longer each time, is told of, and stops nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.agents.duty import DutyState, Runner
from bridge.agents.office import Apart, gather_some
from bridge.refusals import DepositNotRefused
from foundation.errors import BadInput, Fatal, Retryable
from tests.support.bridge_office import World


class Later(Retryable):
    """The world is not ready."""


class Duty:
    """Does as a test says."""

    name = "test"

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.runs = 0
        self.closed = False

    async def run(self) -> bool:
        self.runs += 1
        if self.error is not None:
            raise self.error
        return False

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    opened = await World.open(tmp_path)
    yield opened
    await opened.database.close()


async def errors(world: World) -> list[str]:
    async with world.database.view() as view:
        return [row.error for row in await view.incidents.latest()]


async def test_pauses_double_while_a_duty_fails_and_begin_anew_after_a_success(world: World) -> None:
    """0.2 s, 0.4 s, … up to 15 s; what is merely not ready is no incident."""
    duty = Duty(Later("not yet"))
    runner = Runner(duty, world.office)
    assert [await runner._once() for _ in range(9)] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15, 15])
    assert (runner.status.state, runner.status.problem) == (DutyState.WAITING, "not yet")
    duty.error = None
    await runner._once()
    assert (runner.status.state, runner.status.problem) == (DutyState.IDLE, "")
    duty.error = Later("again")
    assert await runner._once() == pytest.approx(0.2)
    assert await errors(world) == []


@pytest.mark.parametrize("error", [BadInput("x", "is wrong"), ZeroDivisionError("a bug")])
async def test_what_cannot_get_better_is_an_alarm_and_the_duty_goes_on(world: World, error: Exception) -> None:
    """A refusal or a bug is kept for operators; the duty is run again."""
    runner = Runner(Duty(error), world.office)
    await runner._once()
    await runner._once()
    assert await errors(world) == [type(error).__name__]


async def test_a_refusal_of_the_nodes_own_check_is_an_alarm_when_it_comes_again(world: World) -> None:
    """What a duty had looked at may be stale when it is checked: the same refusal of the next run is none of that."""
    first, second = (DepositNotRefused(bytes(32), stage) for stage in ("returning", "minted"))
    duty = Duty(first)
    runner = Runner(duty, world.office)
    for error, alarms in ((first, []), (None, []), (first, []), (second, []), (second, ["DepositNotRefused"])):
        duty.error = error
        await runner._once()
        assert await errors(world) == alarms


async def test_a_change_wakes_a_duty_and_a_stop_closes_it(world: World) -> None:
    """An idle duty runs at once when something changes; when its node stops, its work under way ends."""
    duty = Duty()
    task = asyncio.create_task(Runner(duty, world.office).run())
    for expected in (1, 2, 3):
        while duty.runs < expected:
            await asyncio.sleep(0)
        world.office.changed.set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert duty.closed


def test_one_subject_that_fails_keeps_no_other_waiting() -> None:
    """All are tried; the first failure is raised at the end; a bug is raised at once."""
    apart, done = Apart(), []
    for number in range(4):
        with apart:
            if number in (1, 2):
                raise Later(str(number))
            done.append(number)
    assert done == [0, 3]
    with pytest.raises(Later, match="1"):
        apart.end()
    with pytest.raises(ZeroDivisionError), Apart():
        raise ZeroDivisionError
    Apart().end()


async def test_enough_answers_end_the_wait_for_the_others() -> None:
    """Who never answers is cancelled once enough have; typed failures are told, bugs raised."""
    never = asyncio.Event()

    async def answer(number: int) -> int:
        if number == 9:
            await never.wait()
        if number == 8:
            raise Fatal("no")
        if number == 7:
            raise ZeroDivisionError
        return number

    results, failed = await gather_some([answer(1), answer(8), answer(2), answer(9)], 2)
    assert (sorted(results), len(failed)) == ([1, 2], 1)
    results, failed = await gather_some([answer(8), answer(8)], 1)
    assert (results, len(failed)) == ([], 2)
    with pytest.raises(ZeroDivisionError):
        await gather_some([answer(7)], 1)
