"""The third entry: receipts that all three parties signed, each chained to the one before.

Source: seeds/002…, "Triple-entry bookkeeping"; Grigg, "Triple Entry Accounting" (2005): the receipt is the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.cosign.cosignatures import CoSignature
from settlement.custody.terms import Bytes32, Quote, receipt_hash
from settlement.quantities import tagged_hash

RECEIPT_BYTES_MAX: Final = 8_192


class Receipt(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """That a payment was carried out, and how: the same bytes at all three parties.

    Fields: payment_id; quote; terms, agreement (hashes, 32 bytes each); preimage (32 bytes: hashes to the condition of
    both holds); signature (by payer, clearing bank and payee, on `receipt_hash`).
    """

    payment_id: Bytes32
    quote: Quote
    terms: Bytes32
    agreement: Bytes32
    preimage: Bytes32
    signature: CoSignature

    @property
    def text(self) -> bytes:
        """32 bytes: what all three signed."""
        return receipt_hash(self.payment_id, self.quote, self.terms, self.agreement, self.preimage)

    @property
    def digest(self) -> bytes:
        """32 bytes over all of it, the signature too."""
        return tagged_hash("books/receipt", encode_receipt(self))


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt in a party's chain. Fields: sequence (from 1); receipt; at; digest, link (32 bytes each)."""

    sequence: int
    receipt: Receipt
    at: UnixMs
    digest: bytes
    link: bytes


def receipt_link(previous: bytes, sequence: int, digest: bytes) -> bytes:
    """32 bytes that change if any receipt of a party up to this one is changed, left out or put elsewhere.

    Args:
        previous: the link before; 32 zero bytes for the first.
        sequence: from 1.
        digest: the receipt's.
    """
    return tagged_hash("books/link", previous, sequence.to_bytes(8, "big"), digest)


def encode_receipt(receipt: Receipt) -> bytes:
    """MessagePack, for storage."""
    return msgspec.msgpack.encode(receipt)


def decode_receipt(raw: Annotated[bytes, Meta(max_length=RECEIPT_BYTES_MAX)]) -> Receipt:
    """The receipt from `encode_receipt`'s bytes; nothing is verified.

    Raises:
        BadInput: they are none.
    """
    try:
        return msgspec.msgpack.decode(raw, type=Receipt)
    except UNREADABLE as error:
        raise BadInput("receipt", str(error), "32 bytes for each hash, and the signature") from error
