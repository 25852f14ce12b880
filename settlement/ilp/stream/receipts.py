"""STREAM receipts: what a stream received, proved to a verifier who shares a secret with the receiver. Source: RFC 39.

The sender carries them and cannot make or alter one: it does not know the secret.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from typing import Final

from foundation.errors import BadInput
from settlement.quantities import MAX_UNITS, Units

NONCE_BYTES: Final = 16
SECRET_BYTES: Final = 32
RECEIPT_BYTES: Final = 58
MAX_STREAM_ID: Final = 255
"""A receipt names its stream in one byte: streams above it get none."""

_VERSION: Final = 1
_BODY = struct.Struct(">B16sBQ")


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """What verifier and receiver share for one connection. Fields: nonce (16 bytes, unique); secret (32 bytes).

    Raises:
        BadInput: either has another length.
    """

    nonce: bytes
    secret: bytes

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_BYTES:
            raise BadInput("receipt_nonce", f"{len(self.nonce)} bytes, not {NONCE_BYTES}")
        if len(self.secret) != SECRET_BYTES:
            raise BadInput("receipt_secret", f"{len(self.secret)} bytes, not {SECRET_BYTES}")

    def __repr__(self) -> str:
        return f"ReceiptKey(nonce={self.nonce.hex()})"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receiver certifies. Fields: nonce (16 bytes); stream_id (0 to 255); total_received (its base units)."""

    nonce: bytes
    stream_id: int
    total_received: Units


def make_receipt(key: ReceiptKey, stream_id: int, total_received: int) -> bytes:
    """The receipt, 58 bytes, of all that a stream received so far.

    Raises:
        BadInput: the stream's id does not fit one byte, or the total not eight.
    """
    if not 0 <= stream_id <= MAX_STREAM_ID:
        raise BadInput("stream_id", f"{stream_id} does not fit a receipt")
    if not 0 <= total_received <= MAX_UNITS:
        raise BadInput("total_received", f"{total_received} is not between 0 and 2^64−1")
    body = _BODY.pack(_VERSION, key.nonce, stream_id, total_received)
    return body + hmac.digest(key.secret, body, "sha256")


def nonce_of(receipt: bytes) -> bytes:
    """The nonce that a receipt claims, unproved: by it the verifier finds the secret.

    Raises:
        BadInput: not 58 bytes of version 1.
    """
    if len(receipt) != RECEIPT_BYTES or receipt[0] != _VERSION:
        raise BadInput("receipt", "not 58 bytes of version 1")
    return receipt[1:17]


def verify_receipt(key: ReceiptKey, receipt: bytes) -> Receipt:
    """What the receiver who knows the key's secret certified. Newer receipts of a stream replace older ones.

    Raises:
        BadInput: not 58 bytes of version 1, of another connection, or not made with the secret.
    """
    nonce = nonce_of(receipt)
    body, tag = receipt[: _BODY.size], receipt[_BODY.size :]
    if not hmac.compare_digest(hmac.digest(key.secret, body, "sha256"), tag):
        raise BadInput("receipt", "not made by the receiver")
    if not hmac.compare_digest(nonce, key.nonce):
        raise BadInput("receipt", "of another connection")
    _, _, stream_id, total = _BODY.unpack(body)
    return Receipt(nonce, stream_id, Units(total))


def credit(best: int, receipt: Receipt) -> Units:
    """What a verifier that has credited up to `best` adds for this receipt: nothing for an old or a repeated one."""
    return Units(max(0, receipt.total_received - best))
