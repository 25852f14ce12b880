"""Filling packets with money, data and words, and counting what came of them. Source: RFC 29, 3.4 to 3.6 and 4.4. Pure.

Money that is under way is held: what was sent and what is held never pass what may be sent, whatever is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

from foundation.quantities import UnixMs
from settlement.ilp.errors import Code, is_final, is_temporary
from settlement.ilp.packets import MAX_DATA_BYTES, PREPARE
from settlement.ilp.stream import frames as f
from settlement.ilp.stream import pace as pacing
from settlement.ilp.stream import probe as probing
from settlement.ilp.stream.changes import Effect, ReceiptArrived, ReceiveReply, SendPacket
from settlement.ilp.stream.control import end, heed, is_closed
from settlement.ilp.stream.crypto import MAX_SEALED, OVERHEAD_BYTES
from settlement.ilp.stream.data import acknowledged, next_piece, rejected
from settlement.ilp.stream.errors import (
    Exhausted,
    PathBusy,
    PathFailed,
    PeerBroke,
    RateTooLow,
    ReceiverRefused,
    StreamError,
)
from settlement.ilp.stream.frames import ErrorCode, Frame
from settlement.ilp.stream.packet import StreamPacket
from settlement.ilp.stream.rates import Rate
from settlement.ilp.stream.receiver import split
from settlement.ilp.stream.states import Connection, InFlight, Stream

FIRST_POLL_MS = 100
LONGEST_POLL_MS = 5_000
_TELLING = 1_000
_DATA_FRAME_OVERHEAD = 32
_ROOM_FOR_DATA = MAX_DATA_BYTES - OVERHEAD_BYTES - 2_048


def fill(connection: Connection, now: UnixMs) -> tuple[Connection, tuple[Effect, ...]]:
    """Send what may be sent now."""
    effects: tuple[Effect, ...] = ()
    if connection.ended or connection.peer_address is None or not (connection.queued or _wants(connection)):
        return connection, effects
    if connection.answers + connection.next_sequence + len(probing.AMOUNTS) + 1 >= MAX_SEALED:
        return end(connection, Exhausted())
    if connection.rate is None and probing.wanted(connection) > 0:
        connection, effects = probing.launch(connection, _announcement(connection), now)
    while len(connection.in_flight) < connection.pace.window and now >= connection.pace.resume_at:
        filled = _packet(connection, now)
        if filled is None:
            break
        connection, send = filled
        effects += (send,)
    return connection, effects


def wakes_at(connection: Connection, now: UnixMs) -> UnixMs | None:
    """When the connection should be told the time, if nothing else happens before. None: it need not be."""
    # In the order that they were sent in, so the first expires first.
    times = [flight.expires_at for flight in islice(connection.in_flight.values(), 1)]
    if not connection.ended and connection.peer_address is not None:
        times += [at for at in (connection.pace.resume_at, connection.poll_at) if at > now]
    return min(times, default=None)


def answered(connection: Connection, reply: ReceiveReply, now: UnixMs) -> tuple[Connection, tuple[Effect, ...]]:
    """Count the answer to a packet of ours; one that is not waited for any more is ignored."""
    flight = connection.in_flight.get(reply.sequence)
    if flight is None:
        return connection, ()
    flights = {number: other for number, other in connection.in_flight.items() if number != reply.sequence}
    connection = replace(connection, in_flight=flights)
    effects: tuple[Effect, ...] = ()
    try:
        if reply.packet is not None:
            if not connection.announced:
                connection = replace(connection, announced=True)
            connection, effects = heed(connection, reply.packet.frames, reply.sequence, is_answer=True)
        if flight.is_probe:
            connection, more = probing.answered(connection, flight, reply, now)
        elif reply.fulfilled:
            connection, more = _fulfilled(connection, flight, reply)
        else:
            connection, more = _rejected(connection, flight, reply, now)
    except PeerBroke as broke:
        connection, more = end(connection, broke)
    return connection, effects + more


def expired(connection: Connection, now: UnixMs) -> tuple[Connection, tuple[Effect, ...]]:
    """Take the packets without an answer as refused, when their time is over."""
    effects: tuple[Effect, ...] = ()
    for flight in tuple(connection.in_flight.values()):
        if flight.expires_at <= now:
            silence = ReceiveReply(flight.sequence, False, code=Code.TRANSFER_TIMED_OUT, message="no answer came")
            connection, more = answered(connection, silence, now)
            effects += more
    return connection, effects


def sendable(connection: Connection, stream: Stream) -> int:
    """What a stream may send now, in our units: within its maximum, the peer's and its aim."""
    available = stream.send_max - stream.sent - stream.held
    rate = connection.rate
    if available <= 0 or rate is None:
        return 0
    room = stream.peer_max - max(stream.peer_received, stream.delivered) - stream.awaited
    if stream.aim is not None:
        room = min(room, stream.aim - stream.delivered - stream.awaited)
    return min(available, rate.needs(room)) if room > 0 else 0


