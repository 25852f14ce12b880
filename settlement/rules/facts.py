"""What the rules are asked about: one payment, the people and accounts in it, and what people said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import msgspec

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.quantities import MAX_UNITS, Asset, PartyId, Units, tagged_hash

_COUNTRY_LETTERS = 2


class Role(StrEnum):
    """Who a subject is in the payment (the parties and agents of ISO 20022's pacs.008)."""

    ORIGINATOR = "originator"
    BENEFICIARY = "beneficiary"
    ORIGINATOR_BANK = "originator_bank"
    BENEFICIARY_BANK = "beneficiary_bank"
    INTERMEDIARY = "intermediary"


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody in the payment, as the exchange of data named them. What it says is personal: it is never logged.

    Fields: role; names (all that are known, in any script); accounts (IBAN or other, in any spacing); bics (8 or 11
    characters); countries (ISO 3166-1 alpha-2).
    """

    role: Role
    names: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    bics: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Subject(role={self.role.value!r}, <personal>)"


@dataclass(frozen=True, slots=True)
class Facts:
    """One payment as the validator sees it, before anything enters a ledger.

    Fields: payment_id (32 bytes); payer, payee (the parties, mostly banks); origin, destination (the corridor: ISO
    3166-1 alpha-2); source and amount (what the payer pays, in base units, above 0); target and target_amount (what the
    payee gets); purpose (ISO 20022 purpose code or empty); initiator (who asked for it, empty where it was no person);
    subjects (whom the lists are held against); blind (random bytes: the digest confirms no guessed name).

    Raises:
        BadInput: a field is out of its range.
    """

    payment_id: bytes
    payer: PartyId
    payee: PartyId
    origin: str
    destination: str
    source: Asset
    amount: Units
    target: Asset
    target_amount: Units
    purpose: str = ""
    initiator: str = ""
    subjects: tuple[Subject, ...] = ()
    blind: bytes = b""

    def __post_init__(self) -> None:
        if len(self.payment_id) != 32:
            raise BadInput("payment_id", f"{len(self.payment_id)} bytes", "32 bytes")
        for field, amount in (("amount", self.amount), ("target_amount", self.target_amount)):
            if not 0 < amount <= MAX_UNITS:
                raise BadInput(field, f"{amount} is not between 1 and 2^64−1", "amounts are whole base units above 0")
        for field, country in (("origin", self.origin), ("destination", self.destination)):
            if not is_country(country):
                raise BadInput(field, f"{country[:20]!r} is no country", "two capital letters, as in ISO 3166-1")

    @property
    def corridor(self) -> str:
        """`origin-destination`, such as `DE-CN`."""
        return f"{self.origin}-{self.destination}"

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for these facts and no others: what approvals are bound to."""
        return tagged_hash("rules/facts", encode_facts(self))


def is_country(text: str) -> bool:
    """Whether `text` has the form of a country code: two capital letters."""
    return len(text) == _COUNTRY_LETTERS and text.isascii() and text.isalpha() and text.isupper()


@dataclass(frozen=True, slots=True)
class Rate:
    """`numerator / denominator` base units of another asset for one base unit of this; both above 0.

    Raises:
        BadInput: one of them is not above 0.
    """

    numerator: int
    denominator: int

    def __post_init__(self) -> None:
        if self.numerator <= 0 or self.denominator <= 0:
            raise BadInput("rate", f"{self.numerator}/{self.denominator}", "two whole numbers above 0")

    def convert_up(self, amount: int) -> int:
        """`amount` in the other asset, rounded up: a limit is never missed by rounding."""
        return -(-amount * self.numerator // self.denominator)


Rates: TypeAlias = Mapping[tuple[Asset, Asset], Rate]
"""(a payment's asset, a rule's asset) → rate. Limits in another currency are compared by these."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word that one payment may go on. Who said it has been authenticated before it gets here.

    Fields: subject (`Facts.digest` of what was shown to the person, 32 bytes); person (a name of the rules' `person`
    entries); clears (ids of the rules whose referral the person looked at, empty: it counts for four-eyes alone); at.
    """

    subject: bytes
    person: str
    clears: tuple[str, ...]
    at: UnixMs


class FactsError(BadInput):
    """Facts that were stored or handed in cannot be read. Fields as `BadInput`."""


def encode_facts(facts: Facts) -> bytes:
    """JSON of the facts, the same bytes for the same facts."""
    return msgspec.json.encode(facts, order="deterministic")


def decode_facts(raw: bytes) -> Facts:
    """The facts that `encode_facts` wrote, or a person in the same form.

    Raises:
        FactsError: no such JSON, or a field is out of its range.
    """
    try:
        return msgspec.json.decode(raw, type=Facts)
    except BadInput as error:
        raise FactsError(error.field, error.problem, error.cure) from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise FactsError("facts", str(error), "the JSON of a payment's facts; bytes are base64") from error
