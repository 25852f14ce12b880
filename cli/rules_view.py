"""Decisions of the rules as people and programs read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cli.book_times import iso
from cli.output import facts, short, table
from settlement.rules.decision import Decision


def decision_row(decision: Decision) -> dict[str, Any]:
    """A decision as a document."""
    return {
        "payment_id": decision.payment_id.hex(),
        "at": iso(decision.at),
        "verdict": decision.verdict.name.lower(),
        "rules": decision.rule_version.hex(),
        "subject": decision.facts_digest.hex(),
        "reasons": [
            {
                "rule": reason.rule_id,
                "verdict": reason.verdict.name.lower(),
                "text": reason.text,
                "compared": dict(reason.compared),
            }
            for reason in decision.reasons
        ],
    }


def decision_text(row: Mapping[str, Any]) -> str:
    """A decision's document for people: the verdict, and each rule's word."""
    lines = [f"verdict: {row['verdict']}"]
    for reason in row["reasons"]:
        lines.append(f"  {reason['rule']}: {reason['verdict']}: {reason['text']}")
        lines += [f"    {name}: {value}" for name, value in reason.get("compared", {}).items()]
    return "\n".join(lines)


def decisions_text(found: Mapping[str, Any]) -> str:
    """Listed decisions, below what the chain is."""
    rows = [
        (row["number"], row["at"], row["verdict"], short(row["payment_id"]), _rules(row)) for row in found["decisions"]
    ]
    head = facts([("chain", f"{found['chain']} decisions, unbroken"), ("head", found["head"])])
    listed = table(("number", "at", "verdict", "payment", "rules that spoke"), rows, right=("number",))
    shown = [f"{row['number']}: {name}: {value}" for row in found["decisions"] for name, value in _told(row)]
    return "\n".join([head, *([listed] if rows else []), *shown])


def changes_table(changes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The decisions that would have come out otherwise."""
    if not changes:
        return []
    rows = [
        (each["was"]["at"], short(each["was"]["payment_id"]), each["was"]["verdict"], each["would_be"]["verdict"],
         _rules(each["would_be"]))
        for each in changes
    ]  # fmt: skip
    return [table(("at", "payment", "was", "would be", "because of"), rows)]


def _rules(row: Mapping[str, Any]) -> str:
    return ", ".join(reason["rule"] for reason in row["reasons"]) or "–"


def _told(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The facts of a decision, where they were asked for."""
    if "facts" not in row:
        return []
    return [("facts", "erased")] if row["facts"] is None else list(row["facts"].items())