def _wants(connection: Connection) -> bool:
    return any(
        stream.send_max > stream.sent + stream.held or stream.out.waiting or stream.out.again
        for stream in connection.streams.values()
    )


def _announcement(connection: Connection) -> tuple[Frame, ...]:
    """Our address and asset, until the peer answered a packet that told them."""
    if connection.announced or connection.address is None:
        return ()
    address = f.ConnectionNewAddress(connection.address)
    if connection.asset is None:
        return (address,)
    return address, f.ConnectionAssetDetails(connection.asset.code, connection.asset.scale)


def _packet(connection: Connection, now: UnixMs) -> tuple[Connection, SendPacket] | None:
    """The next packet, or None where there is nothing to say or no right to say it yet."""
    streams, parts = _parts(connection)
    connection, pieces, streams = _pieces(connection, streams)
    words = connection.queued + pieces
    poll_at, poll_ms = connection.poll_at, 0
    if not parts and not words:
        blocked = _blocked(connection)
        if not blocked or connection.in_flight:
            return None
        # The peer may let more in later without telling: ask, more and more rarely.
        if connection.poll_ms and now < poll_at:
            return None
        poll_ms = min(LONGEST_POLL_MS, connection.poll_ms * 2 or FIRST_POLL_MS)
        poll_at, words = UnixMs(now + poll_ms), blocked
    elif not parts:
        poll_ms = connection.poll_ms
    amount = sum(part for _, part, _ in parts)
    minimum = max(1, connection.floor.delivers(amount)) if amount and connection.floor is not None else 0
    sequence, expires_at = connection.next_sequence, UnixMs(now + connection.settings.packet_ms)
    money = tuple(f.StreamMoney(number, part) for number, part, _ in parts)
    packet = StreamPacket(PREPARE, sequence, minimum, _announcement(connection) + words + money)
    until = UnixMs(expires_at + connection.settings.grace_ms)
    flight = InFlight(sequence, amount, minimum, parts, words, until)
    filled = replace(
        connection,
        streams=streams,
        queued=(),
        next_sequence=sequence + 1,
        in_flight={**connection.in_flight, sequence: flight},
        poll_at=poll_at,
        poll_ms=poll_ms,
    )
    return filled, SendPacket(packet, amount, fulfillable=True, expires_at=expires_at)


def _parts(connection: Connection) -> tuple[Mapping[int, Stream], tuple[tuple[int, int, int], ...]]:
    """What each stream sends with the next packet, and the streams with that held."""
    rate = connection.rate
    if rate is None:
        return connection.streams, ()
    least, pace = rate.needs(1), connection.pace
    # However little passes, a packet has to be large enough to deliver something.
    budget = min(max(pace.amount, least), pace.maximum, connection.settings.max_packet)
    streams, parts = connection.streams, []
    for stream in connection.streams.values():
        part = _worth_sending(min(sendable(connection, stream), budget), stream, least)
        if part <= 0:
            continue
        expected = rate.delivers_at_most(part)
        held = replace(stream, held=stream.held + part, awaited=stream.awaited + expected)
        streams = {**streams, stream.id: held}
        parts.append((stream.id, part, expected))
        budget -= part
        if budget <= 0:
            break
    return streams, tuple(parts)


