"""Peers over loopback: who may connect, what is dropped, and that nothing that arrives stops the loops."""

import asyncio
import os
from dataclasses import replace

import pytest
import zmq
import zmq.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from zmq.utils import z85

from foundation.quantities import UnixMs
from mpc import messages
from mpc.cluster_errors import CannotListen, NetworkClosed, PeerRefused, PeerSilent, PeerUnknown
from mpc.transport import Limits, PeerNetwork, wall_clock
from tests.support.cluster import NETWORK, Directory, NotYet, identities
from tests.support.patience import tasks_of

ALICE, BOB, MALLORY = identities(3)
TIMEOUT_S = 5.0


@pytest.fixture
async def directory():
    return Directory()


async def start(identity, directory, **options):
    network = PeerNetwork(identity, NETWORK, directory, "tcp://127.0.0.1:*", **options)
    await network.start()
    directory.add(identity, network.endpoint)
    return network


@pytest.fixture
async def pair(directory):
    """Alice and Bob, who echoes, refuses, fails and waits."""
    alice, bob = await start(ALICE, directory), await start(BOB, directory)
    never = asyncio.Event()

    async def echo(received):
        return received.sender + received.body

    async def refuse(_):
        raise NotYet("come again")

    async def fail(_):
        raise ZeroDivisionError

    async def wait(_):
        await never.wait()

    for kind, handler in (("echo", echo), ("refuse", refuse), ("fail", fail), ("wait", wait)):
        bob.on(kind, handler)
    yield alice, bob
    await alice.close()
    await bob.close()


async def dropped(network, name, count=1):
    """Wait until so many messages were dropped for this reason."""
    async with asyncio.timeout(TIMEOUT_S):
        while network.dropped[name] < count:  # noqa: ASYNC110 - the counter is no event; the wait is bounded
            await asyncio.sleep(0.002)


def raw_client(context, key, server):
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.curve_secretkey = z85.encode(key.transport_secret)
    socket.curve_publickey = z85.encode(key.transport_key)
    socket.curve_serverkey = z85.encode(server.identity.transport_key)
    socket.connect(server.endpoint)
    return socket


async def test_requests_are_answered(pair):
    """A request comes back with the handler's body, and the whole signed answer is there for evidence."""
    alice, _ = pair
    assert await alice.request(BOB.host_key, "echo", b"hi", TIMEOUT_S) == ALICE.host_key + b"hi"
    answer = await alice.exchange(BOB.host_key, "echo", b"hi", TIMEOUT_S)
    envelope = messages.open_envelope(answer.envelope, NETWORK, ALICE.host_key)
    assert (envelope.sender, envelope.body) == (BOB.host_key, answer.body)


async def test_refusals_and_bugs_reach_the_asker(pair):
    """A typed refusal comes back with its type and text; a bug comes back without its text; both leave Bob serving."""
    alice, _ = pair
    for kind, error, text in (
        ("refuse", "NotYet", "come again"),
        ("fail", "InternalError", "see the log of the peer"),
        ("unheard", "UnknownKind", "nobody here answers unheard"),
    ):
        with pytest.raises(PeerRefused) as refused:
            await alice.request(BOB.host_key, kind, b"", TIMEOUT_S)
        assert (refused.value.error, refused.value.text) == (error, text)
    assert await alice.request(BOB.host_key, "echo", b"", TIMEOUT_S) == ALICE.host_key


async def test_a_silent_peer_and_an_unknown_one(pair, directory):
    """No answer in time is `PeerSilent`, an unregistered key `PeerUnknown`, and neither leaves anything waiting."""
    alice, _ = pair
    with pytest.raises(PeerSilent):
        await alice.request(BOB.host_key, "wait", b"", 0.05)
    with pytest.raises(PeerUnknown):
        await alice.request(MALLORY.host_key, "echo", b"", TIMEOUT_S)
    assert alice._waiting == {}


