"""`causeway statement`: what packets moved, as far as it is durable, and settlements by period."""

from __future__ import annotations

from typing import Any

from cli.book_times import EARLIEST, LATEST
from cli.statement import statement_text, with_totals


def _answer() -> dict[str, Any]:
    """An account that packets gave 10.00 and its holder 5.00, and that 12.00 were paid out of."""
    account = {
        "id": "bank-a", "asset": {"code": "EUR", "scale": 2}, "relation": "peer", "is_up": True, "balance": "300",
        "held_in": "1", "held_out": "0", "floor": None, "ceiling": None, "volume_in": "1000", "volume_out": "0",
        "received": 1200, "fulfilled": 1100, "refused": {"T04": 60, "F02": 10}, "rejected": {"F99": 30},
    }  # fmt: skip
    settlements = [
        {"key": "a", "amount": "500", "direction": "in", "is_undone": False, "at_ms": 1_000},
        {"key": "b", "amount": "1200", "direction": "out", "is_undone": False, "at_ms": 2_000},
        {"key": "c", "amount": "900", "direction": "out", "is_undone": True, "at_ms": 3_000},
    ]
    return {"account": account, "settlements": settlements}


def test_packets_and_settlements_are_the_balance() -> None:
    """What packets moved is the balance without what was settled; a settlement that was taken back is not counted."""
    totals = with_totals(_answer(), EARLIEST, LATEST)["totals"]
    assert (totals["by_packets"], totals["settled_in"], totals["settled_out"]) == ("1000", "500", "1200")


def test_a_period_chooses_settlements_and_not_packets() -> None:
    """A period begins with its first moment and ends before its last; what packets moved ever stays the same."""
    found = with_totals(_answer(), 2_000, 3_000)
    assert [each["key"] for each in found["settlements"]] == ["b"]
    totals = found["totals"]
    assert (totals["by_packets"], totals["settled_in"], totals["settled_out"]) == ("1000", "0", "1200")
    assert "until 1970-01-01 00:00:03Z" in statement_text(found)


def test_people_are_told_what_became_of_packets() -> None:
    """The text counts packets by their ends, with the codes of those that failed, and says since when."""
    text = statement_text(with_totals(_answer(), EARLIEST, LATEST))
    assert "by packets       10.00 EUR, net, ever" in text
    packets = "1,200 packets from it, 1,100 fulfilled, 70 refused (F02 10, T04 60), 30 rejected (F99 30)"
    assert f"since the start  {packets}" in text
    assert "taken back" in text
