"""The sending side: synchronous and asynchronous, and what becomes of packets when the peer misbehaves."""

import asyncio
import hashlib
import ssl
import time

import pytest

from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address
from settlement.ilp.http import ClientLimits, HttpLink, HttpServer, Outgoing, parse_target
from settlement.ilp.link import LinkDown
from settlement.ilp.packets import Prepare, decode_reply, encode
from settlement.quantities import Condition, Units
from tests.support.patience import PATIENCE_S
from tests.unit.settlement.ilp.btp.test_btp_client import contexts
from tests.unit.settlement.ilp.http.conftest import (
    FULFILL,
    OCTETS,
    PREPARE,
    TOKEN,
    Connector,
    Scripted,
    code_of,
    link_to,
    ok,
    sent,
)

QUICK = ClientLimits(answer_ms_max=20, connect_ms_max=2000, reply_ms_max=3000)


async def test_a_prepare_is_posted_as_the_standard_says_and_answered_in_place():
    """The request has the headers of RFC 35, and the body of the answer is the reply."""
    async with Scripted(ok()) as server:
        link = link_to(server, name="us")
        assert await sent(link) == FULFILL
        head, body = await server.requests.get()
        assert body == PREPARE
        assert head.decode().split("\r\n") == [
            "POST /ilp HTTP/1.1",
            f"Host: 127.0.0.1:{server.port}",
            f"Accept: {OCTETS}",
            f"Content-Type: {OCTETS}",
            f"Authorization: Bearer {TOKEN}",
            "ILP-Peer-Name: us",
            f"Content-Length: {len(PREPARE)}",
            "",
            "",
        ]
        await link.close()


async def test_connections_are_kept_and_used_again():
    """Packets one after the other share a connection."""
    async with Scripted(*[ok(FULFILL + bytes([at])) for at in range(5)]) as server:
        link = link_to(server)
        assert [(await sent(link))[-1] for _ in range(5)] == list(range(5))
        assert server.connections == 1
        await link.close()


async def test_no_more_connections_are_made_than_allowed_and_packets_wait_for_them():
    """With one connection, ten packets are answered one after the other."""
    async with Scripted(*[ok(FULFILL + bytes([at])) for at in range(10)]) as server:
        link = link_to(server, limits=ClientLimits(connections_max=1))
        assert await asyncio.gather(*(sent(link) for _ in range(10))) == [FULFILL + bytes([at]) for at in range(10)]
        assert server.connections == 1
        await link.close()


async def test_a_packet_that_expires_while_it_waits_is_not_sent():
    """Behind a peer that answers slowly a packet outlives its time: then it is refused, and never leaves."""
    expires_at = UnixMs(time.time_ns() // 1_000_000 + 100)
    packet = encode(Prepare(Units(1), expires_at, Condition(bytes(32)), Address("test.them"), b""))
    async with Scripted() as server:
        link = link_to(server, limits=ClientLimits(connections_max=1))
        first, second = asyncio.Queue(), asyncio.Queue()
        link.send(PREPARE, first.put_nowait)
        await server.requests.get()
        link.send(packet, second.put_nowait)
        await asyncio.sleep(0.15)
        server.writers[0].write(ok())
        async with asyncio.timeout(PATIENCE_S):
            assert await first.get() == FULFILL
            assert decode_reply(await second.get()).code == "T01"
        assert server.requests.empty()
        await link.close()


async def test_a_packet_for_which_there_is_no_room_is_not_taken():
    """Above the bound on what waits, the link says that it is down."""
    async with Scripted() as server:
        link = link_to(server, limits=ClientLimits(connections_max=1, waiting_max=2))
        for _ in range(2):
            link.send(PREPARE, lambda packet: None)
        with pytest.raises(LinkDown):
            link.send(PREPARE, print)
        await link.close()


async def test_a_connection_that_was_idle_for_long_is_not_used_again():
    """A packet never meets a server that is just about to close the connection."""
    async with Scripted(ok(), ok()) as server:
        link = link_to(server, limits=ClientLimits(idle_ms_max=0))
        for _ in range(2):
            assert await sent(link) == FULFILL
        assert server.connections == 2
        await link.close()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (ok(b""), "T00"),
        (ok(PREPARE), "T00"),
        (ok(b"", "500 Internal Server Error"), "T00"),
        (ok(FULFILL, "500 Internal Server Error"), "T00"),
        (ok(b"", "401 Unauthorized"), "T01"),
        (ok(b"", "413 Content Too Large"), "F00"),
        (ok(b"", "429 Too Many Requests"), "T03"),
        (ok(b"", "302 Found", "Location: http://127.0.0.1:1/\r\n"), "T00"),
        (b"garbage\r\n\r\n", "T00"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345", "T00"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 10_000, "T00"),
        (ok(b"\x0d" + bytes(40_000)), "T00"),
    ],
)
async def test_an_answer_without_a_reply_becomes_a_reject_of_ours(answer, code):
    """Whatever the peer answers, the sender gets a Reject with our address, and the link goes on."""
    async with Scripted(answer, ok()) as server:
        link = link_to(server)
        reject = decode_reply(await sent(link))
        assert (reject.code, reject.triggered_by) == (code, "test.us")
        await server.requests.get()
        assert server.requests.empty()
        assert await sent(link) == FULFILL
        await link.close()


