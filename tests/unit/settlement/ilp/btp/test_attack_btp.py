"""What hostile peers try on a BTP server."""

import asyncio
import socket
from dataclasses import replace

import aiohttp
import pytest

from settlement.ilp.btp import BtpLimits, BtpLink, BtpServer
from settlement.ilp.btp.codec import Entry, Failure, Message, Response, encode
from settlement.ilp.link import LinkDown
from settlement.ilp.packets import decode_reply
from tests.unit.settlement.ilp.btp.conftest import FULFILL, PREPARE, TOKEN, RawPeer, ilp

LIMITS = BtpLimits(message_bytes_max=4096, in_flight_max=50, backlog_bytes_max=65_536, unauthenticated_max=3)
hurried = pytest.mark.parametrize("limits", [replace(LIMITS, auth_ms_max=150)], ids=["hurried"])
"""No honest peer depends on its time."""


@pytest.fixture
def limits():
    return LIMITS


@pytest.mark.parametrize("token", ["", "a shared secreT", "a shared secret ", "x" * 2000])
async def test_a_wrong_token_opens_nothing(dial, link, token):
    """The peer gets an Error that does not say what was wrong, and the connection is closed."""
    peer = await dial()
    refusal = await peer.auth(token)
    assert (refusal.code, refusal.name, refusal.data) == ("F00", "NotAcceptedError", b"not authenticated")
    assert await peer.closed() == 1008
    assert not link.is_up


@pytest.mark.parametrize("first", [ilp(1), Response(1), Message(1, (Entry("auth", b""),))])
async def test_any_other_first_packet_opens_nothing(dial, connector, first):
    """A packet before the auth message is answered with an Error, and is not handed over."""
    peer = await dial()
    await peer.send(first)
    assert isinstance(await peer.receive(), Failure)
    assert await peer.closed() == 1008
    assert connector.arrived.empty()


async def test_packets_right_behind_a_wrong_token_are_not_handed_over(dial, connector):
    """What a stranger sends in the same breath as its token is dropped with it."""
    peer = await dial()
    await peer.send(Message(1, (Entry("auth", b""), Entry("auth_token", b"no"))))
    for _ in range(100):
        await peer.send(ilp(2))
    assert isinstance(await peer.receive(), Failure)
    await peer.closed()
    assert connector.arrived.empty()


@hurried
async def test_a_connection_that_says_nothing_is_closed_in_time(dial):
    """Who does not authenticate in time is closed, without an answer that it did not ask for."""
    peer = await dial()
    assert await peer.closed() == 1008


async def test_an_unreadable_first_message_is_closed_without_an_answer(dial):
    """Garbage gets no Error, which might be answered with garbage again."""
    peer = await dial()
    await peer.send(b"\x06\x00\x00")
    message = await peer.socket.receive(timeout=5)
    assert message.type == aiohttp.WSMsgType.CLOSE


