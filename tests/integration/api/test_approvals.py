"""Four eyes over REST, and questions to a clearing bank that does not answer or makes no offer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.principals import Scope
from tests.support.api_town import QUOTE, ApiTown, api_town, ended, make_key, terms
from tests.support.patience import PATIENCE_S
from tests.support.settlement_gateway import RULES, A, C

FOUR_EYES = b"""
[[four_eyes]]
id = "large"
asset = "EUR"
above = "1000.00"
approvals = 1
roles = ["approver"]

[[person]]
name = "anna"
roles = ["approver"]

[[person]]
name = "shop"
roles = ["approver"]
"""


@pytest.fixture(scope="module")
async def bank(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiTown]:
    rules = {A: RULES + FOUR_EYES}
    async with api_town(tmp_path_factory.mktemp("town"), party_rules=rules) as town:
        yield town


async def test_a_large_payment_waits_for_another_person(bank: ApiTown) -> None:
    """Who asked for it cannot approve it, a stranger cannot, and another person's word lets it be paid."""
    begun = (await bank.post("/v1/payments", terms())).json()
    path = begun["links"]["self"]
    async with asyncio.timeout(PATIENCE_S):
        while (await bank.client.get(f"{path}/decision")).status_code == 404:
            await asyncio.sleep(0.02)
    decision = (await bank.client.get(f"{path}/decision")).json()
    assert (decision["verdict"], [reason["rule"] for reason in decision["reasons"]]) == ("refer", ["large"])
    await bank.post(begun["links"]["approvals"], {})
    assert (await bank.client.get(path)).json()["status"] == "pending"
    refused = await bank.post(begun["links"]["approvals"], {"person": "anna"})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:causeway:problem:approval-refused")
    anna = {"Authorization": f"Bearer {await make_key(bank.town, 'anna', Scope.APPROVALS)}"}
    async with httpx.AsyncClient(base_url=bank.serving.url, headers=anna, trust_env=False) as person:
        said = await person.post(begun["links"]["approvals"], json={}, headers={"Idempotency-Key": "yes"})
        assert said.status_code == 201, said.text
    paid = await ended(bank, path)
    assert paid["status"] == "paid", paid["reason"]


async def test_a_payment_that_waits_can_be_cancelled(bank: ApiTown) -> None:
    """A payment that waits for a person ends by a cancel, and nothing was held."""
    begun = (await bank.post("/v1/payments", terms())).json()
    gone = await bank.post(begun["links"]["cancel"], {"reason": "changed their mind"})
    assert gone.status_code == 200, gone.text
    assert (gone.json()["status"], gone.json()["reason"]) == ("failed", "cancelled: shop: changed their mind")


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"clearing": "nobody"}, 422, "clearing"),
        ({"clearing": "bank-b"}, 422, "clearing"),
        ({"payee": "nobody"}, 422, "payee"),
        ({"payee": "bank-a"}, 422, "payee"),
        ({"source_ledger": "digital-yuan"}, 422, "source_ledger"),
        ({"target": {**QUOTE["target"], "ledger": "another"}}, 422, None),
        ({"target": {**QUOTE["target"], "currency": "USD"}}, 422, "target.currency"),
        ({"target": {**QUOTE["target"], "scale": 3}}, 422, "target.scale"),
    ],
)
async def test_no_offer_is_a_clear_error(
    bank: ApiTown, changes: dict[str, object], status: int, field: str | None
) -> None:
    """A question that the clearing bank has no offer for, or that names what is not there, is refused by name."""
    answer = await bank.post("/v1/quotes", {**QUOTE, **changes})
    assert (answer.status_code, answer.json().get("field")) == (status, field), answer.text


async def test_a_clearing_bank_that_is_down_is_503_and_the_same_key_works_later(tmp_path: Path) -> None:
    """While the clearing bank is away a question may be asked again; when it is back, under the same key."""
    async with api_town(tmp_path) as bank:
        await bank.town.stop(C)
        away = await bank.post("/v1/quotes", QUOTE, key="patient")
        assert (away.status_code, away.json()["type"]) == (503, "urn:causeway:problem:unavailable")
        await bank.town.start(C)
        assert (await bank.post("/v1/quotes", QUOTE, key="patient")).status_code == 201
