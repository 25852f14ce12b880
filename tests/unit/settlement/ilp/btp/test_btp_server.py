"""A BTP server and its peers' links, against raw peers."""

import asyncio
import contextlib

import pytest

from foundation.errors import BadInput
from settlement.ilp.btp import BtpLink
from settlement.ilp.btp.codec import Entry, Failure, Message, Response, Transfer, encode
from settlement.ilp.btp.socket import REPLACED
from settlement.ilp.link import LinkDown
from settlement.ilp.packets import Reject, decode_reply
from settlement.quantities import Units
from tests.unit.settlement.ilp.btp.conftest import FULFILL, PREPARE, TOKEN, ilp


async def sent(link, packet=PREPARE):
    """Send over the link; answers a queue of its replies."""
    replies = asyncio.Queue()
    link.send(packet, replies.put_nowait)
    return replies


async def test_a_peer_that_shows_its_token_is_answered_and_its_link_is_up(dial, link):
    """The auth message gets an empty Response, and from then on the link carries packets."""
    changes = []
    link.on_change = changes.append
    peer = await dial()
    with pytest.raises(LinkDown):
        link.send(PREPARE, print)
    assert await peer.auth(request_id=42) == Response(42)
    await link.wait_up()
    assert link.is_up
    await peer.socket.close()
    while link.is_up:
        await asyncio.sleep(0)
    assert changes == [True, False]


async def test_a_packet_of_the_peer_is_handed_over_and_its_answer_goes_back_under_its_id(peer, connector):
    """Each request is answered under its own id, in whatever order the answers come."""
    for request_id in (1, 2):
        await peer.send(ilp(request_id, PREPARE + bytes([request_id])))
    arrived = [await connector.arrived.get() for _ in range(2)]
    assert [(account, packet) for account, packet, _ in arrived] == [
        ("alice", PREPARE + b"\x01"),
        ("alice", PREPARE + b"\x02"),
    ]
    for at in (1, 0):
        arrived[at][2](FULFILL + bytes([at]))
    assert await peer.receive() == Response(2, (Entry("ilp", FULFILL + b"\x01"),))
    assert await peer.receive() == Response(1, (Entry("ilp", FULFILL + b"\x00"),))


async def test_a_packet_for_the_peer_is_sent_and_its_answer_is_given_to_the_caller(peer, link):
    """A Prepare is a Message with the ilp sub-protocol, and the Response's packet is the reply."""
    replies = await sent(link)
    request = await peer.receive()
    assert request.entries == (Entry("ilp", PREPARE),)
    await peer.send(Response(request.request_id, (Entry("ilp", FULFILL),)))
    assert await replies.get() == FULFILL


async def test_an_ilp_packet_with_other_entries_behind_it_is_still_one(peer, connector):
    """Secondary sub-protocols do not hide the primary one."""
    await peer.send(Message(5, (Entry("ilp", PREPARE), Entry("note", b"x"))))
    assert (await connector.arrived.get())[1] == PREPARE


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda number: Response(number), "T00"),
        (lambda number: Response(number, (Entry("ilp", b""),)), "T00"),
        (lambda number: Response(number, (Entry("ilp", PREPARE),)), "T00"),
        (lambda number: Response(number, (Entry("x", b""), Entry("y", b""))), "T00"),
        (lambda number: Failure(number, "F00", "NotAcceptedError", 0), "T00"),
        (lambda number: Failure(number, "T00", "UnreachableError", 0), "T01"),
    ],
)
async def test_an_answer_without_a_fulfill_or_reject_is_told_as_a_reject(peer, link, answer, code):
    """An Error, or a Response that holds no reply, becomes a temporary Reject of ours."""
    replies = await sent(link)
    await peer.send(answer((await peer.receive()).request_id))
    reject = decode_reply(await replies.get())
    assert isinstance(reject, Reject)
    assert (reject.code, reject.triggered_by) == (code, "test.us")


async def test_other_sub_protocols_and_transfers_go_to_the_hook(dial, server, connector, limits):
    """What is no ILP packet is given to the hook, and its answer goes back; without a hook it is not accepted."""
    asked = []

    def hook(account, request, answer):
        asked.append((account, request))
        answer(Response(request.request_id, (Entry("echo", b"1"),)))

    server.add(BtpLink("bob", connector, limits, on_request=hook), "bob's token")
    bob, alice = await dial(), await dial()
    await bob.auth("bob's token")
    await alice.auth()
    requests = (Message(1, (Entry("info", b"\x00"),)), Transfer(2, Units(100), (Entry("claim", b"{}"),)), Message(3))
    for request in requests:
        await bob.send(request)
        assert await bob.receive() == Response(request.request_id, (Entry("echo", b"1"),))
        await alice.send(request)
        refusal = await alice.receive()
        assert (refusal.request_id, refusal.code) == (request.request_id, "F00")
    assert asked == [("bob", request) for request in requests]


