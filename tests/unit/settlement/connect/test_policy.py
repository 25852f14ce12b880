"""Policies: what is required, what may be told, and where two do not fit."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from foundation.errors import BadInput
from settlement.connect.ivms101 import IdentityPayload, to_json
from settlement.connect.policy import (
    Agreed,
    Datum,
    Objection,
    PersonKind,
    Policy,
    Refused,
    Rule,
    decode_policy,
    negotiate,
    present,
    reduced,
)
from settlement.connect.screening import Subject
from settlement.quantities import Units
from tests.support.settlement_connect import BENEFICIARY, ORIGINATOR, SECRETS
from tests.support.settlement_exchange import ALL, FACTS, policy

NAME, ADDRESS, BIRTH = Datum.NAME, Datum.ADDRESS, Datum.BIRTH


@pytest.mark.parametrize(
    ("rule", "facts", "applies"),
    [
        ({}, {}, True),
        ({"origin": "DE"}, {}, True),
        ({"origin": "FR"}, {}, False),
        ({"destination": "SG"}, {"destination": "US"}, False),
        ({"currency": "EUR", "at_least": 200_000}, {}, True),
        ({"currency": "EUR", "at_least": 200_000}, {"amount": Units(199_999)}, False),
        ({"currency": "EUR", "at_most": 199_999}, {}, False),
        ({"currency": "USD"}, {}, False),
        ({"purposes": frozenset({"SUPP"})}, {}, True),
        ({"purposes": frozenset({"SALA"})}, {}, False),
        ({"kinds": frozenset({PersonKind.NATURAL})}, {}, True),
        ({"kinds": frozenset({PersonKind.NATURAL})}, {"originator": PersonKind.LEGAL}, False),
        ({"subject": Subject.BENEFICIARY}, {}, False),
    ],
)
def test_a_rule_applies_where_all_its_conditions_hold(
    rule: dict[str, object], facts: dict[str, object], applies: bool
) -> None:
    """Corridor, amount in its currency, purpose, subject and kind of person decide whether a rule applies."""
    made = Rule(**{"subject": Subject.ORIGINATOR, "data": frozenset({BIRTH}), **rule})  # type: ignore[arg-type]
    demanded = Policy("1", (made,), ()).demands(Subject.ORIGINATOR, replace(FACTS, **facts))  # type: ignore[arg-type]
    assert demanded == (frozenset({BIRTH}) if applies else frozenset())


def test_each_sends_what_the_other_requires_and_no_more() -> None:
    """What is sent is the other's demand, with the name, however much more may be told."""
    agreed = negotiate(policy(frozenset({BIRTH})), policy(frozenset({ADDRESS})), Subject.ORIGINATOR, FACTS)
    assert agreed == Agreed(mine=frozenset({NAME, ADDRESS}), theirs=frozenset({NAME, BIRTH}))
    assert negotiate(policy(frozenset()), policy(frozenset()), Subject.ORIGINATOR, FACTS) == Agreed(
        frozenset(), frozenset()
    )


@pytest.mark.parametrize(
    ("mine", "theirs", "refused"),
    [
        (policy(discloses=frozenset({NAME})), policy(), Refused(Objection.DISCLOSURE, "address")),
        (policy(discloses=ALL - {NAME}), policy(frozenset({ADDRESS})), Refused(Objection.DISCLOSURE, "name")),
        (policy(), policy(discloses=frozenset({NAME})), Refused(Objection.DEMAND, "address")),
        (policy(purposes=frozenset({"SALA"})), policy(), Refused(Objection.PURPOSE, "SUPP")),
        (policy(), policy(purposes=frozenset({"SALA"})), Refused(Objection.PURPOSE, "SUPP")),
        (policy(max_fee_ppm=2_499), policy(), Refused(Objection.FEE, "fee")),
    ],
)
def test_policies_that_do_not_fit_are_refused_by_name(mine: Policy, theirs: Policy, refused: Refused) -> None:
    """Data that may not be told, purposes that are not served and fees above the limit refuse, and say about what."""
    assert negotiate(mine, theirs, Subject.ORIGINATOR, FACTS) == refused


def test_a_fee_at_the_limit_is_accepted() -> None:
    """500 of 200,000 is 2,500 millionths: accepted at that limit."""
    assert isinstance(negotiate(policy(max_fee_ppm=2_500), policy(), Subject.ORIGINATOR, FACTS), Agreed)


@pytest.mark.parametrize("payload", [ORIGINATOR, BENEFICIARY])
@pytest.mark.parametrize("datum", sorted(ALL - {NAME}))
def test_what_is_not_disclosed_is_not_there(payload: IdentityPayload, datum: Datum) -> None:
    """A payload reduced to everything but one kind of data lacks that kind, and holds all others as before."""
    subject = Subject.ORIGINATOR if payload.originator else Subject.BENEFICIARY
    held = present(payload, subject)
    kept = present(reduced(payload, subject, ALL - {datum}), subject)
    organisations_have_no_birth = {BIRTH} if payload is BENEFICIARY else set()
    assert kept == held - {datum} | organisations_have_no_birth
    assert present(reduced(payload, subject, ALL), subject) == held


def test_the_least_disclosure_holds_the_name_alone() -> None:
    """A payload reduced to the name holds no other personal datum."""
    text = to_json(reduced(ORIGINATOR, Subject.ORIGINATOR, frozenset({NAME}))).decode()
    assert [secret for secret in SECRETS if secret in text] == ["Musterfrau", "Maria"]
    assert reduced(ORIGINATOR, Subject.BENEFICIARY, ALL) == IdentityPayload()
    assert present(IdentityPayload(), Subject.ORIGINATOR) == frozenset()


def test_a_policy_is_read_from_json() -> None:
    """A policy survives JSON."""
    made = policy(max_fee_ppm=5_000)
    assert decode_policy(msgspec.json.encode(made)) == made


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (b'{"version":"1","requires":[{"subject":"originator","data":["shoe-size"]}],"discloses":[]}', "policy"),
        (
            b'{"version":"1","requires":[{"subject":"originator","data":[],"at_least":5}],"discloses":[]}',
            "policy.requires[0].currency",
        ),
        (
            b'{"version":"1","requires":[],"discloses":[{"subject":"originator","data":[],"currency":"EUR","at_least":5,"at_most":4}]}',
            "policy.discloses[0].at_least",
        ),
        (b'{"version":"1","requires":[],"discloses":[],"colour":"red"}', "policy"),
        (
            b'{"version":"1","requires":[{"subject":"originator","data":[],"origin":"Germany"}],"discloses":[]}',
            "policy",
        ),
        (b"", "policy"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(change: bytes, place: str) -> None:
    """Unknown data, amounts without a currency, empty ranges and unknown fields are refused by their place."""
    with pytest.raises(BadInput) as refusal:
        decode_policy(change)
    assert refusal.value.field == place
