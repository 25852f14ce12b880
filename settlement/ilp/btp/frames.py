"""WebSocket frames for messages that are sent whole. Source: RFC 6455, 5.2 and 5.3.

Written here and not by the library, which sends each frame with a system call of its own: so all frames of one turn of
the loop leave together.
"""

from __future__ import annotations

import os
import struct
from typing import Final

_BINARY: Final = 0x82
"""FIN, and the opcode of a binary message."""
_MASKED: Final = 0x80
_KEYS_BYTES: Final = 4096
_UINT16 = struct.Struct(">BBH")
_UINT64 = struct.Struct(">BBQ")


def frame_header(length: int, mask_bit: int = 0) -> bytes:
    """The header of a binary message of `length` bytes, without a masking key."""
    if length < 126:
        return bytes((_BINARY, mask_bit | length))
    if length < 65_536:
        return _UINT16.pack(_BINARY, mask_bit | 126, length)
    return _UINT64.pack(_BINARY, mask_bit | 127, length)


class Masker:
    """Frames of a client, each masked with a fresh random key, as RFC 6455 asks of clients."""

    __slots__ = ("_keys", "_used")

    def __init__(self) -> None:
        self._keys = b""
        self._used = 0

    def frame(self, message: bytes) -> bytes:
        """The masked frame of one binary message."""
        if self._used >= len(self._keys):
            self._keys, self._used = os.urandom(_KEYS_BYTES), 0
        key = self._keys[self._used : self._used + 4]
        self._used += 4
        length = len(message)
        pad = (key * (length // 4 + 1))[:length]
        masked = int.from_bytes(message, "little") ^ int.from_bytes(pad, "little")
        return frame_header(length, _MASKED) + key + masked.to_bytes(length, "little")
