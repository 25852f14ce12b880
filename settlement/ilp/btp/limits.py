"""What a BTP peer may use of us, and how long it may take. Each peer has its own: one that floods slows itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BtpLimits:
    """Bounds of one connection or link.

    Fields: message_bytes_max (of one BTP packet; an ILP packet has 34 KB at most); in_flight_max (requests without an
    answer, each way); backlog_bytes_max (written, and not read by the peer: above it the connection is cut);
    stalled_ms_max (so long a peer may read too slowly before it is cut); receive_bytes (the kernel's buffer, which
    bounds how much of one peer is read in one go); turn_messages (handled of one peer before the others have theirs);
    auth_ms_max (from the connection to the `auth` message, and from there to its answer); unauthenticated_max
    (connections of nobody yet); answer_ms_max (after one to two of these a request is forgotten: longer than any
    packet lives); idle_ms_max (without any frame, before a ping), pong_ms_max (before its pong).
    """

    message_bytes_max: int = 65_536
    in_flight_max: int = 10_000
    backlog_bytes_max: int = 4 << 20
    stalled_ms_max: int = 15_000
    receive_bytes: int = 256 << 10
    turn_messages: int = 64
    auth_ms_max: int = 5_000
    unauthenticated_max: int = 128
    answer_ms_max: int = 60_000
    idle_ms_max: int = 20_000
    pong_ms_max: int = 10_000


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a client waits before it connects again: doubling, with full jitter so that peers do not come at once.

    Fields: first_ms; most_ms; settled_ms (a connection that lived so long starts the doubling anew).
    """

    first_ms: int = 200
    most_ms: int = 30_000
    settled_ms: int = 10_000

    def delay_ms(self, failures: int, draw: float) -> int:
        """The wait after this many failures in a row, 1 or more. Args: draw: uniform in [0, 1)."""
        ceiling = min(self.most_ms, self.first_ms << min(failures - 1, 24))
        return int(ceiling * (0.5 + draw / 2))
