"""What earlier payments have used up: asked by the rules, answered by a store, or from memory in a dry run.

Use is kept by party, corridor, asset and day, and not by rule: a limit that is new, or was changed, counts what was
paid before it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import TypeAlias
from zoneinfo import ZoneInfo

from foundation.quantities import UnixMs
from settlement.quantities import Asset
from settlement.rules.facts import Facts
from settlement.rules.model import Limit, Per, Rules, Scope, Velocity, Window


@dataclass(frozen=True, slots=True)
class Ways:
    """Which payments are added up: those of a scope, with the same payer and so on as the payment that is looked at.

    A field that is None is not compared.
    """

    scope: Scope
    payer: str | None
    payee: str | None
    origin: str | None
    destination: str | None

    def cover(self, payer: str, payee: str, origin: str, destination: str) -> bool:
        """Whether a payment that went this way is added up."""
        found = (payer, payee, origin, destination)
        asked = (self.payer, self.payee, self.origin, self.destination)
        same = all(want is None or want == has for want, has in zip(asked, found, strict=True))
        return same and self.scope.covers_way(payer, payee, origin, destination)


@dataclass(frozen=True, slots=True)
class SumQuestion:
    """What was paid from `first_day` to `last_day`, both inclusive, in the rules' time zone."""

    rule_id: str
    ways: Ways
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class CountQuestion:
    """How many payments passed after `after` (exclusive), up to `enough`: more need not be counted."""

    rule_id: str
    ways: Ways
    after: UnixMs
    enough: int


@dataclass(frozen=True, slots=True)
class Used:
    """What payments in one asset come to. Fields: amount (base units); count."""

    amount: int = 0
    count: int = 0


Sums: TypeAlias = Mapping[str, Mapping[Asset, Used]]
"""Rule id → asset → used."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The answers. Fields: sums (of each `SumQuestion`); counts (rule id → number, of each `CountQuestion`)."""

    sums: Sums = field(default_factory=lambda: MappingProxyType({}))
    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Use:
    """What one payment takes of the limits. Fields: day (in the rules' time zone); at."""

    facts: Facts
    day: date
    at: UnixMs


def local(zone: ZoneInfo, now: UnixMs) -> datetime:
    """The moment in a time zone, to the millisecond."""
    return (datetime.fromtimestamp(now // 1000, UTC) + timedelta(milliseconds=now % 1000)).astimezone(zone)


def questions(rules: Rules, facts: Facts, now: UnixMs) -> tuple[tuple[SumQuestion, ...], tuple[CountQuestion, ...]]:
    """What has to be known of earlier payments before `evaluate`."""
    today = local(rules.zone, now).date()
    sums = tuple(
        SumQuestion(limit.rule_id, _ways(limit, facts), _first_day(limit.window, today), today)
        for limit in rules.limits
        if limit.window is not Window.EACH and limit.scope.covers(facts)
    )
    counts = tuple(
        CountQuestion(rule.rule_id, _ways(rule, facts), UnixMs(now - rule.window_ms), rule.count_max)
        for rule in rules.velocities
        if rule.scope.covers(facts)
    )
    return sums, counts


def use_of(rules: Rules, facts: Facts, now: UnixMs) -> Use:
    """What the payment takes, if it passes now."""
    return Use(facts, local(rules.zone, now).date(), now)


class MemoryHistory:
    """Use that is forgotten at the end: for dry runs."""

    def __init__(self) -> None:
        self._uses: list[Use] = []
        self._days: dict[date, dict[tuple[str, str, str, str, Asset], Used]] = {}

    def add(self, use: Use) -> None:
        """The payment passed, not before those that were added."""
        facts = use.facts
        self._uses.append(use)
        cells = self._days.setdefault(use.day, {})
        cell = (facts.payer, facts.payee, facts.origin, facts.destination, facts.source)
        had = cells.get(cell, Used())
        cells[cell] = Used(had.amount + facts.amount, had.count + 1)

    def answer(self, sums: tuple[SumQuestion, ...], counts: tuple[CountQuestion, ...]) -> Usage:
        """The answers to `questions`."""
        return Usage({q.rule_id: self._sum(q) for q in sums}, {q.rule_id: self._count(q) for q in counts})

    def _sum(self, question: SumQuestion) -> dict[Asset, Used]:
        found: dict[Asset, Used] = {}
        for day, cells in self._days.items():
            if question.first_day <= day <= question.last_day:
                for (payer, payee, origin, destination, asset), used in cells.items():
                    if question.ways.cover(payer, payee, origin, destination):
                        had = found.get(asset, Used())
                        found[asset] = Used(had.amount + used.amount, had.count + used.count)
        return found

    def _count(self, question: CountQuestion) -> int:
        count = 0
        for use in reversed(self._uses):
            if use.at <= question.after or count >= question.enough:
                break
            facts = use.facts
            count += question.ways.cover(facts.payer, facts.payee, facts.origin, facts.destination)
        return count


def _ways(rule: Limit | Velocity, facts: Facts) -> Ways:
    per = rule.per
    corridor = per in (Per.CORRIDOR, Per.PAYER_CORRIDOR)
    return Ways(
        scope=rule.scope,
        payer=facts.payer if per in (Per.PAYER, Per.PAYER_CORRIDOR, Per.PAIR) else None,
        payee=facts.payee if per in (Per.PAYEE, Per.PAIR) else None,
        origin=facts.origin if corridor else None,
        destination=facts.destination if corridor else None,
    )


def _first_day(window: Window, today: date) -> date:
    return today.replace(day=1) if window is Window.MONTH else today
