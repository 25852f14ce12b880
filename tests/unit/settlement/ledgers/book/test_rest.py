"""The REST service as any HTTP client sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from settlement.ledgers.protocol import LedgerMismatch
from tests.support.settlement_book import OPERATOR_KEY, Bank, Time, a_hold, fulfilment_of

ACCOUNT = {"name": "carol", "asset": {"code": "EUR", "scale": 2}, "owner": "carol"}
HOLD = {
    "id": "11" * 32,
    "payer": "alice",
    "payee": "bob",
    "amount": "5",
    "condition": "22" * 32,
    "expires_at": 1_800_000_001_000,
}


@pytest.fixture
async def http(bank: Bank) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client, without a key."""
    async with httpx.AsyncClient(base_url=bank.url) as client:
        yield client


def key(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def check_problem(answer: httpx.Response, status: int, field: str | None = None) -> dict[str, Any]:
    """The answer is a problem as RFC 9457 has it."""
    found: dict[str, Any] = answer.json()
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    assert field is None or found["field"] == field, found
    return found


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/transfers"),
        ("POST", "/payments"),
        ("POST", "/fulfilments"),
        ("POST", "/cancellations"),
        ("GET", "/transfers"),
        ("GET", f"/transfers/{'00' * 32}"),
        ("POST", "/accounts"),
        ("GET", "/accounts/alice"),
        ("PUT", "/accounts/alice/frozen"),
        ("GET", "/accounts/alice/statement"),
        ("GET", "/events?account=alice"),
        ("POST", "/keys"),
        ("DELETE", "/keys/alice-key"),
        ("GET", "/ledger"),
        ("GET", "/verify"),
    ],
)
async def test_nothing_is_done_or_told_without_a_good_key(
    bank: Bank, http: httpx.AsyncClient, method: str, path: str
) -> None:
    """No key, an unknown key, a wrong secret and another scheme are all refused in the same words."""
    await bank.account("alice")
    wrong = ("Bearer nobody.secret", "Bearer alice-key.wrong", "Bearer root.wrong", f"Basic {OPERATOR_KEY}", "Bearer é")
    answers = [await http.request(method, path)]
    answers += [await http.request(method, path, headers=[(b"Authorization", text.encode())]) for text in wrong]
    assert len({str(check_problem(answer, 401)) for answer in answers}) == 1
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Bearer realm="book"'}


async def test_banks_do_not_do_what_operators_do(bank: Bank, http: httpx.AsyncClient) -> None:
    """A holder's key opens no account, makes no key, freezes nothing and does not verify the book."""
    await bank.account("alice")
    headers = key(bank.keys["alice"])
    for method, path in (("POST", "/accounts"), ("POST", "/keys"), ("DELETE", "/keys/alice-key"), ("GET", "/verify")):
        check_problem(await http.request(method, path, headers=headers), 403)
    check_problem(await http.put("/accounts/alice/frozen", headers=headers, json={"frozen": True}), 403)


