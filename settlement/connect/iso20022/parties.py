"""Debtors and creditors, and the banks that serve them, as pacs.008 names them."""

from __future__ import annotations

from dataclasses import dataclass, field

from settlement.connect.iso20022.documents import Element, add, find, find_all, text_at


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
