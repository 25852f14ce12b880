"""What a bank requires of the other before money moves, and what it may disclose itself: rules as data, by payment.

Rules add up: what any rule that applies requires is required; what any rule that applies lets out may be let out. A
bank sends what the other requires and no more, and refuses where that is more than it may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from foundation.errors import BadInput
from foundation.unreadable import UNREADABLE
from settlement.connect.ivms101 import IdentityPayload, LegalPerson, NaturalPerson, Person
from settlement.connect.screening import Subject
from settlement.quantities import MAX_UNITS, Units

_Country = Annotated[str, Meta(pattern="\\A([A-Z]{2}|\\*)\\Z")]
_Name = Annotated[str, Meta(min_length=1, max_length=64)]
_Units = Annotated[int, Meta(ge=0)]  # above 2^63 the decoder's bound is ours to check
ANY: Final = "*"


class Datum(StrEnum):
    """A kind of personal data that a bank asks for or discloses."""

    NAME = "name"
    ADDRESS = "address"
    NATIONAL_ID = "national-id"
    CUSTOMER_ID = "customer-id"
    BIRTH = "birth"
    COUNTRY = "country"
    ACCOUNT = "account"
    INSTITUTION = "institution"


class PersonKind(StrEnum):
    """A human being or an organisation."""

    NATURAL = "natural"
    LEGAL = "legal"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules look at, known to both banks.

    Fields: origin, destination (ISO 3166-1 countries of the two banks); currency (of the payer's side) and amount (its
    base units); fee (base units of the same, contained in the amount); purpose (ISO 20022 external purpose code, such
    as SUPP); originator, beneficiary (kinds of persons).
    """

    origin: str
    destination: str
    currency: str
    amount: Units
    fee: Units
    purpose: str
    originator: PersonKind
    beneficiary: PersonKind

    def kind_of(self, subject: Subject) -> PersonKind:
        """The kind of person that pays or is paid."""
        return self.originator if subject is Subject.ORIGINATOR else self.beneficiary


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """Data on one subject that are required, or may be disclosed, where all of the rule's conditions hold.

    Fields: subject; data; origin, destination (a country, or `*`); currency (or `*`); at_least, at_most (base units of
    the currency; without a currency the rule would compare what cannot be compared); purposes (none: all); kinds (none:
    all).
    """

    subject: Subject
    data: frozenset[Datum]
    origin: _Country = ANY
    destination: _Country = ANY
    currency: _Name = ANY
    at_least: _Units = 0
    at_most: _Units = MAX_UNITS
    purposes: frozenset[_Name] = frozenset()
    kinds: frozenset[PersonKind] = frozenset()

    def applies(self, facts: Facts) -> bool:
        """Whether all its conditions hold."""
        return (
            self.origin in (ANY, facts.origin)
            and self.destination in (ANY, facts.destination)
            and self.currency in (ANY, facts.currency)
            and self.at_least <= facts.amount <= self.at_most
            and (not self.purposes or facts.purpose in self.purposes)
            and (not self.kinds or facts.kind_of(self.subject) in self.kinds)
        )


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """One bank's policy.

    Fields: version (named in every decision); requires; discloses; purposes (codes of payments that it takes part in;
    none: all); max_fee_ppm (the highest fee that it accepts, in millionths of the amount; None: any).
    """

    version: _Name
    requires: tuple[Rule, ...]
    discloses: tuple[Rule, ...]
    purposes: frozenset[_Name] = frozenset()
    max_fee_ppm: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None

    def demands(self, subject: Subject, facts: Facts) -> frozenset[Datum]:
        """What it requires on `subject` in this payment."""
        return _union(self.requires, subject, facts)

    def allows(self, subject: Subject, facts: Facts) -> frozenset[Datum]:
        """What it may disclose on `subject` in this payment."""
        return _union(self.discloses, subject, facts)


class Objection(StrEnum):
    """Why a bank does not take part."""

    PURPOSE = "purpose"  # not one that it takes part in
    FEE = "fee"  # above what it accepts
    DISCLOSURE = "disclosure"  # the other requires what it may not disclose
    DEMAND = "demand"  # it requires what the other may not disclose


@dataclass(frozen=True, slots=True)
class Refused:
    """The two policies do not fit in this payment. Fields: reason; field (what it is about: a kind, no value)."""

    reason: Objection
    field: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """What each side sends: exactly what the other requires."""

    mine: frozenset[Datum]
    theirs: frozenset[Datum]


Negotiated: TypeAlias = Agreed | Refused


def decode_policy(raw: bytes) -> Policy:
    """A policy from JSON.

    Raises:
        BadInput: it is none; names the place. A rule with an amount and no currency is refused.
    """
    try:
        policy = msgspec.json.decode(raw, type=Policy)
    except UNREADABLE as error:
        raise BadInput("policy", str(error), "see docs/connect.md") from error
    for name, rules in (("requires", policy.requires), ("discloses", policy.discloses)):
        for place, rule in enumerate(rules):
            _check_rule(f"policy.{name}[{place}]", rule)
    return policy


def respond(policy: Policy, mine: Subject, their_demand: frozenset[Datum], facts: Facts) -> frozenset[Datum] | Refused:
    """What this bank sends on its own customer, whose role is `mine`, when the other requires `their_demand`.

    Whatever is sent goes with the name, without which IVMS 101 has no person.
    """
    if policy.purposes and facts.purpose not in policy.purposes:
        return Refused(Objection.PURPOSE, facts.purpose)
    # In whole numbers: fee / amount > ppm / 10^6.
    if policy.max_fee_ppm is not None and facts.fee * 1_000_000 > policy.max_fee_ppm * facts.amount:
        return Refused(Objection.FEE, "fee")
    needed = their_demand | {Datum.NAME} if their_demand else their_demand
    withheld = needed - policy.allows(mine, facts)
    if withheld:
        return Refused(Objection.DISCLOSURE, min(withheld))
    return needed


