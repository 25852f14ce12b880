"""How the demo ends: causes are shown and nothing is left behind; with --keep it is told how to go on."""

from __future__ import annotations

import asyncio
import io
import tempfile
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from bridge.reserves import Reserves
from cli import demo
from cli.demo_job import Outcome
from cli.demo_screen import Screen
from cli.dev.plan import DevPlan
from cli.exits import ExitCode, TimedOut
from foundation.quantities import Satoshi, TokenUnits


class Node:
    """A node that has logged something."""

    exists = True
    is_running = False

    def __init__(self, name: str) -> None:
        self.name = name

    def log_tail(self, lines: int) -> str:
        return f"the last words of {self.name}"


class Network:
    """A network that notes what was done to it."""

    made: Network

    def __init__(self, folder: Path, plan: DevPlan, *, detached: bool, progress: Any) -> None:
        assert plan.evm_chain, "two of the three transfers are on it"
        self.folder = folder
        self.detached = detached
        self.network_file = folder / "network.toml"
        self.nodes = [Node("storeman-1"), Node("voucher-1")]
        self.done: list[str] = []
        Network.made = self

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.done.append("stopped")

    async def remove(self) -> None:
        await asyncio.sleep(0)
        self.done.append("removed")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> io.StringIO:
    """What the demo prints; its networks are not started, and kept ones are in the test's folder."""
    printed = io.StringIO()
    monkeypatch.setenv("CAUSEWAY_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "DevNetwork", Network)
    monkeypatch.setattr(demo, "Screen", lambda: Screen(Console(file=printed, width=100)))
    return printed


def performs(monkeypatch: pytest.MonkeyPatch, ending: BaseException | None, *, covered: bool = True) -> None:
    supply = TokenUnits(0 if covered else 1)

    async def perform(_screen: Any, _network: Any, keys: Path) -> Outcome:
        if ending is not None:
            raise ending
        ids = [letter * 32 for letter in (b"d", b"w", b"l", b"r")]
        (keys / "bob.key").write_text("11" * 32)
        return Outcome(Reserves({}, {}, Satoshi(0), supply), covered, *ids, "bcrt1q")

    monkeypatch.setattr(demo, "perform", perform)


def ended(*, keep: bool = False) -> int:
    try:
        demo.main(keep=keep)
    except typer.Exit as ending:
        return ending.exit_code
    return 0


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (TimedOut("the token is minted", 60), ExitCode.NOT_YET),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (asyncio.CancelledError(), ExitCode.INTERRUPTED),
    ],
)
def test_a_demo_that_fails_shows_the_logs_and_leaves_nothing(
    shown: io.StringIO, monkeypatch: pytest.MonkeyPatch, ending: BaseException, code: ExitCode
) -> None:
    """An error and Ctrl-C end alike: the nodes' last words, everything down, the folder gone."""
    performs(monkeypatch, ending)
    assert ended() == code
    assert "the last words of storeman-1" in shown.getvalue()
    assert "voucher-1 (does not run)" in shown.getvalue()
    assert Network.made.done == ["stopped"]
    assert not Network.made.folder.exists()


def test_a_demo_that_ends_well_removes_its_network(shown: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is told, and the network is taken down with its folder."""
    performs(monkeypatch, None)
    assert ended() == 0
    assert Network.made.done == ["removed"]
    assert "All of it took" in shown.getvalue()


def test_tokens_that_are_not_covered_fail_the_demo(shown: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CI run must not pass while a token lacks its coin."""
    performs(monkeypatch, None, covered=False)
    assert ended() == ExitCode.REFUSED


def test_a_kept_network_stays_and_is_explained(shown: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """It outlives the demo, and the commands that talk to it can be copied from unbroken lines."""
    performs(monkeypatch, None)
    assert ended(keep=True) == 0
    assert Network.made.detached
    assert Network.made.done == []
    assert f"transfers show {(b'w' * 32).hex()[:12]}\n" in shown.getvalue()
    assert "dev down --remove" in shown.getvalue()


def test_a_network_that_was_up_before_is_never_taken_down(shown: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--keep` joins a running development network; a failure leaves it as it was."""
    demo.dev_folder().mkdir()
    (demo.dev_folder() / "network.toml").touch()
    performs(monkeypatch, TimedOut("something", 1))
    assert ended(keep=True) == ExitCode.NOT_YET
    assert Network.made.done == []
    assert Network.made.folder.exists()


async def test_cleaning_up_goes_on_through_further_interrupts() -> None:
    """Ctrl-C during the clean-up, twice even, does not leave half of it undone; it has its effect afterwards."""
    finished = []

    async def work() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        finished.append(True)

    task = asyncio.create_task(demo._to_the_end(work()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert finished == [True]
