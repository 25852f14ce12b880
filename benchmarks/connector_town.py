"""What the connector's benchmarks stand on: connectors, ours and `ilp-connector`, on a core, endpoints on the other."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from foundation.quantities import UnixMs
from infra.ports import free_port
from settlement.ilp.addresses import Address
from settlement.ilp.btp import Backoff, BtpClient, BtpLimits, BtpLink, parse_endpoint
from settlement.ilp.http import HttpLink, HttpServer, Outgoing, parse_target
from settlement.ilp.link import Link, PacketHandler, Reply
from settlement.ilp.packets import FULFILL, Fulfill, Prepare, encode
from settlement.quantities import Preimage, Units, condition_of

ROOT = Path(__file__).resolve().parents[1]
PREIMAGE = Preimage(bytes(range(32)))
FULFILMENT = encode(Fulfill(PREIMAGE, bytes(100)))
AMOUNT = 1_000_000
ADDRESS = "test.hub"
_COUNTER_BYTES = 8
_START_SECONDS = 30
_SERVE = """
import json, sys, uvloop
from pathlib import Path
from settlement.connector.config import parse_config
from settlement.connector.runtime import serve
uvloop.run(serve(parse_config(json.loads(sys.argv[1]), Path(sys.argv[2]))))
"""


def cores() -> tuple[int, int]:
    """The core of the endpoints, and that of the connectors (the same where there is only one)."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def now_ms() -> UnixMs:
    return UnixMs(time.time_ns() // 1_000_000)


@asynccontextmanager
async def process(*command: str, ready: bytes) -> AsyncIterator[asyncio.subprocess.Process]:
    """A connector's process on its core, from the moment that it says `ready`."""
    core = str(cores()[1])
    taskset = shutil.which("taskset")
    pinned = (taskset, "-c", core, *command) if taskset else command
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(
        *pinned, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT, cwd=ROOT, limit=2**20
    )
    assert running.stdout is not None
    assert running.stdin is not None
    draining: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(_START_SECONDS):
            said = b""
            while ready not in said:
                said = await running.stdout.readline()
                if not said:
                    raise EOFError(f"{command[0]} ended before it was ready")
        draining = asyncio.create_task(running.stdout.read())
        yield running
    finally:
        running.stdin.close()
        if running.returncode is None:
            running.terminate()
        try:
            await asyncio.wait_for(running.wait(), 10)
        except TimeoutError:
            running.kill()
            await running.wait()
        if draining is not None:
            await draining


@asynccontextmanager
async def our_connector(
    folder: Path, accounts: Sequence[dict[str, Any]], **connector: Any
) -> AsyncIterator[dict[str, Any]]:
    """Ours, as `causeway connector run` runs it. Answers where it listens."""
    ports = {"btp": free_port(), "http": free_port()}
    config = {
        "connector": {"address": ADDRESS, "database": f"sqlite:///{folder}/{ports['btp']}.db", **connector},
        "listen": {name: f"127.0.0.1:{port}" for name, port in ports.items()},
        "accounts": [{"asset": "USD", "scale": 9, "relation": "child", "floor": "none"} | each for each in accounts],
    }
    async with process(sys.executable, "-uc", _SERVE, json.dumps(config), str(folder), ready=b"connector.started"):
        yield ports


def js_command(script: str, *arguments: str) -> tuple[str, ...] | None:
    """The command of a script of `tests/js`; None where Node.js or the packages are not there."""
    node = shutil.which("node")
    if node is None or not (ROOT / "node_modules" / "ilp-connector").is_dir():
        return None
    return (node, str(ROOT / "tests" / "js" / script), *arguments)


@asynccontextmanager
async def js_connector(accounts: dict[str, dict[str, Any]]) -> AsyncIterator[None]:
    """`ilp-connector`, with accounts by name; its children's plugins listen, and are there at once."""
    each = {"relation": "child", "assetCode": "USD", "assetScale": 9}
    config = {
        "ilpAddress": ADDRESS,
        "initialConnectTimeout": 1_000,
        "routeBroadcastEnabled": True,
        "accounts": {name: each | account for name, account in accounts.items()},
    }
    command = js_command("connector_bare.js", json.dumps(config))
    assert command is not None, "asked for by the caller"
    async with process(*command, ready=b'"ready"'):
        yield


def fulfil(account: str, prepare: bytes, reply: Reply) -> None:
    """An endpoint that fulfils everything."""
    reply(FULFILMENT)


@asynccontextmanager
async def btp_endpoint(port: int, token: str, handler: PacketHandler = fulfil) -> AsyncIterator[Link]:
    """An endpoint that connects to a connector."""
    link = BtpLink(token, handler, BtpLimits())
    endpoint = parse_endpoint(f"btp+ws://127.0.0.1:{port}/", token)
    async with BtpClient(link, endpoint, backoff=Backoff(first_ms=20, most_ms=100)):
        async with asyncio.timeout(_START_SECONDS):
            await link.wait_up()
        yield link


@asynccontextmanager
async def http_sender(url: str, token: str) -> AsyncIterator[Link]:
    """An endpoint that posts to a connector."""
    link = HttpLink(token, fulfil, Outgoing(parse_target(url), token))
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def http_receiver(token: str) -> AsyncIterator[int]:
    """An endpoint that a connector posts to, at the path `/ilp`; its port."""
    async with HttpServer() as server:
        server.add(HttpLink(token, fulfil), token)
        yield server.port


class Packets:
    """Prepares to one destination, each with other data, because `ilp-connector` answers a repeated one from memory."""

    def __init__(self, destination: str) -> None:
        condition = condition_of(PREIMAGE)
        packet = Prepare(Units(AMOUNT), UnixMs(now_ms() + 50_000), condition, Address(destination), bytes(200))
        self._prefix = encode(packet)[:-_COUNTER_BYTES]
        self._count = 0

    def next(self) -> bytes:
        """Another one."""
        self._count += 1
        return self._prefix + self._count.to_bytes(_COUNTER_BYTES, "big")


class Load:
    """Packets through a link, each measured from its sending to its Fulfill. Fields: times (in seconds)."""

    def __init__(self, link: Link, destination: str) -> None:
        self.times: list[float] = []
        self._link = link
        self._packets = Packets(destination)
        self._done = asyncio.Event()
        self._left = 0

    async def volley(self, seconds: float, window: int) -> float:
        """Keep `window` packets in flight for a time; packets a second."""
        until = time.perf_counter() + seconds
        self.times, self._left = [], window
        self._done.clear()
        begun = time.perf_counter()
        for _ in range(window):
            self._send(until)
        await self._done.wait()
        return len(self.times) / (time.perf_counter() - begun)

    async def paced(self, seconds: float, rate: float) -> None:
        """Send so many a second, whatever is answered; wait for all answers."""
        begun, sent = time.perf_counter(), 0
        self.times, self._left = [], 0
        self._done.clear()
        while (elapsed := time.perf_counter() - begun) < seconds:
            while sent < elapsed * rate:
                sent += 1
                self._left += 1
                self._send(0.0)
            await asyncio.sleep(0.001)
        if self._left:
            await self._done.wait()

    def percentile(self, percent: int) -> float:
        """In milliseconds."""
        return sorted(self.times)[len(self.times) * percent // 100] * 1e3

    def _send(self, until: float) -> None:
        sent = time.perf_counter()

        def replied(answer: bytes) -> None:
            assert answer[0] == FULFILL, answer
            now = time.perf_counter()
            self.times.append(now - sent)
            if now < until:
                self._send(until)
            else:
                self._left -= 1
                if not self._left:
                    self._done.set()

        self._link.send(self._packets.next(), replied)


def on_endpoints_core(measure: Callable[[], Any]) -> Any:
    """Run something on the endpoints' core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores()[0]})
    try:
        return measure()
    finally:
        os.sched_setaffinity(0, before)
