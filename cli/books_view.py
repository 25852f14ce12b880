"""The books as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cli.output import facts, table
from settlement.quantities import Asset, Scale


def balances_text(found: Mapping[str, Any]) -> str:
    """The tree, each level indented, and the balance sheet."""
    rows = []
    for node in found["nodes"]:
        depth = 0 if node["name"] == found["entity"] else node["name"].count(":") + 1
        label = "  " * depth + node["name"].rpartition(":")[2]
        rows += [(label, _decimal(each), each["asset"]) for each in node["sums"]] or [(label, "", "")]
    sheet = [
        (each["asset"], *(_decimal({**each, "amount": each[name]}) for name in _SIDES)) for each in found["equations"]
    ]
    return "\n\n".join(
        [
            table(("account", "balance", "asset"), rows, right=("balance",)),
            table(("asset", *_SIDES), sheet, right=_SIDES),
        ]
    )


def journal_text(entries: Sequence[Mapping[str, Any]]) -> str:
    """Entries with their lines below."""
    rows: list[tuple[Any, ...]] = []
    for each in entries:
        head: tuple[Any, ...] = (each["number"], each["at"], each["event"], each["state"])
        for line in each["lines"]:
            rows.append((*head, _decimal(line), line["asset"], line["account"]))
            head = ("", "", "", "")
        if each.get("narrative"):
            rows.append(("", "", "", "", "", "", f"“{each['narrative']}”"))
    headers = ("number", "at", "event", "state", "amount", "asset", "account")
    return table(headers, rows, right=("number", "amount"))


def acts_text(acts: Sequence[Mapping[str, Any]]) -> str:
    """Who did what."""
    rows = [(each["at"], each["entry"], each["action"], f"{each['by']} ({each['role']})", each["why"]) for each in acts]
    return table(("at", "entry", "action", "by", "why"), rows, right=("entry",))


def monitor_text(found: Mapping[str, Any]) -> str:
    """What was checked, what is wrong, and the alerts that stand."""
    pairs = [
        ("books", "right" if found["ok"] else "LOOK AT WHAT FOLLOWS"),
        ("entries", f"{found['entries']}, head {found['journal']}"),
        ("receipts", f"{found['receipts']}, head {found['chain']}"),
    ]
    parts = [facts(pairs)]
    if found["findings"]:
        rows = [(each["monitor"], each["subject"], each["detail"]) for each in found["findings"]]
        parts.append(table(("found now", "subject", "detail"), rows))
    if found["alerts"]:
        listed = [
            (each["number"], each["since"], each["state"], each["monitor"], f"{each['subject']}: {each['detail']}")
            for each in found["alerts"]
        ]
        parts.append(table(("alert", "since", "state", "monitor", "detail"), listed, right=("alert",)))
    return "\n\n".join(parts)


def reconciliation_text(found: Mapping[str, Any]) -> str:
    """What matched, and what differs, the first difference first."""
    first = found["first_difference"]
    head = facts([("matched", found["matched"]), ("first difference", first or "none")])
    rest = [each["detail"] for each in found["differences"][1:]]
    return "\n".join([head, *rest])


_SIDES = ("assets", "liabilities", "equity", "difference")


def _decimal(money: Mapping[str, Any]) -> str:
    return Asset(money["asset"], Scale(money["scale"])).text(int(money["amount"]))
