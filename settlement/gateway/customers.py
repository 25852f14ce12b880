"""The customers for whom a bank pays and is paid: who they are, by their account at the bank.

A bank's core knows them; here they come from a folder of IVMS 101 documents, one file for each account. What is in them
is personal: it is disclosed by policy, stored sealed, and never logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from foundation.errors import BadInput
from foundation.unreadable import UNREADABLE
from settlement.connect.ivms101 import Beneficiary, IdentityPayload, Originator, Person
from settlement.connect.policy import PersonKind, kind_of
from settlement.rules.facts import Role, Subject

FILE_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Customer:
    """Who holds an account at this bank. Fields: account; country (ISO 3166-1 alpha-2); person (IVMS 101)."""

    account: str
    country: str
    person: Person

    def __repr__(self) -> str:
        return "Customer(hidden)"

    @property
    def kind(self) -> PersonKind:
        """A human being or an organisation."""
        return kind_of(self.person)

    def as_originator(self) -> IdentityPayload:
        """What may be disclosed of the one who pays."""
        return IdentityPayload(originator=Originator((self.person,), (self.account,)))

    def as_beneficiary(self) -> IdentityPayload:
        """What may be disclosed of the one who is paid."""
        return IdentityPayload(beneficiary=Beneficiary((self.person,), (self.account,)))


class Customers(Protocol):
    """Finds a customer by an account at this bank."""

    def find(self, account: str) -> Customer | None:
        """The customer, or None if the bank has no such account."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    country: str
    person: Person


class CustomerFolder:
    """Customers from a folder of JSON files: `{"account": …, "country": …, "person": {IVMS 101 person}}`."""

    def __init__(self, folder: Path) -> None:
        """Read all files.

        Raises:
            BadInput: names the file and what is wrong with it; nothing personal is quoted.
        """
        self._customers: dict[str, Customer] = {}
        for path in sorted(folder.glob("*.json")):
            try:
                found = msgspec.json.decode(path.read_bytes()[:FILE_BYTES_MAX], type=_File)
            except UNREADABLE:
                raise BadInput(f"customers.{path.name}", "no customer's file", "see docs/gateway.md") from None
            if found.account in self._customers:
                raise BadInput(f"customers.{path.name}", "its account is another file's", "one file for each account")
            self._customers[found.account] = Customer(found.account, found.country, found.person)

    def find(self, account: str) -> Customer | None:
        """See `Customers`."""
        return self._customers.get(account)


def subject_of(role: Role, persons: tuple[Person, ...], accounts: tuple[str, ...]) -> Subject:
    """What the rules' lists are held against."""
    names: list[str] = []
    countries: list[str] = []
    for person in persons:
        one = person.either
        for name in one.name.name_identifier:
            parts = (getattr(name, field, None) for field in ("secondary_identifier", "primary_identifier"))
            legal = getattr(name, "legal_person_name", None)
            names.append(legal or " ".join(part for part in parts if part))
        country = getattr(one, "country_of_residence", None) or getattr(one, "country_of_registration", None)
        if country:
            countries.append(country)
    return Subject(role, tuple(names), accounts, (), tuple(dict.fromkeys(countries)))
