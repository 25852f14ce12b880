"""What a request is answered: amounts, keys, scopes, limits, and errors that name the field and the cure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from api.principals import Limits, Scope
from api.tables import acts
from foundation.database import DatabaseUnavailable
from settlement.quantities import MAX_UNITS
from tests.support.api_gateway import NOW, PAYMENT, QUOTE, Api, FakeGateway, changed, open_api, problem


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("target.amount", "0", "target.amount"),
        ("target.amount", "0.00", "target.amount"),
        ("target.amount", "-1.00", "target.amount"),
        ("target.amount", "1e3", "target.amount"),
        ("target.amount", "1.001", "target.amount"),
        ("target.amount", "184467440737095516.16", "target.amount"),
        ("target.amount", 2000, "target.amount"),
        ("target.amount", 2000.5, "target.amount"),
        ("target.amount", "٢٠٠٠", "target.amount"),
        ("source.amount_max", "0", "source.amount_max"),
        ("source.amount_max", 1001.0, "source.amount_max"),
        ("source.currency", "USD", "source.currency"),
        ("source.ledger", "another", "source.ledger"),
        ("target.scale", None, "target.scale"),
        ("target.scale", 256, "target.scale"),
        ("debtor.account", "nobody", "debtor.account"),
        ("creditor.country", "Singapore", "creditor.country"),
        ("creditor.kind", "robot", "creditor.kind"),
        ("purpose", "goods", "purpose"),
        ("amount_limit", "1.00", "amount_limit"),
        ("source", None, "source"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_begins(api: Api, path: str, value: object, field: str) -> None:
    """A payment with one wrong field is refused with that field's name and a cure, and moves nothing."""
    found = problem(await api.post("/v1/payments", changed(path, value)), 422, "invalid")
    assert found["field"] == field
    assert "Traceback" not in found["detail"]
    assert not api.gateway.begun


async def test_the_largest_amount_passes_the_interface_exactly(api: Api) -> None:
    """2^64−1 base units are neither rounded nor refused by the interface itself."""
    api.gateway.cost = 100
    begun = await api.post("/v1/payments", changed("target.amount", "184467440737095516.15"))
    assert begun.status_code == 202, begun.text
    assert begun.json()["target"]["amount"] == "184467440737095516.15"
    assert api.gateway.begun[0].wanted.target.units == MAX_UNITS


async def test_an_unknown_currency_is_no_quote(api: Api) -> None:
    """A currency that the clearing bank does not know gets its answer as an error, and nothing begins."""
    body = changed("target.currency", "XXX")
    problem(await api.post("/v1/payments", body), 422, "no-quote")
    assert not api.gateway.begun


async def test_an_expired_quote_pays_nothing(api: Api) -> None:
    """A payment that names a quote after its end is refused, and begins nothing."""
    quote = await _quote(api)
    api.gateway.clock = type(NOW)(NOW + 60_000)
    problem(await api.post("/v1/payments", _by(quote), "late"), 422, "quote-expired")
    assert not api.gateway.begun


async def test_a_firm_quote_is_paid_by_as_it_was_signed(api: Api) -> None:
    """A payment by a firm quote is the one that the clearing bank signed for, and costs what it says."""
    quote = await _quote(api)
    assert quote["firm"] is True
    made = await api.post("/v1/payments", _by(quote), "pay")
    (begun,) = api.gateway.begun
    assert begun.quote is not None
    assert made.json()["id"] == begun.payment_id.hex() == begun.quote.payment_id.hex()
    assert begun.source_max.text == quote["source"]["amount"]
    assert (await api.client.get(f"/v1/quotes/{quote['id']}")).json()["used"] is True


async def test_an_indicative_quote_says_so_and_bounds_the_cost(api: Api) -> None:
    """Where nobody holds to it the quote says so, and its payment is asked about anew, at that cost at most."""
    quote = await _quote(api, firm=False)
    assert quote["firm"] is False
    assert (await api.post("/v1/payments", _by(quote), "pay")).status_code == 202
    (begun,) = api.gateway.begun
    assert begun.quote is not None
    assert not begun.quote.is_firm
    assert begun.source_max.text == quote["source"]["amount"]


@pytest.mark.parametrize("firm", [True, False])
async def test_a_quote_serves_one_payment(api: Api, firm: bool) -> None:
    """Another request by the same quote is refused, and its own repeat is answered as before."""
    quote = await _quote(api, firm=firm)
    first = await api.post("/v1/payments", _by(quote), "one")
    found = problem(await api.post("/v1/payments", _by(quote), "two"), 409, "quote-used")
    assert found["field"] == "quote_id"
    assert (await api.post("/v1/payments", _by(quote), "one")).content == first.content
    assert len(api.gateway.begun) == 1


