"""What a clearing bank paid for and has forgotten is found on the ledger, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import clearer
from settlement.custody.news import Acted
from settlement.gateway.runtime import SCHEMA
from settlement.gateway.salvage import salvage
from settlement.gateway.tables import alarms
from settlement.ledgers.protocol import Cursor, HoldState, LedgerAccount, LedgerEvent, LedgerId, TransferId
from tests.support.custody_recorded import Recorded

EURO, YUAN, GOLD = LedgerId("euro"), LedgerId("yuan"), LedgerId("gold")
OWN = LedgerAccount("clearing")


@pytest.fixture(scope="module")
def run() -> Recorded:
    """One good payment, for all tests of this module."""
    return Recorded()


def _event(run: Recorded, **changes: Any) -> LedgerEvent:
    view = next(one for one in run.ledgers["yuan"].events if one.state is HoldState.FULFILLED)
    return LedgerEvent(Cursor(""), replace(view, **changes))


async def _acted(database: Database, run: Recorded, state: Any) -> tuple[Acted, list[str]]:
    act = salvage(YUAN, OWN, _event(run), [EURO, YUAN, GOLD])
    assert act is not None
    async with database.unit() as unit:
        connection: AsyncConnection = unit.connection
        acted = await act.run(connection, state, UnixMs(1))
        return acted, list((await connection.execute(select(alarms.c.detail))).scalars())


async def test_the_source_of_an_unknown_payment_is_claimed_wherever_it_is(run: Recorded, tmp_path: Path) -> None:
    """A paid hold of ours whose source is not known here has it claimed on all other ledgers, and a person is told."""
    quoted = run.stages["clearing", "quoted"]
    waiting = run.stages["clearing", "waiting"]
    other = msgspec.structs.replace(waiting.taken, condition=bytes(32))
    expected = tuple((run.payment, c.Salvage(name, run.source, run.preimage)) for name in (EURO, GOLD))
    async with await Database.open(f"sqlite:///{tmp_path / 'gateway.db'}", SCHEMA) as database:
        for state in (None, quoted, clearer.Waiting(waiting.offer, other)):
            acted, told = await _acted(database, run, state)
            assert (acted.effects, len(told)) == (expected, 1)


@pytest.mark.parametrize("stage", ["clearing", "forwarding", "waiting", "checking", "claiming", "earned", "closed"])
async def test_a_payment_that_claims_by_itself_needs_no_salvage(run: Recorded, tmp_path: Path, stage: str) -> None:
    """Where the machine has the source of this preimage, nothing is done beside it."""
    async with await Database.open(f"sqlite:///{tmp_path / 'gateway.db'}", SCHEMA) as database:
        assert await _acted(database, run, run.stages["clearing", stage]) == (Acted(), [])


def test_only_an_own_hold_under_a_payments_id_is_salvaged_for(run: Recorded) -> None:
    """A hold that is open, a stranger's, under another id, or without a memo is none that we paid for a payment."""
    event = _event(run)
    hold = event.view.hold
    others = [
        _event(run, state=HoldState.HELD),
        _event(run, hold=replace(hold, payer=LedgerAccount("bank-x"))),
        _event(run, hold=replace(hold, transfer_id=TransferId(run.source))),
        _event(run, hold=replace(hold, memo=b"nothing")),
    ]
    assert [salvage(YUAN, OWN, one, [EURO]) for one in others] == [None] * 4
