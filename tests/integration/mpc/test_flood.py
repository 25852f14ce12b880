"""A flood of malformed messages against a real process: it answers, signs, and its memory stays bounded."""

import asyncio
import os
import random
import threading
import time

import msgspec
import psutil
import pytest
import zmq
from zmq.utils import z85

from foundation.quantities import UnixMs
from mpc import messages
from mpc.identity import Identity
from mpc.transport import wall_clock
from tests.support.cluster import NETWORK, identities
from tests.support.processes import ClusterProcesses

pytestmark = pytest.mark.integration

N, VICTIM, PEER = 4, 0, 3
MESSAGES = 12_000
ALLOWED_GROWTH_BYTES = 48 << 20
BODY = bytes(range(32))
KINDS = (
    "sign.invite",
    "sign.round",
    "sign.close",
    "dkg.start",
    "dkg.second",
    "dkg.adopt",
    "dkg.done",
    "+sign.round",
    "?",
)


def connect(context, key, server, endpoint):
    socket = context.socket(zmq.DEALER)
    socket.linger, socket.sndhwm = 0, 500
    socket.curve_secretkey = z85.encode(key.transport_secret)
    socket.curve_publickey = z85.encode(key.transport_key)
    socket.curve_serverkey = z85.encode(server.transport_key)
    socket.connect(endpoint)
    return socket


def frames(sender, recipient, rng):
    """Malformed and misdirected messages of many kinds, some of the largest size; the signed ones are made once."""

    def seal(*, network=NETWORK, to=recipient, kind="sign.invite", at=None, body=b""):
        request_id, now = os.urandom(16), wall_clock() if at is None else UnixMs(at)
        return messages.seal(sender, network, to.host_key, kind, request_id, now, body, os.urandom(32))

    replayed = seal(body=b"again")
    made = [replayed, seal(network=bytes(32)), seal(to=sender), seal(at=1), seal(at=2**52)]
    made += [seal(kind=kind, body=rng.randbytes(rng.choice([0, 5, 300]))) for kind in KINDS for _ in range(30)]
    made += [seal(kind=kind, body=bytes(messages.MAX_BODY_BYTES)) for kind in KINDS[:3]]
    made += [replayed[:i] for i in range(0, len(replayed), 20)] + [rng.randbytes(n) for n in (0, 1, 1_000, 100_000)]
    made += [msgspec.msgpack.encode(value) for value in (None, {}, [1] * 9, [[]] * 500, "text")]
    made += [b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]  # deep, and longer than they are
    return made


def flood(socket, made, stop, count):
    """Send as fast as the socket takes it, until `count` messages are sent or it is told to stop; how many it took."""
    rng, sent = random.Random(1), 0
    while sent < count and not stop.is_set():
        try:
            parts = [rng.choice(made)] if rng.random() < 0.95 else [rng.choice(made)[:100], b"", b"x"]
            socket.send_multipart(parts, flags=zmq.NOBLOCK)
            sent += 1
        except zmq.Again:
            time.sleep(0.001)
    return sent


async def test_a_flood_neither_stops_a_node_nor_fills_its_memory(tmp_path):
    """While a stranger and a member flood a node with malformed messages, it signs, and its memory stays bounded."""
    everyone, stranger = identities(N), Identity.from_host_secret(b"\x11" * 32)
    victim, stop, context = everyone[VICTIM], threading.Event(), zmq.Context()
    async with ClusterProcesses(tmp_path, 2, N) as cluster:
        node = cluster.nodes[VICTIM]
        await node.call(do="create")
        await node.call(do="sign", body=BODY.hex())
        await cluster.nodes[PEER].kill()
        process = psutil.Process(node.process.pid)
        before = process.memory_info().rss
        sending = []
        for key in (everyone[PEER], stranger):
            socket = connect(context, key, victim, cluster.endpoints[VICTIM])
            made = frames(key, victim, random.Random(7))
            sending.append(asyncio.create_task(asyncio.to_thread(flood, socket, made, stop, MESSAGES)))
        try:
            signed = 0
            while not sending[0].done():
                answer = await node.call(do="sign", body=BODY.hex())
                assert len(answer["signatures"]) == 1
                signed += 1
        finally:
            stop.set()
            taken = await asyncio.gather(*sending)
            context.destroy(linger=0)
        assert taken[0] == MESSAGES
        assert taken[1] <= 500  # what its own socket holds: nothing passes the handshake
        assert signed >= 1
        assert len((await cluster.nodes[1].call(do="sign", body=BODY.hex()))["signatures"]) == 1
        assert process.memory_info().rss - before < ALLOWED_GROWTH_BYTES
