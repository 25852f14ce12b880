"""IVMS 101: JSON in and out, each constraint of the standard, and nothing personal in errors or reprs."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import msgspec
import pytest

from settlement.connect.errors import MalformedConnect
from settlement.connect.ivms101 import IdentityPayload, from_json, to_json
from settlement.connect.ivms101_rules import BrokenConstraint, check, is_lei
from tests.support.settlement_connect import BENEFICIARY, LEI, ORIGINATOR, SECRETS

TODAY = date(2026, 11, 21)


def document(payload: IdentityPayload = ORIGINATOR) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(to_json(payload))
    return made


def natural(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["originator"]["originatorPerson"][0]["naturalPerson"]
    return found


def legal(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["beneficiary"]["beneficiaryPerson"][0]["legalPerson"]
    return found


@pytest.mark.parametrize("payload", [ORIGINATOR, BENEFICIARY])
def test_a_payload_survives_json_and_is_valid(payload: IdentityPayload) -> None:
    """What is written is read as the same payload, which breaks no constraint."""
    read = from_json(to_json(payload))
    assert to_json(read) == to_json(payload)
    check(read, TODAY)


def test_the_standard_s_names_are_on_the_wire() -> None:
    """The JSON has the names that IVMS 101.2023 gives, in its spelling, and says its version."""
    made = document()
    name = natural(made)["name"]["nameIdentifier"][0]
    assert name == {
        "primaryIdentifier": "Musterfrau",
        "secondaryIdentifier": "Maria",
        "naturalPersonNameIdentifierType": "LEGL",
    }
    assert made["originatingVASP"]["legalPerson"]["nationalIdentification"]["nationalIdentifierType"] == "LEIX"
    assert made["payloadMetadata"] == {"payloadVersion": "101.2023"}


def test_a_payload_of_2020_is_read() -> None:
    """Where the standard of 2020 called a field otherwise, it is read as the one of 2023."""
    made = document()
    person = made["originator"].pop("originatorPerson")
    made["originator"]["originatorPersons"] = person
    name = person[0]["naturalPerson"]["name"]["nameIdentifier"][0]
    name["nameIdentifierType"] = name.pop("naturalPersonNameIdentifierType")
    person[0]["naturalPerson"]["customerNumber"] = person[0]["naturalPerson"].pop("customerIdentification")
    assert to_json(from_json(json.dumps(made).encode())) == to_json(ORIGINATOR)


def _without_identification(made: dict[str, Any]) -> None:
    for key in ("geographicAddress", "nationalIdentification", "customerIdentification", "dateAndPlaceOfBirth"):
        del natural(made)[key]


@pytest.mark.parametrize(
    ("constraint", "change"),
    [
        ("C0", lambda d: d["originator"]["originatorPerson"][0].clear()),
        ("C1", _without_identification),
        ("C2", lambda d: natural(d)["dateAndPlaceOfBirth"].update(dateOfBirth="2026-11-21")),
        ("C2", lambda d: natural(d)["dateAndPlaceOfBirth"].update(dateOfBirth="1970-02-30")),
        ("C3", lambda d: natural(d).update(countryOfResidence="QQ")),
        ("C3", lambda d: natural(d)["geographicAddress"][0].update(country="ZZ")),
        ("C3", lambda d: natural(d)["nationalIdentification"].update(countryOfIssue="ZZ")),
        ("C6", lambda d: natural(d)["name"]["nameIdentifier"][0].update(naturalPersonNameIdentifierType="ALIA")),
        ("C8", lambda d: natural(d)["geographicAddress"][0].pop("buildingNumber")),
        (
            "C12",
            lambda d: d.update(
                transferPath={"transferPath": [{"intermediaryVASP": d["originatingVASP"], "sequence": 1}]}
            ),
        ),
    ],
)
def test_constraints_on_people_are_kept(constraint: str, change: Any) -> None:
    """Each constraint of the standard on a person, when it is broken, is named."""
    made = document()
    change(made)
    with pytest.raises(BrokenConstraint) as refusal:
        check(from_json(json.dumps(made).encode()), TODAY)
    assert refusal.value.constraint == constraint
    assert not any(secret in str(refusal.value) for secret in SECRETS)


def _as_originator(made: dict[str, Any]) -> None:
    made["originator"] = {"originatorPerson": made.pop("beneficiary")["beneficiaryPerson"]}
    person = made["originator"]["originatorPerson"][0]["legalPerson"]
    del person["geographicAddress"], person["nationalIdentification"]


@pytest.mark.parametrize(
    ("constraint", "change"),
    [
        ("C4", _as_originator),
        ("C5", lambda d: legal(d)["name"]["nameIdentifier"][0].update(legalPersonNameIdentifierType="TRAD")),
        ("C7", lambda d: legal(d)["nationalIdentification"].update(nationalIdentifierType="CCPT")),
        ("C9", lambda d: legal(d)["nationalIdentification"].update(countryOfIssue="SG")),
        ("C9", lambda d: legal(d)["nationalIdentification"].pop("registrationAuthority")),
        (
            "C9",
            lambda d: legal(d)["nationalIdentification"].update(nationalIdentifierType="LEIX", nationalIdentifier=LEI),
        ),
        (
            "C11",
            lambda d: d["beneficiaryVASP"]["legalPerson"]["nationalIdentification"].update(
                nationalIdentifier=LEI[:-1] + "6"
            ),
        ),
    ],
)
def test_constraints_on_organisations_are_kept(constraint: str, change: Any) -> None:
    """Each constraint of the standard on an organisation, when it is broken, is named."""
    made = document(BENEFICIARY)
    change(made)
    with pytest.raises(BrokenConstraint) as refusal:
        check(from_json(json.dumps(made).encode()), TODAY)
    assert refusal.value.constraint == constraint


@pytest.mark.parametrize(
    "change",
    [
        lambda d: natural(d).update(nickname="Mimi"),
        lambda d: natural(d)["name"]["nameIdentifier"][0].update(naturalPersonNameIdentifierType="Musterfrau"),
        lambda d: natural(d)["nationalIdentification"].update(nationalIdentifier="L01X00T471" * 4),
        lambda d: natural(d)["nationalIdentification"].update(registrationAuthority="Musterstadt"),
        lambda d: d["originator"].update(originatorPerson=[]),
        lambda d: d["originator"].update(accountNumber="DE02120300000000202051"),
        lambda d: natural(d).update(countryOfResidence="de"),
    ],
)
def test_a_malformed_payload_is_refused_without_quoting_it(change: Any) -> None:
    """What is not of the standard's form is refused by the field's name; the error and its cause quote no value."""
    made = document()
    change(made)
    with pytest.raises(MalformedConnect) as refusal:
        from_json(json.dumps(made).encode())
    assert refusal.value.field.startswith("ivms101")
    assert refusal.value.__cause__ is None
    assert not any(secret in str(refusal.value) for secret in SECRETS)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b'"x"', b"[" * 100_000, b" " * 300_000])
def test_bytes_that_are_no_payload_are_refused(raw: bytes) -> None:
    """Bytes that are no JSON, too deep or too long are refused."""
    with pytest.raises(MalformedConnect):
        from_json(raw)


def test_nothing_personal_shows_in_a_repr() -> None:
    """No type of the standard, at any depth, shows a field in its repr."""

    def reprs(value: object) -> list[str]:
        inner = (
            [part for name in value.__struct_fields__ for part in reprs(getattr(value, name))]
            if isinstance(value, msgspec.Struct)
            else []
        )
        inner += [part for item in value for part in reprs(item)] if isinstance(value, tuple) else []
        return inner + ([repr(value), f"{value}"] if isinstance(value, msgspec.Struct) else [])

    shown = " ".join(reprs(ORIGINATOR) + reprs(BENEFICIARY))
    assert "hidden" in shown
    assert not any(secret in shown for secret in SECRETS)


def test_check_digits_of_legal_entities() -> None:
    """A legal entity identifier is told by its check digits."""
    assert is_lei(LEI)
    assert not any(
        is_lei(bad) for bad in (LEI[::-1], LEI[:-1], LEI.lower(), "", "5299OOT8BM49AURSDO55", LEI[:18] + "ß5")
    )
