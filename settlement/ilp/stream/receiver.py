"""Taking a peer's Prepare: money to streams, data in order, and an answer that only the peer can read. Pure.

Source: RFC 29, 4.4 and 6; RFC 39 for receipts. A packet is taken whole or refused whole: a refusal tells the peer that
none of its money and data arrived, so that it sends them again. Control frames count in both cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from settlement.ilp.packets import FULFILL, REJECT
from settlement.ilp.stream import frames as f
from settlement.ilp.stream.changes import Answer, DataArrived, Effect, MoneyArrived, ReceivePacket
from settlement.ilp.stream.control import end, heed, is_closed, open_for_peer, widen
from settlement.ilp.stream.crypto import MAX_SEALED
from settlement.ilp.stream.data import TooManyPieces, arrived
from settlement.ilp.stream.errors import Exhausted, PeerBroke
from settlement.ilp.stream.frames import ErrorCode, Frame
from settlement.ilp.stream.packet import StreamPacket
from settlement.ilp.stream.rates import BASIS_POINTS
from settlement.ilp.stream.receipts import MAX_STREAM_ID, make_receipt
from settlement.ilp.stream.states import Connection, Stream
from settlement.quantities import MAX_UNITS


class _Refused(Exception):
    """The packet is not taken. Fields: frames (that tell the peer why)."""

    def __init__(self, *frames: Frame) -> None:
        self.frames = frames


def receive(connection: Connection, change: ReceivePacket) -> tuple[Connection, tuple[Effect, ...]]:
    """Take or refuse a packet. The last effect is its `Answer`."""
    packet = change.packet
    effects: tuple[Effect, ...] = ()
    if connection.ended:
        return _answered(connection, change, False, (f.ConnectionClose(ErrorCode.NO_ERROR, ""),), ())
    if connection.answers + connection.next_sequence >= MAX_SEALED:
        ended, effects = end(connection, Exhausted())
        return _answered(ended, change, False, (f.ConnectionClose(ErrorCode.INTERNAL_ERROR, "key used up"),), effects)
    closes = [frame for frame in packet.frames if isinstance(frame, f.StreamClose | f.ConnectionClose)]
    others = [frame for frame in packet.frames if frame not in closes] if closes else packet.frames
    fulfil = True
    try:
        connection, effects = _opened(connection, packet.frames)
        connection, more = heed(connection, others, packet.sequence, is_answer=False)
        effects += more
        try:
            connection, more, told = _taken(connection, change)
            effects += more
        except _Refused as refusal:
            fulfil, told = False, refusal.frames
        # Last, because a stream may end with the packet that brings the rest of its money.
        connection, more = heed(connection, closes, packet.sequence, is_answer=False)
    except PeerBroke as broke:
        connection, more = end(connection, broke)
        fulfil, told = False, (f.ConnectionClose(broke.error_code, broke.problem),)
    return _answered(connection, change, fulfil, told, effects + more)


def split(amount: int, shares: Sequence[tuple[int, int]]) -> list[int]:
    """What each of (stream, share) gets of `amount`, rounded down. What is left is not given to any here."""
    total = sum(share for _, share in shares)
    return [amount * share // total for _, share in shares]


def room(stream: Stream, excess_bps: int) -> int:
    """What a stream still takes, with the excess that a sender cannot help."""
    left = max(0, stream.receive_max - stream.received)
    return -(-left * (BASIS_POINTS + excess_bps) // BASIS_POINTS)


def _opened(connection: Connection, frames: Sequence[Frame]) -> tuple[Connection, tuple[Effect, ...]]:
    """Open the streams that the frames name for the first time; refuse money and data for those that ended."""
    effects: tuple[Effect, ...] = ()
    for frame in frames:
        if isinstance(frame, f.StreamMoney | f.StreamData | f.StreamMaxMoney | f.StreamMaxData):
            if frame.stream_id in connection.streams:
                continue
            connection, more = open_for_peer(connection, frame.stream_id)
            effects += more
    return connection, effects


def _taken(connection: Connection, change: ReceivePacket) -> tuple[Connection, tuple[Effect, ...], tuple[Frame, ...]]:
    """The connection with the packet's money and data, their effects, and what to tell the peer."""
    packet = change.packet
    for frame in packet.frames:
        if isinstance(frame, f.StreamMoney | f.StreamData) and is_closed(connection, frame.stream_id):
            raise _Refused(f.StreamClose(frame.stream_id, ErrorCode.STREAM_STATE_ERROR, "the stream is closed"))
    if not change.fulfillable or change.amount < packet.amount:
        raise _Refused
    connection, effects = _with_data(connection, packet.frames)
    connection, more, told = _with_money(connection, change)
    return connection, effects + more, told


