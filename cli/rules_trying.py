"""Rules tried on payments: one that is only thought of, and all that a gateway has decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cli.book_times import EARLIEST, moment, now
from cli.books_gateway import gateway, gateway_secrets, gateway_view
from cli.rules_view import decision_row
from foundation.errors import BadInput
from settlement.rules.dryrun import dry_run, replay
from settlement.rules.facts import Facts, decode_facts
from settlement.rules.model import Rules
from settlement.rules.reload import load_rules
from settlement.rules.store import Entry, RulesStore

_PAGE: Final = 1_000
_FACTS_BYTES_MAX: Final = 1 << 20


def rules_row(rules: Rules) -> dict[str, Any]:
    """What a file of rules holds."""
    return {
        "name": rules.name,
        "version": rules.version.hex(),
        "zone": str(rules.zone),
        "limits": [rule.rule_id for rule in rules.limits],
        "velocities": [rule.rule_id for rule in rules.velocities],
        "four_eyes": [rule.rule_id for rule in rules.four_eyes],
        "hours": [rule.rule_id for rule in rules.hours],
        "persons": sorted(rules.persons),
    }


def decide_one(file: Path, facts_file: Path, at: str | None) -> dict[str, Any]:
    """What a file's rules say of one payment. Raises `BadRules`, `FactsError`, `BadInput`."""
    rules = load_rules(file)
    try:
        with facts_file.open("rb") as opened:
            raw = opened.read(_FACTS_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput("--facts", f"{facts_file} cannot be read", "the path of a JSON file") from error
    if len(raw) > _FACTS_BYTES_MAX:
        raise BadInput("--facts", f"{facts_file} has more than {_FACTS_BYTES_MAX} bytes", "one payment's facts")
    return decision_row(dry_run(rules, decode_facts(raw), moment(at, "--at", now())))


async def replay_past(file: Path, config_file: Path, since: str | None, password_file: Path | None) -> dict[str, Any]:
    """What a file's rules would have said of a gateway's past payments.

    All are gone through, since limits count what came before; those from `since` on are counted and listed.

    Raises:
        ChainBroken: the decisions are not those that were made.
        What `gateway` and `gateway_secrets` raise.
    """
    rules = load_rules(file)
    start = moment(since, "--since", EARLIEST)
    config = gateway(config_file)
    key = gateway_secrets(config, password_file).facts_key
    async with gateway_view(config) as view:
        store = RulesStore(view.connection, key)
        await store.verify()
        decided = await _all(store)
    found = replay(rules, decided)
    recent = [facts for entry, facts in decided if entry.decision.at >= start]
    changes = [change for change in found.changes if change.was.at >= start]
    erased = sum(facts is None for facts in recent)
    return {
        "rules": rules.version.hex(),
        "decisions": len(recent),
        "same": len(recent) - erased - len(changes),
        "changed": len(changes),
        "erased": erased,
        "changes": [{"was": decision_row(each.was), "would_be": decision_row(each.would_be)} for each in changes],
    }


async def _all(store: RulesStore) -> list[tuple[Entry, Facts | None]]:
    found: list[tuple[Entry, Facts | None]] = []
    while page := await store.entries(found[-1][0].sequence if found else 0, _PAGE):
        for entry in page:
            found.append((entry, await store.facts_of(entry.decision.facts_digest)))
    return found
