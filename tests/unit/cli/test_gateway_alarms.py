"""`causeway gateway alarms`: a monitor learns by the exit status that a person has to look."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app
from foundation.database import UnitOfWork
from settlement.gateway.tables import alarms
from tests.support.gateway_folder import GatewayFolder, new_gateway_folder


@pytest.fixture
def folder(tmp_path: Path) -> GatewayFolder:
    return new_gateway_folder(tmp_path)


def _asked(folder: GatewayFolder, *options: str) -> tuple[int, list[dict[str, object]]]:
    told = CliRunner().invoke(app, ["gateway", "alarms", "--config", str(folder.config), "--json", *options])
    return told.exit_code, json.loads(told.stdout)


def test_open_alarms_have_a_status_of_their_own(folder: GatewayFolder) -> None:
    """Status 7 as long as an alarm is open, and 0 before the first and after the last, whatever else is listed."""

    async def raised(unit: UnitOfWork) -> None:
        rows = [{"payment_id": bytes(32), "at": 1, "detail": text, "state": "open"} for text in ("one", "two")]
        await unit.connection.execute(insert(alarms), rows)

    assert _asked(folder) == (ExitCode.DONE, [])
    asyncio.run(folder.write(raised))
    status, found = _asked(folder)
    assert (status, [each["detail"] for each in found]) == (ExitCode.ATTENTION, ["one", "two"])
    assert _asked(folder, "--acknowledge", "1")[0] == ExitCode.ATTENTION
    assert _asked(folder, "--acknowledge", "2") == (ExitCode.DONE, [])
    status, found = _asked(folder, "--all")
    assert (status, [each["state"] for each in found]) == (ExitCode.DONE, ["acknowledged"] * 2)
    unknown = CliRunner().invoke(app, ["gateway", "alarms", "--config", str(folder.config), "--acknowledge", "2"])
    assert unknown.exit_code == ExitCode.NOT_FOUND
