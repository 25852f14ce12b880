"""The sending side: synchronous and asynchronous, and what becomes of packets when the peer misbehaves."""

import asyncio
import hashlib
import ssl
import uuid

import pytest

from settlement.ilp.http import ClientLimits, HttpLink, HttpServer, Outgoing, parse_target
from settlement.ilp.link import LinkDown
from settlement.ilp.packets import decode_reply
from tests.unit.settlement.ilp.btp.test_btp_client import contexts
from tests.unit.settlement.ilp.http.conftest import FULFILL, OCTETS, PREPARE, TOKEN, Connector, asynchronous, post

QUICK = ClientLimits(answer_ms_max=20, connect_ms_max=2000, reply_ms_max=3000)


class Scripted:
    """An HTTP server that answers each request with the bytes that it was told, and keeps the requests."""

    def __init__(self, *answers, then_close=False):
        self._answers = list(answers)
        self._then_close = then_close
        self.requests = asyncio.Queue()
        self.connections = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.target = parse_target(f"http://127.0.0.1:{self.port}/ilp")
        return self

    async def __aexit__(self, *exc):
        self._server.close()

    async def _serve(self, reader, writer):
        self.connections += 1
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
    async with asyncio.timeout(5):
        return await replies.get()


async def code_of(link):
    return decode_reply(await sent(link)).code


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
    """Nothing listens: T01, then `LinkDown` for a moment; the link is up again after a connection was made."""
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
        while True:
            try:
                assert await sent(link) == FULFILL
                break
            except LinkDown:
                await asyncio.sleep(0.01)
        assert link.is_up
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


async def test_an_asynchronous_prepare_names_where_its_reply_goes():
    """The request has the headers of draft 3, and a fresh UUID each time."""
    async with Scripted(*[ok(b"", "202 Accepted")] * 2) as server:
        link = link_to(server, mode="async", callback_url="https://us.example/ilp")
        for _ in range(2):
            link.send(PREPARE, print)
        heads = [(await server.requests.get())[0].decode() for _ in range(2)]
        assert all(
            "Prefer: respond-async\r\nCallback-Url: https://us.example/ilp\r\nRequest-Id: " in head for head in heads
        )
        assert len({uuid.UUID(head.split("Request-Id: ")[1].split("\r\n")[0]) for head in heads}) == 2
        await link.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_two_of_us_pay_each_other_over_either_mode(mode):
    """Fulfills arrive whether they are the answer to the request or come in one of their own."""
    connectors = [Connector(), Connector()]
    async with HttpServer() as one, HttpServer() as other:
        servers, links = (one, other), []
        for at in (0, 1):
            theirs = parse_target(f"http://127.0.0.1:{servers[1 - at].port}/ilp")
            ours = f"http://127.0.0.1:{servers[at].port}/ilp"
            links.append(HttpLink("peer", connectors[at], Outgoing(theirs, TOKEN, mode=mode, callback_url=ours)))
            servers[at].add(links[at], TOKEN)
        for at in (0, 1):
            connectors[1 - at].answer = FULFILL + bytes([at])
            assert set(await asyncio.gather(*(sent(links[at]) for _ in range(50)))) == {FULFILL + bytes([at])}
            assert connectors[1 - at].arrived.qsize() == 50
        for link in links:
            await link.close()


async def test_a_peer_that_only_answers_in_place_is_understood():
    """A Fulfill in the answer to a request that asked for an asynchronous one is taken."""
    async with Scripted(ok()) as server:
        link = link_to(server, mode="async")
        assert await sent(link) == FULFILL
        await link.close()


@pytest.mark.parametrize(("answer", "code"), [(ok(b"", "503 Unavailable"), "T00"), (ok(b"", "400 Bad Request"), "F00")])
async def test_an_asynchronous_prepare_that_is_refused_is_rejected_at_once(answer, code):
    """An error instead of the 202 means that no reply will come."""
    async with Scripted(answer) as server:
        link = link_to(server, mode="async")
        assert await code_of(link) == code
        await link.close()


async def test_an_asynchronous_prepare_whose_202_was_lost_can_still_be_fulfilled(dial, server, connector):
    """The peer may have it: nothing is rejected, and its reply counts."""
    async with Scripted(b"", then_close=True) as peer:
        link = HttpLink("bob", connector, Outgoing(peer.target, "bob's", mode="async"))
        server.add(link, "bob's")
        replies = asyncio.Queue()
        link.send(PREPARE, replies.put_nowait)
        head, _ = await peer.requests.get()
        request_id = head.decode().split("Request-Id: ")[1].split("\r\n")[0]
        raw = await dial()
        raw.write(post(FULFILL, token="bob's", headers=f"Request-Id: {request_id}\r\n") * 2)
        assert [await raw.status() for _ in range(2)] == [200, 400]
        assert (await replies.get(), replies.empty()) == (FULFILL, True)
        assert link.statistics.unexpected == 1
        await link.close()


