"""What all nodes of the development network have in common: a life, a folder, and settings that outlive a run."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from foundation.errors import BadInput
from foundation.files import write_durably
from infra.cache import locked_async
from infra.errors import NotReady, NotRunning, StartFailed
from infra.ports import free_port
from infra.processes import Process, User
from infra.programs import Program, Way

_READY_SECONDS = 60.0
_PROBE_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_DOCKER_SECONDS = 60


class Node(ABC):
    """A node in a folder of its own. Starting and stopping twice is harmless; a node that runs already is joined.

    Ports and credentials are chosen at the first start and kept in the folder, so that a restarted node, and a node
    looked up by another run, has the same ones.
    """

    name: ClassVar[str]
    stop_seconds: ClassVar[float] = 30
    """How long it may take to end by itself before it is killed."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL
    """What it gets when it shall end in order, and when we die."""

    def __init__(self, folder: Path, *, detached: bool = False) -> None:
        """Describe the node; nothing is started or written.

        Args:
            folder: for its data, settings and log; made where it is missing.
            detached: let the node outlive this process (`causeway dev up`); else it dies with it, even by kill -9.
        """
        self.folder = folder.absolute()
        self.detached = detached
        self.log = self.folder / f"{self.name}.log"
        self._record = self.folder / "process.json"
        self._settings_file = self.folder / "settings.json"
        self._program: Program | None = None
        self._process: Process | None = None

    @abstractmethod
    def _find(self) -> Program:
        """Find the program; may take long. Raises `ToolMissing`."""

    @abstractmethod
    async def _prepared(self, program: Program) -> Process:
        """Write what the node needs, and describe its process."""

    @abstractmethod
    async def _probe(self, timeout_seconds: float) -> None:
        """Ask the node whether it serves. Raises `NotReady` where it does not, or takes too long to say."""

    @property
    def is_running(self) -> bool:
        """Whether its process runs, healthy or not, started by this run or another."""
        return self._known_process().attach()

    @property
    def pid(self) -> int:
        """Raises `NotRunning`."""
        process = self._known_process()
        if not process.attach():
            raise NotRunning(self.name)
        return process.pid

    async def start(self) -> Self:
        """Start it and wait until it serves; where it runs already, only wait.

        Raises:
            ToolMissing: the program cannot be had.
            StartFailed: it ended at once; the error carries what it wrote.
            NotReady: it runs, but does not serve after 60 s.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        async with locked_async(self.folder / "lock"):
            if self.is_running:
                await self.wait_healthy()
                return self
            if self._program is None:
                self._program = await asyncio.to_thread(self._find)
            self._process = await self._prepared(self._program)
            await self._process.start()
            try:
                await self.wait_healthy()
            except BaseException:  # also when we are cancelled: a node that nobody waits for would stay behind
                self.kill()
                raise
        return self

    async def stop(self) -> None:
        """End it in order, so that it keeps its data. Harmless where it does not run."""
        await self._known_process().stop(self.stop_seconds, self.stop_signal)

    async def restart(self) -> Self:
        """Stop it and start it again: same ports, same data."""
        await self.stop()
        return await self.start()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL). Harmless where it does not run."""
        process = self._known_process()
        if process.attach():
            self._docker("kill")
            process.kill()

    def pause(self) -> None:
        """Freeze it: it keeps its connections and answers nothing. Raises `NotRunning`."""
        if not self._docker("pause"):
            self._running_process().pause()

    def resume(self) -> None:
        """Let it go on after `pause`. Raises `NotRunning`."""
        if not self._docker("unpause"):
            self._running_process().resume()

    async def healthy(self, timeout_seconds: float = _PROBE_SECONDS) -> bool:
        """Whether it runs and answers within `timeout_seconds`."""
        if not self.is_running:
            return False
        try:
            await self._probe(timeout_seconds)
        except NotReady:
            return False
        return True

    async def wait_healthy(self, timeout_seconds: float = _READY_SECONDS) -> None:
        """Wait until it serves.

        Raises:
            StartFailed: it ended meanwhile.
            NotReady: it does not serve after `timeout_seconds`.
        """
        started = time.monotonic()
        while True:
            try:
                await self._probe(_PROBE_SECONDS)
                return
            except NotReady as not_yet:
                problem = not_yet.problem
            process = self._known_process()
            if not process.attach():
                raise StartFailed(self.name, process.status, process.tail())
            waited = time.monotonic() - started
            if waited > timeout_seconds:
                raise NotReady(self.name, problem, waited)
            await asyncio.sleep(_LOOK_SECONDS)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_exception: object) -> None:
        await self.stop()

    @property
    def _container(self) -> str:
        return f"causeway-{self.name}-{self._setting('container', secrets.token_hex(4))}"

    def _supervised(self, program: Program, arguments: Sequence[str | Path], user: User | None = None) -> Process:
        """The process that runs `program`, with this node's log and record."""
        leashed = program.way is Way.DOCKER and not self.detached
        argv = program.argv(arguments, folder=self.folder, container=self._container, leashed=leashed, user=user)
        return Process(
            self.name,
            argv,
            log=self.log,
            record=self._record,
            detached=self.detached,
            leashed=leashed,
            user=None if program.image else user,
            cwd=self.folder,
            death_signal=self.death_signal,
        )

    def _known_process(self) -> Process:
        """The process that we started, else one that an earlier run may have written down."""
        if self._process is None:
            self._process = Process(self.name, (), log=self.log, record=self._record)
        return self._process

    def _running_process(self) -> Process:
        process = self._known_process()
        if not process.attach():
            raise NotRunning(self.name)
        return process

    def _docker(self, verb: str) -> bool:
        """Where the node runs in a container, do `verb` to that: signals to the docker client would not reach it."""
        if self._program is None or self._program.way is not Way.DOCKER:
            return False
        command = ["docker", verb, self._container]
        subprocess.run(command, check=True, capture_output=True, timeout=_DOCKER_SECONDS)
        return True

    def _settings(self) -> dict[str, str]:
        try:
            content = json.loads(self._settings_file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise BadInput(str(self._settings_file), "is not JSON", "remove it") from error
        return {str(key): str(value) for key, value in content.items()}

    def _setting(self, key: str, fresh: str) -> str:
        """The kept value of a setting; `fresh` becomes it where there is none."""
        settings = self._settings()
        if key not in settings:
            settings[key] = fresh
            self.folder.mkdir(parents=True, exist_ok=True)
            write_durably(self._settings_file, json.dumps(settings, indent=2).encode())
        return settings[key]

    def _port(self, key: str, wanted: int | None) -> int:
        """The kept port; at first `wanted`, or a free one. Raises `NoFreePort`."""
        kept = self._settings().get(key)
        if wanted is not None and kept is None:
            return int(self._setting(key, str(wanted)))
        return int(kept) if kept is not None else int(self._setting(key, str(free_port())))
