"""An endpoint of a STREAM connection as a state machine: one step for each thing that happens. Source: RFC 29. Pure.

Randomness and keys are the shell's: packets come decrypted and leave plain. Replaying a packet of the peer's takes its
money again, as it came again; it changes nothing else.
"""

from __future__ import annotations

from dataclasses import replace

from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs
from settlement.ilp.packets import PREPARE
from settlement.ilp.stream import frames as f
from settlement.ilp.stream.changes import (
    Change,
    CloseConnection,
    CloseStream,
    ConnectionEnded,
    ConsumeData,
    Effect,
    OpenStream,
    ReceivePacket,
    ReceiveReply,
    SendData,
    SendMoney,
    SendPacket,
    TakeMoney,
    Tick,
)
from settlement.ilp.stream.control import end, end_stream, new_stream, queue, widen, with_stream
from settlement.ilp.stream.data import unsent, written
from settlement.ilp.stream.errors import Exhausted, PeerBroke, PeerClosed, StreamError
from settlement.ilp.stream.frames import ErrorCode, Frame
from settlement.ilp.stream.packet import StreamPacket
from settlement.ilp.stream.receiver import receive
from settlement.ilp.stream.sender import answered, expired, fill
from settlement.ilp.stream.states import Connection, InFlight, Stream
from settlement.quantities import MAX_UNITS

MAX_MESSAGE_CHARACTERS = 200


class TooManyStreams(Retryable):
    """The peer does not let us open another stream now. Fields: max_stream (the highest that it lets us)."""

    def __init__(self, max_stream: int) -> None:
        self.max_stream = max_stream
        super().__init__(f"the peer takes streams up to {max_stream} only")


class NoSuchStream(BadInput):
    """The stream is not open. Fields as `BadInput`."""

    def __init__(self, stream_id: int) -> None:
        super().__init__("stream_id", f"stream {stream_id} is not open")


def step(connection: Connection, change: Change, now: UnixMs) -> tuple[Connection, tuple[Effect, ...]]:
    """Advance one endpoint. Effects are to be done in their order; an `Answer` belongs to the change that caused it.

    Raises:
        TooManyStreams: the peer does not let us open another stream.
        NoSuchStream: the stream that we are to use is not open.
        BadInput: an amount is out of bounds, or too many bytes wait already.
    """
    effects: tuple[Effect, ...] = ()
    match change:
        case ReceivePacket():
            connection, effects = receive(connection, change)
        case ReceiveReply():
            connection, effects = answered(connection, change, now)
        case Tick():
            connection, effects = expired(connection, now)
        case OpenStream():
            connection = _open(connection, change)
        case SendMoney():
            connection = _send_money(connection, change)
        case TakeMoney():
            connection = _take_money(connection, change)
        case SendData():
            connection = _send_data(connection, change)
        case ConsumeData():
            connection = _consume(connection, change)
        case CloseStream():
            connection, effects = _close_stream(connection, change)
        case CloseConnection():
            connection, effects = _close(connection, change, now)
    connection, more = _ended_streams(connection)
    effects += more
    for effect in effects:
        if isinstance(effect, ConnectionEnded) and effect.error is not None:
            connection, more = _tell_end(connection, effect.error, now)
            effects += more
    connection, more = fill(connection, now)
    assert_kept(connection)
    return connection, effects + more


def assert_kept(connection: Connection) -> None:
    """The invariants: no stream passes what it may send, and nothing is held that is not under way."""
    for stream in connection.streams.values():
        assert min(stream.sent, stream.held, stream.awaited) >= 0
        assert stream.sent + stream.held <= stream.send_max
        if stream.held:
            assert connection.in_flight


def is_drained(connection: Connection, stream: Stream) -> bool:
    """Whether nothing waits or is under way: all is sent, the aim is reached, or the rest is too little to deliver."""
    if stream.held or unsent(stream.out):
        return False
    if stream.send_max <= stream.sent or (stream.aim is not None and stream.delivered >= stream.aim):
        return True
    # A remainder that would deliver nothing is never sent.
    return connection.rate is not None and connection.rate.delivers(stream.send_max - stream.sent) == 0


def _open(connection: Connection, change: OpenStream) -> Connection:
    number = connection.next_stream
    if connection.ended:
        raise NoSuchStream(number)
    if number > connection.peer_max_stream:
        raise TooManyStreams(connection.peer_max_stream)
    _check("receive_max", change.receive_max)
    _check("send_max", change.send_max)
    stream = replace(new_stream(connection, number, change.receive_max), send_max=change.send_max, aim=change.aim)
    opened = replace(with_stream(connection, stream), next_stream=number + 2)
    if change.receive_max == 0 < change.send_max:
        return opened  # said when the peer tries: a payment needs no packet more for it
    return queue(opened, f.StreamMaxMoney(number, change.receive_max, 0))


