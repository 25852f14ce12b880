"""STREAM's packet: what lies, encrypted, in the data of an ILP packet. Source: RFC 29, 5.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from settlement.ilp.errors import BadPacket
from settlement.ilp.oer import Reader, var_uint
from settlement.ilp.packets import FULFILL, PREPARE, REJECT
from settlement.ilp.stream.frames import Frame, decode_frame, encode_frame

VERSION: Final = 1
MAX_FRAMES: Final = 512
"""More in one packet are refused: an honest peer sends a few for each of its 20 streams."""

_HEADS: Final = {kind: bytes([VERSION, kind]) for kind in (PREPARE, FULFILL, REJECT)}


@dataclass(frozen=True, slots=True)
class StreamPacket:
    """One packet of a connection.

    Fields: kind (`PREPARE`, `FULFILL` or `REJECT`: the ILP packet that carries it, so that an intermediary cannot swap
    the data of two packets); sequence (the request's number, the same in its answer); amount (in a Prepare the least
    that the receiver may take, in an answer what it got; base units of the receiver); frames (known ones only).
    """

    kind: int
    sequence: int
    amount: int
    frames: tuple[Frame, ...] = ()

    def encode(self, pad_to: int = 0) -> bytes:
        """The plain bytes, with zeros after them where there are fewer than `pad_to`."""
        head = (_HEADS[self.kind], var_uint(self.sequence), var_uint(self.amount), var_uint(len(self.frames)))
        return b"".join((*head, *[encode_frame(frame) for frame in self.frames])).ljust(pad_to, b"\0")


def decode_packet(raw: bytes) -> StreamPacket:
    """The packet that plain bytes hold. Frames of unknown types, and bytes after the last frame, are ignored.

    Raises:
        BadPacket: another version, cut off, too many frames, or a known frame with wrong contents.
    """
    reader = Reader(raw)
    version, kind = reader.uint8(), reader.uint8()
    if version != VERSION:
        raise BadPacket("stream.version", f"{version}, not {VERSION}")
    if kind not in _HEADS:
        raise BadPacket("stream.kind", f"{kind} is no ILP packet type")
    sequence, amount, count = reader.var_uint(), reader.var_uint(), reader.var_uint()
    if count > MAX_FRAMES:
        raise BadPacket("stream.frames", f"{count} frames, of at most {MAX_FRAMES}")
    frames = [decode_frame(reader.uint8(), reader.var_octets()) for _ in range(count)]
    return StreamPacket(kind, sequence, amount, tuple(frame for frame in frames if frame is not None))
