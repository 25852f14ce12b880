"""What a peer's frames change, whichever packet they came in. Source: RFC 29, 4 and 5.3. Pure.

Only frames of packets that were decrypted come here, so all of them are the peer's own words; still it may be wrong or
hostile, and nothing that it says makes us store more than a bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from foundation.errors import BadInput
from settlement.ilp.stream import frames as f
from settlement.ilp.stream.changes import ConnectionEnded, Effect, StreamEnded, StreamOpened
from settlement.ilp.stream.errors import PeerBroke, PeerClosed, StreamError
from settlement.ilp.stream.frames import ErrorCode, Frame
from settlement.ilp.stream.states import FIRST_PEER_STREAM_DATA, Connection, DataIn, Role, Stream
from settlement.quantities import MAX_UNITS, Asset, Scale


def queue(connection: Connection, *frames: Frame) -> Connection:
    """Let frames go with the next packet, each once."""
    fresh = tuple(frame for frame in frames if frame not in connection.queued)
    return replace(connection, queued=connection.queued + fresh) if fresh else connection


def with_stream(connection: Connection, stream: Stream) -> Connection:
    """The connection with this stream as it is now."""
    return replace(connection, streams={**connection.streams, stream.id: stream})


def is_peers(connection: Connection, stream_id: int) -> bool:
    """Whether the peer opens streams of this id: a client the odd ones, a server the even ones from 2."""
    return stream_id % 2 == (1 if connection.role is Role.SERVER else 0)


def is_closed(connection: Connection, stream_id: int) -> bool:
    """Whether the stream was open once and is not any more."""
    if stream_id in connection.streams:
        return False
    if is_peers(connection, stream_id):
        return stream_id <= connection.peer_highest and stream_id not in connection.peer_skipped
    return 0 < stream_id < connection.next_stream


def new_stream(connection: Connection, stream_id: int, receive_max: int) -> Stream:
    """A stream as it is when it opens."""
    into = DataIn(allowed=min(FIRST_PEER_STREAM_DATA, connection.settings.stream_window))
    return Stream(stream_id, receive_max=receive_max, into=into)


def open_for_peer(connection: Connection, stream_id: int) -> tuple[Connection, tuple[Effect, ...]]:
    """Open a stream that the peer's frame names, if it is new.

    Raises:
        PeerBroke: the number is not the peer's to open, or above what it may open.
    """
    if stream_id in connection.streams or is_closed(connection, stream_id):
        return connection, ()
    if stream_id <= 0 or not is_peers(connection, stream_id):
        raise PeerBroke(ErrorCode.PROTOCOL_VIOLATION, f"stream {stream_id} is not the peer's to open")
    if stream_id > connection.max_stream:
        raise PeerBroke(ErrorCode.STREAM_ID_ERROR, f"stream {stream_id} is above {connection.max_stream}")
    skipped = connection.peer_skipped - {stream_id}
    if stream_id > connection.peer_highest:
        first = connection.peer_highest + 2 if connection.peer_highest else 2 - stream_id % 2
        skipped |= set(range(first, stream_id, 2))
    stream = new_stream(connection, stream_id, connection.settings.receive_max)
    opened = replace(
        connection,
        streams={**connection.streams, stream_id: stream},
        peer_highest=max(connection.peer_highest, stream_id),
        peer_skipped=skipped,
    )
    return opened, (StreamOpened(stream_id),)


def end_stream(
    connection: Connection, stream_id: int, error_code: int, message: str, *, by_peer: bool
) -> tuple[Connection, tuple[Effect, ...]]:
    """Forget a stream. The peer may open another one for each of its own that ends."""
    last = connection.streams.get(stream_id)
    if last is None:
        return connection, ()
    streams = {number: stream for number, stream in connection.streams.items() if number != stream_id}
    unread = last.into.highest - last.into.consumed
    ended = replace(connection, streams=streams, data_consumed=connection.data_consumed + unread)
    if is_peers(connection, stream_id):
        ended = replace(ended, max_stream=ended.max_stream + 2)
        ended = queue(ended, f.ConnectionMaxStreamId(ended.max_stream))
    if not by_peer:
        ended = queue(ended, f.StreamClose(stream_id, error_code, message))
    return ended, (StreamEnded(stream_id, error_code, message, by_peer, last),)


def end(connection: Connection, error: StreamError | None) -> tuple[Connection, tuple[Effect, ...]]:
    """End the connection: nothing is sent or taken any more."""
    if connection.ended:
        return connection, ()
    return replace(connection, ended=True, queued=()), (ConnectionEnded(error),)


def heed(
    connection: Connection, frames: Iterable[Frame], sequence: int, *, is_answer: bool
) -> tuple[Connection, tuple[Effect, ...]]:
    """Do what control frames say; those of money, data and receipts are others' business.

    `sequence`: of the packet that they came in, ours where it `is_answer`, else the peer's.

    Raises:
        PeerBroke: the frames contradict what was said before.
    """
    effects: tuple[Effect, ...] = ()
    for frame in frames:
        match frame:
            case f.StreamMoney() | f.StreamData() | f.StreamReceipt():
                pass
            case f.StreamMaxMoney() | f.StreamMaxData():
                connection = _limit(connection, frame)
            case f.ConnectionMaxData():
                if frame.max_offset > connection.peer_data:
                    connection = replace(connection, peer_data=frame.max_offset)
            case f.ConnectionMaxStreamId():
                if frame.max_stream_id > connection.peer_max_stream:
                    connection = replace(connection, peer_max_stream=frame.max_stream_id)
            case f.ConnectionNewAddress():
                connection = _move(connection, frame, sequence, is_answer)
            case f.ConnectionAssetDetails():
                connection = _name_asset(connection, frame)
            case f.StreamClose():
                connection, more = end_stream(
                    connection, frame.stream_id, frame.error_code, frame.error_message, by_peer=True
                )
                effects += more
            case f.ConnectionClose():
                in_order = frame.error_code == ErrorCode.NO_ERROR
                connection, more = end(
                    connection, None if in_order else PeerClosed(frame.error_code, frame.error_message)
                )
                effects += more
            case _:
                connection = _repeat(connection, frame)
    return connection, effects


def widen(connection: Connection, stream: Stream) -> Connection:
    """Let the peer send more bytes, on the stream and on all, where it has used half of what it may."""
    settings, told = connection.settings, list[Frame]()
    allowed = stream.into.consumed + settings.stream_window
    if allowed - stream.into.allowed >= settings.stream_window // 2:
        stream = replace(stream, into=replace(stream.into, allowed=allowed))
        told.append(f.StreamMaxData(stream.id, allowed))
    data_allowed = max(connection.data_allowed, settings.connection_window)
    if connection.data_consumed + settings.connection_window - data_allowed >= settings.connection_window // 2:
        data_allowed = connection.data_consumed + settings.connection_window
        told.append(f.ConnectionMaxData(data_allowed))
    return queue(replace(with_stream(connection, stream), data_allowed=data_allowed), *told)


def _repeat(connection: Connection, frame: Frame) -> Connection:
    """Say a limit again to a peer that tells that it is blocked: it may have missed it."""
    match frame:
        case f.StreamMoneyBlocked() | f.StreamDataBlocked() if stream := connection.streams.get(frame.stream_id):
            if isinstance(frame, f.StreamMoneyBlocked):
                return queue(connection, f.StreamMaxMoney(stream.id, stream.receive_max, stream.received))
            return queue(connection, f.StreamMaxData(stream.id, stream.into.allowed))
        case f.ConnectionDataBlocked():
            allowed = max(connection.data_allowed, connection.settings.connection_window)
            return queue(connection, f.ConnectionMaxData(allowed))
        case f.ConnectionStreamIdBlocked():
            return queue(connection, f.ConnectionMaxStreamId(connection.max_stream))
        case _:
            return connection


def _limit(connection: Connection, frame: f.StreamMaxMoney | f.StreamMaxData) -> Connection:
    """A stream's limits: they only grow, but for the first word after our assumption that all is taken."""
    stream = connection.streams.get(frame.stream_id)
    if stream is None:
        return connection
    if isinstance(frame, f.StreamMaxData):
        if frame.max_offset <= stream.out.allowed:
            return connection
        return with_stream(connection, replace(stream, out=replace(stream.out, allowed=frame.max_offset)))
    peer_max = frame.receive_max if stream.peer_max == MAX_UNITS else max(stream.peer_max, frame.receive_max)
    received = max(stream.peer_received, frame.total_received)
    if (peer_max, received) == (stream.peer_max, stream.peer_received):
        return connection
    return with_stream(connection, replace(stream, peer_max=peer_max, peer_received=received))


