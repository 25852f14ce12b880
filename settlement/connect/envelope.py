"""Encrypted, authenticated messages between two parties.

A *letter* is sealed by HPKE (RFC 9180, base mode: X25519, HKDF-SHA256, AES-256-GCM, a fresh ephemeral key each) to the
recipient's key and signed by the sender's Ed25519 key. A *note* is sealed under the secret that the two share for one
payment (see `handshake`); only they have it, so it needs no signature, and costs a fiftieth.

The header is bound to the sealed text: sender, recipient, payment, message id and times cannot be changed, and a letter
cannot be signed anew by somebody else, because its key depends on the sender's name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.connect.acceptance import SKEW_MS, PaymentId
from settlement.connect.envelope_keys import EnvelopeKeys, EnvelopeSecrets
from settlement.connect.errors import Doubt, EnvelopeRefused, MalformedConnect
from settlement.quantities import PartyId, tagged_hash

SECRET_BYTES: Final = 32
MESSAGE_ID_BYTES: Final = 16
LIFETIME_MS_MAX: Final = 24 * 3600 * 1000
TEXT_BYTES_MAX: Final = 1 << 20

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_DOMAIN: Final = b"causeway/connect/envelope/1/"
_VERSION: Final = 1
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Form(StrEnum):
    """How a message is sealed."""

    LETTER = "letter"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """32 bytes that two parties share for one payment. It does not show itself."""

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Raises BadInput where there are not 32 bytes."""
        if len(self.value) != SECRET_BYTES:
            raise BadInput("shared_secret", "it has not 32 bytes", "32 secret bytes")

    @classmethod
    def fresh(cls) -> SharedSecret:
        """A new one from the operating system's randomness."""
        return cls(os.urandom(SECRET_BYTES))


@dataclass(frozen=True, slots=True)
class Header:
    """What everybody may read of a message.

    Fields: version; form; sender, recipient; payment_id (32 bytes); message_id (16 random bytes, unique for the
    sender); sent_at, expires_at (Unix milliseconds; from `expires_at` on it is not opened any more).
    """

    version: Annotated[int, Meta(ge=1, le=1)]
    form: Form
    sender: PartyId
    recipient: PartyId
    payment_id: Annotated[PaymentId, Meta(min_length=32, max_length=32)]
    message_id: Annotated[bytes, Meta(min_length=16, max_length=16)]
    sent_at: Annotated[UnixMs, Meta(ge=0, le=2**53)]
    expires_at: Annotated[UnixMs, Meta(ge=0, le=2**53)]

    @property
    def bound(self) -> bytes:
        """What the sealed text depends on."""
        return _DOMAIN + msgspec.msgpack.encode(self)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A sealed message. Fields: header; sealed (bytes); signature (64 bytes on a letter, empty on a note)."""

    header: Header
    sealed: Annotated[bytes, Meta(max_length=TEXT_BYTES_MAX + 128)]
    signature: Annotated[bytes, Meta(max_length=64)]

    def encode(self) -> bytes:
        """MessagePack, for the wire."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> Envelope:
        """From `encode`'s bytes; nothing is verified.

        Raises:
            MalformedConnect: they are none.
        """
        try:
            return msgspec.msgpack.decode(raw, type=cls)
        except UNREADABLE as error:
            raise MalformedConnect("envelope", "it has not the form of one") from error


def write_header(
    form: Form, sender: PartyId, recipient: PartyId, payment: PaymentId, sent_at: UnixMs, expires_at: UnixMs
) -> Header:
    """A header with a message id of its own.

    Raises:
        BadInput: it would live for more than a day, or not at all.
    """
    if not 0 < expires_at - sent_at <= LIFETIME_MS_MAX:
        raise BadInput("expires_at", "not within a day after sent_at", "give a message minutes")
    return Header(_VERSION, form, sender, recipient, payment, os.urandom(MESSAGE_ID_BYTES), sent_at, expires_at)


def seal_letter(secrets: EnvelopeSecrets, seal_key: bytes, header: Header, text: bytes) -> Envelope:
    """A letter, sealed to `seal_key` (X25519, 32 bytes): the recipient's, or the one it gave for the answer.

    Raises:
        BadInput: the header is not this sender's, the text is too long, or the key is none.
    """
    _check_outgoing(header, Form.LETTER, secrets.party, text)
    try:
        sealed = _SUITE.encrypt(text, X25519PublicKey.from_public_bytes(seal_key), header.bound)
    except ValueError as error:
        raise BadInput("seal_key", "it is no X25519 key to seal to", "32 bytes") from error
    return Envelope(header, sealed, secrets.signing.sign(_signed_text(header, seal_key, sealed)))


