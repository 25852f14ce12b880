"""`causeway swap offer`, `take` and `resume` are killed (SIGKILL) again and again, as whole processes: both swap."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from cli.exits import ExitCode
from cli.swap_stage import Stage, Trader
from settlement.swap.engine.runtime import open_store
from settlement.swap.machine.states import Outcome
from settlement.swap.store.store import OfferState, SwapRow, SwapStore
from tests.support.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.integration
LIVES = 4


@pytest.fixture(autouse=True)
def _roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traders whose swaps do not run out of time, however long it takes to start a command again."""
    command = Trader.command

    def roomy(trader: Trader, *arguments: str) -> list[str]:
        return ["tests.support.swap_command" if part == "cli.main" else part for part in command(trader, *arguments)]

    monkeypatch.setattr(Trader, "command", roomy)


async def test_commands_that_are_killed_go_on_by_resume(tmp_path: Path) -> None:
    """Each side is killed as soon as it has got further, and again; what its last life begins ends as it should."""
    async with Stage(tmp_path, lambda _: None) as stage:
        for trader in (stage.alice, stage.bob):
            await stage.init(trader)
        await stage.fund(stage.alice, 200_000_000, 10**18)
        await stage.fund(stage.bob, 0, 50 * 10**18)
        await stage.alice.begin("offer", "--give", "1BTC", "--want", "20ETH", "--valid", "30m", "--no-qr")

        async def link() -> str | None:
            return stage.alice.link()

        await stage.bob.begin("take", await eventually(link, "the offer"), "--yes")
        async with asyncio.TaskGroup() as group:
            miner = group.create_task(mine(stage))
            rows = await asyncio.gather(lives(stage.alice), lives(stage.bob))
            miner.cancel()
        assert [row.state.outcome for row in rows] == [Outcome.SWAPPED, Outcome.SWAPPED]
        assert 0 < 100_000_000 - await stage.alice.satoshi() < 20_000
        assert 0 < 100_000_000 - await stage.bob.satoshi() < 20_000
        assert 0 < 21 * 10**18 - await stage.ether(stage.alice) < 10**17
        assert 0 < 30 * 10**18 - await stage.ether(stage.bob) < 10**17


async def test_an_offer_whose_command_is_killed_waits_by_resume(tmp_path: Path) -> None:
    """After SIGKILL `resume` listens where the offer says, and swaps; SIGTERM withdraws an offer at once."""
    async with Stage(tmp_path, lambda _: None) as stage:
        alice, bob = stage.alice, stage.bob
        for trader in (alice, bob):
            await stage.init(trader)
        await stage.fund(alice, 200_000_000, 10**18)
        await stage.fund(bob, 0, 50 * 10**18)

        async def link() -> str | None:
            return alice.link()

        async def waits() -> bool:
            return "can be taken for" in alice.told

        offer = ("offer", "--give", "0.5BTC", "--want", "10ETH", "--valid", "30m", "--no-qr")
        await alice.begin(*offer)
        first = await eventually(link, "the offer")
        await kill(alice)
        await alice.begin("resume")
        assert await eventually(waits, "it waits for the offer again")
        await bob.begin("take", first, "--yes")
        async with asyncio.TaskGroup() as group:
            miner = group.create_task(mine(stage))
            rows = await asyncio.gather(further(alice, 0, ended=True), further(bob, 0, ended=True))
            miner.cancel()
        assert [row.state.outcome for row in rows] == [Outcome.SWAPPED, Outcome.SWAPPED]
        for trader in (alice, bob):
            assert trader.process is not None
            assert await trader.process.wait(PATIENCE_S) == 0
        await alice.begin(*offer)

        async def again() -> bool:
            return alice.told.count("Keep this running; the swap begins") == 2

        assert await eventually(again, "another offer, in the same log")
        assert alice.process is not None
        os.kill(alice.process.pid, signal.SIGTERM)
        assert await alice.process.wait(PATIENCE_S) == ExitCode.INTERRUPTED
        async with open_store(alice.folder) as database, database.view() as view:
            states = [one.state for one in await SwapStore(view.connection).offers()]
        assert states == [OfferState.TAKEN, OfferState.WITHDRAWN]


async def mine(stage: Stage) -> None:
    """A bitcoin block wherever a transaction waits for one."""
    while True:
        await stage.mine_if_asked()
        await asyncio.sleep(0.2)


async def lives(trader: Trader) -> SwapRow:
    """Kill the running command as often as its swap has got further; how the swap has ended."""
    version = 0
    for _ in range(LIVES):
        row = await further(trader, version)
        if not row.is_open:
            break
        await kill(trader)
        version = row.version
        await trader.begin("resume")
    return await further(trader, version, ended=True)


async def further(trader: Trader, version: int, *, ended: bool = False) -> SwapRow:
    """The swap, once it was stored again, or has ended."""

    async def look() -> SwapRow | None:
        row = await trader.swap()
        if row is None or (ended and row.is_open) or row.version <= version:
            return None
        return row

    return await eventually(look, f"{trader.name}'s swap goes on")


async def kill(trader: Trader) -> None:
    """SIGKILL: nothing is said, stored or closed."""
    assert trader.process is not None
    os.kill(trader.process.pid, signal.SIGKILL)
    await trader.process.wait(PATIENCE_S)