def negotiate(mine: Policy, theirs: Policy, subject: Subject, facts: Facts) -> Negotiated:
    """What comes of two policies in a payment; `subject` is this bank's own customer. A dry run of the exchange."""
    other = Subject.BENEFICIARY if subject is Subject.ORIGINATOR else Subject.ORIGINATOR
    sent = respond(mine, subject, theirs.demands(subject, facts), facts)
    if isinstance(sent, Refused):
        return sent
    received = respond(theirs, other, mine.demands(other, facts), facts)
    if isinstance(received, Refused):
        is_data = received.reason is Objection.DISCLOSURE
        return Refused(Objection.DEMAND, received.field) if is_data else received
    return Agreed(sent, received)


def present(payload: IdentityPayload, subject: Subject) -> frozenset[Datum]:
    """The kinds of data that a payload holds on every person of `subject`: what is asked for has to be on each."""
    persons, accounts, institution = _side(payload, subject)
    if not persons:
        return frozenset()
    common = frozenset.intersection(*(_data_of(person) for person in persons))
    more = {Datum.ACCOUNT} if accounts else set()
    if institution is not None and Datum.NATIONAL_ID in _data_of(institution):
        more.add(Datum.INSTITUTION)
    return common | more


def kind_of(person: Person) -> PersonKind:
    """Whether it is a human being or an organisation."""
    return PersonKind.NATURAL if person.natural_person is not None else PersonKind.LEGAL


def reduced(payload: IdentityPayload, subject: Subject, data: frozenset[Datum]) -> IdentityPayload:
    """The payload with nothing but `data` on `subject`, and the name, without which IVMS 101 has no person."""
    persons, accounts, institution = _side(payload, subject)
    kept = tuple(_reduced_person(person, data) for person in persons)
    numbers = accounts if Datum.ACCOUNT in data else ()
    bank = institution if Datum.INSTITUTION in data else None
    if subject is Subject.ORIGINATOR and payload.originator is not None:
        originator = msgspec.structs.replace(payload.originator, originator_person=kept, account_number=numbers)
        return IdentityPayload(originator=originator, originating_vasp=bank)
    if subject is Subject.BENEFICIARY and payload.beneficiary is not None:
        beneficiary = msgspec.structs.replace(payload.beneficiary, beneficiary_person=kept, account_number=numbers)
        return IdentityPayload(beneficiary=beneficiary, beneficiary_vasp=bank)
    return IdentityPayload()


def _union(rules: Sequence[Rule], subject: Subject, facts: Facts) -> frozenset[Datum]:
    return frozenset().union(*(rule.data for rule in rules if rule.subject is subject and rule.applies(facts)))


def _check_rule(place: str, rule: Rule) -> None:
    if rule.currency == ANY and (rule.at_least > 0 or rule.at_most < MAX_UNITS):
        raise BadInput(f"{place}.currency", "an amount needs its currency", "name one")
    if rule.at_least > rule.at_most or rule.at_most > MAX_UNITS:
        raise BadInput(f"{place}.at_least", "no amount is between the two", "at_least is not above at_most")


def _side(payload: IdentityPayload, subject: Subject) -> tuple[tuple[Person, ...], tuple[str, ...], Person | None]:
    if subject is Subject.ORIGINATOR:
        side = payload.originator
        return (side.originator_person, side.account_number, payload.originating_vasp) if side else ((), (), None)
    other = payload.beneficiary
    return (other.beneficiary_person, other.account_number, payload.beneficiary_vasp) if other else ((), (), None)


def _data_of(person: Person) -> frozenset[Datum]:
    one = person.either
    held = {
        Datum.NAME: True,
        Datum.ADDRESS: bool(one.geographic_address),
        Datum.NATIONAL_ID: one.national_identification is not None,
        Datum.CUSTOMER_ID: one.customer_identification is not None,
        Datum.BIRTH: isinstance(one, NaturalPerson) and one.date_and_place_of_birth is not None,
        Datum.COUNTRY: _country(one) is not None,
    }
    if isinstance(one, LegalPerson):
        held[Datum.BIRTH] = True  # nothing to tell: a demand for it is met
    return frozenset(datum for datum, is_held in held.items() if is_held)


def _country(one: NaturalPerson | LegalPerson) -> str | None:
    return one.country_of_residence if isinstance(one, NaturalPerson) else one.country_of_registration


def _reduced_person(person: Person, data: frozenset[Datum]) -> Person:
    one = person.either
    address = one.geographic_address if Datum.ADDRESS in data else ()
    national = one.national_identification if Datum.NATIONAL_ID in data else None
    customer = one.customer_identification if Datum.CUSTOMER_ID in data else None
    if isinstance(one, NaturalPerson):
        natural = NaturalPerson(
            one.name,
            address,
            national,
            customer,
            one.date_and_place_of_birth if Datum.BIRTH in data else None,
            one.country_of_residence if Datum.COUNTRY in data else None,
        )
        return Person(natural_person=natural)
    registration = one.country_of_registration if Datum.COUNTRY in data else None
    return Person(legal_person=LegalPerson(one.name, address, customer, national, registration))