async def test_told_and_broadcast_messages_arrive(pair):
    """A told message reaches its handler; a broadcast leaves the sender out and passes over the unknown."""
    alice, bob = pair
    heard = asyncio.Queue()

    async def hear(received):
        heard.put_nowait((received.sender, received.body))

    alice.on("news", hear)
    bob.on("news", hear)
    await alice.tell(BOB.host_key, "news", b"1")
    await bob.broadcast("news", b"2")
    await bob.broadcast("news", b"3", [MALLORY.host_key])
    async with asyncio.timeout(TIMEOUT_S):
        assert {await heard.get(), await heard.get()} == {(ALICE.host_key, b"1"), (BOB.host_key, b"2")}
    assert bob.dropped["PeerUnknown"] == 1


async def test_an_unregistered_key_cannot_connect(pair, directory):
    """A stranger's transport key is refused at the handshake; once registered, the same connection comes through."""
    _, bob = pair
    mallory = await start(MALLORY, Directory({BOB.host_key: directory.peer(BOB.host_key)}))
    with pytest.raises(PeerSilent):
        await mallory.request(BOB.host_key, "echo", b"", 0.2)
    assert bob._gate.refused[MALLORY.transport_key] > 0
    directory.add(MALLORY, mallory.endpoint)
    assert await mallory.request(BOB.host_key, "echo", b"", TIMEOUT_S) == MALLORY.host_key
    await mallory.close()


async def test_a_peer_that_is_removed_is_heard_no_more(pair, directory):
    """Removing a peer takes effect on its open connection."""
    alice, bob = pair
    await alice.request(BOB.host_key, "echo", b"", TIMEOUT_S)
    bob.directory = replace(directory, registered={BOB.host_key: directory.registered[BOB.host_key]})
    with pytest.raises(PeerSilent):
        await alice.request(BOB.host_key, "echo", b"", 0.1)
    assert bob.dropped["PeerUnknown"] == 1


async def test_the_server_must_show_the_registered_key(pair, directory):
    """A client sends nothing to a server whose key is not the peer's."""
    alice, bob = pair
    directory.registered[BOB.host_key] = replace(
        directory.registered[BOB.host_key], transport_key=MALLORY.transport_key
    )
    with pytest.raises(PeerSilent):
        await alice.request(BOB.host_key, "echo", b"", 0.2)
    assert bob.dropped.total() == 0


async def test_a_peer_that_moves_is_followed(pair, directory):
    """A peer that restarts elsewhere is reached at its new endpoint, and at the same one it is reconnected to."""
    alice, bob = pair
    await alice.request(BOB.host_key, "echo", b"", TIMEOUT_S)
    await bob.close()
    with pytest.raises(PeerSilent):
        await alice.request(BOB.host_key, "echo", b"", 0.1)
    again = PeerNetwork(BOB, NETWORK, directory, bob.endpoint)
    again._handlers = bob._handlers
    async with again:
        assert await alice.request(BOB.host_key, "echo", b"", TIMEOUT_S) == ALICE.host_key
    moved = await start(BOB, directory)
    moved._handlers = bob._handlers
    assert await alice.request(BOB.host_key, "echo", b"", TIMEOUT_S) == ALICE.host_key
    await moved.close()


async def test_a_member_cannot_speak_for_another(pair, directory):
    """An envelope of Alice's that comes over Mallory's connection, or twice, is dropped."""
    _, bob = pair
    directory.add(MALLORY, "tcp://127.0.0.1:1")
    frame = messages.seal(ALICE, NETWORK, BOB.host_key, "echo", os.urandom(16), wall_clock(), b"", os.urandom(32))
    context = zmq.asyncio.Context()
    mallory, alice = raw_client(context, MALLORY, bob), raw_client(context, ALICE, bob)
    await mallory.send(frame)
    await dropped(bob, "UnauthenticMessage")
    await alice.send(frame)
    await alice.recv()
    await alice.send(frame)
    await dropped(bob, "StaleMessage")
    old = messages.seal(ALICE, NETWORK, BOB.host_key, "echo", os.urandom(16), UnixMs(1), b"", os.urandom(32))
    await alice.send(old)
    await dropped(bob, "StaleMessage", 2)
    context.destroy(linger=0)


