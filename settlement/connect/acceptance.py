"""A bank's signed word that it accepts one payment: these terms, these data, this counterparty, until this moment.

The acceptances of both banks are part of what the payment's condition commits to (seeds/002…, steps 2 and 3), so none
can be moved to another payment: `payment_id` and `terms_hash` are in the text that is signed, and what is signed is of
a kind of its own (`cosign.Kind.ACCEPTANCE`).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, NewType

import msgspec
from msgspec import Meta

from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.connect.errors import (
    AcceptanceEarly,
    AcceptanceExpired,
    MalformedConnect,
    Mismatch,
    NotCleared,
    OtherAcceptance,
)
from settlement.connect.screening import Verdict, all_cleared
from settlement.cosign.cosignatures import CoSignature, verify
from settlement.cosign.keys import Signer, sign_alone
from settlement.cosign.registry import KeyRegistry
from settlement.cosign.statements import Kind, Statement
from settlement.quantities import PartyId, tagged_hash

PaymentId = NewType("PaymentId", bytes)
"""32 bytes, drawn at random by the payer's bank, unique for ever."""

PAYMENT_ID_BYTES: Final = 32
SKEW_MS: Final = 5_000
"""How far the clocks of two banks may differ, unless the caller says otherwise."""

_Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Payment = Annotated[PaymentId, Meta(min_length=32, max_length=32)]
_Time = Annotated[UnixMs, Meta(ge=0, le=2**53)]
_Name = Annotated[str, Meta(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a bank accepts.

    Fields: payment_id (32 bytes); party (who accepts); counterparty (the other bank); terms_hash (32 bytes: amounts,
    rate, fees, expiries, and whatever else the terms hold); data_digest (32 bytes, salted: the data that both have
    disclosed, see `exchange`); verdicts (its own screening of both persons); policy_version and rule_version (by which
    it decided); accepted_at, valid_until (Unix milliseconds; from `valid_until` on it binds nobody).
    """

    payment_id: _Payment
    party: PartyId
    counterparty: PartyId
    terms_hash: _Bytes32
    data_digest: _Bytes32
    verdicts: Annotated[tuple[Verdict, ...], Meta(max_length=16)]
    policy_version: _Name
    rule_version: _Name
    accepted_at: _Time
    valid_until: _Time

    @property
    def text(self) -> bytes:
        """The canonical bytes that are signed."""
        return msgspec.msgpack.encode(self)

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for this acceptance in the payment's agreement."""
        return tagged_hash("connect/acceptance", self.text)


@dataclass(frozen=True, slots=True)
class SignedAcceptance:
    """An acceptance with the signature of the bank that accepts, alone."""

    acceptance: Acceptance
    signature: CoSignature

    @property
    def digest(self) -> bytes:
        """The acceptance's digest, 32 bytes: it does not cover the signature, of which there is one only."""
        return self.acceptance.digest

    def encode(self) -> bytes:
        """MessagePack, for the wire and for storage."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> SignedAcceptance:
        """From `encode`'s bytes; nothing is verified.

        Raises:
            MalformedConnect: they are none.
        """
        try:
            return msgspec.msgpack.decode(raw, type=cls)
        except UNREADABLE as error:
            raise MalformedConnect("acceptance", "it has not the form of one") from error


@dataclass(frozen=True, slots=True)
class Expected:
    """What an acceptance has to be of, as the one who checks it knows by itself."""

    payment_id: PaymentId
    party: PartyId
    counterparty: PartyId
    terms_hash: bytes
    data_digest: bytes


def sign_acceptance(signer: Signer, acceptance: Acceptance) -> SignedAcceptance:
    """The acceptance with the signature of `signer`, who is its party.

    Raises:
        OtherAcceptance: it is to be another party's.
        NotCleared: a verdict is no pass, or a person was not screened: such a payment is not accepted.
    """
    if signer.party != acceptance.party:
        raise OtherAcceptance(signer.party, Mismatch.PARTY)
    if not all_cleared(acceptance.verdicts):
        raise NotCleared(acceptance.party)
    return SignedAcceptance(acceptance, sign_alone(signer, Kind.ACCEPTANCE, acceptance.text))


def check_acceptance(
    signed: SignedAcceptance, expected: Expected, registry: KeyRegistry, now: UnixMs, skew_ms: int = SKEW_MS
) -> None:
    """Check that `signed` is the acceptance that is expected, in its time, by a key valid both then and now.

    Raises:
        OtherAcceptance: names the field that differs.
        AcceptanceExpired, AcceptanceEarly: it is not in its time.
        NotCleared: it holds a verdict that is no pass.
        UnknownSigner, KeyNotValid, BadSignature, MalformedSignature: as cosign says.
    """
    verify(acceptance_statement(signed, expected, registry, now, skew_ms), signed.signature)


def acceptance_statement(
    signed: SignedAcceptance, expected: Expected, registry: KeyRegistry, now: UnixMs, skew_ms: int = SKEW_MS
) -> Statement:
    """As `check_acceptance`, but for the signature itself: for `verify_batch` and `verify_bundle`."""
    acceptance = signed.acceptance
    _check_content(acceptance, expected)
    if acceptance.accepted_at > now + skew_ms:
        raise AcceptanceEarly(acceptance.party, acceptance.accepted_at, now)
    if now >= acceptance.valid_until:
        raise AcceptanceExpired(acceptance.party, acceptance.valid_until, now)
    if signed.signature.parties != (acceptance.party,):
        raise OtherAcceptance(acceptance.party, Mismatch.SIGNER)
    # Valid now as well: who has stolen a retired key could date an acceptance back.
    registry.circle_of(signed.signature, now)
    return recorded_statement(signed, registry)


def recorded_statement(signed: SignedAcceptance, registry: KeyRegistry) -> Statement:
    """The statement of an acceptance on record, whose time may be over: for auditors.

    Raises:
        UnknownSigner, KeyNotValid: the key was not its party's then.
        MissingSigners: it is not signed by its party.
    """
    acceptance = signed.acceptance
    return registry.statement(
        Kind.ACCEPTANCE, acceptance.text, signed.signature, acceptance.accepted_at, (acceptance.party,)
    )


def agreement_parts(signed: Sequence[SignedAcceptance]) -> tuple[bytes, ...]:
    """The digests of acceptances in the order of their parties' names: what the agreement's hash covers."""
    return tuple(one.digest for one in sorted(signed, key=lambda one: one.acceptance.party))


def _check_content(acceptance: Acceptance, expected: Expected) -> None:
    pairs: tuple[tuple[Mismatch, bytes, bytes], ...] = (
        (Mismatch.PARTY, acceptance.party.encode(), expected.party.encode()),
        (Mismatch.COUNTERPARTY, acceptance.counterparty.encode(), expected.counterparty.encode()),
        (Mismatch.PAYMENT, acceptance.payment_id, expected.payment_id),
        (Mismatch.TERMS, acceptance.terms_hash, expected.terms_hash),
        (Mismatch.DATA, acceptance.data_digest, expected.data_digest),
    )
    for mismatch, given, wanted in pairs:
        if not hmac.compare_digest(given, wanted):
            raise OtherAcceptance(expected.party, mismatch)
    if not all_cleared(acceptance.verdicts):
        raise NotCleared(acceptance.party)
