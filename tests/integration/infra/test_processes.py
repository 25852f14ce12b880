"""Supervised processes: their life, their end with ours, and their records."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra.errors import NotRunning, StartFailed
from infra.processes import Identity, Process, read_record
from tests.support.patience import PATIENCE_S

SLEEP = ("sleep", "600")

PARENT = """
import asyncio, os, sys, threading
from pathlib import Path
from infra.processes import Process, User

async def main():
    folder = Path(sys.argv[1])
    process = Process("child", ("sleep", "600"), log=folder / "log", record=folder / "record",
                      detached={detached}, user={user})
    await process.start()
    if {paused}:
        process.pause()

# From a thread that ends at once: the child has to die with the process, not with the thread.
thread = threading.Thread(target=lambda: asyncio.run(main()))
thread.start()
thread.join()
print("started", flush=True)
sys.stdin.read()
"""


def _parent(
    folder: Path, *, detached: bool = False, paused: bool = False, user: str = "None"
) -> tuple[subprocess.Popen[str], Identity]:
    script = PARENT.format(detached=detached, paused=paused, user=user)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    child = read_record(folder / "record")
    assert child is not None
    assert child.is_alive()
    return parent, child


async def _gone(identity: Identity) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while identity.is_alive():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("paused", [False, True])
async def test_child_dies_when_its_parent_is_killed(tmp_path: Path, paused: bool) -> None:
    """Kill -9 of the parent ends the child too, even a paused one."""
    parent, child = _parent(tmp_path, paused=paused)
    parent.kill()
    await _gone(child)
    parent.wait()


async def test_detached_child_outlives_its_parent_and_is_found_again(tmp_path: Path) -> None:
    """A detached process goes on; a later run joins it by its record and can stop it."""
    parent, child = _parent(tmp_path, detached=True)
    parent.kill()
    parent.wait()
    again = Process("child", SLEEP, log=tmp_path / "log", record=tmp_path / "record")
    await again.start()
    assert again.identity == child
    await again.stop()
    assert not child.is_alive()
    assert not (tmp_path / "record").exists()


async def test_stale_record_is_cleaned_and_never_names_a_stranger(tmp_path: Path) -> None:
    """A record whose pid now belongs to another process is ignored: nobody else's process is joined or killed."""
    record = tmp_path / "record"
    ours = Identity.of(os.getpid())
    assert ours is not None
    record.write_text(json.dumps({"pid": ours.pid, "started": ours.started - 1, "boot": ours.boot}))
    process = Process("child", SLEEP, log=tmp_path / "log", record=record)
    assert not process.attach()
    assert not record.exists()


async def test_start_and_stop_twice_are_harmless(tmp_path: Path) -> None:
    """A second start keeps the process, a second stop does nothing."""
    process = Process("child", SLEEP, log=tmp_path / "log", record=tmp_path / "record")
    await process.start()
    pid = process.pid
    await process.start()
    assert process.pid == pid
    assert await process.stop() == -signal.SIGTERM
    assert await process.stop() == -signal.SIGTERM
    assert not psutil.pid_exists(pid)


async def test_process_that_ignores_the_request_is_killed_after_its_grace(tmp_path: Path) -> None:
    """A process that does not end when asked is killed."""
    script = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    process = Process("stubborn", ("sh", "-c", script), log=tmp_path / "log")
    await process.start()
    async with asyncio.timeout(PATIENCE_S):
        while "up" not in process.tail():
            await asyncio.sleep(0.01)
    assert await process.stop(grace_seconds=0.2) == -signal.SIGKILL


async def test_kill_is_a_crash_and_the_process_can_start_again(tmp_path: Path) -> None:
    """After kill() the process is gone with the status of SIGKILL, and start() begins a new one."""
    process = Process("child", SLEEP, log=tmp_path / "log", record=tmp_path / "record")
    await process.start()
    first = process.pid
    process.kill()
    assert (process.is_running, process.status) == (False, -signal.SIGKILL)
    await process.start()
    assert process.is_running
    assert process.pid != first
    await process.stop()


async def test_output_and_status_are_kept(tmp_path: Path) -> None:
    """What the process writes to either output lands in its log, across restarts, and its exit status is known."""
    process = Process(
        "talker", ("sh", "-c", "echo $WORD; echo err >&2; exit 3"), log=tmp_path / "log", env={"WORD": "hi"}
    )
    for _ in range(2):
        await process.start()
        assert await process.wait(PATIENCE_S) == 3
    assert process.tail().split() == ["hi", "err", "hi", "err"]


async def test_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Starting a program that cannot be executed is an error that names it."""
    with pytest.raises(StartFailed) as refusal:
        await Process("ghost", ("/nonexistent/ghost",), log=tmp_path / "log").start()
    assert refusal.value.log == "/nonexistent/ghost: No such file or directory"


async def test_pause_of_a_process_that_does_not_run_is_refused(tmp_path: Path) -> None:
    """Pausing what does not run is an error that names it."""
    with pytest.raises(NotRunning) as refusal:
        Process("idle", SLEEP, log=tmp_path / "log").pause()
    assert refusal.value.name == "idle"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
async def test_process_of_another_user_dies_with_its_parent_too(tmp_path: Path) -> None:
    """The death is tied to ours after the change of user, which would undo it."""
    parent, child = _parent(tmp_path, user="User(65_534, 65_534)")
    assert psutil.Process(child.pid).uids().real == 65_534
    parent.kill()
    await _gone(child)
    parent.wait()
