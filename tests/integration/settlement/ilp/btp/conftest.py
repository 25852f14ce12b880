"""JavaScript peers: a Node process of the reference packages, driven by JSON lines."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[5]


class NodePeer:
    """A script of `tests/js` in a Node process of its own."""

    def __init__(self, process):
        self._process = process
        self._told = {}
        self._sent = 0
        self._reader = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def start(cls, script, *arguments):
        process = await asyncio.create_subprocess_exec(
            "node",
            str(ROOT / "tests" / "js" / script),
            *map(str, arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        return cls(process)

    async def tell(self, key):
        """The next thing that the script tells under this key."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._queue(key).get()

    async def send(self, packet):
        """Have the script send a packet; answers the peer's reply, or raises with the script's error."""
        self._sent += 1
        number = self._sent
        self._process.stdin.write(json.dumps({"send": packet.hex(), "id": number}).encode() + b"\n")
        told = await self.tell(number)
        if "error" in told:
            raise RuntimeError(told["error"])
        return bytes.fromhex(told["reply"])

    async def stop(self):
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    def _queue(self, key):
        return self._told.setdefault(key, asyncio.Queue())

    async def _read(self):
        async for line in self._process.stdout:
            said = json.loads(line)
            if "id" in said:
                self._queue(said["id"]).put_nowait(said)
            for key, value in said.items():
                self._queue(key).put_nowait(value)


@pytest.fixture
async def node() -> AsyncIterator:
    """Starts scripts, and ends them after the test; skips where the packages are not installed."""
    if not (ROOT / "node_modules" / "ilp-plugin-btp").is_dir():
        pytest.skip("node_modules has no ilp-plugin-btp: npm ci")
    peers = []

    async def start(script, *arguments):
        peers.append(await NodePeer.start(script, *arguments))
        return peers[-1]

    yield start
    for peer in peers:
        await peer.stop()
