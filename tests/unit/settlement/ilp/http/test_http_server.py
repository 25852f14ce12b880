"""The HTTP server: what it takes, and what it answers."""

import asyncio
import uuid

import pytest

from foundation.errors import BadInput
from settlement.ilp.http import ILP_OCTET_STREAM, HttpLink, HttpServer, ServerLimits
from settlement.ilp.packets import decode_reply
from tests.unit.settlement.ilp.http.conftest import FULFILL, OCTETS, PREPARE, TOKEN, post


@pytest.mark.parametrize("kind", [OCTETS, ILP_OCTET_STREAM, "Application/Octet-Stream; charset=binary"])
async def test_a_prepare_is_handed_over_and_its_reply_is_the_answer(server, link, connector, session, kind):
    """A POST of either content type reaches the handler, and the Fulfill is the body of a 200."""
    connector.answer = FULFILL
    url, headers = f"http://127.0.0.1:{server.port}/ilp", {"Content-Type": kind, "Authorization": f"Bearer {TOKEN}"}
    async with session.post(url, data=PREPARE, headers=headers) as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, OCTETS, FULFILL)
    assert (await connector.arrived.get())[:2] == ("alice", PREPARE)


async def test_a_body_in_chunks_is_put_together(server, link, connector, session):
    """A request without a Content-Length is one packet all the same."""
    connector.answer = FULFILL

    async def body():
        for at in range(0, len(PREPARE), 7):
            yield PREPARE[at : at + 7]

    headers = {"Content-Type": OCTETS, "Authorization": f"Bearer {TOKEN}"}
    async with session.post(f"http://127.0.0.1:{server.port}/ilp", data=body(), headers=headers) as answer:
        assert answer.status == 200
    assert (await connector.arrived.get())[1] == PREPARE


async def test_requests_that_are_pipelined_are_answered_in_their_order(dial, connector):
    """Answers wait for those of the requests before them, whatever order the replies come in."""
    peer = await dial()
    peer.write(b"".join(post(PREPARE + bytes([at])) for at in range(3)))
    replies = [(await connector.arrived.get())[2] for _ in range(3)]
    for at in (2, 0, 1):
        replies[at](FULFILL + bytes([at]))
    assert [(await peer.answer())[1][-1] for _ in range(3)] == [0, 1, 2]


async def test_more_pipelined_requests_than_are_read_at_once_are_all_answered(dial, connector):
    """A long pipeline is read piece by piece as answers leave, and nothing of it is lost."""
    peer = await dial()
    peer.write(b"".join(post(PREPARE + at.to_bytes(2, "big")) for at in range(500)))
    for at in range(500):
        _, packet, reply = await connector.arrived.get()
        assert packet[-2:] == at.to_bytes(2, "big")
        reply(FULFILL + packet[-2:])
        assert (await peer.answer())[1][-2:] == packet[-2:]


async def test_a_request_that_comes_byte_by_byte_is_read(dial, connector):
    """The place where the network cuts a request does not matter."""
    peer = await dial()
    for octet in post():
        peer.write(bytes([octet]))
        await asyncio.sleep(0)
    assert (await connector.arrived.get())[1] == PREPARE


async def test_a_connection_is_kept_for_the_next_request_unless_the_peer_asks_to_close_it(dial, connector):
    """Keep-alive is the rule; with `Connection: close` the answer says so and the connection ends."""
    connector.answer = FULFILL
    peer = await dial()
    for _ in range(3):
        peer.write(post())
        assert await peer.status() == 200
    peer.write(post(headers="Connection: close\r\n"))
    answer = await peer.closed()
    assert b"connection: close\r\n" in answer.lower()
    assert answer.endswith(FULFILL)


async def test_a_client_that_asks_first_is_told_to_go_on(dial, connector):
    """`Expect: 100-continue` is answered before the body comes."""
    peer = await dial()
    raw = post(headers="Expect: 100-continue\r\n")
    peer.write(raw[: -len(PREPARE)])
    assert await peer.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.write(raw[-len(PREPARE) :])
    assert (await connector.arrived.get())[1] == PREPARE


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (post(path="/other"), 404),
        (post(method="PUT"), 405),
        (post(b"", method="GET"), 405),
        (post(kind="application/json"), 415),
        (post(kind=""), 415),
        (post(b""), 400),
        (post(b"\x01"), 400),
        (post(FULFILL), 400),
        (post(FULFILL, headers="Request-Id: 1\r\n"), 400),
        (post(FULFILL, headers=f"Request-Id: {uuid.uuid4()}\r\n"), 400),
    ],
)
async def test_requests_that_are_none_of_ours_are_told_why(dial, connector, raw, status):
    """Each wrong request has its status, no packet is handed over, and the connection goes on."""
    connector.answer = FULFILL
    peer = await dial()
    peer.write(raw + post())
    assert [await peer.status() for _ in range(2)] == [status, 200]
    assert connector.arrived.qsize() == 1


