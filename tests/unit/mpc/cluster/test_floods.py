"""What one peer can take of a node: its time, its memory, its log."""

import asyncio
import contextlib
import os

import pytest
import structlog
import zmq.asyncio
from structlog.testing import capture_logs

from mpc import messages
from mpc.cluster_errors import PeerRefused, PeerSilent
from mpc.messages import REPLY
from mpc.transport import MESSAGE_UNIT_BYTES, Limits, PeerNetwork, wall_clock
from tests.support.cluster import NETWORK, Directory, identities

ALICE, BOB, MALLORY = identities(3)
TIMEOUT_S = 5.0


@pytest.fixture
async def start():
    """Starts nodes: start(identity, directory, **options); closes them also after a test that fails."""
    async with contextlib.AsyncExitStack() as stack:

        async def started(identity, directory, **options):
            network = PeerNetwork(identity, NETWORK, directory, "tcp://127.0.0.1:*", **options)
            await stack.enter_async_context(network)
            directory.add(identity, network.endpoint)
            return network

        yield started


async def echo(received):
    return received.body


class Flood:
    """A socket that always has another message ready, as a peer has that sends faster than we read."""

    def __init__(self, frames, wanted):
        self.frames, self.wanted, self.read = frames, wanted, 0
        self.enough = asyncio.Event()

    async def recv_multipart(self, **_):
        self.read += 1
        if self.read >= self.wanted:
            self.enough.set()
        if self.read >= 10 * self.wanted:  # nobody has stopped us: the test cannot even time out
            raise AssertionError("the reader has never given way")
        return self.frames


@pytest.mark.parametrize("side", ["server", "client"])
async def test_a_flood_leaves_the_loop_to_others(side):
    """While messages never run out, on the server's or a client's socket, other tasks of the node get their turns."""
    network = PeerNetwork(BOB, NETWORK, Directory(), "tcp://127.0.0.1:*")
    flood = Flood([b"x"] if side == "client" else [], wanted=50)
    network._server = flood
    reading = network._listen() if side == "server" else network._read_answers(MALLORY.host_key, flood)
    task = asyncio.create_task(reading)
    async with asyncio.timeout(TIMEOUT_S):
        await flood.enough.wait()
    assert flood.read < 2 * flood.wanted
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_large_message_costs_its_sender_more(start):
    """Rates count bytes: large messages use a bucket up sooner, before anything of them is parsed."""
    directory = Directory()
    bob = await start(BOB, directory, limits=Limits(requests_per_s=0.001, burst=10))
    mallory = await start(MALLORY, directory)
    bob.on("echo", echo)
    body = bytes(4 * MESSAGE_UNIT_BYTES)
    assert await mallory.request(BOB.host_key, "echo", body, TIMEOUT_S) == body
    with pytest.raises(PeerSilent):
        await asyncio.gather(*(mallory.request(BOB.host_key, "echo", body, 0.3) for _ in range(2)))
    assert bob.dropped["TooManyRequests"] == 1


async def test_what_is_handled_at_once_is_limited_in_bytes(start):
    """Requests that wait in handlers hold no more than their peer's share of memory."""
    directory = Directory()
    bob, alice = await start(BOB, directory, limits=Limits(bytes_at_once=100_000)), await start(ALICE, directory)
    waiting, end = asyncio.Semaphore(0), asyncio.Event()

    async def wait(_):
        waiting.release()
        await end.wait()
        return b"done"

    bob.on("wait", wait)
    bob.on("echo", echo)
    await alice.request(BOB.host_key, "echo", b"", TIMEOUT_S)  # a silent connection would be made anew
    first = [asyncio.create_task(alice.request(BOB.host_key, "wait", bytes(45_000), TIMEOUT_S)) for _ in range(2)]
    async with asyncio.timeout(TIMEOUT_S):
        await waiting.acquire()
        await waiting.acquire()
    with pytest.raises(PeerSilent):
        await alice.request(BOB.host_key, "wait", bytes(45_000), 0.2)
    assert bob.dropped["TooManyRequests"] == 1
    end.set()
    assert await asyncio.gather(*first) == [b"done", b"done"]
    assert await alice.request(BOB.host_key, "wait", bytes(45_000), TIMEOUT_S) == b"done"