async def test_a_refused_payment_leaves_its_quote_to_the_next(api: Api) -> None:
    """A request with a wrong account or above a limit uses no quote up: the right one goes by it."""
    quote = await _quote(api)
    wrong = {**_by(quote), "debtor": {"account": "nobody"}}
    problem(await api.post("/v1/payments", wrong, "one"), 422, "invalid")
    assert (await api.post("/v1/payments", _by(quote), "two")).status_code == 202


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("payee", "bank-c", "payee"),
        ("clearing", "another", "clearing"),
        ("target.amount", "2000.01", "target.amount"),
        ("target.currency", "CNH", "target.currency"),
        ("target.scale", 4, "target.scale"),
        ("target.ledger", "another", "target.ledger"),
        ("source.ledger", "another", "source.ledger"),
        ("source.currency", "USD", "source.currency"),
        ("source.amount_max", "1000.99", "source.amount_max"),
    ],
)
async def test_terms_beside_a_quote_have_to_be_the_quotes(api: Api, path: str, value: object, field: str) -> None:
    """A payment that names a quote and says something else is refused by the field that differs."""
    quote = await _quote(api)
    other = {**changed(path, value), "quote_id": quote["id"]}
    found = problem(await api.post("/v1/payments", other, "other"), 422, "quote-differs")
    assert found["field"] == field
    assert not api.gateway.begun
    same = {**PAYMENT, "quote_id": quote["id"]}
    assert (await api.post("/v1/payments", same, "same")).status_code == 202


async def test_another_principals_quote_is_unknown(api: Api) -> None:
    """A quote can be named by the one alone who asked for it."""
    quote = await _quote(api)
    other = await api.key("other")
    problem(await api.post("/v1/payments", _by(quote), **other), 404, "not-found")
    problem(await api.client.get(f"/v1/quotes/{quote['id']}", headers=other), 404, "not-found")


async def _quote(api: Api, *, firm: bool = True) -> dict[str, Any]:
    answer = await api.post("/v1/quotes", QUOTE if firm else {**QUOTE, "firm": False}, f"quote-{firm}")
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _by(quote: dict[str, Any]) -> dict[str, Any]:
    """A payment by a quote."""
    return {"quote_id": quote["id"], **{name: PAYMENT[name] for name in ("debtor", "creditor", "purpose")}}


async def test_a_scope_that_is_missing_forbids(api: Api) -> None:
    """A key that may only look can begin nothing."""
    reader = await api.key("reader", Scope.PAYMENTS_READ)
    problem(await api.post("/v1/payments", PAYMENT, **reader), 403, "forbidden")
    assert (await api.client.get("/v1/payments", headers=reader)).status_code == 200
    assert not api.gateway.begun


async def test_a_principals_own_limit_holds(api: Api) -> None:
    """A payment that may cost more than its principal may spend is refused."""
    small = await api.key("small", limits=Limits(amount_max={"EUR": "1000.99"}))
    problem(await api.post("/v1/payments", PAYMENT, **small), 422, "above-limit")
    assert not api.gateway.begun


