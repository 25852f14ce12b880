"""`causeway gateway resolve`: a person says what was found of a payment that was lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app
from foundation.database import UnitOfWork
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody.sealing import Sealer
from settlement.custody.store import PaymentStore
from settlement.custody.tables import history
from settlement.custody.terms import PaymentId
from tests.support.custody_recorded import Recorded
from tests.support.gateway_folder import GatewayFolder, new_gateway_folder


@pytest.fixture
def folder(tmp_path: Path) -> GatewayFolder:
    return new_gateway_folder(tmp_path)


def _resolved(folder: GatewayFolder, payment: str, *options: str) -> int:
    asked = ["gateway", "resolve", payment, *folder.options, "--by", "olga", "--reason", "we bear it", *options]
    return CliRunner().invoke(app, asked).exit_code


def test_a_lost_payment_is_resolved_once(folder: GatewayFolder) -> None:
    """The finding is kept with its author, and neither a second one nor one on another payment is taken."""
    run = Recorded()
    lost, _ = run.step("bank-b", "fulfilling", c.Returned("yuan", run.target, "clearing", True))
    payment = PaymentId(run.payment)

    async def put(unit: UnitOfWork) -> None:
        store = PaymentStore(unit.connection, Sealer(folder.secrets.state_key))
        await store.save({payment: lost}, {}, [(payment, lost)], UnixMs(1))

    async def notes(unit: UnitOfWork) -> list[str]:
        return list((await unit.connection.execute(select(history.c.note).order_by(history.c.id))).scalars())

    asyncio.run(folder.write(put))
    assert _resolved(folder, "5f1c", "--counts") == ExitCode.BAD_INPUT
    assert _resolved(folder, bytes(32).hex(), "--counts") == ExitCode.BAD_INPUT
    assert _resolved(folder, payment.hex(), "--does-not-count") == ExitCode.DONE
    assert _resolved(folder, payment.hex(), "--counts") == ExitCode.BAD_INPUT
    assert asyncio.run(folder.write(notes)) == ["", "olga: does not count: we bear it"]