def _with_data(connection: Connection, frames: Sequence[Frame]) -> tuple[Connection, tuple[Effect, ...]]:
    effects: tuple[Effect, ...] = ()
    for frame in frames:
        if not isinstance(frame, f.StreamData):
            continue
        stream = connection.streams[frame.stream_id]
        try:
            into, ready = arrived(stream.into, frame.offset, frame.data, connection.settings.max_fragments)
        except TooManyPieces:
            raise _Refused from None
        data_in = connection.data_in + into.highest - stream.into.highest
        if data_in > max(connection.data_allowed, connection.settings.connection_window):
            raise PeerBroke(ErrorCode.FLOW_CONTROL_ERROR, "more bytes than the connection takes")
        connection = widen(replace(connection, data_in=data_in), replace(stream, into=into))
        if ready:
            effects += (DataArrived(stream.id, ready),)
    return connection, effects


def _with_money(
    connection: Connection, change: ReceivePacket
) -> tuple[Connection, tuple[Effect, ...], tuple[Frame, ...]]:
    shares: dict[int, int] = {}
    for frame in change.packet.frames:
        if isinstance(frame, f.StreamMoney):
            shares[frame.stream_id] = shares.get(frame.stream_id, 0) + frame.shares
    if change.amount == 0:
        return connection, (), _limits(connection, shares)
    if not sum(shares.values()) or connection.received + change.amount > MAX_UNITS:
        raise _Refused
    excess = connection.settings.excess_bps
    parts = dict(zip(shares, split(change.amount, list(shares.items())), strict=True))
    left = change.amount - sum(parts.values())
    if left:
        # The remainder goes to the lowest stream that has room (RFC 29, 5.3.8); it is smaller than their number.
        roomy = [number for number in sorted(parts) if room(connection.streams[number], excess) >= parts[number] + left]
        parts[roomy[0] if roomy else min(parts)] += left
    streams = dict(connection.streams)
    for number, part in parts.items():
        stream = streams[number]
        if part > room(stream, excess):
            raise _Refused(f.StreamMaxMoney(number, stream.receive_max, stream.received))
        streams[number] = replace(stream, received=stream.received + part)
    taken = replace(connection, streams=streams, received=connection.received + change.amount)
    effects = tuple(MoneyArrived(number, part) for number, part in parts.items() if part)
    return taken, effects, _limits(taken, parts) + _receipts(taken, parts)


def _limits(connection: Connection, numbers: dict[int, int]) -> tuple[Frame, ...]:
    streams = connection.streams
    return tuple(
        f.StreamMaxMoney(number, streams[number].receive_max, streams[number].received)
        for number in numbers
        if number in streams
    )


def _receipts(connection: Connection, numbers: dict[int, int]) -> tuple[Frame, ...]:
    key = connection.receipts
    if key is None:
        return ()
    return tuple(
        f.StreamReceipt(number, make_receipt(key, number, connection.streams[number].received))
        for number in numbers
        if number <= MAX_STREAM_ID
    )


def _answered(
    connection: Connection, change: ReceivePacket, fulfil: bool, told: tuple[Frame, ...], effects: tuple[Effect, ...]
) -> tuple[Connection, tuple[Effect, ...]]:
    """The answer with these frames and those that were waiting. Its amount is what arrived, taken or not."""
    kind = FULFILL if fulfil else REJECT
    packet = StreamPacket(kind, change.packet.sequence, change.amount, told + connection.queued)
    answered = replace(connection, answers=connection.answers + 1, queued=())
    return answered, (*effects, Answer(fulfil, packet, change.amount if fulfil else 0))
