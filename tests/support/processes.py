"""A cluster of processes on this machine, for integration tests and benchmarks."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


class NodeProcess:
    """One node; see `tests.support.node_process`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def call(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        await self.process.stdin.drain()
        return await self.hear()

    async def hear(self) -> dict[str, Any]:
        """The next line that the node says.

        Raises:
            EOFError: the node has ended.
        """
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise EOFError("the node has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def kill(self) -> None:
        """Kill -9."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


class ClusterProcesses:
    """Starts n nodes in `folder`; use as `async with`. No process is left behind."""

    def __init__(self, folder: Path, threshold: int, n: int, liars: Collection[int] = ()) -> None:
        self._folder = folder
        self._threshold = threshold
        self._n = n
        self._liars = liars
        self.nodes: list[NodeProcess] = []
        self.endpoints: list[str] = []

    async def __aenter__(self) -> Self:
        try:
            for i in range(self._n):
                self.nodes.append(await self._start(i))
            self.endpoints = [(await node.hear())["endpoint"] for node in self.nodes]
            for node in self.nodes:
                await node.call(endpoints=self.endpoints)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        for node in self.nodes:
            await node.kill()

    async def _start(self, index: int) -> NodeProcess:
        folder = self._folder / f"node{index}"
        folder.mkdir()
        config = {
            "folder": str(folder),
            "index": index,
            "n": self._n,
            "threshold": self._threshold,
            "liar": index in self._liars,
        }
        path = folder / "config.json"
        path.write_text(json.dumps(config))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.node_process", str(path)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return NodeProcess(process)
