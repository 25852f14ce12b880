"""What letters say: the handshake in which terms come about, and what the machines say to each other afterwards."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from foundation.unreadable import UNREADABLE
from settlement.swap.letters.letter import LetterRefused
from settlement.swap.machine.messages import Message
from settlement.swap.terms import TERMS_BYTES

PROBLEM_MAX: Final = 300
_Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Account = Annotated[bytes, Meta(min_length=20, max_length=20)]


class Take(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The taker wants the offer as it stands.

    Fields: letters (X25519 key that answers are sealed to); bitcoin_key (x-only); account (EVM address); and from an
    initiator: condition (32 bytes), point (33 bytes in point mode, else empty), lock_id (32 bytes); else empty.
    """

    letters: _Key
    bitcoin_key: _Key
    account: _Account
    condition: Annotated[bytes, Meta(max_length=32)] = b""
    point: Annotated[bytes, Meta(max_length=33)] = b""
    lock_id: Annotated[bytes, Meta(max_length=32)] = b""


class Accept(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The maker's answer: whole terms in their canonical encoding, and its signature over their hash (64 bytes)."""

    terms: Annotated[bytes, Meta(min_length=TERMS_BYTES, max_length=TERMS_BYTES)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Refuse(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The maker's other answer, in words for a person."""

    problem: Annotated[str, Meta(max_length=PROBLEM_MAX)]


class TermsSigned(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Either's signature (BIP-340, 64 bytes) over the swap's id, by its identity."""

    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Say(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """One machine to the other."""

    message: Message


Body: TypeAlias = Take | Accept | Refuse | TermsSigned | Say

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Body)


def encode_body(body: Body) -> bytes:
    """As a letter's body."""
    return _encode(body)


def decode_body(data: bytes) -> Body:
    """The inverse of `encode_body`. Raises `LetterRefused`: it is none."""
    try:
        body: Body = _decoder.decode(data)
    except UNREADABLE as error:
        raise LetterRefused("what it says cannot be read") from error
    return body
