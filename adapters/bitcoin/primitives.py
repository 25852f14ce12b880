"""Outpoints, outputs and coins; transaction ids as text; hashes; the compact sizes of bitcoin's wire format."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi

MAX_MONEY = Satoshi(21_000_000 * 100_000_000)
"""No amount may exceed this (consensus rule)."""


@dataclass(frozen=True, slots=True, order=True)
class OutPoint:
    """Names one output of a transaction. Fields: txid (32 bytes, internal byte order); vout (its index)."""

    txid: bytes
    vout: int

    def __post_init__(self) -> None:
        if len(self.txid) != 32 or not 0 <= self.vout <= 0xFFFFFFFF:
            raise BadInput("outpoint", "a txid has 32 bytes and an index 4")

    def serialized(self) -> bytes:
        """36 bytes, as in a transaction."""
        return self.txid + self.vout.to_bytes(4, "little")

    @classmethod
    def parse(cls, data: bytes) -> OutPoint:
        """The inverse of `serialized`. Raises `BadInput` for another length than 36 bytes."""
        if len(data) != 36:
            raise BadInput("outpoint", f"{len(data)} bytes", "36 bytes")
        return cls(data[:32], int.from_bytes(data[32:], "little"))

    def __str__(self) -> str:
        return f"{hash_text(self.txid)}:{self.vout}"


@dataclass(frozen=True, slots=True)
class TxOut:
    """An output of a transaction. Fields: value; script (scriptPubKey)."""

    value: Satoshi
    script: bytes


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output. Fields: outpoint; value; script; height (of its block, None while unconfirmed)."""

    outpoint: OutPoint
    value: Satoshi
    script: bytes
    height: BlockHeight | None = None


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block's place in a chain. Fields: height; hash (32 bytes, internal byte order)."""

    height: BlockHeight
    hash: bytes

    def __str__(self) -> str:
        return f"{self.height:,} ({hash_text(self.hash)})"


def hash_text(digest: bytes) -> str:
    """A txid or block hash as shown to people and spoken in RPC: hex of the reversed bytes."""
    return digest[::-1].hex()


def parse_hash(text: str, field: str = "txid") -> bytes:
    """The 32 bytes in internal order of a txid or block hash in text. Raises `BadInput` naming `field`."""
    try:
        digest = bytes.fromhex(text)
    except ValueError as error:
        raise BadInput(field, "is not hex", "64 hex digits") from error
    if len(digest) != 32 or len(text) != 64:
        raise BadInput(field, f"has {len(text)} characters", "64 hex digits")
    return digest[::-1]


def sha256d(data: bytes) -> bytes:
    """SHA-256 of SHA-256: txids, block hashes, Merkle nodes."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def compact_size(number: int) -> bytes:
    """A length as bitcoin writes it: 1, 3, 5 or 9 bytes."""
    if number < 0xFD:
        return number.to_bytes(1, "little")
    if number <= 0xFFFF:
        return b"\xfd" + number.to_bytes(2, "little")
    if number <= 0xFFFFFFFF:
        return b"\xfe" + number.to_bytes(4, "little")
    return b"\xff" + number.to_bytes(8, "little")


def compact_size_length(number: int) -> int:
    """How many bytes `compact_size` writes."""
    return 1 if number < 0xFD else 3 if number <= 0xFFFF else 5 if number <= 0xFFFFFFFF else 9
