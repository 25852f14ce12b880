"""A bank pays over REST alone: real gateways, real books, a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import func, select

from settlement.connector.conversion import Rate
from settlement.custody import clearer, tables
from settlement.custody.terms import PaymentId
from tests.support.api_town import PEOPLE, QUOTE, ApiTown, api_town, ended, terms
from tests.support.settlement_gateway import EURO_LEDGER, YUAN_LEDGER, A, B, C, OneRate


@pytest.fixture(scope="module")
async def bank(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiTown]:
    async with api_town(tmp_path_factory.mktemp("town")) as town:
        yield town


async def test_a_quote_and_then_its_payment_move_the_money(bank: ApiTown) -> None:
    """A payment that names a quote costs what the quote says, and the payee gets what it asked for."""
    paid_before = await bank.town.balance(EURO_LEDGER, A)
    got_before = await bank.town.balance(YUAN_LEDGER, B)
    quoted = await bank.post("/v1/quotes", QUOTE)
    assert quoted.status_code == 201, quoted.text
    quote = quoted.json()
    assert (quote["source"]["amount"], quote["fee"]["amount"]) == ("1001.00", "1.00")
    assert (await bank.client.get(quoted.headers["location"])).json() == quote
    begun = await bank.post("/v1/payments", {"quote_id": quote["id"], **PEOPLE})
    assert begun.status_code == 202, begun.text
    payment = await ended(bank, begun.headers["location"])
    assert (payment["status"], payment["stage"]) == ("paid", "closed"), payment["reason"]
    assert (payment["source"]["amount"], payment["target"]["amount"]) == ("1001.00", "2000.00")
    assert [moment["stage"] for moment in payment["history"]][-1] == "closed"
    assert await bank.town.balance(EURO_LEDGER, A) == paid_before - 1001_00
    assert await bank.town.balance(YUAN_LEDGER, B) == got_before + 2000_00


async def test_a_firm_quote_holds_although_the_rate_has_moved(bank: ApiTown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who pays by a firm quote pays what it says, while a new payment of the same amount is refused as too dear."""
    quote = (await bank.post("/v1/quotes", QUOTE)).json()
    assert quote["firm"] is True
    monkeypatch.setattr(OneRate, "rate", lambda self, source, destination: Rate(1, 1))
    dear = await bank.post("/v1/payments", terms(most=quote["source"]["amount"]))
    assert (await ended(bank, dear.headers["location"]))["reason"].startswith("rate_moved")
    begun = await bank.post("/v1/payments", {"quote_id": quote["id"], **PEOPLE})
    payment = await ended(bank, begun.headers["location"])
    assert (payment["status"], payment["source"]["amount"]) == ("paid", "1001.00"), payment["reason"]
    state = await bank.town.state(C, PaymentId(bytes.fromhex(payment["id"])))
    assert isinstance(state, clearer.Closed)
    refused = await bank.post("/v1/payments", {"quote_id": quote["id"], **PEOPLE})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:causeway:problem:quote-used")


async def test_asking_for_a_quote_begins_nothing_at_the_payees_bank(bank: ApiTown) -> None:
    """A firm quote that nobody uses leaves no payment at the payee's bank, and none that is shown at ours."""

    async def payments() -> tuple[int, list[str]]:
        async with bank.town.databases[B].view() as view:
            theirs = await view.connection.scalar(select(func.count()).select_from(tables.payments))
        ours = (await bank.client.get("/v1/payments?limit=200")).json()["payments"]
        return int(theirs or 0), [one["id"] for one in ours]

    before = await payments()
    assert (await bank.post("/v1/quotes", QUOTE)).json()["firm"] is True
    assert await payments() == before


async def test_a_payees_bank_that_is_away_gives_no_firm_quote(bank: ApiTown) -> None:
    """While the payee's bank does not answer, a firm quote is not there now, and an indicative one is."""
    await bank.town.stop(B)
    away = await bank.post("/v1/quotes", QUOTE, key="while-away")
    indicative = await bank.post("/v1/quotes", {**QUOTE, "firm": False})
    await bank.town.start(B)
    assert (away.status_code, away.json()["type"]) == (503, "urn:causeway:problem:unavailable")
    assert (indicative.status_code, indicative.json()["firm"]) == (201, False)
    again = await bank.post("/v1/quotes", QUOTE, key="while-away")
    assert (again.status_code, again.json()["firm"]) == (201, True)


async def test_no_firm_quote_where_the_payee_is_not_paid_there(bank: ApiTown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the payee's bank is paid on another ledger, or takes no payments of ours, there is no firm quote."""
    receiving = bank.town.gateways[B]._parts.receiving
    monkeypatch.setattr(receiving, "_place", ("another", "bank-b"))
    refused = await bank.post("/v1/quotes", QUOTE)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:causeway:problem:no-quote")
    assert "another" in refused.json()["detail"]
    assert (await bank.post("/v1/quotes", {**QUOTE, "firm": False})).json()["firm"] is False
    monkeypatch.setattr(receiving, "account", lambda payer: None)
    assert (await bank.post("/v1/quotes", QUOTE)).json()["type"] == "urn:causeway:problem:no-quote"


async def test_a_moved_rate_refuses_and_moves_nothing(bank: ApiTown) -> None:
    """A payment that would cost more than its bound fails, and no money moves."""
    before = await bank.town.balance(EURO_LEDGER, A)
    begun = await bank.post("/v1/payments", terms(most="1000.99"))
    payment = await ended(bank, begun.headers["location"])
    assert payment["status"] == "failed"
    assert payment["reason"].startswith("rate_moved")
    assert await bank.town.balance(EURO_LEDGER, A) == before


async def test_the_largest_amount_is_a_clear_end_and_moves_nothing(bank: ApiTown) -> None:
    """A payment of 2^64−1 base units, which nobody can pay, fails with its reason."""
    before = await bank.town.balance(EURO_LEDGER, A)
    begun = await bank.post("/v1/payments", terms("184467440737095516.15", "184467440737095516.15"))
    payment = await ended(bank, begun.headers["location"])
    assert payment["status"] == "failed", payment["reason"]
    assert payment["reason"]
    assert await bank.town.balance(EURO_LEDGER, A) == before


async def test_the_same_key_is_the_same_payment(bank: ApiTown) -> None:
    """A repeat answers as the first time did and pays once; another body under the key is refused."""
    first = await bank.post("/v1/payments", terms(), key="once")
    again = await bank.post("/v1/payments", terms(), key="once")
    other = await bank.post("/v1/payments", terms("1.00"), key="once")
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status_code, other.json()["type"]) == (422, "urn:causeway:problem:key-reused")
    await ended(bank, first.headers["location"])


async def test_a_target_of_other_decimals_is_refused_before_anything_begins(bank: ApiTown) -> None:
    """A scale that is not the ledger's is a clear error, and no payment exists."""
    body = terms()
    body["target"] = {**body["target"], "scale": 4}
    refused = await bank.post("/v1/payments", body)
    assert (refused.status_code, refused.json()["field"]) == (422, "target.scale")


async def test_nothing_is_told_without_a_key(bank: ApiTown) -> None:
    """Without an API key, or with a wrong one, nothing is answered but 401."""
    for headers in ({}, {"Authorization": "Bearer shop.wrong"}, {"Authorization": "Bearer ghost.wrong"}):
        async with httpx.AsyncClient(base_url=bank.serving.url, headers=headers, trust_env=False) as stranger:
            answer = await stranger.get("/v1/payments")
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