def _move(connection: Connection, frame: f.ConnectionNewAddress, sequence: int, is_answer: bool) -> Connection:
    """The peer tells its address; it learns ours in turn. An older word never undoes a newer one."""
    last = connection.peer_address_answer_at if is_answer else connection.peer_address_at
    if sequence <= last:
        return connection
    told = (
        replace(connection, peer_address_answer_at=sequence)
        if is_answer
        else replace(connection, peer_address_at=sequence)
    )
    if frame.source_address != connection.peer_address:
        # A stranger's address could be named, to make us flood it: begin with one packet, and go on when it answers.
        pace = connection.pace if connection.peer_address is None else replace(connection.pace, window=1)
        told = replace(told, peer_address=frame.source_address, pace=pace)
    told = queue(told, f.ConnectionMaxStreamId(told.max_stream))
    if told.asset is None:
        return told
    return queue(told, f.ConnectionAssetDetails(told.asset.code, told.asset.scale))


def _name_asset(connection: Connection, frame: f.ConnectionAssetDetails) -> Connection:
    try:
        asset = Asset(frame.asset_code, Scale(frame.asset_scale))
    except BadInput:
        return connection  # optional, and not ours to judge
    if connection.peer_asset is None:
        return replace(connection, peer_asset=asset)
    if asset != connection.peer_asset:
        raise PeerBroke(ErrorCode.PROTOCOL_VIOLATION, "the asset changed")
    return connection
