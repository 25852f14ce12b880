"""RLP, by which an EVM chain writes what it hashes. Source: the Ethereum yellow paper, appendix B.

Of our own, because a follower that catches up encodes 100,000 headers: the `rlp` package, to which a test compares
this, takes four times as long, as it first looks for the type of each field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

Item: TypeAlias = "bytes | Sequence[Item]"
"""Bytes, or a list of items."""

_BYTES: Final = 0x80
_LIST: Final = 0xC0
_SHORT: Final = 56
"""What is shorter has its length in the first byte."""


def encode(item: Item) -> bytes:
    """The RLP of an item."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < _BYTES:
            return item
        return _prefix(_BYTES, len(item)) + item
    content = b"".join([encode(part) for part in item])
    return _prefix(_LIST, len(content)) + content


def scalar(number: int) -> bytes:
    """A number as RLP writes it: big-endian, without leading zeros, so that 0 is empty."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _prefix(kind: int, length: int) -> bytes:
    if length < _SHORT:
        return bytes([kind + length])
    size = scalar(length)
    return bytes([kind + _SHORT - 1 + len(size)]) + size
