"""Rules and payments for the validator's tests."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from foundation.quantities import UnixMs
from settlement.quantities import Asset, PartyId, Scale, Units
from settlement.rules.decision import Decision
from settlement.rules.dryrun import dry_run
from settlement.rules.facts import Approval, Facts, Rates, Role, Subject
from settlement.rules.history import MemoryHistory
from settlement.rules.model import Rules
from settlement.rules.parse import parse_rules

EUR = Asset("EUR", Scale(2))
CNY = Asset("CNY", Scale(2))
USD = Asset("USD", Scale(2))

HEAD = """
format = 1
name = "bank-a"
zone = "Europe/Berlin"

[assets]
EUR = 2
CNY = 2
"""


def at(text: str, zone: str = "Europe/Berlin") -> UnixMs:
    """A moment such as `2026-03-02 12:00`, a Monday, by the clock of a place."""
    return UnixMs(int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000))


MONDAY = at("2026-03-02 12:00")


def rules(body: str = "", **lists: str) -> Rules:
    """The rules of a file with this body; `lists` are the files beside it, by name without `.toml`."""
    return parse_rules((HEAD + body).encode(), "rules.toml", {f"{n}.toml": t.encode() for n, t in lists.items()})


def facts(number: int = 1, amount: str | int = "100.00", **other: Any) -> Facts:
    """Bank A pays Bank B from Germany to China, in EUR for CNY."""
    fields: dict[str, Any] = {
        "payment_id": hashlib.sha256(f"payment {number}".encode()).digest(),
        "payer": PartyId("bank-a"),
        "payee": PartyId("bank-b"),
        "origin": "DE",
        "destination": "CN",
        "source": EUR,
        "amount": EUR.units(amount) if isinstance(amount, str) else Units(amount),
        "target": CNY,
        "target_amount": Units(1),
        "blind": b"blind",
    }
    return Facts(**{**fields, **other})


def beneficiary(*names: str, **other: Any) -> Subject:
    """The person who gets the money."""
    return Subject(Role.BENEFICIARY, names, **other)


def ask(
    body: str | Rules,
    payment: Facts | None = None,
    now: UnixMs = MONDAY,
    rates: Rates | None = None,
    approvals: tuple[Approval, ...] = (),
    history: MemoryHistory | None = None,
) -> Decision:
    """What rules with this body say of a payment."""
    found = rules(body) if isinstance(body, str) else body
    return dry_run(found, payment or facts(), now, rates or {}, approvals, history)