async def test_connections_of_nobody_are_bounded_and_give_their_place_back(dial, server):
    """Above the limit the oldest of them makes way; places are free again when connections are decided or gone."""
    oldest, *waiting = [await dial() for _ in range(4)]
    assert (await oldest.socket.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert len(server._waiting) == 3
    await waiting[0].auth()
    await waiting[1].auth("wrong")
    await waiting[2].socket.close()
    while server._waiting:
        await asyncio.sleep(0)
    for _ in range(3):
        await (await dial()).socket.close()


async def test_strangers_who_take_all_places_keep_no_peer_out(dial, link):
    """A peer gets in, however many connections of nobody there are, as long as it says at once who it is."""
    strangers = [await dial() for _ in range(10)]
    peer = await dial()
    assert isinstance(await peer.auth(), Response)
    assert link.is_up
    assert len(strangers) == 10


async def test_handshakes_that_fail_take_no_place(server):
    """Requests that are no WebSocket handshake do not use up the places of those who are."""
    async with aiohttp.ClientSession() as session:
        for _ in range(5):
            async with session.get(f"http://127.0.0.1:{server.port}/") as answer:
                assert answer.status == 400
        peer = RawPeer(await session.ws_connect(f"http://127.0.0.1:{server.port}/"))
        assert await peer.auth() == Response(7)


@hurried
async def test_a_handshake_that_trickles_in_is_cut(server):
    """A client that sends its upgrade request byte by byte is closed when the time for it is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_a_handshake_with_endless_headers_is_cut(server):
    """Headers beyond 16 KiB end the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\n" + b"X-Bomb: " + b"a" * 40_000)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await writer.drain()
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()


async def test_an_oversized_message_ends_the_connection(peer):
    """A frame beyond the limit closes the connection with 1009, before its content has arrived."""
    await peer.send(bytes(5000))
    assert await peer.closed() == 1009


async def test_an_oversized_message_in_pieces_ends_the_connection(peer):
    """Many small or empty pieces cannot make us keep more than one message may have."""
    writer = peer.socket._writer.transport
    writer.write(bytes([0x02, 0x80]) + bytes(4))
    writer.write((bytes([0x00, 0x80]) + bytes(4)) * 5000)
    assert await peer.closed() == 1009


async def test_text_and_pieces_out_of_order_end_the_connection(dial):
    """BTP is binary, and a continuation has to continue something."""
    for frame, code in ((bytes([0x81, 0x81]) + bytes(4) + b"x", 1003), (bytes([0x80, 0x80]) + bytes(4), 1002)):
        peer = await dial()
        await peer.auth()
        peer.socket._writer.transport.write(frame)
        assert await peer.closed() == code


async def test_truncated_packets_are_ignored_and_never_answered(peer, link, connector):
    """Every proper prefix of a request is ignored, and the next whole one is handled."""
    raw = encode(ilp(3))
    for length in range(len(raw)):
        await peer.send(raw[:length])
    await peer.send(ilp(4))
    assert (await connector.arrived.get())[1] == PREPARE
    assert link.statistics.unreadable == len(raw)
    await peer.send(Message(5))
    assert (await peer.receive()).request_id == 5


async def test_a_response_to_nothing_is_ignored(peer, link):
    """An answer under an unknown id is counted and dropped."""
    await peer.send(Response(12345, (Entry("ilp", FULFILL),)))
    await peer.send(Failure(12345, "F00", "NotAcceptedError", 0))
    await peer.send(Message(5))
    await peer.receive()
    assert link.statistics.unexpected == 2


async def test_a_repeated_response_is_taken_once(peer, link):
    """A second answer, even another one, does not reach the caller."""
    replies = asyncio.Queue()
    link.send(PREPARE, replies.put_nowait)
    request = await peer.receive()
    for data in (b"", b"2", b"3"):
        await peer.send(Response(request.request_id, (Entry("ilp", FULFILL + data),)))
    await peer.send(Message(5))
    await peer.receive()
    assert (await replies.get(), replies.empty()) == (FULFILL, True)
    assert link.statistics.unexpected == 2


async def test_a_second_request_under_an_id_in_flight_is_ignored(peer, link, connector):
    """The handler sees one of them, and one answer leaves, even when it is called twice."""
    await peer.send(ilp(3))
    await peer.send(ilp(3, PREPARE + b"again"))
    _, packet, reply = await connector.arrived.get()
    assert packet == PREPARE
    reply(FULFILL)
    reply(FULFILL + b"again")
    assert await peer.receive() == Response(3, (Entry("ilp", FULFILL),))
    await peer.send(Message(5))
    assert (await peer.receive()).request_id == 5
    assert (link.statistics.duplicates, connector.arrived.empty()) == (1, True)


async def test_requests_above_the_limit_are_refused(peer, link):
    """A peer with too many packets in flight gets Rejects for more, and our own sending is bounded as well."""
    for request_id in range(55):
        await peer.send(ilp(request_id))
    for request_id in range(50, 55):
        refusal = await peer.receive()
        assert refusal.request_id == request_id
        assert decode_reply(refusal.entries[0].data).code == "T03"
    for _ in range(50):
        link.send(PREPARE, print)
    with pytest.raises(LinkDown):
        link.send(PREPARE, print)


@pytest.mark.parametrize(("backlog", "stalled"), [(65_536, 600_000), (1 << 30, 50)])
async def test_a_peer_that_does_not_read_is_cut(connector, limits, backlog, stalled):
    """What nobody reads piles up to a bound of bytes, or of time, and then the connection goes."""
    limits = replace(limits, backlog_bytes_max=backlog, stalled_ms_max=stalled)
    link = BtpLink("alice", connector, limits)
    async with BtpServer(limits=limits) as server:
        server.add(link, TOKEN)
        deaf = socket.create_connection(("127.0.0.1", server.port))
        deaf.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=deaf, limit=1024)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        auth = encode(Message(0, (Entry("auth", b""), Entry("auth_token", TOKEN.encode()))))
        writer.write(bytes([0x82, 0x80 | len(auth)]) + bytes(4) + auth)
        await link.wait_up()
        writer.transport.pause_reading()
        with pytest.raises(LinkDown):
            while True:
                link.send(PREPARE + bytes(3000), print)
                link._asked.drain()  # or the bound on what is in flight would come first
                await asyncio.sleep(0)
        writer.close()


async def test_a_flood_of_one_peer_leaves_turns_for_the_others(dial, server, limits):
    """Between any two turns of the loop at most a few packets of one peer are handled."""
    handled = 0

    def handler(account, packet, reply):
        nonlocal handled
        handled += 1
        reply(FULFILL)

    flooder = BtpLink("flooder", handler, limits)
    server.add(flooder, "flood")
    peer = await dial()
    await peer.auth("flood")
    frame = encode(ilp(1))
    masked = bytes([0x82, 0x80 | len(frame)]) + bytes(4) + frame
    peer.socket._writer.transport.write(masked * 2000)
    most, before = 0, 0
    while handled < 2000:
        await asyncio.sleep(0)
        most, before = max(most, handled - before), handled
    assert most <= 2 * limits.turn_messages


@pytest.mark.parametrize("place", [0, 60, 100])
async def test_nothing_of_a_peer_is_handled_after_its_connection_was_closed(dial, server, limits, place):
    """What a peer sent before it was removed, and what waits for its turn, is not handed over any more."""
    handled = []

    def handler(account, packet, reply):
        handled.append(packet)
        if len(handled) == place + 1:
            server.remove("mallory")

    link = BtpLink("mallory", handler, replace(limits, in_flight_max=1000))
    server.add(link, "mallory's")
    peer = await dial()
    await peer.auth("mallory's")
    frames = [encode(ilp(request_id)) for request_id in range(200)]
    peer.socket._writer.transport.write(
        b"".join(bytes([0x82, 0x80 | len(frame)]) + bytes(4) + frame for frame in frames)
    )
    assert await peer.closed() == 1008
    assert len(handled) == place + 1
