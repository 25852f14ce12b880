"""The packet of a custodial payment, and the preimage that both banks can derive from it.

Source: seeds/002…, steps 3, 6 and 9; RFC 27 for the packet. What is private in the packet is encrypted for the payee
under the shared secret of step 1. The preimage is a keyed hash of the agreement: the terms and both signed acceptances.
So the condition of both holds commits to what was agreed, and nobody but the two banks can compute the preimage.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, NewType

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta, Struct

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.custody.terms import Bytes32, PaymentId, Terms, terms_hash
from settlement.ilp.addresses import Address
from settlement.ilp.packets import MAX_PACKET_BYTES, Prepare, decode_prepare, encode
from settlement.quantities import Condition, Preimage, Units, condition_of

SharedSecret = NewType("SharedSecret", bytes)
"""32 bytes that payer and payee alone know; drawn by the payee for one payment. Never logged."""

_VERSION = 1
_NONCE_BYTES = 12


class Memo(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a hold carries beside the money.

    Fields: version; payment_id; quote_id; terms (terms_hash) and agreement (agreement_hash), 32 bytes each, opaque to
    the clearing bank; packet (an encoded ILP Prepare); co_signature (both banks' signatures on the instruction, as
    `cosign` encodes them; the clearing bank holds nothing without them).
    """

    version: int
    payment_id: Bytes32
    quote_id: Bytes32
    terms: Bytes32
    agreement: Bytes32
    packet: Annotated[bytes, Meta(max_length=MAX_PACKET_BYTES)]
    co_signature: Annotated[bytes, Meta(max_length=4096)]


class Private(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What only the payee reads of the packet. Fields: payment_id; agreement (agreement_hash, 32 bytes); amount."""

    payment_id: Bytes32
    agreement: Bytes32
    amount: int


def preimage_of(secret: SharedSecret, payment: PaymentId, agreement: bytes) -> Preimage:
    """The 32 bytes that release both holds; whoever has them may claim, so they stay with the banks until then."""
    return Preimage(hmac.digest(_key(secret, payment, b"preimage"), agreement, hashlib.sha256))


def condition_for(secret: SharedSecret, payment: PaymentId, agreement: bytes) -> Condition:
    """The condition of both holds."""
    return condition_of(preimage_of(secret, payment, agreement))


def build_packet(terms: Terms, agreement: bytes, secret: SharedSecret) -> bytes:
    """The ILP Prepare that travels with the source's hold; deterministic, so that a repeat is the same.

    It names the source's amount and time-out; the clearing bank sets the target's when it forwards it (RFC 27).
    """
    payment = PaymentId(terms.payment_id)
    private = msgspec.msgpack.encode(Private(terms.payment_id, agreement, terms.quote.target.amount))
    # A nonce out of the text: a repeat is the same packet, and two texts never share one under the payment's key.
    nonce = hmac.digest(_key(secret, payment, b"nonce"), private, hashlib.sha256)[:_NONCE_BYTES]
    data = nonce + AESGCM(_key(secret, payment, b"packet")).encrypt(nonce, private, terms.payment_id)
    return encode(
        Prepare(
            amount=Units(terms.quote.source.amount),
            expires_at=UnixMs(terms.quote.source.expires_at),
            condition=condition_for(secret, payment, agreement),
            destination=Address(terms.address),
            data=data,
        )
    )


def open_packet(packet: bytes, payment: PaymentId, secret: SharedSecret) -> tuple[Prepare, Private]:
    """The packet and what is private in it.

    Raises:
        BadInput: no ILP Prepare, or not encrypted under this payment's secret.
    """
    prepare = decode_prepare(packet)
    try:
        nonce, sealed = prepare.data[:_NONCE_BYTES], prepare.data[_NONCE_BYTES:]
        plain = AESGCM(_key(secret, payment, b"packet")).decrypt(nonce, sealed, payment)
        private = msgspec.msgpack.decode(plain, type=Private)
    except (InvalidTag, ValueError, *UNREADABLE) as error:
        raise BadInput(
            "packet.data", "not encrypted for this payment", "the payer uses the payee's shared secret"
        ) from error
    return prepare, private


def encode_memo(memo: Memo) -> bytes:
    """The bytes that a hold carries."""
    return msgspec.msgpack.encode(memo)


def decode_memo(raw: bytes) -> Memo:
    """What a hold carries.

    Raises:
        BadInput: no memo of this version.
    """
    try:
        memo = msgspec.msgpack.decode(raw, type=Memo)
    except UNREADABLE as error:
        raise BadInput("memo", str(error), "holds of custodial payments carry a memo") from error
    if memo.version != _VERSION:
        raise BadInput("memo.version", f"{memo.version} is not {_VERSION}", "use the same release on both sides")
    return memo


def memo_for(terms: Terms, agreement: bytes, secret: SharedSecret, co_signature: bytes) -> bytes:
    """The memo of the source's hold."""
    packet = build_packet(terms, agreement, secret)
    return encode_memo(
        Memo(_VERSION, terms.payment_id, terms.quote.quote_id, terms_hash(terms), agreement, packet, co_signature)
    )


def forwarded_memo(memo: Memo, amount: Units, expires_at: UnixMs) -> bytes:
    """The memo of the target's hold: the same packet with the next hop's amount and time-out (RFC 27, forwarding)."""
    incoming = decode_prepare(memo.packet)
    outgoing = Prepare(amount, expires_at, incoming.condition, incoming.destination, incoming.data)
    return encode_memo(msgspec.structs.replace(memo, packet=encode(outgoing)))


def _key(secret: SharedSecret, payment: PaymentId, use: bytes) -> bytes:
    """32 bytes for one use in one payment (HMAC as in RFC 5869's expansion, one block)."""
    return hmac.digest(secret, b"causeway/custody/1/" + use + b"/" + payment, hashlib.sha256)
