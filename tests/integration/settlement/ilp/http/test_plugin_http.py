"""ILP-over-HTTP with the JavaScript reference implementation, ilp-plugin-http, on the other side."""

import asyncio

import pytest

from infra.ports import free_port
from settlement.ilp.http import ILP_OCTET_STREAM, OCTET_STREAM, HttpLink, HttpServer, Outgoing, parse_target
from settlement.ilp.packets import decode_reply
from tests.integration.settlement.ilp.btp.conftest import node  # noqa: F401  (a fixture)
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

PREPARE = b"\x0c" + bytes(range(100))


class Echo:
    """Answers each packet with its own bytes, as a Fulfill."""

    def __init__(self):
        self.got = []

    def __call__(self, account, prepare, reply):
        self.got.append(prepare)
        reply(as_fulfill(prepare))


def as_fulfill(packet):
    return b"\x0d" + packet[1:]


async def reply_to(link, packet):
    replies = asyncio.Queue()
    link.send(packet, replies.put_nowait)
    async with asyncio.timeout(PATIENCE_S):
        return await replies.get()


@pytest.fixture
async def peers(node):  # noqa: F811
    """Starts a JavaScript peer and our link and server, set up with each other."""
    links, servers = [], []

    async def peers(echo, *, kind=OCTET_STREAM, mode="sync", token="ours", shown="theirs"):
        port = free_port()
        server = HttpServer()
        await server.start()
        servers.append(server)
        target = parse_target(f"http://127.0.0.1:{port}/")
        link = HttpLink("js", echo, Outgoing(target, token, content_type=kind, mode=mode, name="us"))
        links.append(link)
        server.add(link, "theirs")
        peer = await node("http_peer.js", port, f"http://127.0.0.1:{server.port}/ilp", "ours", shown)
        assert await peer.tell("connected")
        return peer, link

    yield peers
    for link in links:
        await link.close()
    for server in servers:
        await server.stop()


@pytest.mark.parametrize("kind", [OCTET_STREAM, ILP_OCTET_STREAM])
async def test_the_javascript_plugin_pays_us_and_is_paid(peers, kind):
    """ilp-plugin-http posts to our server and takes what we post, of either content type, at all sizes."""
    echo = Echo()
    peer, link = await peers(echo, kind=kind)
    for size in (1, 200, 32_000):
        packet = b"\x0c" + bytes(size - 1)
        assert await peer.send(packet) == as_fulfill(packet)
        assert await reply_to(link, packet) == as_fulfill(packet)
        assert echo.got.pop() == packet
        assert await peer.tell("got") == packet.hex()


async def test_many_packets_at_a_time_pass_both_ways(peers):
    """A hundred packets in flight each way are all answered, each with its own reply."""
    peer, link = await peers(Echo())
    packets = [PREPARE + bytes([number]) for number in range(100)]
    expected = [as_fulfill(packet) for packet in packets]
    assert await asyncio.gather(*(reply_to(link, packet) for packet in packets)) == expected
    assert await asyncio.gather(*(peer.send(packet) for packet in packets)) == expected


async def test_the_javascript_plugin_answers_in_place_even_where_we_ask_for_an_asynchronous_reply(peers):
    """A peer that does not know draft 3 is understood when our link is set up for it."""
    _, link = await peers(Echo(), mode="async")
    assert await reply_to(link, PREPARE) == as_fulfill(PREPARE)


async def test_wrong_tokens_are_refused_by_either_side(peers):
    """Our server refuses the plugin's wrong token, and its refusal of ours is told as T01."""
    peer, link = await peers(Echo(), token="wrong", shown="wrong")
    with pytest.raises(RuntimeError, match="401"):
        await peer.send(PREPARE)
    assert decode_reply(await reply_to(link, PREPARE)).code == "T01"