async def test_a_packet_is_never_sent_twice_when_its_connection_breaks():
    """A request whose answer was lost is rejected and not repeated: the peer may have paid for it."""
    async with Scripted(b"", then_close=True) as server:
        link = link_to(server)
        assert await code_of(link) == "T00"
        assert server.requests.qsize() == 1
        await link.close()


async def test_a_peer_that_does_not_answer_in_time_is_told_as_a_time_out():
    """Silence ends in R00, and the connection is not used again."""
    async with Scripted() as server:
        link = link_to(server, limits=QUICK)
        assert await code_of(link) == "R00"
        await link.close()


async def test_a_peer_that_cannot_be_reached_is_down_until_it_can():
    """Nothing listens: T01, then `LinkDown` for a moment; who sends only while the link is up finds the peer again."""
    async with Scripted() as server:
        port = server.port
    link = HttpLink("peer", Connector(), Outgoing(parse_target(f"http://127.0.0.1:{port}/ilp"), TOKEN))
    assert link.is_up
    assert await code_of(link) == "T01"
    assert not link.is_up
    with pytest.raises(LinkDown):
        link.send(PREPARE, print)
    connector = Connector()
    connector.answer = FULFILL
    async with HttpServer(port=port) as server:
        server.add(HttpLink("alice", connector), TOKEN)
        while not link.is_up:
            await asyncio.sleep(0.01)
        assert await sent(link) == FULFILL
        await link.close()


async def test_a_second_answer_to_one_request_is_never_taken_for_the_next_ones():
    """A connection on which more came than was asked for is given up."""
    async with Scripted(ok() + ok(FULFILL + b"stray"), ok(FULFILL + b"right")) as server:
        link = link_to(server, limits=ClientLimits(connections_max=1))
        assert await asyncio.gather(sent(link), sent(link)) == [FULFILL, FULFILL + b"right"]
        assert server.connections == 2
        await link.close()


async def test_an_interim_answer_is_not_the_answer():
    """103 and the like come before the real one."""
    async with Scripted(b"HTTP/1.1 103 Early Hints\r\n\r\n" + ok()) as server:
        link = link_to(server)
        assert await sent(link) == FULFILL
        await link.close()


async def test_a_link_that_is_only_served_cannot_send():
    """Without a target there is no way out."""
    link = HttpLink("peer", Connector())
    assert not link.is_up
    with pytest.raises(LinkDown):
        link.send(PREPARE, print)


async def test_packets_that_wait_end_when_the_link_is_closed():
    """Each of them is rejected once."""
    async with Scripted() as server:
        link = link_to(server, limits=ClientLimits(connections_max=1))
        replies = asyncio.Queue()
        for _ in range(3):
            link.send(PREPARE, replies.put_nowait)
        await server.requests.get()
        await link.close()
        assert {decode_reply(replies.get_nowait()).code for _ in range(3)} == {"T00", "T01"}
        with pytest.raises(LinkDown):
            link.send(PREPARE, print)


async def test_tls_and_the_certificate_of_the_peer_are_checked(tmp_path):
    """The client trusts only its authority, and the server can tell an account by its certificate alone."""
    serving, trusting = contexts(tmp_path)
    certificate = ssl.PEM_cert_to_DER_cert((tmp_path / "certificate.pem").read_text())
    serving.verify_mode = ssl.CERT_OPTIONAL
    serving.load_verify_locations(tmp_path / "certificate.pem")
    connector = Connector()
    connector.answer = FULFILL
    async with HttpServer(tls=serving) as server:
        server.add(HttpLink("alice", connector), certificate=hashlib.sha256(certificate).digest())
        target = parse_target(f"https://127.0.0.1:{server.port}/ilp")
        stranger = HttpLink("server", Connector(), Outgoing(target))
        assert await code_of(stranger) == "T01"
        nobody = HttpLink("server", Connector(), Outgoing(target), tls=trusting)
        assert await code_of(nobody) == "T01"
        trusting.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
        alice = HttpLink("server", Connector(), Outgoing(target), tls=trusting)
        assert await sent(alice) == FULFILL
        for link in (stranger, nobody, alice):
            await link.close()
