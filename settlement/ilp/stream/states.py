"""What an endpoint of a STREAM connection remembers. Source: RFC 29.

Both endpoints are the same machine: each may send and receive money and data. Encryption, randomness and clocks are the
shell's: here, packets are plain and numbers are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address
from settlement.ilp.stream.frames import Frame
from settlement.ilp.stream.pace import Pace
from settlement.ilp.stream.rates import Rate
from settlement.ilp.stream.receipts import ReceiptKey
from settlement.quantities import MAX_UNITS, Asset

FIRST_PEER_STREAM_DATA: Final = 16_384
"""Bytes that a peer takes on a stream before it says otherwise: what the JavaScript implementation grants."""
FIRST_PEER_DATA: Final = 65_534
"""The same for all streams together."""
FIRST_MAX_STREAM: Final = 20
"""The highest stream that may be opened before the peer says otherwise (RFC 29, 3.3)."""


class Role(Enum):
    """Who opened the connection: a client's streams are odd, a server's are even."""

    CLIENT = 1
    SERVER = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """What an endpoint allows itself and its peer.

    Fields: max_in_flight (packets); max_packet (base units of ours); packet_ms (a Prepare's life); grace_ms (how much
    longer an answer is taken, so that a fulfil on its way back is not counted as none); slippage_bps (what a packet may
    lose against the rate that was found, in hundredths of a per cent); minimum_rate (below it nothing is sent, None:
    whatever is found); receive_max (of a stream that the peer opens); excess_bps (what a stream takes above its
    maximum, because a sender cannot hit it exactly through an exchange rate); stream_window, connection_window (bytes
    that wait for our reader); send_buffer (bytes that wait for the peer); max_fragments (out of order, for each
    stream); refusals_max (rounds in a row that
    nothing passed); pad_to (bytes of a plain packet, 0: no padding).
    """

    max_in_flight: int = 64
    max_packet: int = MAX_UNITS
    packet_ms: int = 30_000
    grace_ms: int = 1_000
    slippage_bps: int = 100
    minimum_rate: Rate | None = None
    receive_max: int = MAX_UNITS
    excess_bps: int = 100
    stream_window: int = 65_536
    connection_window: int = 131_072
    send_buffer: int = 1_048_576
    max_fragments: int = 256
    refusals_max: int = 5
    pad_to: int = 0


@dataclass(frozen=True, slots=True)
class DataOut:
    """Bytes on their way out of a stream.

    Fields: waiting (not sent yet); offset (of the first of them); unanswered (pieces sent and not acknowledged, by
    their offset); again (offsets of pieces that were rejected: sent exactly as before); allowed (the peer's limit).
    """

    waiting: bytes = b""
    offset: int = 0
    unanswered: Mapping[int, bytes] = field(default_factory=dict)
    again: tuple[int, ...] = ()
    allowed: int = FIRST_PEER_STREAM_DATA


@dataclass(frozen=True, slots=True)
class DataIn:
    """Bytes on their way into a stream.

    Fields: position (all before it were handed to the reader); highest (end of the farthest piece); pieces (that came
    too early, by their offset); consumed (by the reader); allowed (our limit, as it was told or may be assumed).
    """

    position: int = 0
    highest: int = 0
    pieces: Mapping[int, bytes] = field(default_factory=dict)
    consumed: int = 0
    allowed: int = 0


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream's two directions.

    Fields: id; send_max, sent, held (ours: wanted, fulfilled, under way; sent + held ≤ send_max); aim (deliver no more
    than this, None: all that can be sent); delivered, awaited (the peer's units: acknowledged, expected of what is
    under way); peer_max, peer_received (its limit and total, as it said); receive_max, received (what we take, and
    took); out, into (bytes); closing (ends when all is sent).
    """

    id: int
    send_max: int = 0
    sent: int = 0
    held: int = 0
    aim: int | None = None
    delivered: int = 0
    awaited: int = 0
    peer_max: int = MAX_UNITS
    peer_received: int = 0
    receive_max: int = 0
    received: int = 0
    out: DataOut = field(default_factory=DataOut)
    into: DataIn = field(default_factory=DataIn)
    closing: bool = False


@dataclass(frozen=True, slots=True)
class InFlight:
    """A packet that waits for its answer.

    Fields: sequence; amount; minimum (the receiver's units); parts (stream, amount, expected units of the receiver);
    frames (what has to be said again when it is rejected); expires_at (when no answer counts any more); is_probe.
    """

    sequence: int
    amount: int
    minimum: int
    parts: tuple[tuple[int, int, int], ...]
    frames: tuple[Frame, ...]
    expires_at: UnixMs
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """The search for the path's rate.

    Fields: volley (how many were sent); answered (rates that came back); ceilings (largest amounts that F08s told);
    trouble (the last error that is not final, as code, address, message); waiting (packets of this volley under way).
    """

    volley: int = 1
    answered: tuple[Rate, ...] = ()
    ceilings: tuple[int, ...] = ()
    trouble: tuple[str, str, str] | None = None
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Connection:
    """One endpoint. All mappings are replaced, never changed.

    Fields: role; settings; address (ours, None: we cannot be sent to); asset (ours); announced (the peer has both);
    peer_address (None: we cannot send); peer_address_at, peer_address_answer_at (sequences of the request and of the
    answer that told it); peer_asset; receipts; next_sequence (of our Prepares); answers (that we encrypted); streams;
    next_stream (ours); peer_highest (stream that the peer opened); peer_skipped (those below it that it has not
    opened); max_stream (that the peer may open); peer_max_stream (that we may open); in_flight; queued (frames that go
    with the next packet); pace; rate (as last seen); floor (what each packet must deliver at least); probe; data_in,
    data_allowed, data_consumed (bytes of all streams: highest, our limit, read); data_out, peer_data (bytes sent, the
    peer's limit); sent, delivered, received (over all streams); unproved (fulfils whose answer did not tell the amount:
    their minimum is counted); packets (fulfilled); refusals (rounds in a row); poll_at, poll_ms (when a
    blocked sender asks again); ended.
    """

    role: Role
    settings: Settings = Settings()
    address: Address | None = None
    asset: Asset | None = None
    announced: bool = False
    peer_address: Address | None = None
    peer_address_at: int = 0
    peer_address_answer_at: int = 0
    peer_asset: Asset | None = None
    receipts: ReceiptKey | None = None
    next_sequence: int = 1
    answers: int = 0
    streams: Mapping[int, Stream] = field(default_factory=dict)
    next_stream: int = 1
    peer_highest: int = 0
    peer_skipped: frozenset[int] = frozenset()
    max_stream: int = FIRST_MAX_STREAM
    peer_max_stream: int = FIRST_MAX_STREAM
    in_flight: Mapping[int, InFlight] = field(default_factory=dict)
    queued: tuple[Frame, ...] = ()
    pace: Pace = field(default_factory=Pace)
    rate: Rate | None = None
    floor: Rate | None = None
    probe: Probe | None = None
    data_in: int = 0
    data_allowed: int = 0
    data_consumed: int = 0
    data_out: int = 0
    peer_data: int = FIRST_PEER_DATA
    sent: int = 0
    delivered: int = 0
    received: int = 0
    unproved: int = 0
    packets: int = 0
    refusals: int = 0
    poll_at: UnixMs = UnixMs(0)
    poll_ms: int = 0
    ended: bool = False