async def test_a_token_without_the_word_bearer_is_taken(dial, connector):
    """ilp-plugin-http can be set up to send the bare token."""
    connector.answer = FULFILL
    peer = await dial()
    peer.write(post(token="", headers=f"Authorization: {TOKEN}\r\n"))
    assert await peer.status() == 200


async def test_accounts_are_told_apart_by_their_tokens_even_on_one_connection(dial, server, connector):
    """Each request is the account's whose token it shows, whatever came before it on the connection."""
    bob = HttpLink("bob", connector)
    server.add(bob, "bob's-token")
    peer = await dial()
    for token, account in ((TOKEN, "alice"), ("bob's-token", "bob"), (TOKEN, "alice")):
        peer.write(post(token=token))
        arrived, _, reply = await connector.arrived.get()
        assert arrived == account
        reply(FULFILL)
    assert [await peer.status() for _ in range(3)] == [200] * 3


async def test_an_account_that_is_removed_is_refused_even_on_its_open_connection(dial, server, connector):
    """What a connection showed before its account was removed opens nothing afterwards."""
    connector.answer = FULFILL
    peer = await dial()
    peer.write(post())
    assert await peer.status() == 200
    server.remove("alice")
    peer.write(post())
    assert await peer.status() == 401


async def test_credentials_are_needed_and_belong_to_one_account(server, link, connector):
    """An account that is there, a token of another account's, and none at all are refused."""
    for other, token, certificate in (
        (HttpLink("alice", connector), "another", b""),
        (HttpLink("bob", connector), TOKEN, b""),
        (HttpLink("bob", connector), "", b""),
        (HttpLink("bob", connector), "t" * 1025, b""),
        (HttpLink("bob", connector), "t", b"short"),
    ):
        with pytest.raises(BadInput):
            server.add(other, token, certificate)


async def test_an_authenticator_is_asked_anew_for_each_request(connector):
    """A token that it took once and refuses later, such as a JWT that expired, opens nothing any more."""
    valid = [True]

    def authenticator(shown):
        return "bob" if valid[0] and shown.token == b"jwt" else None

    async with HttpServer(authenticator=authenticator) as server:
        server.add(HttpLink("bob", connector))
        connector.answer = FULFILL
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for expected in (b"200", b"401"):
            writer.write(post(token="jwt"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split()[1] == expected
            if expected == b"200":
                await reader.readexactly(len(FULFILL))
            valid[0] = False
        writer.close()


async def test_packets_above_the_limit_of_an_account_are_rejected(dial, server, link, connector):
    """Too many packets without an answer are a Reject for more, until one is answered."""
    server.limits = ServerLimits(in_flight_max=2)
    peers = [await dial() for _ in range(3)]
    for peer in peers[:2]:
        peer.write(post())
    replies = [(await connector.arrived.get())[2] for _ in range(2)]
    peers[2].write(post())
    assert decode_reply((await peers[2].answer())[1]).code == "T03"
    replies[0](FULFILL)
    peers[2].write(post())
    assert (await connector.arrived.get())[1] == PREPARE


async def test_a_reply_is_given_once_and_one_for_a_connection_that_is_gone_is_dropped(dial, connector):
    """A second reply changes nothing, and a peer that went away does no harm."""
    gone, peer = await dial(), await dial()
    gone.write(post())
    _, _, late = await connector.arrived.get()
    gone.writer.close()
    peer.write(post())
    _, _, reply = await connector.arrived.get()
    reply(FULFILL)
    reply(FULFILL + b"again")
    late(FULFILL)
    peer.write(post())
    _, _, reply = await connector.arrived.get()
    reply(FULFILL + b"2")
    assert [(await peer.answer())[1] for _ in range(2)] == [FULFILL, FULFILL + b"2"]


async def test_a_server_that_stops_closes_its_connections(dial, server):
    """Connections end, and nobody can connect any more."""
    peer = await dial()
    peer.write(post(path="/other"))
    await peer.status()
    await server.stop()
    assert await peer.closed() == b""
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", server.port)