async def test_a_revoked_key_opens_nothing_any_more(bank: Bank, http: httpx.AsyncClient) -> None:
    """A key that was taken back is refused at once, and cannot be made again."""
    await bank.account("alice")
    headers = key(bank.keys["alice"])
    assert (await http.get("/accounts/alice", headers=headers)).status_code == 200
    await bank.operator.revoke_key("alice-key")
    check_problem(await http.get("/accounts/alice", headers=headers), 401)
    again = await http.post("/keys", headers=key(OPERATOR_KEY), json={"key_id": "alice-key", "holder": "alice"})
    check_problem(again, 409, "key_id")


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/transfers", b"", 400, "body"),
        ("/transfers", b"{", 400, "body"),
        ("/transfers", b'"\xff"', 400, "body"),
        ("/transfers", b"[" * 100_000, 422, "[0]"),
        ("/transfers", {}, 400, "body"),
        ("/transfers", [{}], 422, "[0]"),
        ("/transfers", [{**HOLD, "amount": 5}], 422, "[0].amount"),
        ("/transfers", [{**HOLD, "amount": "5.0"}], 422, "[0].amount"),
        ("/transfers", [{**HOLD, "amount": "1e3"}], 422, "[0].amount"),
        ("/transfers", [{**HOLD, "id": "11" * 31}], 422, "[0].id"),
        ("/transfers", [{**HOLD, "id": "AA" * 32}], 422, "[0].id"),
        ("/transfers", [{**HOLD, "condition": "no"}], 422, "[0].condition"),
        ("/transfers", [{**HOLD, "expires_at": 1.5}], 422, "[0].expires_at"),
        ("/transfers", [{**HOLD, "expires_at": 2**64}], 422, "[0].expires_at"),
        ("/transfers", [{**HOLD, "memo": "***"}], 422, "[0].memo"),
        ("/transfers", [{**HOLD, "more": 1}], 422, "[0]"),
        ("/transfers", [HOLD] * 1_001, 400, "body"),
        ("/fulfilments", [{"id": "11" * 32}], 422, "[0]"),
        ("/accounts", {**ACCOUNT, "name": "a b"}, 422, "name"),
        ("/accounts", {**ACCOUNT, "owner": "Carol"}, 422, "owner"),
        ("/accounts", {**ACCOUNT, "kind": "equity"}, 422, "owner"),
        ("/accounts", {**ACCOUNT, "kind": "other"}, 422, "kind"),
        ("/accounts", {**ACCOUNT, "floor": str(-(2**64))}, 422, "floor"),
        ("/accounts", {**ACCOUNT, "asset": {"code": "EUR", "scale": 256}}, 422, "asset.scale"),
        ("/accounts", {**ACCOUNT, "asset": {"code": "", "scale": 2}}, 422, "asset.code"),
        ("/keys", {"key_id": "A", "holder": "alice"}, 422, "key_id"),
        ("/keys", {"key_id": "a", "holder": "operator"}, 422, "holder"),
        ("/keys", {"key_id": "root", "holder": "alice"}, 409, "key_id"),
    ],
)
async def test_a_request_that_cannot_be_read_names_the_place(
    bank: Bank, http: httpx.AsyncClient, path: str, body: Any, status: int, field: str
) -> None:
    """Whatever is wrong with a body, the answer is a problem with the field, and nothing has been done."""
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    check_problem(await http.post(path, headers=key(OPERATOR_KEY), **content), status, field)
    assert (await bank.operator.verify()).entries == 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/transfers/xyz", 422),
        ("/transfers/" + "AB" * 32, 422),
        ("/transfers/" + "ab" * 32, 404),
        ("/transfers?id=1", 422),
        ("/transfers?" + "&".join(["id=" + "ab" * 32] * 101), 422),
        ("/accounts/nobody", 404),
        ("/accounts/%00", 404),
        ("/accounts/alice/statement?limit=x", 422),
        ("/accounts/alice/statement?limit=1001", 422),
        ("/accounts/alice/statement?since=-1", 422),
        ("/events", 404),
        ("/events?account=alice&after=x", 422),
        ("/events?account=alice&after=12", 422),
        ("/nothing", 404),
    ],
)
async def test_a_question_that_has_no_answer_is_a_problem(
    bank: Bank, http: httpx.AsyncClient, path: str, status: int
) -> None:
    """Bad ids, unknown accounts, wrong pages and cursors, and unknown paths, are told as such."""
    await bank.account("alice")
    check_problem(await http.get(path, headers=key(OPERATOR_KEY)), status)


