"""Payments and quotes as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cli.output import facts, short, table


def quote_text(quote: Mapping[str, Any]) -> str:
    """What a payment would cost."""
    return facts(
        [
            ("costs", _money(quote["source"])),
            ("fee in it", _money(quote["fee"])),
            ("payee gets", _money(quote["target"])),
            ("rate", f"{quote['rate']} (base units)"),
            ("until", f"{quote['expires_at']}{'' if quote.get('firm') else ', indicative'}"),
        ]
    )


def payment_text(payment: Mapping[str, Any]) -> str:
    """One payment: where it stands, its two holds, and its history."""
    pairs = [
        ("payment", payment["id"]),
        ("status", payment["status"]),
        ("stage", payment["stage"]),
        *([("reason", payment["reason"])] if payment["reason"] else []),
        (
            "parties",
            f"{payment['payer']} -> {payment['clearing']} -> {payment['payee']} (this is the {payment['role']})",
        ),
        ("source", _leg(payment["source"])),
        ("target", _leg(payment["target"])),
        ("fee", "–" if payment["fee"] is None else _money(payment["fee"])),
        ("made", payment["created_at"]),
        ("changed", payment["updated_at"]),
    ]
    rows = [(one["at"], one["stage"], one["note"]) for one in payment["history"]]
    return "\n".join([facts(pairs), *([table(("at", "stage", "note"), rows)] if rows else [])])


def payments_table(payments: Sequence[Mapping[str, Any]]) -> str:
    """Payments below each other, newest first."""
    rows = [
        (
            one["created_at"],
            short(one["id"], head=12),
            one["role"],
            one["status"],
            _amount(one["source"]),
            _amount(one["target"]),
            f"{one['payer']} -> {one['payee']}",
        )
        for one in payments
    ]
    headers = ("made", "payment", "role", "status", "source", "target", "parties")
    return table(headers, rows, right=("source", "target"))


def _money(money: Mapping[str, Any]) -> str:
    return f"{money['amount']} {money['currency']}"


def _amount(leg: Mapping[str, Any] | None) -> str:
    return "–" if leg is None or leg["amount"] is None else f"{leg['amount']} {leg['currency']}"


def _leg(leg: Mapping[str, Any] | None) -> str:
    if leg is None:
        return "–"
    bound = " at most" if leg["is_bound"] else ""
    until = f", held until {leg['expires_at']}" if leg["expires_at"] else ""
    return f"{_amount(leg)}{bound} on {leg['ledger']}{until}"
