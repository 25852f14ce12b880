"""A server with one peer's link, and raw peers that speak WebSocket through another library than ours."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from settlement.ilp.btp import BtpLimits, BtpLink, BtpServer
from settlement.ilp.btp.codec import Entry, Message, decode, encode

TOKEN = "a shared secret"
PREPARE = b"\x0c" + bytes(range(90))
FULFILL = b"\x0d" + bytes(range(40))


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
    """The other end of a WebSocket, which may say anything."""

    def __init__(self, socket):
        self.socket = socket

    async def send(self, packet):
        await self.socket.send_bytes(packet if isinstance(packet, bytes) else encode(packet))

    async def auth(self, token=TOKEN, username="", request_id=7):
        await self.send(auth(token, username, request_id))
        return await self.receive()

    async def receive(self):
        return decode(await self.socket.receive_bytes(timeout=5))

    async def closed(self):
        """Wait for the end; answers the close code."""
        while True:
            message = await self.socket.receive(timeout=5)
            if message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING}:
                return self.socket.close_code


def auth(token=TOKEN, username="", request_id=7):
    entries = (Entry("auth", b""), Entry.text("auth_username", username), Entry.text("auth_token", token))
    return Message(request_id, entries)


def ilp(request_id, packet=PREPARE):
    return Message(request_id, (Entry("ilp", packet),))


@pytest.fixture
def connector():
    return Connector()


@pytest.fixture
def limits():
    return BtpLimits()


@pytest.fixture
def link(connector, limits):
    return BtpLink("alice", connector, limits, ilp_address="test.us")


@pytest.fixture
async def server(link, limits) -> AsyncIterator[BtpServer]:
    async with BtpServer(limits=limits) as server:
        server.add(link, TOKEN)
        yield server


@pytest.fixture
async def dial(server):
    async with aiohttp.ClientSession() as session:

        async def dial():
            return RawPeer(await session.ws_connect(f"http://127.0.0.1:{server.port}/", max_msg_size=0))

        yield dial


@pytest.fixture
async def peer(dial):
    """A raw peer that is authenticated."""
    peer = await dial()
    await peer.auth()
    return peer