async def test_a_body_beyond_the_limit_is_not_read(sqlite_url: str) -> None:
    """A request of more bytes than configured is refused."""
    async with Bank(sqlite_url, body_bytes_max=65_536) as bank, httpx.AsyncClient(base_url=bank.url) as http:
        check_problem(await http.post("/transfers", headers=key(OPERATOR_KEY), content=bytes(65_537)), 413)
        answer = await http.delete("/transfers", headers=key(OPERATOR_KEY))
        check_problem(answer, 405)
        assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_an_account_is_opened_once(bank: Bank, http: httpx.AsyncClient) -> None:
    """Opening an account again on the same terms finds it; on others it is refused."""
    answers = [await http.post("/accounts", headers=key(OPERATOR_KEY), json=ACCOUNT) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()
    for change in ({"owner": "dora"}, {"floor": "-5"}, {"asset": {"code": "EUR", "scale": 3}}):
        other = await http.post("/accounts", headers=key(OPERATOR_KEY), json={**ACCOUNT, **change})
        check_problem(other, 409, "name")


async def test_a_frozen_account_thaws(bank: Bank, clock: Time) -> None:
    """An operator freezes an account and lets it go again; a freeze of an unknown one is told."""
    alice = await bank.account("alice", 10)
    await bank.account("bob")
    await bank.operator.freeze("alice")
    (refused,) = await alice.hold([a_hold("alice", "bob", 1, clock.now + 5_000)])
    await bank.operator.freeze("alice", False)
    (held,) = await alice.hold([a_hold("alice", "bob", 1, clock.now + 5_000)])
    assert type(refused) is not type(held)
    with pytest.raises(LedgerMismatch, match="no such account"):
        await bank.operator.freeze("nobody")


async def test_holders_and_strangers_see_what_is_theirs(bank: Bank, http: httpx.AsyncClient, clock: Time) -> None:
    """A hold is shown to its payer, its payee and operators; to everybody else it is not there."""
    alice = await bank.account("alice", 10)
    for name in ("bob", "eve"):
        await bank.account(name)
    hold = a_hold("alice", "bob", 1, clock.now + 5_000)
    await alice.hold([hold])
    path = f"/transfers/{hold.transfer_id.hex()}"
    for who, status in (("alice", 200), ("bob", 200), ("eve", 404)):
        assert (await http.get(path, headers=key(bank.keys[who]))).status_code == status
    assert (await http.get(path, headers=key(OPERATOR_KEY))).json()["state"] == "held"


async def test_health_needs_no_key(bank: Bank, http: httpx.AsyncClient) -> None:
    """Whoever watches the service sees that it and its database answer."""
    assert (await http.get("/health")).json() == {"status": "ok", "entries": 0}


async def test_a_statement_goes_from_opening_to_closing(bank: Bank, clock: Time) -> None:
    """Pages of a statement join without a gap: each opens with the balance that the one before closed with."""
    alice, bob = await bank.account("alice", 1_000), await bank.account("bob")
    for number in range(5):
        clock.now += 10
        hold = a_hold("alice", "bob", 100 + number, clock.now + 5_000)
        await alice.hold([hold])
        if number != 2:  # one hold stays, and is on no statement
            await bob.fulfil([fulfilment_of(hold)])
    pages = []
    after = 0
    while True:
        pages.append(await alice.statement(after=after, limit=2))
        if pages[-1].next_after is None:
            break
        after = pages[-1].next_after
    assert [booking.amount for page in pages for booking in page.bookings] == [1_000, -100, -101, -103, -104]
    assert [(page.opening, page.closing) for page in pages] == [(0, 900), (900, 696), (696, 592)]
    balance = 0
    for booking in (booking for page in pages for booking in page.bookings):
        balance += booking.amount
        assert booking.after == balance
    last = await alice.statement(since=clock())
    assert (last.opening, [booking.amount for booking in last.bookings]) == (696, [-104])
    before = await alice.statement(until=clock())
    assert (before.closing, len(before.bookings)) == (696, 4)


async def test_one_holder_keeps_no_other_from_its_events(sqlite_url: str, clock: Time) -> None:
    """Of the streams of events a holder has a quarter at most, so others still hear of what is held for them."""
    async with Bank(sqlite_url, clock, streams_max=8) as bank, AsyncExitStack() as stack:
        for name in ("greedy", "bob"):
            await bank.account(name)
        statuses = []
        for name in ("greedy", "greedy", "greedy", "bob"):
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=bank.url, headers=key(bank.keys[name])))
            answer = await stack.enter_async_context(http.stream("GET", "/events", params={"account": name}))
            statuses.append(answer.status_code)
        assert statuses == [200, 200, 503, 200]
