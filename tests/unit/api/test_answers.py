"""The same key and body get the same answer, also after a crash at any commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select, update

from api.answers import KEPT_MS, parse_key
from api.principals import KeyStore, Limits, Scope, new_key
from api.problems import Problem
from api.tables import answers
from foundation.database import Moment
from foundation.quantities import UnixMs
from tests.support.api_gateway import NOW, PAYMENT, QUOTE, Api, Crashing, FakeGateway, changed, open_api, problem


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as made:
        yield made


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("at", [1, 2])
async def test_a_crash_at_any_commit_leaves_one_payment(tmp_path: Path, at: int, moment: Moment) -> None:
    """Wherever the process dies, asking again after the restart gets the answer, and there is one payment."""
    gateway = FakeGateway()
    async with open_api(tmp_path, gateway) as api:
        api.database._commit_hook = Crashing(at, moment)
        await api.post("/v1/payments", PAYMENT)
    async with open_api(tmp_path, gateway) as again:
        again.client.headers.update(await shop_key(again))
        answer = await again.post("/v1/payments", PAYMENT)
        assert answer.status_code == 202, answer.text
        assert (await again.post("/v1/payments", PAYMENT)).content == answer.content
    assert len(gateway.begun) == 1


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_crash_at_any_commit_uses_a_quote_once(tmp_path: Path, at: int, moment: Moment) -> None:
    """Wherever the process dies, the same request goes on with its quote, and another one is refused it."""
    async with open_api(tmp_path) as api:
        quote = (await api.post("/v1/quotes", QUOTE)).json()
        body = {"quote_id": quote["id"], **{name: PAYMENT[name] for name in ("debtor", "creditor", "purpose")}}
        api.database._commit_hook = Crashing(at, moment)
        await api.post("/v1/payments", body, "pay")
        assert (await api.post("/v1/payments", body, "pay")).status_code == 202
        problem(await api.post("/v1/payments", body, "another"), 409, "quote-used")
        assert len(api.gateway.begun) == 1


async def shop_key(api: Api) -> dict[str, str]:
    """A second key of the same principal: the answers are the principal's, not the key's."""
    text, row = new_key("shop-2", "shop", frozenset(Scope), Limits(), api.gateway.now())
    async with api.database.unit() as unit:
        await KeyStore(unit.connection).add(row)
        await unit.commit()
    return {"Authorization": f"Bearer {text}"}


async def test_a_payment_that_a_crash_met_is_found_again_after_its_quote_has_ended(api: Api) -> None:
    """A payment that began before the crash is answered as such, although its quote has expired meanwhile."""
    quote = (await api.post("/v1/quotes", QUOTE)).json()
    body = {"quote_id": quote["id"], **{name: PAYMENT[name] for name in ("debtor", "creditor", "purpose")}}
    api.database._commit_hook = Crashing(3, Moment.BEFORE)  # the request, its quote, its answer
    await api.post("/v1/payments", body, "pay")
    assert len(api.gateway.begun) == 1
    api.gateway.clock = UnixMs(NOW + 60_000)
    assert (await api.post("/v1/payments", body, "pay")).status_code == 202
    assert len(api.gateway.begun) == 1


async def test_an_answer_is_bound_to_principal_path_and_key(api: Api) -> None:
    """The same key of another principal, or on another path, is another request."""
    await api.post("/v1/payments", PAYMENT, "same")
    assert (await api.post("/v1/quotes", QUOTE, "same")).status_code == 201
    other = await api.key("other")
    assert (await api.post("/v1/payments", PAYMENT, "same", **other)).status_code == 202
    assert len(api.gateway.begun) == 2


async def test_two_banks_with_the_same_keys_make_different_payments(tmp_path: Path) -> None:
    """The same principal, path and key at two banks are two payments: their ids meet at one clearing bank."""
    ids = []
    for name, secret in (("one", bytes(32)), ("two", b"\1" * 32)):
        (tmp_path / name).mkdir()
        async with open_api(tmp_path / name, secret=secret) as bank:
            ids.append((await bank.post("/v1/payments", PAYMENT, "payment-1")).json()["id"])
    assert ids[0] != ids[1]


async def test_an_error_is_told_again_as_it_was(api: Api) -> None:
    """A refusal under a key stays one, also when the reason has gone; a fresh key is looked at anew."""
    body = changed("debtor.account", "nobody")
    first = await api.post("/v1/payments", body)
    again = await api.post("/v1/payments", body)
    assert (again.status_code, again.content) == (422, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == "application/problem+json"


async def test_another_body_under_a_key_is_refused(api: Api) -> None:
    """The key of one request never does for another, whichever byte differs."""
    assert (await api.post("/v1/payments", PAYMENT)).status_code == 202
    problem(await api.post("/v1/payments", changed("target.amount", "2000.01")), 422, "key-reused")
    assert len(api.gateway.begun) == 1


async def test_a_key_is_forgotten_after_a_day(api: Api) -> None:
    """Answers are kept for 24 hours, and swept out afterwards."""
    await api.post("/v1/quotes", QUOTE)
    api.gateway.clock = UnixMs(NOW + KEPT_MS + 600_001)
    await api.post("/v1/quotes", QUOTE, "new")
    async with api.database.view() as view:
        assert await view.connection.scalar(select(func.count()).select_from(answers)) == 1


async def test_what_is_kept_shows_neither_request_nor_answer(api: Api) -> None:
    """Neither what was sent nor what was answered can be read in the database, a webhook's secret least of all."""
    made = (await api.post("/v1/webhooks", {"url": "https://shop.example/hook"})).json()
    async with api.database.view() as view:
        row = (await view.connection.execute(select(answers))).one()
    assert made["secret"].encode() not in bytes(row.body)
    assert b"shop.example" not in bytes(row.body) + bytes(row.fingerprint)


async def test_an_answer_that_was_swapped_is_not_told(api: Api) -> None:
    """An answer that somebody moved to another request in the database does not open."""
    await api.post("/v1/payments", PAYMENT, "one")
    await api.post("/v1/payments", PAYMENT, "two")
    async with api.database.unit() as unit:
        one = await unit.connection.scalar(select(answers.c.body).where(answers.c.key == "one"))
        await unit.connection.execute(update(answers).where(answers.c.key == "two").values(body=one))
        await unit.commit()
    problem(await api.post("/v1/payments", PAYMENT, "two"), 500, "internal")


async def test_a_post_without_a_key_is_refused(api: Api) -> None:
    """Each POST needs a key, and without one nothing begins."""
    answer: httpx.Response = await api.client.post("/v1/payments", json=PAYMENT)
    problem(answer, 400, "key-missing")
    assert not api.gateway.begun


@pytest.mark.parametrize(
    ("text", "key"),
    [('"8e03978e"', "8e03978e"), ("8e03978e", "8e03978e"), (r'"a\"b\\"', 'a"b\\'), ('"a b"', "a b")],
)
def test_a_key_is_a_string_with_or_without_quotes(text: str, key: str) -> None:
    """A key is read as RFC 8941 writes strings, and also without the quotes, as many clients send it."""
    assert parse_key(text) == key


@pytest.mark.parametrize("text", ['""', "a b", '"a', '"a"b"', r'"a\b"', "x" * 256, "é", "a\tb"])
def test_what_is_no_key_is_refused(text: str) -> None:
    """A key that is empty, too long or malformed is named as such."""
    with pytest.raises(Problem) as refused:
        parse_key(text)
    assert refused.value.name == "key-malformed"
