"""The chart of accounts: a tree of entity, five roots, groups, and accounts, each of one asset.

Source: seeds/002…, "Triple-entry bookkeeping": "the personal account at the bottom; the total assets, liabilities, and
equity in the middle; and the overall company at the top". Names are written as Beancount writes them
(`Assets:DigitalEuro:Nostro`), so that an export needs no translation. Signs are Beancount's too: a debit is positive,
so assets and expenses are usually above zero, liabilities, equity and income below, and everything sums to zero.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NewType

from foundation.errors import BadInput
from settlement.quantities import Asset, PartyId, Scale, party_id

AccountName = NewType("AccountName", str)
"""A root and one or more components behind colons, at most 160 characters."""

NAME_CHARACTERS_MAX: Final = 160
_FORMAT: Final = 1
_COMPONENT: Final = re.compile(r"[A-Z0-9][A-Za-z0-9-]*", re.ASCII)


class Root(StrEnum):
    """What an account is. Income and expenses are equity that is not closed yet."""

    ASSETS = "Assets"
    LIABILITIES = "Liabilities"
    EQUITY = "Equity"
    INCOME = "Income"
    EXPENSES = "Expenses"


_ROOTS: Final = frozenset(root.value for root in Root)


@dataclass(frozen=True, slots=True)
class Account:
    """A leaf of the tree. Fields: name; asset (that its lines are in). Raises BadInput for a name that is none."""

    name: AccountName
    asset: Asset

    def __post_init__(self) -> None:
        parts = self.name.split(":")
        if len(self.name) > NAME_CHARACTERS_MAX or len(parts) < 2 or parts[0] not in _ROOTS:
            raise BadInput("account.name", f"{self.name[:80]!r} is no account", "such as Assets:DigitalEuro:Nostro")
        for part in parts[1:]:
            if not _COMPONENT.fullmatch(part):
                raise BadInput(
                    "account.name",
                    f"{part[:80]!r} is no component of a name",
                    "an upper-case letter or a digit, then letters, digits and dashes",
                )

    @property
    def root(self) -> Root:
        """The root that it hangs on."""
        return Root(self.name.partition(":")[0])


@dataclass(frozen=True, slots=True)
class Chart:
    """All accounts of an entity. Make one by `chart` or `read_chart`."""

    entity: PartyId
    accounts: Mapping[AccountName, Account]

    def __getitem__(self, name: str) -> Account:
        """The account of this name. Raises BadInput where there is none."""
        found = self.accounts.get(AccountName(name))
        if found is None:
            raise BadInput("account", f"{name[:80]!r} is not in the chart of {self.entity}", "open it first")
        return found


def chart(entity: PartyId, accounts: Iterable[Account]) -> Chart:
    """The chart of these accounts.

    Raises:
        BadInput: a name comes twice, or is the group of another account.
    """
    found: dict[AccountName, Account] = {}
    for account in accounts:
        if account.name in found:
            raise BadInput("account.name", f"{account.name} is there twice", "give each its own name")
        found[account.name] = account
    for name in found:
        for group in groups_of(name):
            if AccountName(group) in found:
                raise BadInput("account.name", f"{group} is a group: {name} is below it", "rename one of them")
    return Chart(entity, MappingProxyType(found))


def groups_of(name: str) -> tuple[str, ...]:
    """The groups above an account, its root first."""
    parts = name.split(":")
    return tuple(":".join(parts[:depth]) for depth in range(1, len(parts)))


def component(text: str) -> str:
    """A component for a name that follows other rules: `digital-euro` becomes `DigitalEuro`.

    Raises:
        BadInput: nothing of it is a letter or a digit.
    """
    made = "".join(part[0].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", text) if part)
    if not made:
        raise BadInput("account.name", f"{text[:80]!r} has neither letters nor digits", "name it otherwise")
    return made


def read_chart(raw: bytes) -> Chart:
    """A chart from TOML: `format = 1`, `entity`, and `[[account]]` tables with `name`, `asset` and `scale`.

    Raises:
        BadInput: names the field, what is wrong with it, and what to write instead.
    """
    try:
        top = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput("chart", f"it is no TOML: {error}", "see docs/books.md") from error
    _known(top, {"format", "entity", "account"}, "chart")
    if top.get("format") != _FORMAT:
        raise BadInput("chart.format", f"{top.get('format')!r} is not known", f"write format = {_FORMAT}")
    entity = party_id(_text(top, "entity", "chart"), "chart.entity")
    listed = top.get("account")
    if not isinstance(listed, list) or not listed:
        raise BadInput("chart.account", "there are none", "write [[account]] for each")
    return chart(entity, (_account(each, f"chart.account[{place}]") for place, each in enumerate(listed)))


def _account(table: Any, place: str) -> Account:
    if not isinstance(table, dict):
        raise BadInput(place, "it is no table", "write [[account]]")
    _known(table, {"name", "asset", "scale"}, place)
    scale = table.get("scale")
    if type(scale) is not int:
        raise BadInput(f"{place}.scale", f"{scale!r} is no number of decimals", "EUR in cents has scale 2")
    return Account(AccountName(_text(table, "name", place)), Asset(_text(table, "asset", place), Scale(scale)))


def _text(table: Mapping[str, Any], field: str, place: str) -> str:
    found = table.get(field)
    if not isinstance(found, str) or not found:
        raise BadInput(f"{place}.{field}", "it is missing, or is no text", "see docs/books.md")
    return found


def _known(table: Mapping[str, Any], fields: set[str], place: str) -> None:
    strange = sorted(table.keys() - fields)
    if strange:
        raise BadInput(f"{place}.{strange[0]}", "no such field", f"one of {', '.join(sorted(fields))}")
