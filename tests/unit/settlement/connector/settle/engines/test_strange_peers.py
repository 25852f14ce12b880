"""A peer's engine that answers what it likes: its own payments wait, and everybody else's go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from settlement.connector.settle.engines.core import PaymentStage
from settlement.connector.settle.engines.escrow import EscrowRail
from settlement.connector.settle.quantity import Quantity
from tests.support.engines import MemoryLedger, engine_of, offices, payment_of


@pytest.mark.parametrize(
    "answer", [b'{"address": "\xff"}', b'{"address": ', b'{"x": ' + b"[" * 100_000, b'{"address": 1}', b""]
)
async def test_answer_that_nobody_can_read_holds_up_its_own_payment_alone(tmp_path: Path, answer: bytes) -> None:
    """Nothing that a peer's engine answers ends ours: the payment is tried again later."""
    ledger = MemoryLedger(balances={"one": 10_000, "other": 0})
    one, _ = offices()

    async def strange(account: str, message: bytes) -> bytes:
        return answer

    one.message = strange  # type: ignore[method-assign]
    client = ledger.client("one")
    facts = await client.facts()
    engine, database = await engine_of(
        one,
        f"sqlite:///{tmp_path}/one.db",
        lambda database: EscrowRail(database, client, facts, bytes(32), lambda: ledger.now, hold_ms=60_000),
        lambda: ledger.now,
    )
    async with database:
        await engine.settle("other", Quantity(100, facts.asset.scale), "key")
        await engine.round()
        payment = await payment_of(database, "other", "key")
        assert payment is not None
        assert (payment.stage, payment.failures) == (PaymentStage.OWED, 1)