def open_letter(
    opening: X25519PrivateKey, recipient: PartyId, sender: EnvelopeKeys, envelope: Envelope, now: UnixMs
) -> bytes:
    """The text of a letter from `sender` to `recipient`, who opens it with the secret of the key it was sealed to.

    Raises:
        EnvelopeRefused: says why; a letter that is not authentic is not told from one for another key.
    """
    _check_incoming(envelope, Form.LETTER, sender.party, recipient, now)
    if not sender.is_valid(now):
        raise EnvelopeRefused(sender.party, Doubt.SENDER)
    seal_key = opening.public_key().public_bytes_raw()
    try:
        sender.verifying().verify(envelope.signature, _signed_text(envelope.header, seal_key, envelope.sealed))
        return _SUITE.decrypt(envelope.sealed, opening, envelope.header.bound)
    except (InvalidSignature, InvalidTag, ValueError) as error:
        raise EnvelopeRefused(sender.party, Doubt.AUTHENTICITY) from error


def seal_note(secret: SharedSecret, header: Header, text: bytes) -> Envelope:
    """A note under the secret of one payment.

    Raises:
        BadInput: the header is of a letter, or the text is too long.
    """
    _check_outgoing(header, Form.NOTE, header.sender, text)
    key, nonce = _note_key(secret, header)
    return Envelope(header, AESGCM(key).encrypt(nonce, text, header.bound), b"")


def open_note(
    secret: SharedSecret, payment: PaymentId, sender: PartyId, recipient: PartyId, envelope: Envelope, now: UnixMs
) -> bytes:
    """The text of a note from `sender` to `recipient` on this payment, whose secret is given.

    Raises:
        EnvelopeRefused: says why.
    """
    _check_incoming(envelope, Form.NOTE, sender, recipient, now)
    if envelope.header.payment_id != payment:
        raise EnvelopeRefused(sender, Doubt.CONTEXT)
    key, nonce = _note_key(secret, envelope.header)
    try:
        return AESGCM(key).decrypt(nonce, envelope.sealed, envelope.header.bound)
    except InvalidTag as error:
        raise EnvelopeRefused(sender, Doubt.AUTHENTICITY) from error


class ReplayGuard:
    """Remembers which messages came, until they expire. What comes again after a restart meets idempotent receivers."""

    def __init__(self) -> None:
        self._seen: dict[tuple[PartyId, bytes], UnixMs] = {}
        self._sweep_at = 0

    def admit(self, header: Header, now: UnixMs) -> None:
        """Take a message, once; call it after the message was opened, so that strangers cannot fill the memory.

        Raises:
            EnvelopeRefused: it came before.
        """
        if now >= self._sweep_at:
            self._seen = {place: ends for place, ends in self._seen.items() if ends > now}
            self._sweep_at = now + LIFETIME_MS_MAX // 1000
        place = (header.sender, header.message_id)
        if place in self._seen:
            raise EnvelopeRefused(header.sender, Doubt.REPLAYED)
        self._seen[place] = header.expires_at


def _note_key(secret: SharedSecret, header: Header) -> tuple[bytes, bytes]:
    """A key for this one message: its id is random, so no key and nonce serve twice."""
    derived = HKDF(SHA256(), _KEY_BYTES + _NONCE_BYTES, header.message_id, header.bound).derive(secret.value)
    return derived[:_KEY_BYTES], derived[_KEY_BYTES:]


def _signed_text(header: Header, seal_key: bytes, sealed: bytes) -> bytes:
    return tagged_hash("connect/letter", header.bound, seal_key, sealed)


def _check_outgoing(header: Header, form: Form, sender: PartyId, text: bytes) -> None:
    if header.form is not form or header.sender != sender:
        raise BadInput("header", f"it is no {form} of {sender}", "write one by `write_header`")
    if len(text) > TEXT_BYTES_MAX:
        raise BadInput("text", f"{len(text)} bytes", f"at most {TEXT_BYTES_MAX}")


def _check_incoming(envelope: Envelope, form: Form, sender: PartyId, recipient: PartyId, now: UnixMs) -> None:
    header = envelope.header
    doubts = (
        (header.sender != sender, Doubt.SENDER),
        (header.recipient != recipient, Doubt.RECIPIENT),
        (header.form is not form, Doubt.AUTHENTICITY),
        (not 0 < header.expires_at - header.sent_at <= LIFETIME_MS_MAX, Doubt.LIFETIME),
        (header.sent_at > now + SKEW_MS, Doubt.EARLY),
        (now >= header.expires_at, Doubt.EXPIRED),
    )
    for holds, doubt in doubts:
        if holds:
            raise EnvelopeRefused(header.sender, doubt)
