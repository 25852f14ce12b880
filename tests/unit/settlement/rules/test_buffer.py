"""A buffer changes when things are written, and nothing of what is decided."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.rules import tables
from settlement.rules.approvals import LoggedIn
from settlement.rules.buffer import RulesBuffer
from settlement.rules.errors import ReservationOver, UnknownReservation
from settlement.rules.facts import Approval
from settlement.rules.validator import Validator
from tests.support.rules import MONDAY, facts, rules

KEY = bytes(range(32))
RULES = rules("""
[[limit]]
id = "a-day"
asset = "EUR"
amount_max = "1000.00"
[[velocity]]
id = "burst"
count_max = 3
window_seconds = 60
[[four_eyes]]
id = "big"
asset = "EUR"
above = "300.00"
approvals = 1
roles = ["approver"]
[[person]]
name = "bob"
roles = ["approver"]
""")
PAYMENTS = [facts(number, f"{number}50.00") for number in range(1, 5)]
STEPS = st.tuples(st.sampled_from(["decide", "preview", "settle", "release", "approve"]), st.sampled_from(PAYMENTS))
RUNS = st.lists(st.tuples(st.lists(STEPS, max_size=5), st.sampled_from(["commit", "undo", "restart"])), max_size=6)


async def _run(runs: Any, path: Path, *, buffered: bool) -> list[Any]:
    """What was decided, in order, and all rows at the end; `undo`: the transaction does not take effect."""
    buffer = RulesBuffer(KEY) if buffered else None
    validator = Validator(lambda: RULES, KEY, buffer)
    told: list[Any] = []
    now, seen = int(MONDAY), set[bytes]()
    async with await Database.open(f"sqlite:///{path}", tables.SCHEMA) as database:
        for steps, end in runs:
            before = set(seen)
            async with database.unit() as unit:
                for name, payment in steps:
                    now += 20_000
                    told.append(await _step(validator, unit.connection, name, payment, UnixMs(now), seen))
                if end == "undo":
                    seen = before
                    if buffer is not None:
                        buffer.forget()
                    continue
                if buffer is not None:
                    await buffer.flush(unit.connection)
                await unit.commit()
            if end == "restart" and buffer is not None:
                buffer.drop([payment.payment_id for payment in PAYMENTS])
        async with database.view() as view:
            for table in (tables.uses, tables.decisions, tables.approvals):
                told.append(sorted(map(tuple, await view.connection.execute(select(table)))))
            days = await view.connection.execute(select(tables.days.c.day, tables.days.c.amount, tables.days.c.count))
            told.append(sorted(tuple(row) for row in days if row[2] or row[1] != "0"))
            await validator.store(view.connection).verify()
    return told


async def _step(validator: Validator, connection: Any, name: str, payment: Any, now: UnixMs, seen: set[bytes]) -> Any:
    with suppress(UnknownReservation, ReservationOver):
        match name:
            case "decide":
                decision = await validator.decide(connection, payment, now)
                seen.add(payment.payment_id)
                return decision
            case "preview":
                return await validator.preview(connection, payment, now)
            case "settle":
                return await validator.settle(connection, payment.payment_id)
            case "release":
                return await validator.release(connection, payment.payment_id)
            case _:
                if payment.payment_id in seen:
                    approval = Approval(payment.digest, "bob", (), now)
                    await validator.approve(connection, approval, LoggedIn("bob"), now)
    return "refused"


@given(RUNS)
@settings(max_examples=25, deadline=None)
def test_a_buffer_decides_as_a_database_does(runs: Any) -> None:
    """The same payments get the same decisions, and leave the same rows, whether writes are gathered or not."""
    with tempfile.TemporaryDirectory() as folder:
        plain = asyncio.run(_run(runs, Path(folder) / "plain.db", buffered=False))
        gathered = asyncio.run(_run(runs, Path(folder) / "gathered.db", buffered=True))
    assert gathered == plain
