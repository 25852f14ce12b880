"""Data on originators and beneficiaries as IVMS 101.2023 (interVASP Messaging Standard) has them, in JSON.

Every type here holds personal data: none shows its fields in a repr, and no error carries a value. What the types
cannot say, the standard's constraints C1 to C12, is in `ivms101_rules`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from settlement.connect.errors import MalformedConnect

DOCUMENT_BYTES_MAX: Final = 256 * 1024
VERSION: Final = "101.2023"
_BRACKETS_MAX: Final = 2_000

_Max16 = Annotated[str, Meta(min_length=1, max_length=16)]
_Max35 = Annotated[str, Meta(min_length=1, max_length=35)]
_Max50 = Annotated[str, Meta(min_length=1, max_length=50)]
_Max70 = Annotated[str, Meta(min_length=1, max_length=70)]
_Max100 = Annotated[str, Meta(min_length=1, max_length=100)]
_Country = Annotated[str, Meta(pattern="\\A[A-Z]{2}\\Z")]
_Date = Annotated[str, Meta(pattern="\\A[0-9]{4}-[0-9]{2}-[0-9]{2}\\Z")]


class NaturalNameType(StrEnum):
    """The nature of a person's name."""

    ALIAS = "ALIA"
    BIRTH = "BIRT"
    MAIDEN = "MAID"
    LEGAL = "LEGL"
    MISC = "MISC"


class LegalNameType(StrEnum):
    """The nature of an organisation's name."""

    LEGAL = "LEGL"
    SHORT = "SHRT"
    TRADING = "TRAD"


class AddressType(StrEnum):
    """What an address is for."""

    HOME = "HOME"
    BUSINESS = "BIZZ"
    GEOGRAPHIC = "GEOG"


class NationalIdType(StrEnum):
    """What kind of number or document identifies somebody."""

    ALIEN_REGISTRATION = "ARNU"
    PASSPORT = "CCPT"
    REGISTRATION_AUTHORITY = "RAID"
    DRIVING_LICENCE = "DRLC"
    FOREIGN_INVESTMENT = "FIIN"
    TAX = "TXID"
    SOCIAL_SECURITY = "SOCS"
    IDENTITY_CARD = "IDCD"
    LEI = "LEIX"
    UNSPECIFIED = "MISC"


