"""What banks say to each other in an exchange, as the texts of notes; and what is disclosed, written and read."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.connect.acceptance import PaymentId, SignedAcceptance
from settlement.connect.errors import MalformedConnect
from settlement.connect.exchange import disclosure_digest
from settlement.connect.exchange_types import Demand, Disclosed
from settlement.connect.ivms101 import DOCUMENT_BYTES_MAX, IdentityPayload, from_json, to_json
from settlement.connect.ivms101_rules import check
from settlement.connect.policy import Datum, PersonKind, kind_of, present, reduced
from settlement.connect.screening import Subject
from settlement.quantities import PartyId

SALT_BYTES: Final = 32


class DemandMessage(Struct, frozen=True, array_like=True, tag="demand", forbid_unknown_fields=True):
    """What the sender requires."""

    terms_hash: Annotated[bytes, Meta(min_length=32, max_length=32)]
    data: Annotated[tuple[Datum, ...], Meta(max_length=16)]

    @property
    def demand(self) -> Demand:
        """As the machine takes it."""
        return Demand(self.terms_hash, frozenset(self.data))


class Disclosure(Struct, frozen=True, array_like=True, tag="disclosure", forbid_unknown_fields=True):
    """What the sender discloses: IVMS 101 as JSON, with 32 random bytes that hide it in the digest."""

    salt: Annotated[bytes, Meta(min_length=32, max_length=32)]
    document: Annotated[bytes, Meta(max_length=DOCUMENT_BYTES_MAX)]

    def digest(self, payment: PaymentId, discloser: PartyId) -> bytes:
        """32 bytes that commit to it."""
        return disclosure_digest(payment, discloser, self.salt, self.document)

    def __repr__(self) -> str:
        return "Disclosure(hidden)"


class AcceptanceMessage(Struct, frozen=True, array_like=True, tag="acceptance", forbid_unknown_fields=True):
    """The sender's signed acceptance."""

    signed: SignedAcceptance


class RefusalMessage(Struct, frozen=True, array_like=True, tag="refusal", forbid_unknown_fields=True):
    """The sender does not take part. Why, it does not say."""


Message: TypeAlias = DemandMessage | Disclosure | AcceptanceMessage | RefusalMessage


def encode(message: Message) -> bytes:
    """The text of a note."""
    return msgspec.msgpack.encode(message)


def decode(text: bytes) -> Message:
    """The message that a note holds.

    Raises:
        MalformedConnect: it is none; nothing of it is quoted.
    """
    try:
        message: Message = msgspec.msgpack.decode(text, type=Message)
    except UNREADABLE:
        raise MalformedConnect("message", "it is none of an exchange", "") from None
    return message


def demand_message(demand: Demand) -> DemandMessage:
    """A demand as it is sent; the same each time."""
    return DemandMessage(demand.terms_hash, tuple(sorted(demand.data)))


def write_disclosure(payload: IdentityPayload, subject: Subject, data: frozenset[Datum]) -> Disclosure:
    """What a bank discloses of its customer, whose role is `subject`: of `payload` these kinds of data and no more."""
    document = reduced(payload, subject, data) if data else IdentityPayload()
    return Disclosure(os.urandom(SALT_BYTES), to_json(document))


def read_disclosure(
    disclosure: Disclosure, payment: PaymentId, discloser: PartyId, subject: Subject, now: UnixMs
) -> tuple[Disclosed, IdentityPayload]:
    """What the other bank disclosed of its customer, whose role is `subject`: for the machine, and for screening.

    A payload that is malformed or breaks a constraint is told to the machine as a flaw, and is empty here.
    """
    digest = disclosure.digest(payment, discloser)
    try:
        payload = from_json(disclosure.document)
        check(payload, _day(now))
    except MalformedConnect as error:
        return Disclosed(digest, frozenset(), None, error.field), IdentityPayload()
    return Disclosed(digest, present(payload, subject), _kind(payload, subject)), payload


def _kind(payload: IdentityPayload, subject: Subject) -> PersonKind | None:
    if subject is Subject.ORIGINATOR:
        persons = payload.originator.originator_person if payload.originator else ()
    else:
        persons = payload.beneficiary.beneficiary_person if payload.beneficiary else ()
    return kind_of(persons[0]) if persons else None


def _day(now: UnixMs) -> date:
    return datetime.fromtimestamp(now // 1000, UTC).date()
