"""What hostile peers try on the HTTP server."""

import asyncio
import uuid

import pytest

from settlement.ilp.http import HttpLink, HttpServer, ServerLimits
from tests.support.patience import PATIENCE_S
from tests.unit.settlement.ilp.http.conftest import FULFILL, TOKEN, asynchronous, post

HEAD = b"POST /ilp HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def limits():
    return ServerLimits(connections_max=20)


def hurried(**times):
    """Such times in place of patient ones: no honest request depends on them."""
    return pytest.mark.parametrize("limits", [ServerLimits(connections_max=20, **times)], ids=["hurried"])


@pytest.mark.parametrize("token", ["", "a-shared-secreT", "a-shared-secret2", "x" * 4000])
async def test_a_wrong_token_is_refused(dial, connector, token):
    """Without the right token nothing is handed over, and the answer does not say what was wrong."""
    peer = await dial()
    peer.write(post(token=token))
    assert await peer.answer() == (401, b"")
    assert connector.arrived.empty()


async def test_a_wrong_token_after_a_right_one_is_refused(dial, connector):
    """What a connection has shown before does not vouch for what it shows next."""
    connector.answer = FULFILL
    peer = await dial()
    for token, status in ((TOKEN, 200), ("wrong", 401), (TOKEN, 200), ("", 401)):
        peer.write(post(token=token))
        assert await peer.status() == status


@hurried(request_ms_max=200)
@pytest.mark.parametrize("sent", [b"", b"P", HEAD, HEAD + b"X-Slow: a", post()[:-1]])
async def test_a_request_that_never_ends_is_cut(dial, sent):
    """A connection that is silent, or stops in the middle of a request, gets 408 and is closed."""
    peer = await dial()
    peer.write(sent)
    assert (await peer.closed()).startswith(b"HTTP/1.1 408 ")


@hurried(request_ms_max=200)
async def test_a_request_that_trickles_in_is_cut_all_the_same(dial):
    """Bytes that keep coming do not renew the time that a request has."""
    peer = await dial()
    peer.write(HEAD)
    end = asyncio.get_running_loop().create_task(peer.closed())
    for _ in range(40):  # below the bound on headers
        peer.write(b"X-Slow: a\r\n")
        await asyncio.wait([end], timeout=0.05)
    assert end.done()
    assert (await end).startswith(b"HTTP/1.1 408 ")


@hurried(idle_ms_max=200)
async def test_an_idle_connection_is_closed(dial, connector):
    """After its time without a request a connection ends, without an answer to nothing."""
    connector.answer = FULFILL
    peer = await dial()
    peer.write(post())
    assert await peer.status() == 200
    assert await peer.closed() == b""


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"X-Bomb: " + b"a" * 20_000,
        HEAD + b"X" * 20_000,
        b"POST /" + b"a" * 20_000,
        HEAD + b"X: y\r\n" * 60 + b"\r\n",
        post(headers=f"X-Bomb: {'a' * 9_000}\r\n"),
    ],
)
async def test_header_bombs_are_refused(dial, connector, raw):
    """Headers that are too long or too many end the connection with 431, complete or not."""
    peer = await dial()
    peer.write(raw)
    assert (await peer.closed()).startswith(b"HTTP/1.1 431 ")
    assert connector.arrived.empty()


async def test_headers_without_end_are_not_kept(dial, server):
    """A header that goes on for ever is refused after a few kilobytes, not when memory is full."""
    peer = await dial()
    peer.write(HEAD + b"X-Bomb: " + b"a" * 1_000_000)
    await peer.closed()
    assert not server._connections


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Content-Length: 40000\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"a" * 4096 + b"\r\n" * 1,
    ],
)
async def test_bodies_that_are_too_long_are_refused(dial, raw):
    """A body beyond the limit ends the connection, announced or in chunks."""
    peer = await dial()
    if b"chunked" in raw:
        head, chunk = raw.split(b"\r\n\r\n", 1)
        raw = head + b"\r\n\r\n" + chunk * 10
    peer.write(raw)
    assert (await peer.closed()).split()[1] in {b"413", b"400"}


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        HEAD + b"Content-Length: +5\r\n\r\n12345",
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"X : y\r\n\r\n",
        HEAD + b"X: y\nZ: z\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
    ],
)
async def test_requests_that_could_be_read_in_two_ways_are_refused(dial, connector, raw):
    """Lengths that contradict each other, and what is no HTTP/1.1, end the connection: nothing can be smuggled."""
    connector.answer = FULFILL
    peer = await dial()
    peer.write(raw + post())
    answer = await peer.closed()
    assert answer.split()[1] == b"400"
    assert connector.arrived.empty()


