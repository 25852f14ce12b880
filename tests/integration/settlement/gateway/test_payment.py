"""Bank A pays bank B through the clearing bank, over two books' REST services."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.settlement_gateway import EURO_LEDGER, FUNDS, YUAN_LEDGER, A, B, C, Town, stages

pytestmark = pytest.mark.integration


async def test_two_banks_pay_each_other_through_a_third(tmp_path: Path) -> None:
    """All thirteen steps: A pays 1,001 euro, B gets 2,000 yuan, and all three have signed the receipt."""
    async with Town(tmp_path) as town:
        payment = await town.pay(2_000_00)
        states = await town.ended(payment)
        assert stages(states) == {A: "closed", B: "closed", C: "closed"}
        assert await town.balance(EURO_LEDGER, A) == FUNDS - 1_001_00
        assert await town.balance(EURO_LEDGER, C) == FUNDS + 1_001_00
        assert await town.balance(YUAN_LEDGER, C) == FUNDS - 2_000_00
        assert await town.balance(YUAN_LEDGER, B) == FUNDS + 2_000_00
        assert {party: books.closed.keys() for party, books in town.books.items()} == {
            party: {payment} for party in (A, B, C)
        }
        assert len({books.closed[payment] for books in town.books.values()}) == 1