async def test_we_can_send_other_sub_protocols_and_transfers(peer, link):
    """A request of ours reaches the peer, and its Response or Error comes back as it is."""
    answers = asyncio.Queue()
    link.request((Entry("info", b"\x01"),), answers.put_nowait)
    link.request((Entry("claim", b"{}"),), answers.put_nowait, Units(7))
    message, transfer = await peer.receive(), await peer.receive()
    assert (message.entries[0].name, transfer.amount) == ("info", 7)
    await peer.send(Response(message.request_id, (Entry("ilp", FULFILL),)))
    assert await answers.get() == Response(message.request_id, (Entry("ilp", FULFILL),))
    refusal = Failure(transfer.request_id, "F08", "InsufficientBalanceError", 0)
    await peer.send(refusal)
    assert await answers.get() == refusal


async def test_the_newer_of_two_connections_wins(dial, link, connector):
    """A second connection of one account closes the first, and packets go over the second."""
    first, second = await dial(), await dial()
    await first.auth()
    await second.auth()
    assert await first.closed() == REPLACED
    replies = await sent(link)
    request = await second.receive()
    await second.send(Response(request.request_id, (Entry("ilp", FULFILL),)))
    assert await replies.get() == FULFILL
    assert link.is_up


async def test_a_second_connection_with_a_wrong_token_does_not_disturb_the_first(dial, peer, link):
    """Only who is authenticated can take over a connection."""
    stranger = await dial()
    assert isinstance(await stranger.auth("wrong"), Failure)
    await stranger.closed()
    await sent(link)
    assert (await peer.receive()).entries == (Entry("ilp", PREPARE),)


async def test_an_answer_that_comes_over_the_next_connection_is_taken(dial, link):
    """A Fulfill is not lost with the connection that its request went over."""
    first, second = await dial(), await dial()
    await first.auth()
    replies = await sent(link)
    request = await first.receive()
    await first.socket.close()
    await second.auth()
    await second.send(Response(request.request_id, (Entry("ilp", FULFILL),)))
    assert await replies.get() == FULFILL


async def test_an_answer_of_ours_waits_for_the_peer_to_come_back(dial, link, connector):
    """A Fulfill for a peer that is away is sent right after it has authenticated again."""
    first, second = await dial(), await dial()
    await first.auth()
    await first.send(ilp(9))
    _, _, reply = await connector.arrived.get()
    await first.socket.close()
    while link.is_up:
        await asyncio.sleep(0)
    reply(FULFILL)
    assert await second.auth(request_id=1) == Response(1)
    assert await second.receive() == Response(9, (Entry("ilp", FULFILL),))


async def test_an_answer_that_meets_a_connection_in_its_last_moment_is_kept(dial, link, connector):
    """Between a cut and its notice nothing is written into the void, and nothing new is sent."""
    first, second = await dial(), await dial()
    await first.auth()
    await first.send(ilp(9))
    _, _, reply = await connector.arrived.get()
    link._socket.abort("test")
    assert link.is_up
    reply(FULFILL)
    with pytest.raises(LinkDown):
        link.send(PREPARE, print)
    await second.auth()
    assert await second.receive() == Response(9, (Entry("ilp", FULFILL),))


async def test_answers_are_kept_up_to_a_bound_of_bytes(dial, link, connector, limits):
    """A peer that asks much and goes away cannot have us keep more than a connection's backlog."""
    first, second = await dial(), await dial()
    await first.auth()
    for request_id in range(200):
        await first.send(ilp(request_id))
    replies = [(await connector.arrived.get())[2] for _ in range(200)]
    await first.socket.close()
    while link.is_up:
        await asyncio.sleep(0)
    for reply in replies:
        reply(b"\x0d" + bytes(30_000))
    await second.auth()
    kept = limits.backlog_bytes_max // 30_001
    assert [(await second.receive()).request_id for _ in range(kept)] == list(range(kept))
    await second.send(Message(999))
    assert (await second.receive()).request_id == 999