class Personal(Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """The root of what holds personal data: it shows nothing of itself."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"


class NaturalNameId(Personal, frozen=True):
    """One name of a person. `primary_identifier` is the family name, or all of it where it cannot be split."""

    primary_identifier: _Max100
    natural_person_name_identifier_type: NaturalNameType
    secondary_identifier: Annotated[str, Meta(max_length=100)] | None = None


class NaturalName(Personal, frozen=True):
    """A person's names: in Latin letters, as written locally, and as spoken."""

    name_identifier: Annotated[tuple[NaturalNameId, ...], Meta(min_length=1, max_length=16)]
    local_name_identifier: Annotated[tuple[NaturalNameId, ...], Meta(max_length=16)] = ()
    phonetic_name_identifier: Annotated[tuple[NaturalNameId, ...], Meta(max_length=16)] = ()


class LegalNameId(Personal, frozen=True):
    """One name of an organisation."""

    legal_person_name: _Max100
    legal_person_name_identifier_type: LegalNameType


class LegalName(Personal, frozen=True):
    """An organisation's names: in Latin letters, as written locally, and as spoken."""

    name_identifier: Annotated[tuple[LegalNameId, ...], Meta(min_length=1, max_length=16)]
    local_name_identifier: Annotated[tuple[LegalNameId, ...], Meta(max_length=16)] = ()
    phonetic_name_identifier: Annotated[tuple[LegalNameId, ...], Meta(max_length=16)] = ()


class Address(Personal, frozen=True):
    """Where somebody lives or works. `country` is ISO 3166-1 alpha-2, or XX where there is none."""

    address_type: AddressType
    town_name: _Max35
    country: _Country
    department: _Max50 | None = None
    sub_department: _Max70 | None = None
    street_name: _Max70 | None = None
    building_number: _Max16 | None = None
    building_name: _Max35 | None = None
    floor: _Max70 | None = None
    post_box: _Max16 | None = None
    room: _Max70 | None = None
    post_code: _Max16 | None = None
    town_location_name: _Max35 | None = None
    district_name: _Max35 | None = None
    country_sub_division: _Max35 | None = None
    address_line: Annotated[tuple[_Max70, ...], Meta(max_length=7)] = ()


class NationalId(Personal, frozen=True):
    """A number that a state or a registration authority gave somebody."""

    national_identifier: _Max35
    national_identifier_type: NationalIdType
    country_of_issue: _Country | None = None
    registration_authority: Annotated[str, Meta(pattern="\\ARA[0-9]{6}\\Z")] | None = None


class Birth(Personal, frozen=True):
    """When (ISO 8601 date) and where somebody was born."""

    date_of_birth: _Date
    place_of_birth: _Max70


class NaturalPerson(Personal, frozen=True):
    """A human being."""

    name: NaturalName
    geographic_address: Annotated[tuple[Address, ...], Meta(max_length=8)] = ()
    national_identification: NationalId | None = None
    customer_identification: _Max50 | None = None
    date_and_place_of_birth: Birth | None = None
    country_of_residence: _Country | None = None


class LegalPerson(Personal, frozen=True):
    """An organisation."""

    name: LegalName
    geographic_address: Annotated[tuple[Address, ...], Meta(max_length=8)] = ()
    customer_identification: _Max50 | None = None
    national_identification: NationalId | None = None
    country_of_registration: _Country | None = None


class Person(Personal, frozen=True):
    """Either of the two (C0: exactly one; see `ivms101_rules`)."""

    natural_person: NaturalPerson | None = None
    legal_person: LegalPerson | None = None

    @property
    def either(self) -> NaturalPerson | LegalPerson:
        """The one that is there."""
        one = self.natural_person or self.legal_person
        assert one is not None, "checked by ivms101_rules"
        return one


class Originator(Personal, frozen=True):
    """Who pays, and from which accounts."""

    originator_person: Annotated[tuple[Person, ...], Meta(min_length=1, max_length=8)]
    account_number: Annotated[tuple[_Max100, ...], Meta(max_length=8)] = ()


class Beneficiary(Personal, frozen=True):
    """Who is paid, and on which accounts."""

    beneficiary_person: Annotated[tuple[Person, ...], Meta(min_length=1, max_length=8)]
    account_number: Annotated[tuple[_Max100, ...], Meta(max_length=8)] = ()


class Intermediary(Personal, frozen=True):
    """An institution between the two, with its place (from 0) in the path."""

    intermediary_vasp: Person = msgspec.field(name="intermediaryVASP")
    sequence: Annotated[int, Meta(ge=0, le=64)]


class TransferPath(Personal, frozen=True):
    """The institutions between the two."""

    transfer_path: Annotated[tuple[Intermediary, ...], Meta(max_length=16)] = ()


class Metadata(Personal, frozen=True):
    """How the text was made: the standard's version, and how names were put in Latin letters."""

    payload_version: str = VERSION
    transliteration_method: Annotated[
        tuple[Annotated[str, Meta(pattern="\\A[a-z]{4}\\Z")], ...], Meta(max_length=8)
    ] = ()


class IdentityPayload(Personal, frozen=True):
    """What a bank tells of its own side of a payment, or all that is known of both."""

    originator: Originator | None = None
    beneficiary: Beneficiary | None = None
    originating_vasp: Person | None = msgspec.field(name="originatingVASP", default=None)
    beneficiary_vasp: Person | None = msgspec.field(name="beneficiaryVASP", default=None)
    transfer_path: TransferPath | None = None
    payload_metadata: Metadata | None = None


_RENAMED: Final = {
    "nameIdentifierType": "naturalPersonNameIdentifierType",
    "customerNumber": "customerIdentification",
    "originatorPersons": "originatorPerson",
    "beneficiaryPersons": "beneficiaryPerson",
}
"""What the standard of 2020 called otherwise."""


def to_json(payload: IdentityPayload) -> bytes:
    """The payload as JSON of IVMS 101.2023; the same each time."""
    metadata = payload.payload_metadata or Metadata()
    document = msgspec.to_builtins(msgspec.structs.replace(payload, payload_metadata=metadata))
    document["payloadMetadata"]["payloadVersion"] = VERSION
    return msgspec.json.encode(document, order="sorted")


def from_json(raw: bytes) -> IdentityPayload:
    """A payload of IVMS 101.2023, or of 2020; its constraints are not checked yet.

    Raises:
        MalformedConnect: names the field; it does not quote what stands there.
    """
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise MalformedConnect("ivms101", f"more than {DOCUMENT_BYTES_MAX} bytes", "send what was asked for")
    # The decoder descends on the C stack; a library that raises Python's recursion limit would let it overflow.
    if raw.count(b"[") + raw.count(b"{") > _BRACKETS_MAX:
        raise MalformedConnect("ivms101", f"more than {_BRACKETS_MAX} objects and lists", "send what was asked for")
    try:
        return msgspec.convert(_renewed(msgspec.json.decode(raw)), IdentityPayload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        # The cause may quote a value: it is dropped.
        raise MalformedConnect(_place(str(error)), "it is not as IVMS 101 has it", "see IVMS 101.2023") from None


def _renewed(document: Any) -> Any:
    if isinstance(document, dict):
        return {_RENAMED.get(key, key): _renewed(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_renewed(item) for item in document]
    return document


def _place(message: str) -> str:
    """The path that msgspec names, such as `$.originator`, without what it quotes."""
    _, found, path = message.rpartition("- at `$")
    return "ivms101" + path.rstrip("`") if found else "ivms101"