def _worth_sending(part: int, stream: Stream, least: int) -> int:
    """`part`, or less: so that what is left of the stream is either nothing or at least what delivers one unit.

    A packet so small that nothing arrives of it would be a gift to the connectors on the way.
    """
    if part < least:
        return 0
    left = stream.send_max - stream.sent - stream.held - part
    if 0 < left < least <= part - (least - left):
        return part - (least - left)
    return part


def _pieces(
    connection: Connection, streams: Mapping[int, Stream]
) -> tuple[Connection, tuple[Frame, ...], Mapping[int, Stream]]:
    """The bytes that go with the next packet, and the streams without them."""
    pieces: tuple[Frame, ...] = ()
    space = _ROOM_FOR_DATA
    for stream in connection.streams.values():
        if not stream.out.waiting and not stream.out.again:
            continue
        fresh = connection.peer_data - connection.data_out
        before = stream.out.offset
        out, piece = next_piece(stream.out, space - _DATA_FRAME_OVERHEAD, fresh)
        if piece is None:
            continue
        offset, data = piece
        pieces += (f.StreamData(stream.id, offset, data),)
        space -= len(data) + _DATA_FRAME_OVERHEAD
        streams = {**streams, stream.id: replace(streams[stream.id], out=out)}
        connection = replace(connection, data_out=connection.data_out + out.offset - before)
    return connection, pieces, streams


def _blocked(connection: Connection) -> tuple[Frame, ...]:
    """What the peer's limits keep us from sending."""
    told: list[Frame] = []
    for stream in connection.streams.values():
        at_aim = stream.aim is not None and stream.delivered >= stream.aim
        waits = connection.rate is not None and stream.send_max > stream.sent + stream.held and not at_aim
        if waits and stream.peer_max <= max(stream.peer_received, stream.delivered) + stream.awaited:
            told.append(f.StreamMoneyBlocked(stream.id, stream.send_max, stream.sent))
        if stream.out.waiting and stream.out.allowed <= stream.out.offset:
            told.append(f.StreamDataBlocked(stream.id, stream.out.offset + len(stream.out.waiting)))
        elif stream.out.waiting and connection.peer_data <= connection.data_out:
            told.append(f.ConnectionDataBlocked(connection.data_out + len(stream.out.waiting)))
    return tuple(told)


def _fulfilled(connection: Connection, flight: InFlight, reply: ReceiveReply) -> tuple[Connection, tuple[Effect, ...]]:
    """Money is gone, and the receiver has it: how much, its encrypted answer says."""
    claimed = flight.minimum if reply.packet is None else reply.packet.amount
    streams = dict(connection.streams)
    shares = split(claimed, [(number, part) for number, part, _ in flight.parts]) if flight.parts else []
    for (number, part, expected), share in zip(flight.parts, shares, strict=True):
        if number in streams:
            streams[number] = _landed(streams[number], part, expected, share)
    for frame in flight.frames:
        if isinstance(frame, f.StreamData) and frame.stream_id in streams:
            stream = streams[frame.stream_id]
            streams[frame.stream_id] = replace(stream, out=acknowledged(stream.out, frame.offset))
    receipts: tuple[Effect, ...] = tuple(
        ReceiptArrived(frame.stream_id, frame.receipt)
        for frame in (reply.packet.frames if reply.packet is not None else ())
        if isinstance(frame, f.StreamReceipt)
    )
    rate = connection.rate
    if reply.packet is not None and claimed and flight.amount and _is_telling(claimed, flight.amount, rate):
        rate = Rate(claimed, flight.amount)
    connection = replace(
        connection,
        streams=streams,
        rate=rate,
        sent=connection.sent + flight.amount,
        delivered=connection.delivered + claimed,
        unproved=connection.unproved + (1 if reply.packet is None and flight.amount else 0),
        packets=connection.packets + (1 if flight.amount else 0),
        refusals=0 if flight.amount else connection.refusals,
        pace=pacing.fulfilled(connection.pace, flight.amount) if flight.amount else connection.pace,
    )
    if claimed < flight.minimum:
        broke = PeerBroke(ErrorCode.PROTOCOL_VIOLATION, f"took {claimed} where {flight.minimum} was the least")
        connection, ended = end(connection, broke)
        return connection, receipts + ended
    return connection, receipts