async def test_a_request_to_speak_another_protocol_ends_the_connection(dial, connector):
    """An upgrade that we do not make is refused, and what follows it is not read as a request."""
    peer = await dial()
    peer.write(post(headers="Connection: Upgrade\r\nUpgrade: h2c\r\n") + post())
    assert (await peer.closed()).count(b"HTTP/1.1 400 ") == 1
    assert connector.arrived.empty()


async def test_an_error_is_never_taken_for_the_answer_to_an_earlier_packet(dial, connector):
    """Garbage behind a packet that waits for its reply closes the connection without an answer."""
    peer = await dial()
    peer.write(post() + b"garbage\r\n\r\n")
    assert await peer.closed() == b""
    assert connector.arrived.qsize() == 1


@hurried(answer_ms_max=200)
async def test_a_packet_that_is_never_answered_does_not_hold_its_connection(dial, server, connector):
    """After the time for an answer the connection is closed, and the packet counts as in flight no more."""
    peer = await dial()
    peer.write(post())
    await connector.arrived.get()
    assert await peer.closed() == b""
    assert server._peers["alice"].in_flight == 0


async def test_connections_are_bounded_and_give_their_place_back(dial, server, connector):
    """Where peers have all connections another one is closed at once, and one that ends makes room."""
    connector.answer = FULFILL
    peers = [await dial() for _ in range(20)]
    for peer in peers:
        peer.write(post())
        assert await peer.status() == 200
    surplus = await dial()
    assert await surplus.closed() == b""
    peers[0].writer.close()
    while len(server._connections) == 20:
        await asyncio.sleep(0)
    again = await dial()
    again.write(post())
    assert await again.status() == 200


async def test_a_peer_that_does_not_read_its_answers_is_cut(connector):
    """Answers that pile up end the connection, and what is unsent stays bounded."""
    connector.answer = FULFILL + bytes(30_000)
    limits = ServerLimits(stalled_ms_max=200)
    async with HttpServer(limits=limits) as server:
        server.add(HttpLink("alice", connector), TOKEN)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.transport.pause_reading()
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    writer.write(post() * 50)
                    await writer.drain()
                    held = sum(one._tcp.get_write_buffer_size() for one in server._connections)
                    assert held < 4_000_000
                    await asyncio.sleep(0)


@pytest.mark.parametrize("callback", ["http://127.0.0.1:1/", "http://localhost/x", "https://127.0.0.1/", "file:///x"])
async def test_a_peer_cannot_have_us_post_to_other_machines(dial, connector, callback):
    """A Callback-Url that is not the peer's own server is refused: our token would go there, and from our network."""
    peer = await dial()
    peer.write(post(headers=asynchronous(callback=callback)))
    assert await peer.status() == 400
    assert connector.arrived.empty()


async def test_a_callback_url_cannot_smuggle_a_header(dial, server, connector):
    """A URL with bytes that no URL has is refused before anything is sent to it."""
    peer = await dial()
    peer.write(post(headers=asynchronous(callback=f"http://127.0.0.1:{server.port}/\tX:y")))
    assert await peer.status() == 400


async def test_an_asynchronous_prepare_needs_a_request_id_that_is_one(dial, server, connector):
    """Without a UUID of version 4 the reply could not be told apart."""
    url = f"http://127.0.0.1:{server.port}/ilp"
    peer = await dial()
    for request_id in ("", "1", str(uuid.uuid1())):
        peer.write(post(headers=f"Prefer: respond-async\r\nCallback-Url: {url}\r\nRequest-Id: {request_id}\r\n"))
        assert await peer.status() == 400
    assert connector.arrived.empty()


async def test_a_flood_of_pipelined_requests_leaves_turns_for_the_others(server, link, connector):
    """Between two turns of the loop only some requests of one connection are handled."""
    handled = 0

    def handler(account, packet, reply):
        nonlocal handled
        handled += 1
        reply(FULFILL)

    server.add(HttpLink("flooder", handler), "flood")
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post(b"\x0c", token="flood") * 3000)
    most = before = 0
    while handled < 3000:
        await asyncio.sleep(0)
        most, before = max(most, handled - before), handled
    assert most < 150
    writer.close()


async def test_a_peer_that_is_only_served_gets_no_asynchronous_replies(dial, server, connector):
    """Where we send nothing to a peer there is nowhere to send replies to, whatever it names."""
    server.add(HttpLink("bob", connector), "bob's")
    peer = await dial()
    peer.write(post(token="bob's", headers=asynchronous(callback="http://127.0.0.1:1/")))
    assert await peer.status() == 400


async def test_strangers_who_take_all_connections_keep_no_peer_out(dial, connector):
    """Where connections that never showed a token fill the server, the oldest of them makes way for a peer's."""
    connector.answer = FULFILL
    known = await dial()
    known.write(post())
    assert await known.status() == 200
    strangers = [await dial() for _ in range(40)]
    peer = await dial()
    peer.write(post())
    assert await peer.status() == 200
    known.write(post())
    assert await known.status() == 200
    assert len(strangers) == 40
