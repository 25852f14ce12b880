"""Processes that leave no orphan: they die with us, are recognised by a later run, and write their output to a file.

Used for the nodes of the development network and for our own (`causeway node run`). Linux only: it reads /proc and uses
the parent-death signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from foundation.files import write_durably
from infra.errors import NotRunning, StartFailed

LAUNCHER = Path(__file__).with_name("launcher.py")
_POLL_SECONDS = 0.02

# The kernel ties a child to the *thread* that started it, so all children are started from one thread that lives as
# long as the interpreter: otherwise a node would die when, say, a worker thread of a test ends.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


@dataclass(frozen=True, slots=True)
class Identity:
    """Names one process for good: a pid alone may be given to another process later.

    Fields: pid; started (clock ticks from boot to its start); boot (the kernel's random id of this boot).
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of the process that has `pid` now; None where there is none, or only a zombie."""
        return cls._read(pid, but_not="ZX")

    @classmethod
    def of_child(cls, pid: int) -> Identity:
        """The identity of a child that was not waited for yet, ended or not."""
        identity = cls._read(pid, but_not="")
        assert identity is not None, "the kernel keeps a child until its parent has waited for it"
        return identity

    @classmethod
    def _read(cls, pid: int, but_not: str) -> Identity | None:
        fields = _stat(pid)
        if not fields or fields[0] in but_not:
            return None
        return cls(pid, int(fields[19]), Path("/proc/sys/kernel/random/boot_id").read_text().strip())

    def is_stopped(self) -> bool:
        """Whether it is frozen by a signal."""
        return _stat(self.pid)[:1] in (["T"], ["t"])

    def is_alive(self) -> bool:
        """Tell whether this very process still runs (stopped counts as running, a zombie does not)."""
        return Identity.of(self.pid) == self

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; False where the process is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # Looked at after the descriptor is open: from here on it cannot come to mean another process.
            if not self.is_alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True


@dataclass(frozen=True, slots=True)
class User:
    """The unprivileged user that a program runs as. Fields: uid; gid."""

    uid: int
    gid: int


class Process:
    """One supervised program. Bound to no event loop; safe to start twice and to stop twice."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        record: Path | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        user: User | None = None,
        detached: bool = False,
        leashed: bool = False,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Describe the program; nothing runs yet.

        Args:
            name: for messages.
            argv: the program and its arguments.
            log: gets standard output and error, appended.
            record: where the running process is written down, so that a later run recognises it.
            cwd: its working folder; ours where None.
            env: added to our environment.
            user: run as this user (needs root).
            detached: let it outlive us. Needs `record` to be found again.
            leashed: its standard input is a pipe that we hold open; else it is empty.
            death_signal: what it gets when we die. SIGKILL is the only one that also ends a paused process.
        """
        self.name = name
        self.argv = tuple(str(argument) for argument in argv)
        self.log = log
        self.record = record
        self.cwd = cwd
        self.env = dict(env or {})
        self.user = user
        self.detached = detached
        self.leashed = leashed
        self.death_signal = death_signal
        self._popen: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None

    @property
    def pid(self) -> int:
        """Raises `NotRunning` where it was never started."""
        if self._identity is None:
            raise NotRunning(self.name)
        return self._identity.pid

    @property
    def identity(self) -> Identity | None:
        """The process that was started or attached to last, running or not."""
        return self._identity

    @property
    def is_running(self) -> bool:
        """Whether the process runs (a paused one does)."""
        return self._identity is not None and self._identity.is_alive()

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs, and for a process that another run started."""
        return None if self._popen is None else self._popen.poll()

    def attach(self) -> bool:
        """Recognise the process that an earlier run wrote down; a stale record is removed.

        Returns whether such a process runs.
        """
        if self.is_running:
            return True
        recorded = read_record(self.record)
        if recorded is None:
            return False
        if recorded.is_alive():
            self._popen, self._identity = None, recorded
            return True
        self._forget()
        return False

    async def start(self) -> None:
        """Start it, unless it (or the one written down by an earlier run) runs.

        Raises:
            StartFailed: it could not be executed.
        """
        if self.attach():
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        popen, report = await loop.run_in_executor(_spawner, self._spawn)
        try:
            # Until the launcher has become the program its death is not tied to ours.
            problem = await asyncio.to_thread(_read_all, report)
        except BaseException:  # we are cancelled: nobody else knows of the child yet
            popen.kill()
            raise
        if problem:
            raise StartFailed(self.name, popen.wait(), problem)
        self._popen, self._identity = popen, Identity.of_child(popen.pid)
        if self.record is not None:
            write_durably(self.record, json.dumps({"name": self.name, **asdict(self._identity)}).encode())

    def _spawn(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start the launcher. Returns it and the descriptor from which its report is read."""
        env = os.environ | self.env
        program = shutil.which(self.argv[0], path=env.get("PATH")) or self.argv[0]
        death_signal = 0 if self.detached else int(self.death_signal)
        uid, gid = (self.user.uid, self.user.gid) if self.user else (-1, -1)
        read_end, write_end = os.pipe()
        prefix = [sys.executable, "-I", "-S", LAUNCHER, os.getpid(), death_signal, uid, gid, write_end]
        try:
            with self.log.open("ab") as output:
                popen = subprocess.Popen(
                    [*(str(part) for part in prefix), program, *self.argv[1:]],
                    cwd=self.cwd,
                    env=env,
                    stdin=subprocess.PIPE if self.leashed else subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(write_end,),
                    # A session of its own: Ctrl-C at the terminal reaches us alone, and we stop the nodes in order.
                    start_new_session=True,
                )
        except OSError:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return popen, read_end

    async def wait(self, timeout_seconds: float | None = None) -> int | None:
        """Wait for its end. Returns the exit status (None for a process that another run started).

        Raises:
            TimeoutError: it still runs after `timeout_seconds`.
        """
        if self._identity is None:
            raise NotRunning(self.name)
        async with asyncio.timeout(timeout_seconds):
            await _ended(self._identity)
        if self._popen is not None:
            self._popen.wait()  # returns at once: it has ended, and is only reaped here
        self._forget()
        return self.status

    async def stop(self, grace_seconds: float = 20, number: signal.Signals = signal.SIGTERM) -> int | None:
        """Ask it to end, and kill it where it has not after `grace_seconds`. Harmless where it does not run."""
        if not self.attach():
            return self.status
        assert self._identity is not None, "attach() sets the identity"
        self._identity.send(number)
        self._identity.send(signal.SIGCONT)  # a paused process acts on the request only once it goes on
        try:
            return await self.wait(grace_seconds)
        except TimeoutError:
            self._identity.send(signal.SIGKILL)
            return await self.wait(grace_seconds)

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL), and wait until it is gone. Harmless where it does not run."""
        if self._identity is None:
            return
        self._identity.send(signal.SIGKILL)
        if self._popen is not None:
            self._popen.wait()
        while self._identity.is_alive():
            time.sleep(_POLL_SECONDS)
        self._forget()

    def pause(self) -> None:
        """Freeze it (SIGSTOP), and return once it stands still. Raises `NotRunning`."""
        self._signal(signal.SIGSTOP)
        while self._identity is not None and self._identity.is_alive() and not self._identity.is_stopped():
            time.sleep(_POLL_SECONDS)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT). Raises `NotRunning`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._identity is None or not self._identity.send(number):
            raise NotRunning(self.name)

    def tail(self, lines: int = 20) -> str:
        """The last lines that it wrote."""
        return tail(self.log, lines)

    def _forget(self) -> None:
        if self.record is not None:
            self.record.unlink(missing_ok=True)

    async def __aenter__(self) -> Process:
        await self.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.stop()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, the state, on (proc(5)); none where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    return stat[stat.rindex(")") + 2 :].split()


def read_record(record: Path | None) -> Identity | None:
    """The process that `record` names; None where there is no record or it cannot be read."""
    if record is None:
        return None
    try:
        content = json.loads(record.read_text())
        return Identity(int(content["pid"]), int(content["started"]), str(content["boot"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def tail(log: Path, lines: int = 20) -> str:
    """The last `lines` lines of a log (of its last 64 KiB); empty where there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 65_536))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _read_all(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode(errors="replace")


async def _ended(identity: Identity) -> None:
    """Return when the process has ended."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        if not identity.is_alive():
            return
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        loop.add_reader(descriptor, done.set)
        try:
            await done.wait()
        finally:
            loop.remove_reader(descriptor)
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
