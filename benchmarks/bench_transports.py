"""Interledger's transports: packets through a process that only forwards, and the libraries that could carry them.

The forwarder runs on a core of its own and does what a connector's transports do for a packet, without the connector:
four WebSocket messages or two HTTP exchanges. Both endpoints share the other core. CPU time is the forwarder's own, and
leaves out what the other core costs.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
import psutil
import uvloop
import websockets.asyncio.server
from aiohttp import web
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

from settlement.ilp.btp import BtpClient, BtpLimits, BtpLink, BtpServer, parse_endpoint
from settlement.ilp.btp.socket import BtpSocket
from settlement.ilp.http import HttpLink, HttpServer, Outgoing, parse_target
from settlement.ilp.link import Link, Reply

PACKETS = 20_000
PACKETS_HTTP = 8_000
PACKETS_ALONE = 3_000
WINDOW = 64
PREPARE = b"\x0c" + bytes(350)
"""As long as a STREAM packet's Prepare."""
FULFILL = b"\x0d" + bytes(150)
BTP_MOST_US, HTTP_MOST_US = 40.0, 120.0
"""Of one core of the forwarder a packet; the rest of 100 µs (270 µs over HTTP) is the connector's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Fields: packets a second; cpu_us (of the forwarder or server, a packet); p50_us, p99_us (from send to reply)."""

    rate: float
    cpu_us: float
    p50_us: float
    p99_us: float


class Forwarder:
    """Sends what comes from one account over the link of the other."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}

    def __call__(self, account: str, prepare: bytes, reply: Reply) -> None:
        self.links["b" if account == "a" else "a"].send(prepare, reply)


def fulfil(account: str, prepare: bytes, reply: Reply) -> None:
    reply(FULFILL)


async def forward_btp(pipe: Connection) -> None:
    """A forwarder that two BTP clients connect to."""
    forwarder = Forwarder()
    async with BtpServer() as server:
        for name in ("a", "b"):
            forwarder.links[name] = link = BtpLink(name, forwarder, BtpLimits())
            server.add(link, f"token of {name}")
        pipe.send(server.port)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)


async def forward_http(pipe: Connection) -> None:
    """A forwarder from an HTTP client to the HTTP server whose port it is told."""
    forwarder = Forwarder()
    target = parse_target(f"http://127.0.0.1:{pipe.recv()}/ilp")
    forwarder.links["b"] = onward = HttpLink("b", forwarder, Outgoing(target, "b"))
    async with HttpServer() as server:
        server.add(HttpLink("a", forwarder), "a")
        pipe.send(server.port)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        await onward.close()


class EchoEach(WSListener):
    """picows as it comes: a system call for each frame."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        transport.send(WSMsgType.BINARY, frame.get_payload_as_bytes())


def echo_corked() -> BtpSocket:
    """picows with frames of our own, all of a turn in one system call."""
    socket = BtpSocket(BtpLimits(), lambda raw: socket.write(raw), lambda: None, lambda: None, is_client=False)
    return socket


async def echo_websockets(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


async def echo_aiohttp(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_bytes(message.data)
    return socket


async def echo_server(pipe: Connection, kind: str) -> None:
    """A WebSocket echo server, by one of the libraries."""
    async with AsyncExitStack() as stack:
        if kind == "websockets":
            served = await stack.enter_async_context(
                websockets.asyncio.server.serve(echo_websockets, "127.0.0.1", 0, compression=None)
            )
            port = served.sockets[0].getsockname()[1]
        elif kind == "aiohttp":
            port = await serve_aiohttp(stack, "GET", echo_aiohttp)
        else:
            factory = EchoEach if kind == "picows" else echo_corked
            server = await ws_create_server(lambda request: factory(), "127.0.0.1", 0, use_aiofastnet=False)
            port = server.sockets[0].getsockname()[1]
        pipe.send(port)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)


async def post_server(pipe: Connection, kind: str) -> None:
    """An HTTP server that answers each POST, by one of the libraries."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=FULFILL, content_type="application/octet-stream")

    async with AsyncExitStack() as stack:
        if kind == "aiohttp":
            port = await serve_aiohttp(stack, "POST", answer)
        else:
            server = await stack.enter_async_context(HttpServer())
            server.add(HttpLink("a", fulfil), "a")
            port = server.port
        pipe.send(port)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)


async def serve_aiohttp(stack: AsyncExitStack, method: str, handler: Callable[..., Awaitable[Any]]) -> int:
    application = web.Application()
    application.router.add_route(method, "/ilp", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1).start()
    return int(runner.addresses[0][1])


def child(pipe: Connection, work: str, argument: str, fast_loop: bool) -> None:
    """The other process."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    roles = {"btp": forward_btp, "http": forward_http}
    main = roles[work](pipe) if work in roles else (echo_server if work == "echo" else post_server)(pipe, argument)
    (uvloop.run if fast_loop else asyncio.run)(main)


class Child:
    """The other process, for the length of a `with`."""

    def __init__(self, work: str, argument: str = "", *, fast_loop: bool = True) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=child, args=(theirs, work, argument, fast_loop))

    def __enter__(self) -> Child:
        self._process.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.pipe.send("stop")
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()

    def cpu_seconds(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)


