"""The constraints of IVMS 101.2023 (C1 to C12) that types cannot say. Errors name the field and quote no value."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

import iso3166

from settlement.connect.errors import MalformedConnect
from settlement.connect.ivms101 import (
    Address,
    IdentityPayload,
    LegalNameType,
    LegalPerson,
    NationalId,
    NationalIdType,
    NaturalNameType,
    NaturalPerson,
    Person,
)

_LEGAL_IDS: Final = {
    NationalIdType.REGISTRATION_AUTHORITY,
    NationalIdType.UNSPECIFIED,
    NationalIdType.LEI,
    NationalIdType.TAX,
}
_NO_COUNTRY: Final = "XX"


class BrokenConstraint(MalformedConnect):
    """A payload is of the right form and breaks a rule of the standard.

    Fields: constraint (its number, such as `C1`); field, problem, cure (see `BadInput`).
    """

    def __init__(self, constraint: str, field: str, problem: str) -> None:
        self.constraint = constraint
        super().__init__(field, f"{problem} ({constraint} of IVMS 101)", "")


def check(payload: IdentityPayload, today: date) -> None:
    """Check all constraints; `today` is the reader's date in UTC.

    C10 (the registration authority is on GLEIF's list) is checked for its form only: the list changes.

    Raises:
        BrokenConstraint: names the first that is broken, and where.
    """
    for place, person, is_originator in _persons(payload):
        if (person.natural_person is None) == (person.legal_person is None):
            raise BrokenConstraint("C0", place, "it has to be a natural or a legal person, and one of them")
        if person.natural_person is not None:
            _check_natural(f"{place}.naturalPerson", person.natural_person, is_originator, today)
        if person.legal_person is not None:
            _check_legal(f"{place}.legalPerson", person.legal_person, is_originator)
    path = payload.transfer_path.transfer_path if payload.transfer_path else ()
    if [step.sequence for step in path] != list(range(len(path))):
        raise BrokenConstraint("C12", "transferPath", "the sequence does not count from 0 without a gap")


def is_lei(text: str) -> bool:
    """Whether `text` is a legal entity identifier: 18 letters or digits and two check digits (ISO 17442, ISO 7064)."""
    if len(text) != 20 or not text.isascii() or not text.isalnum() or text.upper() != text or not text[18:].isdigit():
        return False
    return int("".join(str(int(character, 36)) for character in text)) % 97 == 1


def is_country(code: str) -> bool:
    """Whether `code` is a country of ISO 3166-1 alpha-2, or XX (C3)."""
    return code == _NO_COUNTRY or code in iso3166.countries_by_alpha2


def _persons(payload: IdentityPayload) -> Iterator[tuple[str, Person, bool]]:
    if payload.originator is not None:
        for place, person in enumerate(payload.originator.originator_person):
            yield f"originator.originatorPerson[{place}]", person, True
    if payload.beneficiary is not None:
        for place, person in enumerate(payload.beneficiary.beneficiary_person):
            yield f"beneficiary.beneficiaryPerson[{place}]", person, False
    for name, institution in (
        ("originatingVASP", payload.originating_vasp),
        ("beneficiaryVASP", payload.beneficiary_vasp),
    ):
        if institution is not None:
            yield name, institution, False
    for step in payload.transfer_path.transfer_path if payload.transfer_path else ():
        yield f"transferPath[{step.sequence}]", step.intermediary_vasp, False


def _check_natural(place: str, person: NaturalPerson, is_originator: bool, today: date) -> None:
    identified = (
        person.geographic_address
        or person.customer_identification
        or person.national_identification
        or person.date_and_place_of_birth
    )
    if is_originator and not identified:
        raise BrokenConstraint("C1", place, "an originator needs an address, a customer or national id, or a birth")
    names = person.name.name_identifier
    if all(name.natural_person_name_identifier_type is not NaturalNameType.LEGAL for name in names):
        raise BrokenConstraint("C6", f"{place}.name", "there is no legal name")
    if person.date_and_place_of_birth is not None:
        _check_birth(f"{place}.dateAndPlaceOfBirth.dateOfBirth", person.date_and_place_of_birth.date_of_birth, today)
    _check_country(f"{place}.countryOfResidence", person.country_of_residence)
    _check_addresses(place, person.geographic_address)
    if person.national_identification is not None:
        _check_country(
            f"{place}.nationalIdentification.countryOfIssue", person.national_identification.country_of_issue
        )
        _check_lei(f"{place}.nationalIdentification", person.national_identification)


def _check_legal(place: str, person: LegalPerson, is_originator: bool) -> None:
    if is_originator and not (
        person.geographic_address or person.customer_identification or person.national_identification
    ):
        raise BrokenConstraint("C4", place, "an originator needs an address, a customer or a national id")
    names = person.name.name_identifier
    if all(name.legal_person_name_identifier_type is not LegalNameType.LEGAL for name in names):
        raise BrokenConstraint("C5", f"{place}.name", "there is no legal name")
    _check_country(f"{place}.countryOfRegistration", person.country_of_registration)
    _check_addresses(place, person.geographic_address)
    if person.national_identification is not None:
        _check_legal_id(f"{place}.nationalIdentification", person.national_identification)


def _check_legal_id(place: str, national: NationalId) -> None:
    if national.national_identifier_type not in _LEGAL_IDS:
        raise BrokenConstraint("C7", place, "an organisation has a RAID, MISC, LEIX or TXID")
    if national.country_of_issue is not None:
        raise BrokenConstraint("C9", f"{place}.countryOfIssue", "an organisation's id has none")
    is_lei_id = national.national_identifier_type is NationalIdType.LEI
    if is_lei_id == (national.registration_authority is not None):
        raise BrokenConstraint("C9", f"{place}.registrationAuthority", "it belongs to every id but a LEI")
    _check_lei(place, national)


def _check_lei(place: str, national: NationalId) -> None:
    if national.national_identifier_type is NationalIdType.LEI and not is_lei(national.national_identifier):
        raise BrokenConstraint("C11", place, "it is no legal entity identifier")


def _check_birth(place: str, text: str, today: date) -> None:
    try:
        born = date.fromisoformat(text)
    except ValueError:
        raise BrokenConstraint("C2", place, "there is no such day") from None
    if born >= today:
        raise BrokenConstraint("C2", place, "it is not in the past")


def _check_country(place: str, code: str | None) -> None:
    if code is not None and not is_country(code):
        raise BrokenConstraint("C3", place, "it is no country of ISO 3166-1")


def _check_addresses(place: str, addresses: tuple[Address, ...]) -> None:
    for number, address in enumerate(addresses):
        where = f"{place}.geographicAddress[{number}]"
        _check_country(f"{where}.country", address.country)
        on_a_street = address.street_name and (address.building_name or address.building_number)
        if not address.address_line and not on_a_street:
            raise BrokenConstraint("C8", where, "it needs a line, or a street with a building's name or number")
