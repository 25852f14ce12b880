"""What rules would say: of one payment, and of all that were decided before. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from foundation.quantities import UnixMs
from settlement.rules.decision import Decision
from settlement.rules.evaluate import Context, evaluate
from settlement.rules.facts import Approval, Facts, Rates
from settlement.rules.history import MemoryHistory, questions, use_of
from settlement.rules.model import Rules, Verdict
from settlement.rules.store import Entry

_NO_RATES: Final[Rates] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Change:
    """A payment that the other rules would have decided otherwise. Fields: was (as it was kept); would_be."""

    was: Decision
    would_be: Decision


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found. Fields: same (decisions that stay); changes; erased (whose facts are no longer kept)."""

    same: int
    changes: tuple[Change, ...]
    erased: int


def dry_run(
    rules: Rules,
    facts: Facts,
    now: UnixMs,
    rates: Rates = _NO_RATES,
    approvals: tuple[Approval, ...] = (),
    history: MemoryHistory | None = None,
) -> Decision:
    """What these rules would say of a payment now, with nothing used before but what `history` holds."""
    usage = (history or MemoryHistory()).answer(*questions(rules, facts, now))
    return evaluate(rules, facts, Context(usage, rates, approvals), now)


def replay(rules: Rules, decided: Iterable[tuple[Entry, Facts | None]]) -> Replay:
    """What these rules would have said of past payments, one after the other, each counting what passed before it.

    What passes is taken to have been made: what was released later is counted, so that limits err to strictness.
    """
    history = MemoryHistory()
    passed: set[bytes] = set()
    changes: list[Change] = []
    same = erased = 0
    for entry, facts in decided:
        if facts is None:
            erased += 1
            continue
        was = entry.decision
        rates = {(known.paid, known.asset): known.rate for known in entry.rates}
        would_be = dry_run(rules, facts, was.at, rates, entry.approvals, history)
        if would_be.verdict is Verdict.PASS and facts.payment_id not in passed:
            passed.add(facts.payment_id)
            history.add(use_of(rules, facts, was.at))
        if would_be.verdict is was.verdict:
            same += 1
        else:
            changes.append(Change(was, would_be))
    return Replay(same, tuple(changes), erased)