async def drive(send: Callable[[Reply], None], other: Child, packets: int, window: int) -> Measured:
    """Keep `window` packets in flight until all are answered; a tenth beforehand warms up."""
    await volley(send, packets // 10, window)
    cpu, started = other.cpu_seconds(), time.perf_counter()
    times = sorted(await volley(send, packets, window))
    elapsed, cpu = time.perf_counter() - started, other.cpu_seconds() - cpu
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    return Measured(packets / elapsed, cpu / packets * 1e6, p50 * 1e6, p99 * 1e6)


async def volley(send: Callable[[Reply], None], count: int, window: int) -> list[float]:
    """Send `count` packets; answers the seconds from each one's sending to its reply."""
    done = asyncio.get_running_loop().create_future()
    times: list[float] = []
    left = count

    def one() -> None:
        nonlocal left
        if left == 0:
            return
        left -= 1
        sent = time.perf_counter()

        def replied(packet: bytes) -> None:
            times.append(time.perf_counter() - sent)
            if len(times) == count:
                done.set_result(None)
            else:
                one()

        send(replied)

    for _ in range(window):
        one()
    await done
    return times


async def through_btp(window: int, packets: int, fast_loop: bool = True) -> Measured:
    with Child("btp", fast_loop=fast_loop) as other:
        port = await asyncio.get_running_loop().run_in_executor(None, other.pipe.recv)
        async with AsyncExitStack() as stack:
            links = []
            for name in ("a", "b"):
                link = BtpLink(name, fulfil, BtpLimits())
                endpoint = parse_endpoint(f"ws://127.0.0.1:{port}", f"token of {name}")
                await stack.enter_async_context(BtpClient(link, endpoint))
                await link.wait_up()
                links.append(link)
            return await drive(lambda reply: links[0].send(PREPARE, reply), other, packets, window)


async def through_http(window: int, packets: int, fast_loop: bool = True) -> Measured:
    async with HttpServer() as receiver:
        receiver.add(HttpLink("b", fulfil), "b")
        with Child("http", fast_loop=fast_loop) as other:
            other.pipe.send(receiver.port)
            port = await asyncio.get_running_loop().run_in_executor(None, other.pipe.recv)
            link = HttpLink("a", fulfil, Outgoing(parse_target(f"http://127.0.0.1:{port}/ilp"), "a"))
            measured = await drive(lambda reply: link.send(PREPARE, reply), other, packets, window)
            await link.close()
            return measured


async def websocket_library(kind: str) -> Measured:
    """Echoes of one server library to one and the same client."""
    with Child("echo", kind) as other:
        port = await asyncio.get_running_loop().run_in_executor(None, other.pipe.recv)
        waiting: list[Reply] = []
        socket = BtpSocket(BtpLimits(), lambda raw: waiting.pop(0)(raw), lambda: None, lambda: None, is_client=True)
        await ws_connect(lambda *_: socket, f"ws://127.0.0.1:{port}/ilp", use_aiofastnet=False)

        def send(reply: Reply) -> None:
            waiting.append(reply)
            socket.write(PREPARE)

        measured = await drive(send, other, PACKETS, WINDOW)
        socket.close(1000, "")
        return measured


async def http_library(kind: str) -> Measured:
    """Requests to one server library from one and the same client."""
    with Child("post", kind) as other:
        port = await asyncio.get_running_loop().run_in_executor(None, other.pipe.recv)
        link = HttpLink("a", fulfil, Outgoing(parse_target(f"http://127.0.0.1:{port}/ilp"), "a"))
        measured = await drive(lambda reply: link.send(PREPARE, reply), other, PACKETS_HTTP, WINDOW)
        await link.close()
        return measured


async def http_client_library() -> Measured:
    """aiohttp's client against our server, for comparison with ours."""
    with Child("post", "ours") as other:
        port = await asyncio.get_running_loop().run_in_executor(None, other.pipe.recv)
        headers = {"Content-Type": "application/octet-stream", "Authorization": "Bearer a"}
        url, tasks = f"http://127.0.0.1:{port}/ilp", set[asyncio.Task[None]]()
        async with aiohttp.ClientSession() as session:

            async def ask(reply: Reply) -> None:
                async with session.post(url, data=PREPARE, headers=headers) as answer:
                    reply(await answer.read())

            def send(reply: Reply) -> None:
                task = asyncio.get_running_loop().create_task(ask(reply))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

            return await drive(send, other, PACKETS_HTTP // 2, WINDOW)


def figures(name: str, measured: Measured, target_us: float | None, samples: int) -> list[dict[str, Any]]:
    note = f"{measured.rate:,.0f} packets/s; reply after {measured.p50_us:,.0f} µs, p99 {measured.p99_us:,.0f} µs"
    value = {"value": measured.cpu_us, "unit": "µs CPU", "target": target_us, "samples": samples, "note": note}
    return [{"name": name, **value}]


async def measure() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, way, packets, most in (
        ("BTP", through_btp, PACKETS, BTP_MOST_US),
        ("HTTP", through_http, PACKETS_HTTP, HTTP_MOST_US),
    ):
        found += figures(f"{name}, forwarded, 64 in flight", await way(WINDOW, packets), most, packets)
        found += figures(f"{name}, forwarded, one in flight", await way(1, PACKETS_ALONE), None, PACKETS_ALONE)
        slow = await way(WINDOW, packets // 2, False)
        found += figures(f"{name}, forwarded, 64 in flight, without uvloop", slow, None, packets // 2)
    for kind in ("ours", "picows", "websockets", "aiohttp"):
        found += figures(f"WebSocket echo, {kind}", await websocket_library(kind), None, PACKETS)
    for kind in ("ours", "aiohttp"):
        found += figures(f"HTTP server, {kind}", await http_library(kind), None, PACKETS_HTTP)
    found += figures(
        "HTTP server, ours, asked by aiohttp's client", await http_client_library(), None, PACKETS_HTTP // 2
    )
    return found


def run() -> list[dict[str, Any]]:
    """CPU time a packet, with the rate and the latency in the note."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        return uvloop.run(measure())
    finally:
        os.sched_setaffinity(0, before)