async def test_a_reply_of_one_account_never_answers_another_ones_packet(dial, server, link):
    """A Request-Id counts only together with the account that was asked."""
    async with Scripted(ok(b"", "202 Accepted")) as peer:
        bob = HttpLink("bob", Connector(), Outgoing(peer.target, "bob's", mode="async"))
        server.add(bob, "bob's")
        replies = asyncio.Queue()
        bob.send(PREPARE, replies.put_nowait)
        head, _ = await peer.requests.get()
        request_id = head.decode().split("Request-Id: ")[1].split("\r\n")[0]
        raw = await dial()
        raw.write(post(FULFILL, headers=f"Request-Id: {request_id}\r\n"))
        assert await raw.status() == 400
        assert replies.empty()
        await bob.close()


async def test_an_asynchronous_reply_is_posted_to_the_callback_until_it_is_taken(dial, server, connector):
    """The 202 comes at once; the reply is tried again after 5xx and broken connections, and ends with the first 200."""
    broken = ok(b"", "500 Internal Server Error", "Connection: close\r\n")
    async with Scripted(broken, b"HTTP/1.1 2", ok(b"")) as peer:
        link = HttpLink("bob", connector, Outgoing(peer.target, "bob's"), limits=ClientLimits(answer_ms_max=100))
        server.add(link, "bob's")
        raw = await dial()
        request_id = uuid.uuid4()
        raw.write(post(token="bob's", headers=asynchronous(request_id, f"http://127.0.0.1:{peer.port}/back?x=1")))
        assert await raw.status() == 202
        _, packet, reply = await connector.arrived.get()
        reply(FULFILL)
        reply(FULFILL + b"again")
        async with asyncio.timeout(10):
            for _ in range(3):
                head, body = await peer.requests.get()
                assert (packet, body) == (PREPARE, FULFILL)
                assert head.startswith(b"POST /back?x=1 HTTP/1.1\r\n")
                assert f"Request-Id: {request_id}\r\n".encode() in head
                assert b"Authorization: Bearer bob's\r\n" in head
        assert link.statistics.undelivered == 0
        await link.close()


async def test_an_asynchronous_reply_that_is_refused_is_not_tried_again(dial, server, connector):
    """A 4xx ends the delivery, as the standard asks."""
    async with Scripted(ok(b"", "400 Bad Request")) as peer:
        link = HttpLink("bob", connector, Outgoing(peer.target, "bob's"))
        server.add(link, "bob's")
        raw = await dial()
        raw.write(post(token="bob's", headers=asynchronous(callback=f"http://127.0.0.1:{peer.port}/")))
        (await connector.arrived.get())[2](FULFILL)
        await peer.requests.get()
        while not link.statistics.undelivered:
            await asyncio.sleep(0)
        assert not link._retries
        await link.close()


async def test_a_reply_that_cannot_be_delivered_is_given_up_in_the_end(dial, server, connector):
    """After its time the delivery stops, and is counted."""
    async with Scripted() as peer:
        target = peer.target
    link = HttpLink("bob", connector, Outgoing(target, "bob's"), limits=ClientLimits(reply_ms_max=300))
    server.add(link, "bob's")
    raw = await dial()
    raw.write(post(token="bob's", headers=asynchronous(callback=f"http://127.0.0.1:{target.port}/")))
    (await connector.arrived.get())[2](FULFILL)
    while not link.statistics.undelivered:
        await asyncio.sleep(0.01)
    await link.close()


async def test_a_prepare_without_a_callback_is_answered_in_place_or_where_it_was_agreed(dial, server, connector):
    """`Prefer: respond-async` without a URL needs one out of band; where there is none, the answer is synchronous."""
    async with Scripted(ok(b"")) as peer:
        bob = HttpLink("bob", connector, Outgoing(peer.target, "bob's"))
        carol = HttpLink("carol", connector, Outgoing(peer.target, "carol's", reply_target=peer.target))
        server.add(bob, "bob's")
        server.add(carol, "carol's")
        connector.answer = FULFILL
        raw = await dial()
        raw.write(post(token="bob's", headers=asynchronous()))
        assert await raw.answer() == (200, FULFILL)
        raw.write(post(token="carol's", headers=asynchronous()))
        assert await raw.answer() == (202, b"")
        assert (await peer.requests.get())[1] == FULFILL
        await carol.close()


async def test_a_request_id_that_comes_again_is_not_paid_again(dial, link, server, connector):
    """A Prepare that is repeated because its 202 was lost is accepted and not handled."""
    raw = await dial()
    again = post(headers=asynchronous(uuid.uuid4(), f"http://127.0.0.1:{server.port}/ilp"))
    raw.write(again * 2)
    assert [await raw.status() for _ in range(2)] == [202, 202]
    assert (connector.arrived.qsize(), link.statistics.repeated) == (1, 1)


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
