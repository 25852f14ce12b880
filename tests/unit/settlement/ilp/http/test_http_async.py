"""Asynchronous replies, as draft 3 of RFC 35 asks: asked for, given, repeated and refused."""

import asyncio
import uuid

import pytest

from settlement.ilp.http import ClientLimits, HttpLink, HttpServer, Outgoing, parse_target
from tests.support.patience import PATIENCE_S
from tests.unit.settlement.ilp.http.conftest import (
    FULFILL,
    PREPARE,
    TOKEN,
    Connector,
    Scripted,
    asynchronous,
    code_of,
    link_to,
    ok,
    post,
    sent,
)


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
        async with asyncio.timeout(PATIENCE_S):
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
