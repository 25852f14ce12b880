"""BTP with the JavaScript reference implementation, ilp-plugin-btp, on the other side."""

import asyncio

import pytest

from infra.ports import free_port
from settlement.ilp.btp import Backoff, BtpClient, BtpLimits, BtpLink, BtpServer, parse_endpoint
from settlement.ilp.packets import decode_reply
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

PREPARE = b"\x0c" + bytes(range(100))
SIZES = (1, 110, 111, 127, 128, 250, 300, 32_767)


def as_fulfill(packet):
    return b"\x0d" + packet[1:]


class Echo:
    """Answers each packet with its own bytes, as a Fulfill."""

    def __init__(self):
        self.got = []

    def __call__(self, account, prepare, reply):
        self.got.append(prepare)
        reply(as_fulfill(prepare))


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def link(echo):
    return BtpLink("peer", echo, BtpLimits())


async def exchange(link, peer, echo):
    """Packets of all sizes of lengths, both ways, many at a time."""
    packets = [b"\x0c" + bytes(size - 1) for size in SIZES]
    for packet in packets:
        assert await peer.send(packet) == as_fulfill(packet)
    assert echo.got == packets
    replies = asyncio.Queue()
    for number in range(200):
        link.send(PREPARE + bytes([number]), replies.put_nowait)
    async with asyncio.timeout(PATIENCE_S):
        answered = {await replies.get() for _ in range(200)}
    assert answered == {as_fulfill(PREPARE + bytes([number])) for number in range(200)}
    assert [await peer.tell("got") for _ in range(2)] == [(PREPARE + bytes([number])).hex() for number in range(2)]


async def test_the_javascript_plugin_pays_and_is_paid_over_our_server(node, link, echo):
    """ilp-plugin-btp connects to our server with its token, and packets pass both ways."""
    async with BtpServer() as server:
        server.add(link, "secret", username="alice")
        peer = await node("btp_peer.js", "client", f"btp+ws://alice:secret@127.0.0.1:{server.port}")
        assert await peer.tell("connected")
        await exchange(link, peer, echo)


async def test_our_client_pays_and_is_paid_by_the_javascript_plugin_that_listens(node, link, echo):
    """Our client connects to ilp-plugin-btp in its listener mode, and packets pass both ways."""
    port = free_port()
    peer = await node("btp_peer.js", "listener", port, "secret")
    endpoint = parse_endpoint(f"btp+ws://127.0.0.1:{port}", "secret")
    async with BtpClient(link, endpoint, backoff=Backoff(first_ms=20, most_ms=100)):
        assert await peer.tell("connected")
        await exchange(link, peer, echo)


async def test_the_javascript_plugin_comes_back_after_a_cut_and_still_gets_its_answer(node):
    """A Fulfill that was not ready when the connection broke reaches ilp-plugin-btp over the next one."""
    arrived = asyncio.Queue()
    link = BtpLink("peer", lambda account, prepare, reply: arrived.put_nowait((prepare, reply)), BtpLimits())
    async with BtpServer() as server:
        server.add(link, "secret")
        peer = await node("btp_peer.js", "client", f"btp+ws://:secret@127.0.0.1:{server.port}")
        assert await peer.tell("connected")
        payment = asyncio.get_running_loop().create_task(peer.send(PREPARE))
        prepare, reply = await arrived.get()
        link._socket.abort("test")
        assert await peer.tell("disconnected")
        while link.is_up:
            await asyncio.sleep(0)
        reply(as_fulfill(prepare))
        assert await payment == as_fulfill(PREPARE)


async def test_our_client_is_refused_by_the_javascript_plugin_with_a_wrong_token(node, link):
    """A listener that does not know the token refuses, and the link stays down."""
    port = free_port()
    await node("btp_peer.js", "listener", port, "secret")
    endpoint = parse_endpoint(f"btp+ws://127.0.0.1:{port}", "wrong")
    async with BtpClient(link, endpoint, backoff=Backoff(first_ms=20, most_ms=50)) as client:
        while client.failures < 4:
            await asyncio.sleep(0.01)
        assert not link.is_up


async def test_the_javascript_plugin_gets_a_reject_when_too_much_is_in_flight(node, echo):
    """Where our side takes no more packets, the plugin's `sendData` yields a Reject that says so."""
    link = BtpLink("peer", echo, BtpLimits(in_flight_max=0))
    async with BtpServer() as server:
        server.add(link, "secret")
        peer = await node("btp_peer.js", "client", f"btp+ws://:secret@127.0.0.1:{server.port}")
        assert await peer.tell("connected")
        assert decode_reply(await peer.send(PREPARE)).code == "T03"
