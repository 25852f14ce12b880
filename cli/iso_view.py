"""What a person is told of a message: nothing personal."""

from __future__ import annotations

from typing import Any

from cli.book_times import shown
from cli.iso_files import Opened
from settlement.connect.iso20022.camt053 import Statement
from settlement.connect.iso20022.pacs002 import StatusReport
from settlement.connect.iso20022.pacs008 import CreditTransfer


def summary(message: Opened) -> list[tuple[str, Any]]:
    """Names and values for `facts`."""
    content = message.content
    head: list[tuple[str, Any]] = [("valid", message.form.message.value), ("message", content.message_id)]
    head.append(("made", shown(content.created_at)))
    match content:
        case CreditTransfer():
            return [*head, *_transfer(content)]
        case StatusReport():
            said = content.status.value + (f" ({content.reason})" if content.reason else "")
            return [*head, ("uetr", content.uetr), ("status", f"{content.status.name.lower()}: {said}")]
        case Statement():
            return [*head, *_statement(content)]
        case _:
            raise AssertionError("every form has a summary")


def _transfer(content: CreditTransfer) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = [
        ("uetr", content.uetr),
        ("settled", f"{content.asset.text(content.amount)} {content.asset.code} on {content.settlement_date}"),
    ]
    if content.instructed is not None:
        asset, amount = content.instructed
        pairs.append(("instructed", f"{asset.text(amount)} {asset.code}"))
    pairs += [("charge", f"{each.asset.text(each.amount)} {each.asset.code}") for each in content.charges]
    banks = [agent.bic or agent.lei for agent in (content.debtor_agent, content.creditor_agent)]
    return [*pairs, ("banks", " -> ".join(banks)), ("purpose", content.purpose or "–")]


def _statement(content: Statement) -> list[tuple[str, Any]]:
    text, code = content.asset.text, content.asset.code
    return [
        ("statement", content.statement_id),
        ("period", f"{shown(content.from_time)} to {shown(content.to_time)}"),
        ("opening", f"{text(content.opening)} {code}"),
        ("entries", len(content.entries)),
        ("closing", f"{text(content.closing)} {code}"),
    ]
