"""RLP, by which an EVM chain writes what it hashes. Source: the Ethereum yellow paper, appendix B."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import rlp  # type: ignore[import-untyped]  # it ships no types

Item: TypeAlias = "bytes | int | Sequence[Item]"
"""Bytes, a number, or a list of items."""


def encode(item: Item) -> bytes:
    """The RLP of an item."""
    return bytes(rlp.encode(item))


def scalar(number: int) -> bytes:
    """A number as RLP writes it: big-endian, without leading zeros, so that 0 is empty."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