async def test_answers_nobody_waits_for_are_limited_before_they_are_verified(start, monkeypatch):
    """A server that floods its client with signed answers does not make it verify signatures without end."""
    directory = Directory()
    alice = await start(ALICE, directory, limits=Limits(requests_per_s=0.001, burst=20))
    directory.add(BOB, "tcp://127.0.0.1:1")
    verified = []
    opened = messages.open_envelope
    monkeypatch.setattr(messages, "open_envelope", lambda *args: (verified.append(1), opened(*args))[1])
    frame = messages.seal(
        BOB, NETWORK, ALICE.host_key, REPLY + "echo", os.urandom(16), wall_clock(), b"", os.urandom(32)
    )
    flood = Flood([frame], wanted=200)
    task = asyncio.create_task(alice._read_answers(BOB.host_key, flood))
    async with asyncio.timeout(TIMEOUT_S):
        await flood.enough.wait()
    task.cancel()
    assert len(verified) == 20
    assert alice.dropped["LateAnswer"] == 20


async def test_dropped_messages_are_logged_ever_more_rarely():
    """The log tells that messages are dropped, and a flood of them does not fill it."""
    bob = PeerNetwork(BOB, NETWORK, Directory(), "tcp://127.0.0.1:*")
    flood = Flood([], wanted=2_000)
    bob._server = flood
    with capture_logs() as logs:
        task = asyncio.create_task(bob._listen())
        async with asyncio.timeout(TIMEOUT_S):
            await flood.enough.wait()
        task.cancel()
    assert [entry["count"] for entry in logs] == [1, 10, 100, 1000]


async def test_the_log_of_a_bug_shows_no_secrets(start, capsys):
    """A handler that fails is logged with its trace but without local variables, whatever the renderer would show."""
    directory = Directory()
    bob, alice = await start(BOB, directory), await start(ALICE, directory)

    async def fail(_):
        secshare = bytes.fromhex("5ec4e7" * 10)
        raise ZeroDivisionError(len(secshare))

    bob.on("fail", fail)
    structlog.configure(processors=[structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()])
    try:
        with pytest.raises(PeerRefused):
            await alice.request(BOB.host_key, "fail", b"", TIMEOUT_S)
    finally:
        structlog.reset_defaults()
    text = capsys.readouterr().out
    assert "ZeroDivisionError" in text
    assert "5ec4e7" not in text
    assert "\\xc4" not in text


async def test_a_stranger_that_speaks_no_zeromq_does_not_stop_a_node(start):
    """Connections that send random bytes, half a greeting, or nothing are survived, and registered peers are served."""
    directory = Directory()
    bob, alice = await start(BOB, directory), await start(ALICE, directory)
    bob.on("echo", echo)
    host, port = bob.endpoint.removeprefix("tcp://").split(":")
    writers = []
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00"
    for data in (
        os.urandom(5_000),
        greeting,
        greeting + b"CURVE" + bytes(15) + os.urandom(500),
        b"",
        b"GET / HTTP/1.1\r\n",
    ):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        writers.append(writer)
    for _ in range(20):
        assert await alice.request(BOB.host_key, "echo", b"x", TIMEOUT_S) == b"x"
    for writer in writers:
        writer.close()
    context = zmq.asyncio.Context()
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    plain.connect(bob.endpoint)  # without CURVE
    await plain.send(b"hello")
    assert await alice.request(BOB.host_key, "echo", b"y", TIMEOUT_S) == b"y"
    assert bob.dropped.total() == 0
    context.destroy(linger=0)