async def test_answers_are_not_kept_for_ever(dial, link, connector):
    """A peer that stays away longer than any packet lives gets no old answers when it comes back."""
    first, second = await dial(), await dial()
    await first.auth()
    await first.send(ilp(9))
    _, _, reply = await connector.arrived.get()
    await first.socket.close()
    while link.is_up:
        await asyncio.sleep(0)
    reply(FULFILL)
    for _ in range(2):
        link._turn()
    await second.auth()
    await second.send(Message(10))
    assert (await second.receive()).request_id == 10


async def test_an_id_that_is_asked_anew_after_a_reconnect_gets_the_new_answer_only(dial, connector):
    """A peer that restarted and counts from the start again is never given an old packet's answer for a new one."""
    first, second = await dial(), await dial()
    await first.auth()
    await first.send(ilp(9))
    _, _, old_reply = await connector.arrived.get()
    await second.auth()
    await second.send(ilp(9, PREPARE + b"new"))
    _, _, new_reply = await connector.arrived.get()
    old_reply(FULFILL + b"old")
    new_reply(FULFILL + b"new")
    assert await second.receive() == Response(9, (Entry("ilp", FULFILL + b"new"),))


async def test_what_waits_for_an_answer_is_forgotten_in_the_end(peer, link, connector, limits):
    """A reply that comes after the request was forgotten is dropped, and the table is empty again."""
    await peer.send(ilp(1))
    _, _, reply = await connector.arrived.get()
    replies = await sent(link)
    request = await peer.receive()
    for _ in range(2):
        link._turn()
    assert link.statistics.unanswered == 1
    reply(FULFILL)
    await peer.send(Response(request.request_id, (Entry("ilp", FULFILL),)))
    await peer.send(Message(2))
    assert (await peer.receive()).request_id == 2
    assert replies.empty()
    assert link.statistics.unexpected == 1


async def test_accounts_are_told_apart_by_their_tokens_and_names(dial, server, limits):
    """Each token opens its own account, and where a name is asked for it has to be right."""
    arrived = asyncio.Queue()
    for name in ("bob", "carol"):
        link = BtpLink(name, lambda account, *rest: arrived.put_nowait(account), limits)
        server.add(link, f"token of {name}", username=name)
    for name in ("carol", "bob"):
        peer = await dial()
        assert await peer.auth(f"token of {name}", name) == Response(7)
        await peer.send(ilp(1))
        assert await arrived.get() == name
    mixed = await dial()
    assert isinstance(await mixed.auth("token of carol", "bob"), Failure)


async def test_two_accounts_cannot_share_a_token(server, connector, limits):
    """A token that would open two accounts, an empty one, and an account that is there already are refused."""
    for link, token in (
        (BtpLink("bob", connector, limits), TOKEN),
        (BtpLink("bob", connector, limits), ""),
        (BtpLink("alice", connector, limits), "another"),
    ):
        with pytest.raises(BadInput):
            server.add(link, token)


async def test_a_peer_that_is_removed_is_disconnected_and_stays_out(dial, server, peer):
    """After its removal an account's token opens nothing."""
    server.remove("alice")
    server.remove("alice")
    assert await peer.closed() == 1008
    again = await dial()
    assert isinstance(await again.auth(), Failure)


async def test_a_server_that_stops_says_so_to_its_peers(dial, server):
    """Peers get the close code for going away, authenticated or not, and nobody can connect any more."""
    known, unknown = await dial(), await dial()
    await known.auth()
    ends = asyncio.gather(known.closed(), unknown.closed())
    await server.stop()
    assert await ends == [1001, 1001]
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_packets_of_one_turn_leave_in_one_write(peer, link):
    """All that is sent in one turn of the loop is written to the connection at once."""
    writes = []
    transport = link._socket._tcp

    class Recorder:
        def write(self, data):
            writes.append(data)
            transport.write(data)

        def __getattr__(self, name):
            return getattr(transport, name)

    link._socket._tcp = Recorder()
    for _ in range(10):
        link.send(PREPARE, print)
    requests = [await peer.receive() for _ in range(10)]
    assert len({request.request_id for request in requests}) == 10
    assert len(writes) == 1


async def test_a_message_in_pieces_is_put_together(dial, connector):
    """A fragmented message is one packet, and a ping between the pieces does not disturb it."""
    peer = await dial()
    await peer.auth()
    raw = encode(ilp(3))
    writer = peer.socket._writer
    with contextlib.suppress(TypeError):
        await peer.socket.ping()
    for piece, opcode in ((raw[:5], 0x02), (raw[5:9], 0x00), (raw[9:], 0x80)):
        writer.transport.write(bytes([opcode, 0x80 | len(piece)]) + bytes(4) + piece)
    assert (await connector.arrived.get())[1] == PREPARE