def _is_telling(delivered: int, amount: int, rate: Rate | None) -> bool:
    """Whether a packet tells the rate well enough to take it for the one before."""
    return rate is None or amount >= rate.sent or delivered >= _TELLING


def _landed(stream: Stream, part: int, expected: int, share: int) -> Stream:
    return replace(
        stream,
        sent=stream.sent + part,
        held=stream.held - part,
        awaited=stream.awaited - expected,
        delivered=stream.delivered + share,
    )


def _rejected(
    connection: Connection, flight: InFlight, reply: ReceiveReply, now: UnixMs
) -> tuple[Connection, tuple[Effect, ...]]:
    """Nothing moved: release the money, say again what was said, and heed why."""
    streams = dict(connection.streams)
    for number, part, expected in flight.parts:
        if number in streams:
            stream = streams[number]
            streams[number] = replace(stream, held=stream.held - part, awaited=stream.awaited - expected)
    again: tuple[Frame, ...] = ()
    for frame in flight.frames:
        if isinstance(frame, f.StreamData):
            if frame.stream_id in streams:
                stream = streams[frame.stream_id]
                streams[frame.stream_id] = replace(stream, out=rejected(stream.out, frame.offset))
        elif not isinstance(frame, f.StreamMoneyBlocked | f.StreamDataBlocked | f.ConnectionDataBlocked):
            again += (frame,)
    connection = replace(connection, streams=streams)
    if not connection.ended:
        connection = replace(connection, queued=again + connection.queued)
    return _heeded(connection, flight, reply, now)


def _heeded(
    connection: Connection, flight: InFlight, reply: ReceiveReply, now: UnixMs
) -> tuple[Connection, tuple[Effect, ...]]:
    pace, following = connection.pace, connection.next_sequence
    if reply.packet is not None:
        return _refused(connection, flight, reply.packet, now)
    if reply.code == Code.AMOUNT_TOO_LARGE and flight.amount:
        pace = pacing.too_large(pace, flight.amount, reply.data)
        if pace.maximum < (connection.rate.needs(1) if connection.rate is not None else 1):
            message = f"packets of {pace.maximum}, the largest that pass, deliver nothing"
            return _stopped(connection, PathFailed(reply.code, reply.triggered_by, message))
    elif reply.code == Code.INSUFFICIENT_LIQUIDITY and flight.amount:
        pace = pacing.illiquid(pace, flight.amount, flight.sequence, following, now)
    elif is_temporary(reply.code):
        pace = pacing.busy(pace, flight.sequence, following, now)
    elif is_final(reply.code):
        return _stopped(connection, PathFailed(reply.code, reply.triggered_by, reply.message))
    else:  # relative: it may pass another time, but not for ever
        return _delayed(connection, flight, PathBusy(reply.code, reply.triggered_by, reply.message), now)
    return replace(connection, pace=pace), ()


def _delayed(
    connection: Connection, flight: InFlight, error: StreamError, now: UnixMs
) -> tuple[Connection, tuple[Effect, ...]]:
    """Try again later, and after too many rounds in which nothing passed, not any more."""
    if connection.ended or flight.sequence < connection.pace.cut_below:
        return connection, ()
    pace = pacing.busy(connection.pace, flight.sequence, connection.next_sequence, now)
    connection = replace(connection, pace=pace, refusals=connection.refusals + 1)
    return _stopped(connection, error) if connection.refusals >= connection.settings.refusals_max else (connection, ())


def _refused(
    connection: Connection, flight: InFlight, packet: StreamPacket, now: UnixMs
) -> tuple[Connection, tuple[Effect, ...]]:
    """The receiver itself said no: the rate fell, a stream is full or closed, or it does not say."""
    if any(is_closed(connection, number) for number, _, _ in flight.parts):
        return connection, ()
    if packet.amount < flight.minimum:
        seen = Rate(packet.amount, flight.amount) if flight.amount else None
        return _delayed(connection, flight, RateTooLow(seen, connection.floor), now)
    return _delayed(connection, flight, ReceiverRefused("without saying why"), now)


def _stopped(connection: Connection, error: StreamError) -> tuple[Connection, tuple[Effect, ...]]:
    return end(connection, error)
