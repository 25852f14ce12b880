"""The rules' answer for one payment: a pure function of the rules, the facts, what was used before, and the moment.

Every rule is asked, so that a decision tells all reasons at once. What cannot be known (a rate that is missing, a name
in no letters) refers the payment to a person; it never passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from foundation.quantities import UnixMs
from settlement.quantities import Asset
from settlement.rules.decision import Decision, Reason
from settlement.rules.facts import Approval, Facts, Rates, Role, Subject
from settlement.rules.history import Usage, Used, local
from settlement.rules.model import FourEyes, Hours, Limit, Rules, Sanctions, Velocity, Verdict, Window
from settlement.rules.names import identifier, is_comparable

_APPROVAL_MS_MAX = 24 * 3_600_000
"""An approval counts for a day: who approved a payment looked at the lists and rates of that day."""

_PEOPLE = frozenset({Role.ORIGINATOR, Role.BENEFICIARY})
"""Who has to have a name; a bank may be known by its BIC."""

_NO_USED: MappingProxyType[Asset, Used] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Context:
    """What is known besides the facts. Fields: usage (answers to `questions`); rates; approvals (authenticated)."""

    usage: Usage = field(default_factory=Usage)
    rates: Rates = field(default_factory=lambda: MappingProxyType({}))
    approvals: tuple[Approval, ...] = ()


def evaluate(rules: Rules, facts: Facts, context: Context, now: UnixMs) -> Decision:
    """What becomes of the payment, and why. The same arguments give the same decision, on every machine."""
    approvals = _valid_approvals(rules, facts, context.approvals, now)
    reasons = [
        *_pairs(rules, facts),
        *_sanctions(rules.sanctions, facts),
        *(reason for rule in rules.hours for reason in _hours(rule, facts, now)),
        *(reason for rule in rules.limits for reason in _limit(rule, facts, context)),
        *(reason for rule in rules.velocities for reason in _velocity(rule, facts, context)),
    ]
    settled = [_reviewed(rules, reason, approvals) for reason in reasons]
    # Approvals for four-eyes are no referral that a reviewer could clear.
    settled += [reason for rule in rules.four_eyes for reason in _four_eyes(rules, rule, facts, context, approvals)]
    verdict = max((reason.verdict for reason in settled), default=Verdict.PASS)
    return Decision(facts.payment_id, verdict, tuple(settled), rules.version, facts.digest, now)


def _valid_approvals(rules: Rules, facts: Facts, given: tuple[Approval, ...], now: UnixMs) -> tuple[Approval, ...]:
    """Those for these very facts, by known persons other than the initiator, not too old and not from the future."""
    digest = facts.digest
    return tuple(
        approval
        for approval in given
        if approval.subject == digest
        and approval.person in rules.persons
        and approval.person != facts.initiator
        and now - _APPROVAL_MS_MAX < approval.at <= now
    )


def _reviewed(rules: Rules, reason: Reason, approvals: tuple[Approval, ...]) -> Reason:
    """A referral that enough persons looked at and cleared becomes a pass that says who."""
    if reason.verdict is not Verdict.REFER or rules.review.approvals == 0:
        return reason
    people = sorted(
        {
            approval.person
            for approval in approvals
            if reason.rule_id in approval.clears and rules.persons[approval.person].roles & rules.review.roles
        }
    )
    if len(people) < rules.review.approvals:
        return reason
    cleared = (*reason.compared, ("cleared by", ", ".join(people)))
    return Reason(reason.rule_id, Verdict.PASS, f"{reason.text}; cleared", cleared)


def _pairs(rules: Rules, facts: Facts) -> Iterator[Reason]:
    pairs = rules.pairs
    pair = (facts.source.code, facts.target.code)
    if pairs is not None and pair not in pairs.allowed:
        text = f"{pair[0]} is not paid for {pair[1]} here"
        yield Reason(pairs.rule_id, pairs.verdict, text, (("pair", f"{pair[0]}->{pair[1]}"),))


def _sanctions(sanctions: Sanctions | None, facts: Facts) -> Iterator[Reason]:
    if sanctions is None:
        return
    for country in sorted({facts.origin, facts.destination} & sanctions.countries.keys()):
        yield Reason("sanctions", Verdict.BLOCK, f"the corridor touches {country}", (("country", country),))
    if not facts.subjects:
        yield Reason("sanctions", sanctions.nobody_verdict, "nobody is known here whom the lists could name")
    for number, subject in enumerate(facts.subjects):
        place = f"subjects[{number}]"
        if subject.role in _PEOPLE and not subject.names:
            text = f"the {subject.role.value} has no name that the lists could be held against"
            yield Reason("sanctions", sanctions.unnamed_verdict, text, (("field", f"{place}.names"),))
        yield from _identifiers(sanctions, subject, place)
        for index, name in enumerate(subject.names):
            yield from _name(sanctions, name, f"{place}.names[{index}]")


def _identifiers(sanctions: Sanctions, subject: Subject, place: str) -> Iterator[Reason]:
    """What is listed as it stands blocks: there is no near account."""
    role = subject.role.value
    kinds = (
        ("accounts", subject.accounts, sanctions.accounts, None),
        ("bics", subject.bics, sanctions.bics, 8),
        ("countries", subject.countries, sanctions.countries, None),
    )
    for kind, values, listed, length in kinds:
        for index, value in enumerate(values):
            if (entry := listed.get(identifier(value)[:length])) is not None:
                compared = (("field", f"{place}.{kind}[{index}]"), ("entry", entry))
                yield Reason(_entry_id(entry), Verdict.BLOCK, f"the {role} is on the list as {entry}", compared)


def _name(sanctions: Sanctions, name: str, place: str) -> Iterator[Reason]:
    if not is_comparable(name):
        yield Reason("sanctions", Verdict.REFER, "a name cannot be compared with the lists", (("field", place),))
        return
    for hit in sanctions.names.search(name, sanctions.near_from):
        exact = hit.similarity == 1_000
        verdict = Verdict.BLOCK if exact else sanctions.near_verdict
        text = f"a name {'is' if exact else 'resembles'} one of the entry {hit.entry_id}"
        compared = (
            ("field", place),
            ("entry", hit.entry_id),
            ("similarity", f"{hit.similarity}/1000"),
            ("near from", f"{sanctions.near_from}/1000"),
        )
        yield Reason(_entry_id(hit.entry_id), verdict, text, compared)


def _entry_id(entry: str) -> str:
    """Each entry is cleared by itself: a clearance must not hold for an entry that was listed after it."""
    return f"sanctions:{entry}"


def _hours(rule: Hours, facts: Facts, now: UnixMs) -> Iterator[Reason]:
    if not rule.scope.covers(facts):
        return
    moment = local(rule.zone, now)
    minute = moment.hour * 60 + moment.minute
    if moment.date() in rule.holidays:
        text = "this is a holiday"
    elif moment.weekday() not in rule.days:
        text = "this is no business day"
    elif not any(start <= minute < end for start, end in rule.periods):
        text = "this is outside of business hours"
    else:
        return
    yield Reason(rule.rule_id, rule.verdict, text, (("local time", moment.isoformat(timespec="minutes")),))


def _limit(rule: Limit, facts: Facts, context: Context) -> Iterator[Reason]:
    if not rule.scope.covers(facts):
        return
    used = _NO_USED if rule.window is Window.EACH else context.usage.sums[rule.rule_id]
    if rule.count_max is not None:
        count = sum(part.count for part in used.values())
        if count + 1 > rule.count_max:
            compared = (("before", f"{count}"), ("at most", f"{rule.count_max}"), ("window", rule.window.value))
            yield Reason(rule.rule_id, rule.verdict, f"more than {rule.count_max} payments", compared)
    if rule.amount_max is not None:
        assert rule.asset is not None, "the parser asks for it"
        yield from _amount(rule, rule.amount_max, rule.asset, used, facts, context)


def _amount(
    rule: Limit, most: int, asset: Asset, used: Mapping[Asset, Used], facts: Facts, context: Context
) -> Iterator[Reason]:
    before = [in_asset(part.amount, paid, asset, context.rates) for paid, part in sorted(used.items(), key=_by_code)]
    this = in_asset(facts.amount, facts.source, asset, context.rates)
    if this is None or None in before:
        yield _no_rate(rule.rule_id, asset)
        return
    had = sum(amount for amount in before if amount is not None)
    if had + this > most:
        compared = (
            ("before", asset.text(had)),
            ("this", asset.text(this)),
            ("at most", asset.text(most)),
            ("asset", asset.code),
            ("window", rule.window.value),
        )
        yield Reason(rule.rule_id, rule.verdict, f"more than {asset.text(most)} {asset.code}", compared)


def _velocity(rule: Velocity, facts: Facts, context: Context) -> Iterator[Reason]:
    if not rule.scope.covers(facts):
        return
    count = context.usage.counts[rule.rule_id]
    if count + 1 > rule.count_max:
        seconds = rule.window_ms // 1000
        compared = (("before", f"{count}"), ("at most", f"{rule.count_max}"), ("seconds", f"{seconds}"))
        yield Reason(rule.rule_id, rule.verdict, f"more than {rule.count_max} payments in {seconds} s", compared)


def _four_eyes(
    rules: Rules, rule: FourEyes, facts: Facts, context: Context, approvals: tuple[Approval, ...]
) -> Iterator[Reason]:
    if not rule.scope.covers(facts):
        return
    amount = in_asset(facts.amount, facts.source, rule.asset, context.rates)
    if amount is None:
        yield _no_rate(rule.rule_id, rule.asset)
        return
    if amount <= rule.above:
        return
    people = sorted({a.person for a in approvals if rules.persons[a.person].roles & rule.roles})
    enough = len(people) >= rule.approvals
    compared = (
        ("amount", rule.asset.text(amount)),
        ("above", rule.asset.text(rule.above)),
        ("approved by", ", ".join(people)),
        ("approvals asked", f"{rule.approvals}"),
    )
    text = f"{len(people)} of {rule.approvals} approvals above {rule.asset.text(rule.above)} {rule.asset.code}"
    yield Reason(rule.rule_id, Verdict.PASS if enough else Verdict.REFER, text, compared)


def in_asset(amount: int, paid: Asset, asset: Asset, rates: Rates) -> int | None:
    """`amount` base units of `paid` in base units of a rule's asset, rounded up; None where no rate is known."""
    if paid == asset:
        return amount
    if paid.code == asset.code:
        shift = asset.scale - paid.scale
        return int(amount * 10**shift) if shift >= 0 else int(-(-amount // 10**-shift))
    rate = rates.get((paid, asset))
    return None if rate is None else rate.convert_up(amount)


def _no_rate(rule_id: str, asset: Asset) -> Reason:
    return Reason(rule_id, Verdict.REFER, f"no rate to {asset.code} is known", (("asset", asset.code),))


def _by_code(item: tuple[Asset, Used]) -> tuple[str, int]:
    return item[0].code, item[0].scale
