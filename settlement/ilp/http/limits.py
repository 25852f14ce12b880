"""What an HTTP peer may use of us, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds of the server.

    Fields: body_bytes_max (an ILP packet has 34 KB at most); head_bytes_max (of the headers; of a head that does not
    end, up to twice that); headers_max; connections_max; pipelined_max (requests of one connection without an answer;
    it is not read above); in_flight_max (packets of one account without an answer); request_ms_max (from the first byte
    of a request to its last, and from a new connection to the last byte of its first request); idle_ms_max (between two
    requests); answer_ms_max (for our answer: longer than any packet lives); stalled_ms_max (for the peer to read).
    """

    body_bytes_max: int = 36_864
    head_bytes_max: int = 8_192
    headers_max: int = 50
    connections_max: int = 4_096
    pipelined_max: int = 16
    in_flight_max: int = 10_000
    request_ms_max: int = 10_000
    idle_ms_max: int = 75_000
    answer_ms_max: int = 65_000
    stalled_ms_max: int = 15_000


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds of a link's connections.

    Fields: connections_max (to one peer, one request each); waiting_max (packets that wait for a connection; above it
    the link says that it is down); body_bytes_max, head_bytes_max (of an answer); connect_ms_max; answer_ms_max (for an
    answer; the connection is closed then); idle_ms_max (a connection is not used any more after so long without a
    request: below the 5 s after which Node.js closes it, or a packet could be lost in between); reply_ms_max (how long
    an asynchronous reply is tried again).
    """

    connections_max: int = 128
    waiting_max: int = 10_000
    body_bytes_max: int = 36_864
    head_bytes_max: int = 8_192
    connect_ms_max: int = 5_000
    answer_ms_max: int = 35_000
    idle_ms_max: int = 4_000
    reply_ms_max: int = 30_000
