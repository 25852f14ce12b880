"""A letter from one trader to another: sealed to the one, signed by the other, and bound to one swap.

Sealed by HPKE (RFC 9180, base mode: X25519, HKDF-SHA256, AES-256-GCM, a fresh ephemeral key each), so that whoever
keeps mailboxes reads nothing, not even who writes; signed inside by the sender's BIP-340 key over everything, the
recipient's sealing key included, so that nobody can seal it anew for somebody else. Padded, so that its length tells
little. Letters may be lost, repeated, late and out of order: whoever receives them has to bear that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from coincurve import PrivateKey, PublicKeyXOnly
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from msgspec import Meta, Struct

from foundation.errors import BadInput, Fatal
from foundation.unreadable import UNREADABLE
from settlement.quantities import tagged_hash

BODY_BYTES_MAX: Final = 12_288
SEALED_BYTES_MAX: Final = 16_384
LIFETIME_SECONDS_MAX: Final = 30 * 86_400
SKEW_SECONDS: Final = 7_200
"""How far ahead a sender's clock may be: as far as a miner's."""

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_DOMAIN: Final = b"causeway/swap/letter/1"
_PADDED_TO: Final = 512
_Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Time = Annotated[int, Meta(ge=0, lt=1 << 40)]


class LetterRefused(Fatal):
    """What came is no letter to us that may be read. Fields: reason. Whoever receives it drops it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"a letter is dropped: {reason}")


class Letter(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """What the sender says.

    Fields: subject (32 bytes: the offer's id until terms are agreed, then the swap's); sender, recipient (x-only keys,
    32 bytes); kind (what the body is); body; sent_at, expires_at (seconds since 1970).
    """

    subject: _Key
    sender: _Key
    recipient: _Key
    kind: Annotated[str, Meta(min_length=1, max_length=32)]
    body: Annotated[bytes, Meta(max_length=BODY_BYTES_MAX)]
    sent_at: _Time
    expires_at: _Time


class _Signed(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    letter: bytes
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


@dataclass(frozen=True, slots=True)
class Reader:
    """Who opens letters. It does not show itself. Fields: identity (x-only key); secret (X25519, 32 bytes)."""

    identity: bytes
    secret: bytes

    @property
    def letters(self) -> bytes:
        """The key that letters to this reader are sealed to, 32 bytes."""
        return X25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw()

    def open(self, sealed: bytes, now: int) -> Letter:
        """The letter in `sealed`, verified to be its sender's. Whether that is the counterparty is for the caller.

        Args:
            sealed: from anybody.
            now: seconds since 1970.

        Raises:
            LetterRefused: not sealed to us, not signed by its sender, not to us, too early or too late.
        """
        if len(sealed) > SEALED_BYTES_MAX:
            raise LetterRefused("it is too long")
        key = X25519PrivateKey.from_private_bytes(self.secret)
        try:
            signed = msgspec.msgpack.decode(_bare(_SUITE.decrypt(sealed, key, _DOMAIN)), type=_Signed)
            letter = msgspec.msgpack.decode(signed.letter, type=Letter)
        except (InvalidTag, ValueError) as error:
            raise LetterRefused("it is not sealed to us") from error
        except UNREADABLE as error:
            raise LetterRefused("it has not the form of one") from error
        if letter.recipient != self.identity:
            raise LetterRefused("it is to somebody else")
        if not _holds(letter.sender, _digest(signed.letter, self.letters), signed.signature):
            raise LetterRefused("its sender did not sign it")
        if letter.sent_at > now + SKEW_SECONDS:
            raise LetterRefused("it comes from the future")
        if not now < letter.expires_at <= letter.sent_at + LIFETIME_SECONDS_MAX:
            raise LetterRefused("it has expired")
        return letter

    def __repr__(self) -> str:
        return f"Reader({self.identity.hex()[:8]}, hidden)"


def seal(letter: Letter, letters_key: bytes, secret: bytes) -> bytes:
    """A letter as it travels, at most `SEALED_BYTES_MAX` bytes.

    Args:
        letter: what is said.
        letters_key: the recipient's X25519 key, 32 bytes.
        secret: of the sender's identity, 32 bytes.

    Raises:
        BadInput: the secret is another's, the key is none, or the letter's fields do not fit.
    """
    if PublicKeyXOnly.from_secret(secret).format() != letter.sender:
        raise BadInput("secret", "is not the sender's", "the key that the letter names")
    if len(letter.body) > BODY_BYTES_MAX:
        raise BadInput("body", f"has {len(letter.body):,} bytes", f"at most {BODY_BYTES_MAX:,}")
    if not 0 < letter.expires_at - letter.sent_at <= LIFETIME_SECONDS_MAX:
        raise BadInput("expires_at", "is not after sent_at, or too late", f"within {LIFETIME_SECONDS_MAX:,} seconds")
    encoded = msgspec.msgpack.encode(letter)
    signature = PrivateKey(secret).sign_schnorr(_digest(encoded, letters_key))
    padded = _padded(msgspec.msgpack.encode(_Signed(encoded, signature)))
    try:
        return bytes(_SUITE.encrypt(padded, X25519PublicKey.from_public_bytes(letters_key), _DOMAIN))
    except ValueError as error:
        raise BadInput("letters_key", "is no X25519 key to seal to", "32 bytes") from error


def _padded(text: bytes) -> bytes:
    framed = len(text).to_bytes(4, "big") + text
    return framed + bytes(-len(framed) % _PADDED_TO)


def _bare(padded: bytes) -> bytes:
    return padded[4 : 4 + int.from_bytes(padded[:4], "big")]


def _digest(encoded: bytes, letters_key: bytes) -> bytes:
    return tagged_hash("swap/letter", letters_key, encoded)


def _holds(key: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        return bool(PublicKeyXOnly(key).verify(signature, digest))
    except ValueError:
        return False
