"""The octet encoding rules that Interledger's protocols use. Source: RFC 30 (draft 3).

Written canonically, and read so: a length with leading zeros, or in more bytes than it needs, is refused, so that there
is one way only to write a packet.
"""

from __future__ import annotations

import struct
from typing import Final

from settlement.ilp.errors import BadPacket

UINT64_MAX: Final = 2**64 - 1
_SHORT: Final = 0x80
_LENGTHS: Final = tuple(bytes([length]) for length in range(_SHORT))
_UINT16 = struct.Struct(">H")
_UINT32 = struct.Struct(">I")
_UINT64 = struct.Struct(">Q")
_VAR_UINTS: Final = tuple(bytes([1, number]) for number in range(256))


def length_prefix(length: int) -> bytes:
    """The length determinant: one byte below 128, else the number of bytes and the length in them."""
    if length < _SHORT:
        return _LENGTHS[length]
    size = (length.bit_length() + 7) // 8
    return bytes([_SHORT | size]) + length.to_bytes(size, "big")


def var_octets(content: bytes) -> bytes:
    """A variable-length octet string: its length and its bytes."""
    return length_prefix(len(content)) + content


def var_uint(number: int) -> bytes:
    """A variable-length unsigned integer: as few bytes as hold it, one for zero."""
    if number < 256:
        return _VAR_UINTS[number]
    size = (number.bit_length() + 7) // 8
    return length_prefix(size) + number.to_bytes(size, "big")


def uint8(number: int) -> bytes:
    """One byte."""
    return number.to_bytes(1, "big")


def uint16(number: int) -> bytes:
    """Two bytes, big-endian."""
    return _UINT16.pack(number)


def uint32(number: int) -> bytes:
    """Four bytes, big-endian."""
    return _UINT32.pack(number)


def uint64(number: int) -> bytes:
    """Eight bytes, big-endian."""
    return _UINT64.pack(number)


def read_length(raw: bytes | memoryview, position: int) -> tuple[int, int]:
    """The length determinant at `position`: (length, position after it).

    Raises:
        BadPacket: it is cut off, not canonical, or longer than 8 bytes.
    """
    if position >= len(raw):
        raise BadPacket("length", "the packet ends before it")
    first = raw[position]
    position += 1
    if first < _SHORT:
        return first, position
    size = first & 0x7F
    end = position + size
    if not 1 <= size <= 8 or end > len(raw):
        raise BadPacket("length", f"cannot lie in {size} bytes here")
    length = int.from_bytes(raw[position:end], "big")
    if raw[position] == 0 or length < _SHORT:
        raise BadPacket("length", f"{length} is written in more bytes than it needs")
    return length, end


class Reader:
    """Reads fields one after the other, never past the end. Every method raises `BadPacket` where too little is left.

    Fields: position (bytes read so far).
    """

    __slots__ = ("_end", "_raw", "position")

    def __init__(self, raw: bytes | memoryview, position: int = 0) -> None:
        self._raw = raw
        self._end = len(raw)
        self.position = position

    @property
    def remaining(self) -> int:
        """Bytes that are not read yet."""
        return self._end - self.position

    def octets(self, length: int) -> bytes:
        """The next `length` bytes."""
        start = self.position
        end = start + length
        if end > self._end:
            raise BadPacket("octets", f"{length} bytes are announced, {self._end - start} are there")
        self.position = end
        return bytes(self._raw[start:end])

    def uint8(self) -> int:
        """One byte."""
        position = self.position
        if position >= self._end:
            raise BadPacket("uint8", "the packet ends before it")
        self.position = position + 1
        return self._raw[position]

    def uint16(self) -> int:
        """Two bytes, big-endian."""
        return int.from_bytes(self.octets(2), "big")

    def uint32(self) -> int:
        """Four bytes, big-endian."""
        return int.from_bytes(self.octets(4), "big")

    def uint64(self) -> int:
        """Eight bytes, big-endian."""
        return int.from_bytes(self.octets(8), "big")

    def var_octets(self) -> bytes:
        """A variable-length octet string."""
        length, self.position = read_length(self._raw, self.position)
        return self.octets(length)

    def var_uint(self) -> int:
        """A variable-length unsigned integer of 64 bits at most."""
        number = self.big_var_uint()
        if number > UINT64_MAX:
            raise BadPacket("var_uint", "above 2^64−1")
        return number

    def saturating_var_uint(self) -> int:
        """The same, but what is above 2^64−1 reads as 2^64−1 (RFC 29, 5.1.4)."""
        return min(self.big_var_uint(), UINT64_MAX)

    def big_var_uint(self) -> int:
        """A variable-length unsigned integer of any size."""
        content = self.var_octets()
        if not content or (content[0] == 0 and len(content) > 1):
            raise BadPacket("var_uint", "empty, or written with leading zeros")
        return int.from_bytes(content, "big")
