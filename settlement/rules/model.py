"""The rules as data: what a file says, checked, and ready to be evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum, StrEnum
from zoneinfo import ZoneInfo

from settlement.quantities import Asset
from settlement.rules.facts import Facts
from settlement.rules.names import NameIndex


class Verdict(IntEnum):
    """What is to become of a payment; the worst of all reasons counts."""

    PASS = 0  # it may enter a ledger
    REFER = 1  # a person has to look at it first
    BLOCK = 2  # it never may


class Per(StrEnum):
    """Whose payments a limit adds up."""

    ALL = "all"
    PAYER = "payer"
    PAYEE = "payee"
    CORRIDOR = "corridor"
    PAYER_CORRIDOR = "payer+corridor"
    PAIR = "payer+payee"


class Window(StrEnum):
    """How long a limit adds up; calendar days and months are those of the rules' time zone."""

    EACH = "each"  # one payment alone
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which payments a rule is for; an empty set is for all.

    Fields: payers, payees (parties' names); corridors (`DE-CN`, where `*` stands for any country).
    """

    payers: frozenset[str] = frozenset()
    payees: frozenset[str] = frozenset()
    corridors: frozenset[str] = frozenset()

    def covers(self, facts: Facts) -> bool:
        """Whether the rule is for this payment."""
        return self.covers_way(facts.payer, facts.payee, facts.origin, facts.destination)

    def covers_way(self, payer: str, payee: str, origin: str, destination: str) -> bool:
        """The same for a payment of which no more is known."""
        ways = {f"{a}-{b}" for a in (origin, "*") for b in (destination, "*")}
        return (
            (not self.payers or payer in self.payers)
            and (not self.payees or payee in self.payees)
            and (not self.corridors or not ways.isdisjoint(self.corridors))
        )


@dataclass(frozen=True, slots=True)
class Limit:
    """A sum or a number of payments that is not passed. `amount_max` in base units of `asset`, None: no such bound."""

    rule_id: str
    scope: Scope
    per: Per
    window: Window
    asset: Asset | None
    amount_max: int | None
    count_max: int | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Velocity:
    """At most `count_max` payments in any `window_ms`, this one counted."""

    rule_id: str
    scope: Scope
    per: Per
    count_max: int
    window_ms: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class FourEyes:
    """From `above` base units of `asset` on (strictly above), `approvals` persons with one of `roles` must agree.

    Who asked for the payment never counts.
    """

    rule_id: str
    scope: Scope
    asset: Asset
    above: int
    approvals: int
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Hours:
    """When payments may be made. Fields: days (0 is Monday); periods (minutes of the day, the end exclusive)."""

    rule_id: str
    scope: Scope
    zone: ZoneInfo
    days: frozenset[int]
    periods: tuple[tuple[int, int], ...]
    holidays: frozenset[date]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which assets may be paid for which. Fields: allowed ((source code, target code)); verdict for all others."""

    rule_id: str
    allowed: frozenset[tuple[str, str]]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Sanctions:
    """Whom nobody pays. Identifiers and full names block; names that are near are `near_verdict`.

    Fields: names (ids of the entries' names); accounts, bics, countries → the id of the entry that names it; near_from
    (similarity in thousandths from which a name is near); unnamed_verdict (of an originator or a beneficiary without a
    name: the lists were held against nobody); nobody_verdict (of a payment whose people are not known here at all, as
    to a clearing bank).
    """

    names: NameIndex
    accounts: dict[str, str]
    bics: dict[str, str]
    countries: dict[str, str]
    near_from: int
    near_verdict: Verdict
    unnamed_verdict: Verdict = Verdict.REFER
    nobody_verdict: Verdict = Verdict.PASS


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may approve. Fields: roles; key (Ed25519, 32 bytes; None: known by the API's login alone)."""

    name: str
    roles: frozenset[str]
    key: bytes | None


@dataclass(frozen=True, slots=True)
class Review:
    """How a referral is cleared: by so many persons with one of these roles, who named the rule. 0: never."""

    approvals: int
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of one file. `version` is the hash of its content, 32 bytes: what a decision names."""

    version: bytes
    name: str
    zone: ZoneInfo
    limits: tuple[Limit, ...] = ()
    velocities: tuple[Velocity, ...] = ()
    four_eyes: tuple[FourEyes, ...] = ()
    hours: tuple[Hours, ...] = ()
    pairs: Pairs | None = None
    sanctions: Sanctions | None = None
    persons: dict[str, Person] = field(default_factory=dict)
    review: Review = Review(0, frozenset())