async def test_a_flood_is_cut_off(directory):
    """A peer that sends more than its rate is dropped before its signatures cost anything; others are served."""
    limits = Limits(requests_per_s=1, burst=3)
    bob, alice = await start(BOB, directory, limits=limits), await start(ALICE, directory)
    mallory = await start(MALLORY, directory)

    async def echo(received):
        return received.body

    bob.on("echo", echo)
    for _ in range(6):
        await mallory.tell(BOB.host_key, "echo", b"")
    await dropped(bob, "TooManyRequests", 3)
    assert await alice.request(BOB.host_key, "echo", b"x", TIMEOUT_S) == b"x"
    for network in (alice, bob, mallory):
        await network.close()


async def test_requests_at_once_are_limited(directory):
    """A peer cannot have more requests handled at once than its share."""
    bob, alice = await start(BOB, directory, limits=Limits(at_once=2)), await start(ALICE, directory)
    never = asyncio.Event()

    async def wait(_):
        await never.wait()

    bob.on("wait", wait)
    for _ in range(3):
        await alice.tell(BOB.host_key, "wait", b"")
    await dropped(bob, "TooManyRequests")
    await alice.close()
    await bob.close()


async def test_closing_leaves_nothing(directory):
    """After closing no task is left, requests under way have ended, and new ones are refused."""
    alice, bob = await start(ALICE, directory), await start(BOB, directory)
    request = asyncio.create_task(alice.request(BOB.host_key, "wait", b"", TIMEOUT_S))
    never = asyncio.Event()

    async def wait(_):
        never.set()
        await asyncio.Event().wait()

    bob.on("wait", wait)
    async with asyncio.timeout(TIMEOUT_S):
        await never.wait()
    await alice.close()
    await bob.close()
    await bob.close()
    with pytest.raises(NetworkClosed):
        await request
    with pytest.raises(NetworkClosed):
        await alice.tell(BOB.host_key, "wait", b"")
    assert not tasks_of("mpc/cluster")


def sent_by_mallory(body):
    return messages.seal(MALLORY, NETWORK, BOB.host_key, "echo", os.urandom(16), wall_clock(), body, os.urandom(32))


@settings(max_examples=15)
@given(st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=3), max_size=20), st.binary(max_size=100))
def test_no_bytes_stop_a_running_transport(junk, body):
    """After any frames from a registered peer the transport still answers."""

    async def bombard():
        directory = Directory()
        bob = await start(BOB, directory)

        async def echo(received):
            return received.body

        bob.on("echo", echo)
        directory.add(MALLORY, "tcp://127.0.0.1:1")
        context = zmq.asyncio.Context()
        socket = raw_client(context, MALLORY, bob)
        for frames in junk:
            await socket.send_multipart(frames)
        await socket.send(sent_by_mallory(body))
        async with asyncio.timeout(TIMEOUT_S):
            answer = messages.open_envelope(await socket.recv(), NETWORK, MALLORY.host_key)
        assert answer.body == body
        assert bob.dropped.total() == len(junk)
        context.destroy(linger=0)
        await bob.close()

    # The plugin of titanoboa wraps hypothesis' tests in a way that async ones are never awaited.
    asyncio.run(bombard())


async def test_an_address_in_use_is_named(directory):
    """A node whose address somebody else listens on is told so, and leaves nothing behind."""
    first = await start(ALICE, directory)
    second = PeerNetwork(BOB, NETWORK, directory, first.endpoint)

    def running() -> list[str]:
        names = [task.get_name() for task in asyncio.all_tasks()]
        return sorted(name for name in names if name in ("zap", "peer server"))

    tasks = running()
    assert "peer server" in tasks
    with pytest.raises(CannotListen) as refusal:
        await second.start()
    assert refusal.value.address == first.endpoint
    assert running() == tasks
    await second.close()
    await first.close()