async def test_asking_too_often_is_refused_until_time_has_passed(api: Api) -> None:
    """A principal that asks faster than its rate gets 429, is served again a second later, and touches nobody else."""
    fast = await api.key("fast", limits=Limits(requests_per_second=1, burst=2))
    statuses = [(await api.client.get("/v1/rates", headers=fast)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert (await api.client.get("/v1/rates")).status_code == 200
    api.gateway.clock = type(NOW)(NOW + 1_000)
    assert (await api.client.get("/v1/rates", headers=fast)).status_code == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer shop", "Bearer shop.x", "Basic c2hvcDp4", "Bearer é.é", "Bearer cert-00.x"]
)
async def test_without_a_good_key_nothing_is_told(api: Api, authorization: str) -> None:
    """A key that is missing, malformed or wrong gets 401, the same for each."""
    headers = {"Authorization": authorization.encode()}
    found = problem(await api.client.get("/v1/accounts", headers=headers), 401, "unauthorized")
    assert found["detail"] == "no good API key or certificate came with the request"


async def test_too_large_a_request_is_not_read(api: Api) -> None:
    """A body above the bound gets 413, whether its length is declared or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b" " * 1024

    headers = {"Idempotency-Key": "large", "Content-Type": "application/json"}
    problem(await api.client.post("/v1/payments", content=b" " * 300_000, headers=headers), 413, "too-large")
    problem(await api.client.post("/v1/payments", content=chunks(), headers=headers), 413, "too-large")


@pytest.mark.parametrize("body", [b"{", b"\xff", b"", b"[" * 100_000])
async def test_what_is_no_json_is_a_problem_and_no_failure(api: Api, body: bytes) -> None:
    """Broken JSON gets a 4xx that says so."""
    headers = {"Idempotency-Key": "broken", "Content-Type": "application/json"}
    answer = await api.client.post("/v1/payments", content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_does_not_answer_is_503_and_may_be_asked_again(api: Api) -> None:
    """An outage is told as such with Retry-After, and the same key works afterwards."""
    api.gateway.trouble = DatabaseUnavailable("gone")
    found = await api.post("/v1/payments", PAYMENT)
    problem(found, 503, "unavailable")
    assert found.headers["retry-after"]
    api.gateway.trouble = None
    assert (await api.post("/v1/payments", PAYMENT)).status_code == 202


async def test_a_bug_is_told_without_its_trace(api: Api) -> None:
    """What nobody foresaw gets 500 as a problem, and nothing of the inside is shown."""
    api.gateway.trouble = RuntimeError("secret-inside")
    answer = await api.client.get("/v1/accounts")
    problem(answer, 500, "internal")
    assert "secret-inside" not in answer.text


async def test_a_cancelled_payment_cannot_be_cancelled_again(api: Api) -> None:
    """Cancel ends a payment that is pending; under another key it is too late then."""
    path = (await api.post("/v1/payments", PAYMENT)).headers["location"]
    done = await api.post(f"{path}/cancel", {"reason": "changed their mind"}, "c1")
    assert done.json()["status"] == "failed"
    problem(await api.post(f"{path}/cancel", {}, "c2"), 409, "not-possible")


async def test_pages_of_payments_hold_each_once(api: Api) -> None:
    """Following `next` shows all payments, each once, also where they began in the same millisecond."""
    made = {(await api.post("/v1/payments", PAYMENT, f"p{number}")).json()["id"] for number in range(5)}
    seen: list[str] = []
    path: str | None = "/v1/payments?limit=2"
    while path is not None:
        page = (await api.client.get(path)).json()
        seen += [payment["id"] for payment in page["payments"]]
        path = page["next"] and f"/v1/payments?limit=2&after={page['next']}"
    assert sorted(seen) == sorted(made)


async def test_an_approval_is_the_word_of_who_is_logged_in(api: Api) -> None:
    """Without a signature, the person is the principal; a signature needs the time that was signed."""
    path = (await api.post("/v1/payments", PAYMENT)).headers["location"]
    said = await api.post(f"{path}/approvals", {"clears": ["large"]}, "a1")
    assert said.json()["approved_by"] == ["shop"]
    found = problem(await api.post(f"{path}/approvals", {"signature": "00" * 64}, "a2"), 422, "invalid")
    assert found["field"] == "at"


async def test_a_statement_comes_as_camt_053_where_xml_is_accepted(api: Api) -> None:
    """The same period is JSON or a valid camt.053 by Accept; another form gets 406."""
    asked = {"ledger": "digital-euro"}
    api.gateway.clock = type(NOW)(NOW + 1_000)
    as_json = (await api.client.get("/v1/statements", params=asked)).json()
    assert as_json["lines"][0]["change"] == "-1.00"
    xml = await api.client.get("/v1/statements", params=asked, headers={"Accept": "application/xml"})
    assert xml.status_code == 200, xml.text
    assert b"BkToCstmrStmt" in xml.content
    html = await api.client.get("/v1/statements", params=asked, headers={"Accept": "text/html"})
    problem(html, 406, "not-acceptable")


async def test_each_act_is_recorded_with_who_did_it(api: Api) -> None:
    """A POST leaves a line with its principal, key, path, status and payment."""

    made = (await api.post("/v1/payments", PAYMENT)).json()
    async with api.database.view() as view:
        (line,) = (await view.connection.execute(select(acts))).all()
    assert (line.principal, line.credential, line.status) == ("shop", "shop", 202)
    assert line.payment_id.hex() == made["id"]


async def test_a_gateway_that_waits_answers_the_same_key_with_409(tmp_path: Path) -> None:
    """While a request is being carried out, the same one is told so, and begins nothing of its own."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    class Slow(FakeGateway):
        async def pay(self, wanted: Any) -> None:
            entered.set()
            await go_on.wait()
            await super().pay(wanted)

    async with open_api(tmp_path, Slow()) as api:
        first = asyncio.create_task(api.post("/v1/payments", PAYMENT))
        await entered.wait()
        problem(await api.post("/v1/payments", PAYMENT), 409, "in-flight")
        problem(await api.post("/v1/payments", changed("purpose", "SALA")), 422, "key-reused")
        go_on.set()
        assert (await first).status_code == 202
        assert (await api.post("/v1/payments", PAYMENT)).content == (await first).content
        assert len(api.gateway.begun) == 1
