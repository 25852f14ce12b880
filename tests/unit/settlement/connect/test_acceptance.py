"""A bank's acceptance is of one payment, these terms and data, in its time, and by its own key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.connect.acceptance import (
    Acceptance,
    Expected,
    PaymentId,
    SignedAcceptance,
    acceptance_statement,
    agreement_parts,
    check_acceptance,
    recorded_statement,
    sign_acceptance,
)
from settlement.connect.errors import (
    AcceptanceEarly,
    AcceptanceExpired,
    MalformedConnect,
    Mismatch,
    NotCleared,
    OtherAcceptance,
)
from settlement.connect.screening import Outcome, Subject, Verdict
from settlement.cosign.batches import verify_batch
from settlement.cosign.cosignatures import verify
from settlement.cosign.errors import BadSignature, KeyNotValid, UnknownSigner
from settlement.cosign.keys import LocalSigner
from settlement.cosign.registry import KeyRegistry
from settlement.cosign.statements import key_id
from settlement.quantities import PartyId

A, B = (LocalSigner(PartyId(name), name.encode().ljust(32, b"\x07")) for name in ("bank-a", "bank-b"))
REGISTRY = KeyRegistry([A.possession(UnixMs(0)), B.possession(UnixMs(0))])
NOW = UnixMs(1_700_000_000_000)
CLEAR = tuple(Verdict(subject, Outcome.PASS, "eu-sanctions", "2026-11-20", "7") for subject in Subject)
ACCEPTANCE = Acceptance(
    payment_id=PaymentId(b"\x01" * 32),
    party=A.party,
    counterparty=B.party,
    terms_hash=b"\x02" * 32,
    data_digest=b"\x03" * 32,
    verdicts=CLEAR,
    policy_version="3",
    rule_version="7",
    accepted_at=NOW,
    valid_until=UnixMs(NOW + 60_000),
)
EXPECTED = Expected(ACCEPTANCE.payment_id, A.party, B.party, ACCEPTANCE.terms_hash, ACCEPTANCE.data_digest)
SIGNED = sign_acceptance(A, ACCEPTANCE)


def test_an_acceptance_is_checked_alone_or_in_a_batch_after_the_wire() -> None:
    """A signed acceptance survives the wire, is what was expected, and can be verified together with others."""
    received = SignedAcceptance.decode(SIGNED.encode())
    assert received == SIGNED
    check_acceptance(received, EXPECTED, REGISTRY, NOW)
    verify_batch([(acceptance_statement(received, EXPECTED, REGISTRY, NOW), received.signature)] * 3)


@pytest.mark.parametrize(
    ("change", "mismatch"),
    [
        ({"payment_id": PaymentId(b"\x09" * 32)}, Mismatch.PAYMENT),
        ({"terms_hash": b"\x09" * 32}, Mismatch.TERMS),
        ({"data_digest": b"\x09" * 32}, Mismatch.DATA),
        ({"party": B.party}, Mismatch.PARTY),
        ({"counterparty": PartyId("bank-c")}, Mismatch.COUNTERPARTY),
    ],
)
def test_an_acceptance_of_something_else_is_refused_by_name(change: dict[str, object], mismatch: Mismatch) -> None:
    """A good acceptance, replayed for another payment, terms, data or party, is refused and the difference named."""
    with pytest.raises(OtherAcceptance) as refusal:
        check_acceptance(SIGNED, replace(EXPECTED, **change), REGISTRY, NOW)  # type: ignore[arg-type]
    assert refusal.value.mismatch is mismatch


@pytest.mark.parametrize(
    "change",
    [
        {"payment_id": PaymentId(b"\x09" * 32)},
        {"terms_hash": b"\x09" * 32},
        {"data_digest": b"\x09" * 32},
        {"valid_until": UnixMs(NOW + 600_000)},
        {"rule_version": "8"},
        {"policy_version": "8"},
        {"accepted_at": UnixMs(NOW - 1)},
        {"verdicts": CLEAR[::-1]},
    ],
)
def test_no_field_of_an_acceptance_can_be_changed(change: dict[str, object]) -> None:
    """Whatever field is changed after the signature, the signature does not verify any more."""
    forged = replace(SIGNED, acceptance=replace(ACCEPTANCE, **change))  # type: ignore[arg-type]
    expected = replace(
        EXPECTED,
        **{k: v for k, v in change.items() if k in ("payment_id", "terms_hash", "data_digest")},  # type: ignore[arg-type]
    )
    with pytest.raises(BadSignature):
        check_acceptance(forged, expected, REGISTRY, NOW)


def test_an_acceptance_counts_in_its_time_only() -> None:
    """It is refused from its end on, and where it is dated further ahead than clocks may differ."""
    check_acceptance(SIGNED, EXPECTED, REGISTRY, UnixMs(NOW + 59_999))
    check_acceptance(SIGNED, EXPECTED, REGISTRY, UnixMs(NOW - 5_000))
    with pytest.raises(AcceptanceExpired):
        check_acceptance(SIGNED, EXPECTED, REGISTRY, UnixMs(NOW + 60_000))
    with pytest.raises(AcceptanceEarly):
        check_acceptance(SIGNED, EXPECTED, REGISTRY, UnixMs(NOW - 5_001))
    verify(recorded_statement(SIGNED, REGISTRY), SIGNED.signature)


def test_an_acceptance_by_another_bank_s_key_is_refused() -> None:
    """The counterparty cannot accept in a bank's place, nor claim that the bank's key made its signature."""
    own = sign_acceptance(B, replace(ACCEPTANCE, party=B.party, counterparty=A.party))
    with pytest.raises(OtherAcceptance) as refusal:
        check_acceptance(replace(SIGNED, signature=own.signature), EXPECTED, REGISTRY, NOW)
    assert refusal.value.mismatch is Mismatch.SIGNER
    claimed = replace(SIGNED.signature, signature=own.signature.signature)
    with pytest.raises(BadSignature):
        check_acceptance(replace(SIGNED, signature=claimed), EXPECTED, REGISTRY, NOW)
    with pytest.raises(OtherAcceptance):
        sign_acceptance(B, ACCEPTANCE)


def test_a_retired_key_accepts_nothing_even_dated_back() -> None:
    """Who has stolen a key that was retired cannot accept with it by an earlier date, but the record stays valid."""
    registry = KeyRegistry([A.possession(UnixMs(0))])
    registry.retire(A.party, key_id(A.member.key), UnixMs(NOW + 10))
    check_acceptance(SIGNED, EXPECTED, registry, NOW)
    with pytest.raises(KeyNotValid):
        check_acceptance(SIGNED, EXPECTED, registry, UnixMs(NOW + 10))
    verify(recorded_statement(SIGNED, registry), SIGNED.signature)
    with pytest.raises(UnknownSigner):
        check_acceptance(SIGNED, EXPECTED, KeyRegistry(), NOW)


@pytest.mark.parametrize(
    "verdicts",
    [
        (),
        CLEAR[:1],
        (CLEAR[0], replace(CLEAR[1], outcome=Outcome.REFER)),
        (*CLEAR, replace(CLEAR[0], outcome=Outcome.BLOCK)),
    ],
)
def test_nobody_accepts_who_was_not_cleared(verdicts: tuple[Verdict, ...]) -> None:
    """An acceptance without a pass for both persons is neither signed nor taken."""
    with pytest.raises(NotCleared):
        sign_acceptance(A, replace(ACCEPTANCE, verdicts=verdicts))
    with pytest.raises(NotCleared):
        check_acceptance(replace(SIGNED, acceptance=replace(ACCEPTANCE, verdicts=verdicts)), EXPECTED, REGISTRY, NOW)


@pytest.mark.parametrize("raw", [b"", b"\x80", SIGNED.encode()[:-1], SIGNED.encode() + b"\x00"])
def test_bytes_that_are_no_acceptance_are_refused(raw: bytes) -> None:
    """Bytes from the wire that are no acceptance raise an error that says so."""
    with pytest.raises(MalformedConnect):
        SignedAcceptance.decode(raw)


def test_the_agreement_takes_acceptances_in_one_order() -> None:
    """Both banks derive the same parts of the agreement, in whichever order the acceptances came."""
    other = sign_acceptance(B, replace(ACCEPTANCE, party=B.party, counterparty=A.party))
    assert agreement_parts((SIGNED, other)) == agreement_parts((other, SIGNED)) == (SIGNED.digest, other.digest)


def test_every_refusal_is_final() -> None:
    """What an acceptance is refused for never becomes right by asking again."""
    assert all(issubclass(kind, Fatal) for kind in (OtherAcceptance, AcceptanceExpired, AcceptanceEarly, NotCleared))
