"""What happens to an endpoint of a STREAM connection, and what it then asks its shell to do. Source: RFC 29."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from foundation.quantities import UnixMs
from settlement.ilp.stream.errors import StreamError
from settlement.ilp.stream.packet import StreamPacket
from settlement.ilp.stream.states import Stream


@dataclass(frozen=True, slots=True)
class ReceivePacket:
    """A Prepare of the peer, decrypted.

    Fields: packet; amount (that arrived, our units); fulfillable (its condition is the one that its data give).
    """

    packet: StreamPacket
    amount: int
    fulfillable: bool


@dataclass(frozen=True, slots=True)
class ReceiveReply:
    """The answer to one of our Prepares, or that there is none any more.

    Fields: sequence; fulfilled (with the right preimage); packet (the receiver's words, decrypted and of this sequence
    and kind; None where there are none); code, triggered_by, message, data (of a Reject).
    """

    sequence: int
    fulfilled: bool
    packet: StreamPacket | None = None
    code: str = ""
    triggered_by: str = ""
    message: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went on."""


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Open a stream of ours. Fields: receive_max (what it takes); send_max, aim (as in `Stream`)."""

    receive_max: int = 0
    send_max: int = 0
    aim: int | None = None


@dataclass(frozen=True, slots=True)
class SendMoney:
    """Send up to a total over a stream. Fields: stream_id; send_max (never below what was sent); aim."""

    stream_id: int
    send_max: int
    aim: int | None = None


@dataclass(frozen=True, slots=True)
class TakeMoney:
    """Take up to a total over a stream. Fields: stream_id; receive_max (a lower one than before is ignored)."""

    stream_id: int
    receive_max: int


@dataclass(frozen=True, slots=True)
class SendData:
    """Send bytes over a stream. Fields: stream_id; data."""

    stream_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ConsumeData:
    """The reader took bytes of a stream. Fields: stream_id; count."""

    stream_id: int
    count: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """End a stream when all is sent, or now with an error. Fields: stream_id; error_code; message."""

    stream_id: int
    error_code: int = 1
    message: str = ""


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """End the connection. Fields: error_code; message."""

    error_code: int = 1
    message: str = ""


Change: TypeAlias = (
    ReceivePacket
    | ReceiveReply
    | Tick
    | OpenStream
    | SendMoney
    | TakeMoney
    | SendData
    | ConsumeData
    | CloseStream
    | CloseConnection
)


@dataclass(frozen=True, slots=True)
class SendPacket:
    """Encrypt and send a Prepare. Fields: packet; amount; fulfillable (else a random condition); expires_at."""

    packet: StreamPacket
    amount: int
    fulfillable: bool
    expires_at: UnixMs


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the Prepare. Fields: fulfil (else F99); packet; amount (that is taken)."""

    fulfil: bool
    packet: StreamPacket
    amount: int = 0


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream. Fields: stream_id."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class MoneyArrived:
    """A stream received money. Fields: stream_id; amount (our units)."""

    stream_id: int
    amount: int


@dataclass(frozen=True, slots=True)
class DataArrived:
    """The next bytes of a stream. Fields: stream_id; data."""

    stream_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ReceiptArrived:
    """The receiver certified what a stream of ours delivered (RFC 39). Fields: stream_id; receipt (opaque to us)."""

    stream_id: int
    receipt: bytes


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """A stream is closed. Fields: stream_id; error_code; message; by_peer; last (the stream as it was)."""

    stream_id: int
    error_code: int
    message: str
    by_peer: bool
    last: Stream


@dataclass(frozen=True, slots=True)
class ConnectionEnded:
    """The connection is closed. Fields: error (None: in order)."""

    error: StreamError | None


Effect: TypeAlias = (
    SendPacket | Answer | StreamOpened | MoneyArrived | DataArrived | ReceiptArrived | StreamEnded | ConnectionEnded
)
