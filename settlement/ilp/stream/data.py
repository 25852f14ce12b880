"""A stream's bytes: cut into pieces on the way out, put together on the way in. Source: RFC 29, 4.4, 5.3.11. Pure."""

from __future__ import annotations

from dataclasses import replace

from settlement.ilp.stream.errors import PeerBroke
from settlement.ilp.stream.frames import ErrorCode
from settlement.ilp.stream.states import DataIn, DataOut


class TooManyPieces(Exception):
    """More pieces came out of order than are kept: the packet is refused, and its piece comes again."""


def arrived(into: DataIn, offset: int, data: bytes, max_pieces: int) -> tuple[DataIn, bytes]:
    """Take a piece in: (state, bytes that are next in order, maybe none).

    Raises:
        PeerBroke: beyond the limit that we told, or overlapping other bytes than it repeats.
        TooManyPieces: no room for another piece out of order.
    """
    end = offset + len(data)
    if end > into.allowed:
        raise PeerBroke(ErrorCode.FLOW_CONTROL_ERROR, f"bytes up to {end} of a stream that takes {into.allowed}")
    if end <= into.position or not data or into.pieces.get(offset) == data:
        return into, b""  # a repetition
    if offset < into.position or any(
        start < end and start + len(piece) > offset for start, piece in into.pieces.items()
    ):
        raise PeerBroke(ErrorCode.PROTOCOL_VIOLATION, f"bytes {offset} to {end} overlap others")
    highest = max(into.highest, end)
    if offset > into.position:
        if len(into.pieces) >= max_pieces:
            raise TooManyPieces
        return replace(into, highest=highest, pieces={**into.pieces, offset: data}), b""
    pieces, ready = dict(into.pieces), [data]
    while end in pieces:
        ready.append(pieces.pop(end))
        end += len(ready[-1])
    return replace(into, position=end, highest=highest, pieces=pieces), b"".join(ready)


def written(out: DataOut, data: bytes) -> DataOut:
    """The state with more bytes to send."""
    return replace(out, waiting=out.waiting + data)


def unsent(out: DataOut) -> int:
    """Bytes that were not acknowledged yet, and are kept."""
    return len(out.waiting) + sum(map(len, out.unanswered.values()))


def next_piece(out: DataOut, room: int, fresh: int) -> tuple[DataOut, tuple[int, bytes] | None]:
    """The next piece of at most `room` bytes: (state, offset and bytes, or None).

    A rejected piece goes first, exactly as before. `fresh`: how many bytes may be sent that were never sent.
    """
    for offset in out.again:
        if len(out.unanswered[offset]) <= room:
            again = tuple(other for other in out.again if other != offset)
            return replace(out, again=again), (offset, out.unanswered[offset])
    size = min(room, fresh, len(out.waiting), out.allowed - out.offset)
    if out.again or size <= 0:
        return out, None
    piece, offset = out.waiting[:size], out.offset
    unanswered = {**out.unanswered, offset: piece}
    return replace(out, waiting=out.waiting[size:], offset=offset + size, unanswered=unanswered), (offset, piece)


def acknowledged(out: DataOut, offset: int) -> DataOut:
    """The state after the peer took the piece at `offset`."""
    unanswered = {start: piece for start, piece in out.unanswered.items() if start != offset}
    return replace(out, unanswered=unanswered, again=tuple(start for start in out.again if start != offset))


def rejected(out: DataOut, offset: int) -> DataOut:
    """The state after the piece at `offset` was lost."""
    if offset not in out.unanswered or offset in out.again:
        return out
    return replace(out, again=(*out.again, offset))
