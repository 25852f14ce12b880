"""People who do not exist, for the tests of data that banks exchange about them."""

from __future__ import annotations

from settlement.connect.ivms101 import (
    Address,
    AddressType,
    Beneficiary,
    Birth,
    IdentityPayload,
    LegalName,
    LegalNameId,
    LegalNameType,
    LegalPerson,
    NationalId,
    NationalIdType,
    NaturalName,
    NaturalNameId,
    NaturalNameType,
    NaturalPerson,
    Originator,
    Person,
)

LEI = "529900T8BM49AURSDO55"
"""A legal entity identifier with good check digits."""


def lei_person(name: str) -> Person:
    """A bank with its legal entity identifier."""
    names = LegalName((LegalNameId(name, LegalNameType.LEGAL),))
    return Person(legal_person=LegalPerson(names, national_identification=NationalId(LEI, NationalIdType.LEI)))


ADDRESS = Address(
    AddressType.HOME, "Musterstadt", "DE", street_name="Geheimgasse", building_number="17", post_code="99999"
)
MARIA = Person(
    natural_person=NaturalPerson(
        NaturalName((NaturalNameId("Musterfrau", NaturalNameType.LEGAL, "Maria"),)),
        geographic_address=(ADDRESS,),
        national_identification=NationalId("L01X00T471", NationalIdType.PASSPORT, country_of_issue="DE"),
        customer_identification="kunde-4711",
        date_and_place_of_birth=Birth("1970-02-28", "Kleinkleckersdorf"),
        country_of_residence="DE",
    )
)
SHOP = Person(
    legal_person=LegalPerson(
        LegalName((LegalNameId("Seltsame Waren GmbH", LegalNameType.LEGAL),)),
        geographic_address=(Address(AddressType.BUSINESS, "Fernstadt", "SG", address_line=("Handelsweg 3",)),),
        national_identification=NationalId(
            "HRB 12345", NationalIdType.REGISTRATION_AUTHORITY, registration_authority="RA000242"
        ),
    )
)
ORIGINATOR = IdentityPayload(
    originator=Originator((MARIA,), ("DE02120300000000202051",)), originating_vasp=lei_person("Bank A")
)
BENEFICIARY = IdentityPayload(
    beneficiary=Beneficiary((SHOP,), ("SG-0042-1717",)), beneficiary_vasp=lei_person("Bank B")
)
SECRETS = (
    "Musterfrau", "Maria", "Geheimgasse", "Musterstadt", "L01X00T471", "kunde-4711", "1970-02-28", "Kleinkleckersdorf",
    "Seltsame Waren", "Fernstadt", "Handelsweg", "HRB 12345", "DE02120300000000202051", "SG-0042-1717",
)  # fmt: skip
"""What must appear in no log, no repr and no plain column."""
