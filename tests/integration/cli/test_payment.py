"""A person pays, lists and shows payments at the command line, against a real gateway in a town of three."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cli.exits import ExitCode
from tests.support.api_town import PEOPLE, ApiTown, api_town, make_key
from tests.support.forking import forking_causeway
from tests.support.settlement_gateway import EURO_LEDGER, A

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def bank(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiTown]:
    """Bank A's gateway, which pays in digital euro."""
    async with api_town(tmp_path_factory.mktemp("town")) as town:
        yield town


@pytest.fixture
async def access(bank: ApiTown, tmp_path: Path) -> list[str]:
    """Options that lead to it, with a key that may do everything."""
    path = tmp_path / "api.key"
    path.write_text(await make_key(bank.town, tmp_path.name.replace("_", "-")[:30].strip("-")))
    return ["--api", bank.serving.url, "--key-file", str(path)]


async def call(*arguments: str) -> tuple[int, Any]:
    """The exit status, and the document on standard output, or what was said on the other one.

    A process of its own: the gateways of this one write their log where the command would be read.
    """
    command = [str(forking_causeway()), "payment", *arguments, "--json"]
    done = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    told, said = await done.communicate()
    return done.returncode or 0, json.loads(told) if told else said.decode()


def order(amount: str) -> list[str]:
    """A payment of so many yuan."""
    people = PEOPLE["creditor"]
    return [
        *("send", "--payee", "bank-b", "--clearing", "clearing", "--from", "digital-euro", "--to", "digital-yuan"),
        *("--amount", amount, "--currency", "CNY", "--scale", "2", "--debtor", PEOPLE["debtor"]["account"]),
        *("--creditor", people["account"], "--creditor-country", people["country"], "--creditor-kind", people["kind"]),
        *("--purpose", "GDDS"),
    ]


async def test_a_payment_is_sent_and_its_end_is_seen(bank: ApiTown, access: list[str]) -> None:
    """The money leaves once, the command ends with 0, and the payment is listed and shown with its history."""
    before = await bank.town.balance(EURO_LEDGER, A)
    status, paid = await call(*order("2000.00"), "--max-cost", "1001.00", "--wait", "60", "--key", "once", *access)
    assert (status, paid["status"] if status == 0 else paid) == (0, "paid")
    assert await bank.town.balance(EURO_LEDGER, A) == before - 1001_00
    again = await call(*order("2000.00"), "--max-cost", "1001.00", "--wait", "60", "--key", "once", *access)
    assert (again[0], again[1]["id"]) == (0, paid["id"])
    assert await bank.town.balance(EURO_LEDGER, A) == before - 1001_00
    status, shown = await call("show", paid["id"], *access)
    assert (status, shown["history"][0]["stage"]) == (0, "asking")
    assert paid["id"] in [each["id"] for each in (await call("list", "--status", "paid", *access))[1]]


async def test_a_payment_beyond_the_account_ends_with_a_status_of_its_own(bank: ApiTown, access: list[str]) -> None:
    """What the rules block moves nothing, and the command says that the money did not arrive."""
    before = await bank.town.balance(EURO_LEDGER, A)
    status, failed = await call(*order("3000000.00"), "--max-cost", "2000000.00", "--wait", "60", *access)
    assert status == ExitCode.REFUSED
    assert "failed" in str(failed) or "refuse" in str(failed)
    assert await bank.town.balance(EURO_LEDGER, A) == before


async def test_a_payment_that_has_ended_is_not_cancelled(bank: ApiTown, access: list[str]) -> None:
    """Too late is told as a refusal."""
    status, paid = await call(*order("10.00"), "--max-cost", "1001.00", "--wait", "60", *access)
    assert status == 0
    status, error = await call("cancel", paid["id"], *access)
    assert (status, "not-possible" in error) == (ExitCode.REFUSED, True)
