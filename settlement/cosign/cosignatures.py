"""Signatures of several parties in 96 bytes: parts, their sum on one text, and sums over several texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec
from chia_rs import AugSchemeMPL, G1Element, G2Element
from msgspec import Meta

from foundation.unreadable import UNREADABLE
from settlement.cosign.errors import BadSignature, MalformedSignature, MissingSigners, UnknownSigner
from settlement.cosign.points import signature_of, signature_point
from settlement.cosign.statements import KeyId, Statement, key_id
from settlement.quantities import PartyId

SIGNATURE_BYTES: Final = 96
GENERATOR: Final = G1Element.generator()

_SignatureBytes = Annotated[bytes, Meta(min_length=96, max_length=96)]
_KeyIdBytes = Annotated[KeyId, Meta(min_length=16, max_length=16)]
_PartyText = Annotated[PartyId, Meta(pattern="^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\\Z")]
_Message = TypeVar("_Message")


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Who signed, with which of its keys."""

    party: _PartyText
    key_id: _KeyIdBytes


@dataclass(frozen=True, slots=True)
class Partial:
    """One party's part of a signature on a statement.

    Fields: party; key_id (16 bytes); signature (96 bytes, a compressed point of G2).
    """

    party: _PartyText
    key_id: _KeyIdBytes
    signature: _SignatureBytes


@dataclass(frozen=True, slots=True)
class CoSignature:
    """One signature by all of a circle on one statement.

    Fields: signers (in the order of their names, each once); signature (96 bytes, the sum of the parts).
    """

    signers: Annotated[tuple[SignedBy, ...], Meta(min_length=1, max_length=64)]
    signature: _SignatureBytes

    @property
    def parties(self) -> tuple[PartyId, ...]:
        """Who signed."""
        return tuple(signer.party for signer in self.signers)

    def encode(self) -> bytes:
        """MessagePack, for the wire and for storage."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> CoSignature:
        """The signature from `encode`'s bytes; nothing is verified.

        Raises:
            MalformedSignature: they are none.
        """
        return decode(raw, cls)


def decode(raw: bytes, form: type[_Message]) -> _Message:
    """A `Partial`, `CoSignature` or `Possession` from MessagePack; nothing is verified.

    Raises:
        MalformedSignature: the bytes are none of this form.
    """
    try:
        return msgspec.msgpack.decode(raw, type=form)
    except UNREADABLE as error:
        raise MalformedSignature("signature", str(error)) from error


def assemble(statement: Statement, parts: Sequence[Partial]) -> CoSignature:
    """The parts of all of the statement's circle, summed up and verified once. More parts of one party do no harm.

    Raises:
        MissingSigners, UnknownSigner, MalformedSignature: as `join` says.
        BadSignature: names who sent a bad part.
    """
    signature = join(statement, parts)
    if not _verifies(statement, signature_point(signature.signature)):
        last = {part.party: part for part in parts}
        raise BadSignature([party for party in signature.parties if not part_verifies(statement, last[party])])
    return signature


def join(statement: Statement, parts: Sequence[Partial]) -> CoSignature:
    """The parts of all of the statement's circle, summed up, not verified: they were before, or a batch will be.

    Raises:
        MissingSigners: not all parts are there; names whose are not.
        UnknownSigner: a part is by somebody outside of the circle, or by another key.
        MalformedSignature: a part is no point.
    """
    by_party: dict[PartyId, Partial] = {}
    for part in parts:
        member = statement.circle.member(part.party)
        if member is None or key_id(member.key) != part.key_id:
            raise UnknownSigner(part.party, part.key_id)
        by_party[part.party] = part
    missing = [party for party in statement.circle.parties if party not in by_party]
    if missing:
        raise MissingSigners(missing)
    points = [signature_point(by_party[party].signature) for party in statement.circle.parties]
    signers = tuple(SignedBy(member.party, key_id(member.key)) for member in statement.circle.members)
    return CoSignature(signers, signature_of(AugSchemeMPL.aggregate(points)))


def part_verifies(statement: Statement, part: Partial) -> bool:
    """Whether one party's part is good: e(key, H(message)) = e(G, signature). Slower than verifying the sum.

    Raises:
        UnknownSigner: it is by nobody of the circle.
        MalformedSignature: it is no point.
    """
    member = statement.circle.member(part.party)
    if member is None or key_id(member.key) != part.key_id:
        raise UnknownSigner(part.party, part.key_id)
    hashed = AugSchemeMPL.g2_from_message(statement.message)
    return member.point.pair(hashed) == GENERATOR.pair(signature_point(part.signature))


def verify(statement: Statement, signature: CoSignature) -> None:
    """Verify that all of the statement's circle signed it: two pairings, however many they are.

    Raises:
        MissingSigners: the signature does not name all of the circle; names who is missing.
        UnknownSigner: it names others, or other keys.
        BadSignature: it does not verify.
        MalformedSignature: it is no point.
    """
    check_signers(statement, signature)
    if not _verifies(statement, signature_point(signature.signature)):
        raise BadSignature(signature.parties)


def check_signers(statement: Statement, signature: CoSignature) -> None:
    """Check, without the curve, that the signature names the statement's circle: all of it and nobody else.

    Raises:
        MissingSigners, UnknownSigner: as `verify` says.
    """
    members = {member.party: key_id(member.key) for member in statement.circle.members}
    named = {signer.party: signer.key_id for signer in signature.signers}
    missing = [party for party in statement.circle.parties if party not in named]
    if missing:
        raise MissingSigners(missing)
    for signer in signature.signers:
        if members.get(signer.party) != signer.key_id:
            raise UnknownSigner(signer.party, signer.key_id)
    if len(named) != len(signature.signers):
        raise MalformedSignature("signers", "a party is named twice", "name each once")


def bundle(signatures: Sequence[CoSignature]) -> bytes:
    """One signature, 96 bytes, in place of several on different statements: the sum. Verify it by `verify_bundle`.

    Raises:
        MalformedSignature: there are none, or one is no point.
    """
    if not signatures:
        raise MalformedSignature("signatures", "there are none", "bundle at least one")
    return bytes(AugSchemeMPL.aggregate([signature_point(one.signature) for one in signatures]))


def verify_bundle(statements: Sequence[Statement], signature: bytes) -> None:
    """Verify that each statement was signed by all of its circle: one verification of n + 1 pairings.

    It says that all were signed; it says nothing about the single signatures that were summed up.

    Raises:
        BadSignature: not all were, or there are no statements; names all who should have signed.
        MalformedSignature: the signature is no point.
    """
    point = signature_point(signature)
    sums = [statement.circle.sum for statement in statements]
    digests = [statement.digest for statement in statements]
    if not statements or not AugSchemeMPL.aggregate_verify(sums, digests, point):
        raise BadSignature(sorted({party for statement in statements for party in statement.circle.parties}))


def _verifies(statement: Statement, point: G2Element) -> bool:
    return AugSchemeMPL.verify(statement.circle.sum, statement.digest, point)
