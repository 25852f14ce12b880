"""Debtors and creditors, and the banks that serve them, as pacs.008 names them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from settlement.connect.iso20022.documents import Element, MalformedDocument, add, find, find_all, text_at
from settlement.connect.ivms101 import LegalNameType, LegalPerson, NaturalNameType, NaturalPerson, Person

_NAME_MAX: Final = 140
_LINE_MAX: Final = 70
_OTHER_MAX: Final = 34
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Party:
    """Who pays or is paid: personal data, which do not show themselves.

    Fields: name (at most 140 characters); country (ISO 3166-1, or empty); address (lines, at most 7 of 70 characters).
    """

    name: str = field(repr=False)
    country: str = field(default="", repr=False)
    address: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """An account by its IBAN, or by another number of at most 34 characters. It does not show itself."""

    iban: str = field(default="", repr=False)
    other: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Agent:
    """A bank: by its BIC (ISO 9362), its LEI (ISO 17442), or both."""

    bic: str = ""
    lei: str = ""


def add_party(parent: Element, path: str, party: Party) -> None:
    """Write a party."""
    element = add(parent, path)
    add(element, "Nm", party.name)
    if party.country or party.address:
        postal = add(element, "PstlAdr")
        if party.country:
            add(postal, "Ctry", party.country)
        for line in party.address:
            add(postal, "AdrLine", line)


def party_of(parent: Element, path: str) -> Party:
    """Read a party."""
    element = find(parent, path)
    if element is None:
        return Party("")
    lines = tuple(line.text or "" for line in find_all(element, "PstlAdr/AdrLine"))
    return Party(text_at(element, "Nm") or "", text_at(element, "PstlAdr/Ctry") or "", lines)


def add_account(parent: Element, path: str, account: Account) -> None:
    """Write an account; nothing where it has no number."""
    if account.iban:
        add(parent, f"{path}/Id/IBAN", account.iban)
    elif account.other:
        add(parent, f"{path}/Id/Othr/Id", account.other)


def account_of(parent: Element, path: str) -> Account:
    """Read an account."""
    return Account(text_at(parent, f"{path}/Id/IBAN") or "", text_at(parent, f"{path}/Id/Othr/Id") or "")


def add_agent(parent: Element, path: str, agent: Agent) -> None:
    """Write a bank."""
    element = add(add(parent, path), "FinInstnId")
    if agent.bic:
        add(element, "BICFI", agent.bic)
    if agent.lei:
        add(element, "LEI", agent.lei)


def agent_of(parent: Element, path: str) -> Agent:
    """Read a bank."""
    return Agent(text_at(parent, f"{path}/FinInstnId/BICFI") or "", text_at(parent, f"{path}/FinInstnId/LEI") or "")


def party_from(person: Person) -> Party:
    """A person of IVMS 101 as pacs.008 names it: the legal name, and the first address, cut to what fits.

    Banks' systems match on names, so a name is never cut in silence: 140 characters hold all that IVMS 101 allows but
    the longest of two names, whose end is then marked.
    """
    one = person.either
    name = _full_name(one) if isinstance(one, NaturalPerson) else _legal_name(one)
    if len(name) > _NAME_MAX:
        name = name[: _NAME_MAX - 1] + "+"
    if not one.geographic_address:
        return Party(name, _country_of(one))
    address = one.geographic_address[0]
    lines = address.address_line or (
        " ".join(filter(None, (address.street_name, address.building_number or address.building_name))),
        " ".join(filter(None, (address.post_code, address.town_name))),
    )
    country = "" if address.country == "XX" else address.country
    return Party(name, country, tuple(line[:_LINE_MAX] for line in lines if line))


def account_from(number: str) -> Account:
    """An account number as pacs.008 has it: an IBAN where its check digits say so (ISO 13616), else another number.

    Raises:
        MalformedDocument: it has more than 34 characters and is none that the message can carry.
    """
    compact = number.replace(" ", "")
    if is_iban(compact):
        return Account(iban=compact)
    if not 1 <= len(number) <= _OTHER_MAX:
        raise MalformedDocument("Acct/Id/Othr/Id", f"it has {len(number)} characters", "at most 34")
    return Account(other=number)


def is_iban(text: str) -> bool:
    """Whether `text` is an IBAN by its form and its check digits (ISO 13616, ISO 7064 MOD 97-10)."""
    if not _IBAN.fullmatch(text):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def _full_name(person: NaturalPerson) -> str:
    names = person.name.name_identifier
    legal = next((n for n in names if n.natural_person_name_identifier_type is NaturalNameType.LEGAL), names[0])
    return " ".join(filter(None, (legal.secondary_identifier, legal.primary_identifier)))


def _legal_name(person: LegalPerson) -> str:
    names = person.name.name_identifier
    legal = next((n for n in names if n.legal_person_name_identifier_type is LegalNameType.LEGAL), names[0])
    return legal.legal_person_name


def _country_of(one: NaturalPerson | LegalPerson) -> str:
    code = one.country_of_residence if isinstance(one, NaturalPerson) else one.country_of_registration
    return "" if code in (None, "XX") else str(code)
