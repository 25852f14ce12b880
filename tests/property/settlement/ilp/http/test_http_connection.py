"""The HTTP server's connection: however the network cuts the bytes, and whatever they are."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from settlement.ilp.http import ServerLimits
from settlement.ilp.http.messages import OCTET_STREAM
from settlement.ilp.http.server_connection import ServerConnection


class Wire(asyncio.Transport):
    """Keeps what is written, as a socket would send it."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.closed = False
        self.paused = False

    def write(self, data):
        assert not self.closed
        self.written += data

    def close(self):
        self.closed = True

    abort = close

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


def request(body, chunked):
    head = b"POST /ilp HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nAuthorization: Bearer t\r\n"
    if not chunked:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pieces = [body[at : at + 50] for at in range(0, len(body), 50)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"


async def receive(pieces, limits):
    """Feed a connection; answers the bodies that it handed over (each was answered with itself) and what it wrote."""
    bodies = []

    def handle(request, exchange):
        bodies.append(request.body)
        exchange.reply(request.body)

    wire = Wire()
    connection = ServerConnection(limits, handle, lambda one: True, lambda one: None, OCTET_STREAM)
    connection.connection_made(wire)
    for piece in pieces:
        if wire.closed:
            break
        connection.data_received(piece)
        while wire.paused and not wire.closed:
            await asyncio.sleep(0)
    connection.connection_lost(None)
    return bodies, wire


def cut(raw, places):
    places = sorted({place % (len(raw) + 1) for place in places})
    return [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True) if start < end]


@given(st.lists(st.tuples(st.binary(max_size=3000), st.booleans()), max_size=12), st.lists(st.integers(0, 2**20)))
def test_requests_are_the_same_however_they_are_cut(requests, places):
    """Each body is handed over once and in order, and each answer leaves in order, whatever the pieces."""
    raw = b"".join(request(body, chunked) for body, chunked in requests)
    bodies, wire = asyncio.run(receive(cut(raw, places), ServerLimits()))
    assert bodies == [body for body, _ in requests]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
    assert wire.written == b"".join(head % len(body) + body for body in bodies)


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(0, 2**20), st.binary(min_size=1, max_size=40))
def test_damaged_requests_are_refused_and_nothing_else_breaks(bodies, place, damage):
    """Bytes that are changed on the way raise nothing, and what is handed over stays within its limits."""
    raw = bytearray(b"".join(request(body, False) for body in bodies) or b"\x00")
    place %= len(raw)
    raw[place : place + len(damage)] = damage
    limits = ServerLimits(body_bytes_max=400)
    taken, wire = asyncio.run(receive(cut(bytes(raw), [place]), limits))
    assert all(len(body) <= 400 for body in taken)
    assert len(taken) <= len(bodies) + 1
    assert wire.written.count(b"HTTP/1.1 ") >= len(taken)
