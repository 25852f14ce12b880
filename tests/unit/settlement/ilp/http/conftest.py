"""A server with one peer's link, and raw peers: bytes over a socket, or an HTTP library that is not ours."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest

from settlement.ilp.http import HttpLink, HttpServer, Outgoing, ServerLimits, parse_target
from settlement.ilp.packets import decode_reply
from tests.support.patience import PATIENCE_S

TOKEN = "a-shared-secret"
PREPARE = b"\x0c" + bytes(range(90))
FULFILL = b"\x0d" + bytes(range(40))
OCTETS = "application/octet-stream"


class Connector:
    """Stands for the connector: keeps what arrives, and answers when it is told to (or at once)."""

    def __init__(self):
        self.arrived = asyncio.Queue()
        self.answer = None

    def __call__(self, account, prepare, reply):
        if self.answer is not None:
            reply(self.answer)
        self.arrived.put_nowait((account, prepare, reply))


class RawPeer:
    """A connection that says what it is told to, byte for byte."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def write(self, raw):
        self.writer.write(raw)

    async def status(self):
        """The status of the next answer; its body is read as well."""
        return (await self.answer())[0]

    async def answer(self):
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return int(head.split()[1]), await self.reader.readexactly(length)

    async def closed(self):
        """Wait for the end; answers what came before it."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


def post(body=PREPARE, *, path="/ilp", token=TOKEN, kind=OCTETS, headers="", method="POST"):
    """A request's bytes."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{authorization}{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def asynchronous(request_id=None, callback=None):
    """The headers of a Prepare that is to be answered by a request of its own."""
    url = f"Callback-Url: {callback}\r\n" if callback else ""
    return f"Prefer: respond-async\r\n{url}Request-Id: {request_id or uuid.uuid4()}\r\n"


@pytest.fixture
def connector():
    return Connector()


@pytest.fixture
def limits():
    return ServerLimits()


@pytest.fixture
async def server(limits) -> AsyncIterator[HttpServer]:
    async with HttpServer(limits=limits) as server:
        yield server


@pytest.fixture
async def link(server, connector):
    """A peer that is served; it is sent to at the server itself."""
    target = parse_target(f"http://127.0.0.1:{server.port}/ilp")
    link = HttpLink("alice", connector, Outgoing(target, TOKEN), ilp_address="test.us")
    server.add(link, TOKEN)
    yield link
    await link.close()


@pytest.fixture
async def dial(server, link):
    peers = []

    async def dial():
        peers.append(RawPeer(*await asyncio.open_connection("127.0.0.1", server.port)))
        return peers[-1]

    yield dial
    for peer in peers:
        peer.writer.close()


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


class Scripted:
    """An HTTP server that answers each request with the bytes that it was told, and keeps the requests."""

    def __init__(self, *answers, then_close=False):
        self._answers = list(answers)
        self._then_close = then_close
        self.requests = asyncio.Queue()
        self.connections = 0
        self.writers = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.target = parse_target(f"http://127.0.0.1:{self.port}/ilp")
        return self

    async def __aexit__(self, *exc):
        self._server.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.put_nowait((head, await reader.readexactly(length)))
                if not self._answers:
                    continue
                writer.write(self._answers.pop(0))
                if self._then_close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


def ok(body=FULFILL, status="200 OK", headers=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def link_to(server, *, limits=None, **outgoing):
    return HttpLink(
        "peer", Connector(), Outgoing(server.target, TOKEN, **outgoing), limits=limits, ilp_address="test.us"
    )


async def sent(link, packet=PREPARE):
    """The reply to a packet."""
    replies = asyncio.Queue()
    link.send(packet, replies.put_nowait)
    async with asyncio.timeout(PATIENCE_S):
        return await replies.get()


async def code_of(link):
    return decode_reply(await sent(link)).code