def _send_money(connection: Connection, change: SendMoney) -> Connection:
    stream = _stream(connection, change.stream_id)
    _check("send_max", change.send_max)
    if change.send_max < stream.sent + stream.held:
        raise BadInput("send_max", f"{change.send_max} is less than was sent or is under way")
    return with_stream(connection, replace(stream, send_max=change.send_max, aim=change.aim))


def _take_money(connection: Connection, change: TakeMoney) -> Connection:
    stream = _stream(connection, change.stream_id)
    _check("receive_max", change.receive_max)
    if change.receive_max <= stream.receive_max:
        return connection  # what was allowed cannot be taken back (RFC 29, 4.4.4)
    raised = with_stream(connection, replace(stream, receive_max=change.receive_max))
    return queue(raised, f.StreamMaxMoney(stream.id, change.receive_max, stream.received))


def _send_data(connection: Connection, change: SendData) -> Connection:
    stream = _stream(connection, change.stream_id)
    if stream.closing:
        raise NoSuchStream(stream.id)
    if unsent(stream.out) + len(change.data) > connection.settings.send_buffer:
        raise BadInput("data", "too many bytes wait already", "send the rest when some have arrived")
    return with_stream(connection, replace(stream, out=written(stream.out, change.data)))


def _consume(connection: Connection, change: ConsumeData) -> Connection:
    stream = connection.streams.get(change.stream_id)
    if stream is None:
        return connection
    into = stream.into
    assert change.count <= into.position - into.consumed, "more is read than came"
    consumed = replace(connection, data_consumed=connection.data_consumed + change.count)
    return widen(consumed, replace(stream, into=replace(into, consumed=into.consumed + change.count)))


def _close_stream(connection: Connection, change: CloseStream) -> tuple[Connection, tuple[Effect, ...]]:
    stream = _stream(connection, change.stream_id)
    if change.error_code == ErrorCode.NO_ERROR:
        return with_stream(connection, replace(stream, closing=True)), ()
    return end_stream(connection, stream.id, change.error_code, _short(change.message), by_peer=False)


def _ended_streams(connection: Connection) -> tuple[Connection, tuple[Effect, ...]]:
    """End the streams that were to end when all was sent."""
    effects: tuple[Effect, ...] = ()
    for stream in connection.streams.values():
        if stream.closing and not connection.ended and is_drained(connection, stream):
            connection, more = end_stream(connection, stream.id, ErrorCode.NO_ERROR, "", by_peer=False)
            effects += more
    return connection, effects


def _close(connection: Connection, change: CloseConnection, now: UnixMs) -> tuple[Connection, tuple[Effect, ...]]:
    if connection.ended:
        return connection, ()
    effects: tuple[Effect, ...] = ()
    for number in tuple(connection.streams):
        connection, more = end_stream(connection, number, change.error_code, _short(change.message), by_peer=False)
        effects += more
    words = (*connection.queued, f.ConnectionClose(change.error_code, _short(change.message)))
    connection, send = _farewell(connection, words, now)
    connection, ended = end(connection, None)
    return connection, effects + send + ended


def _tell_end(connection: Connection, error: StreamError, now: UnixMs) -> tuple[Connection, tuple[Effect, ...]]:
    """Tell the peer that we ended the connection, unless it knows."""
    if isinstance(error, PeerClosed | Exhausted):
        return connection, ()
    code = error.error_code if isinstance(error, PeerBroke) else ErrorCode.APPLICATION_ERROR
    return _farewell(connection, (f.ConnectionClose(code, "the connection was given up"),), now)


def _farewell(connection: Connection, words: tuple[Frame, ...], now: UnixMs) -> tuple[Connection, tuple[Effect, ...]]:
    if connection.peer_address is None:
        return connection, ()
    sequence, expires_at = connection.next_sequence, UnixMs(now + connection.settings.packet_ms)
    until = UnixMs(expires_at + connection.settings.grace_ms)
    flights = {**connection.in_flight, sequence: InFlight(sequence, 0, 0, (), (), until)}
    packet = StreamPacket(PREPARE, sequence, 0, words)
    told = replace(connection, in_flight=flights, next_sequence=sequence + 1)
    return told, (SendPacket(packet, 0, fulfillable=True, expires_at=expires_at),)


def _stream(connection: Connection, stream_id: int) -> Stream:
    stream = connection.streams.get(stream_id)
    if stream is None or connection.ended:
        raise NoSuchStream(stream_id)
    return stream


def _short(message: str) -> str:
    """A message that leaves room for others in a packet."""
    return message[:MAX_MESSAGE_CHARACTERS]


def _check(field: str, amount: int) -> None:
    if not 0 <= amount <= MAX_UNITS:
        raise BadInput(field, f"{amount} is not between 0 and 2^64−1")
