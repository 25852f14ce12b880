"""The commands of payments: what they make of a gateway's answers, and of its database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app
from foundation.database import UnitOfWork
from foundation.quantities import UnixMs
from settlement.connect.iso20022.pacs002 import write_status_report
from settlement.custody import payer
from settlement.custody.sealing import Sealer
from settlement.custody.store import PaymentStore
from settlement.custody.terms import Particulars, PaymentId
from tests.support.gateway_folder import GatewayFolder, new_gateway_folder
from tests.support.settlement_iso20022 import REPORT

NUMBER = "5f" * 32
PAYMENT = {
    "id": NUMBER, "role": "payer", "status": "paid", "stage": "closed", "reason": "", "payer": "bank-a",
    "clearing": "clearing", "payee": "bank-b", "source": None, "target": None, "fee": None,
    "created_at": "2026-11-21T15:00:00.000Z", "updated_at": "2026-11-21T15:00:01.000Z", "history": [],
}  # fmt: skip
QUOTE = {
    "id": "0a" * 32, "source": {"amount": "1001.00", "currency": "EUR", "scale": 2}, "rate": "2/1",
    "fee": {"amount": "1.00", "currency": "EUR", "scale": 2}, "expires_at": "2026-11-21T15:01:00.000Z",
    "target": {"amount": "2000.00", "currency": "CNY", "scale": 2},
}  # fmt: skip
SEND = (
    *("send", "--payee", "bank-b", "--clearing", "clearing", "--from", "digital-euro", "--to", "digital-yuan"),
    *("--amount", "2000.00", "--currency", "CNY", "--debtor", "DE02", "--creditor", "SG-1"),
    *("--creditor-country", "SG", "--creditor-kind", "legal", "--purpose", "GDDS"),
)


class FakeGateway:
    """Answers by method and path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, str, Any]] = []

    def will(self, place: str, *answers: tuple[int, Any]) -> None:
        """Answer so, one after the other; the last one from then on."""
        self.answers[place] = list(answers)

    async def handle(self, request: web.Request) -> web.Response:
        place = f"{request.method} {request.path}"
        body = await request.json() if request.can_read_body else dict(request.query)
        self.asked.append((place, request.headers.get("Idempotency-Key", ""), body))
        queue = self.answers.get(place, [(404, problem("not-found", 404, "there is no such payment"))])
        status, document = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(document, bytes):
            return web.Response(body=document, status=status, content_type="application/xml")
        return web.json_response(document, status=status)


def problem(name: str, status: int, detail: str = "no", **more: str) -> dict[str, Any]:
    """As RFC 9457 has it."""
    return {"type": f"urn:causeway:problem:{name}", "title": "", "status": status, "detail": detail, **more}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No gateway of the machine is found by chance."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "api.key").write_text("shop.secret\n")
    for name in ("CAUSEWAY_API", "CAUSEWAY_API_KEY_FILE", "CAUSEWAY_API_CERTIFICATE", "CAUSEWAY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    """A gateway that says what the test wants."""
    fake = FakeGateway()
    served = web.Application()
    served.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(served)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    monkeypatch.setenv("CAUSEWAY_API", f"http://{host}:{port}")
    monkeypatch.setenv("CAUSEWAY_API_KEY_FILE", "api.key")
    yield fake
    await runner.cleanup()


def called(*arguments: str, answer: str | None = None) -> tuple[int, Any]:
    """The exit status, and the document on standard output, or the error's."""
    done = CliRunner().invoke(app, ["payment", *arguments, "--json"], input=answer)
    if done.stdout:
        return done.exit_code, json.loads(done.stdout)
    return done.exit_code, json.loads(done.stderr[done.stderr.find("{\n") :])["error"] if "{\n" in done.stderr else {}


async def call(*arguments: str, answer: str | None = None) -> tuple[int, Any]:
    """The same, while the gateway of this loop answers."""
    return await asyncio.to_thread(lambda: called(*arguments, answer=answer))


async def test_a_payment_is_made_of_the_quote_that_was_agreed(gateway: FakeGateway) -> None:
    """The quote's id is paid under the key that was named, and the quote is asked for under a key of its own."""
    gateway.will("POST /v1/quotes", (201, QUOTE))
    gateway.will("POST /v1/payments", (202, PAYMENT))
    status, paid = await call(*SEND, "--max-cost", "1001.00", "--key", "once")
    assert (status, paid["id"]) == (0, NUMBER)
    assert [(place, key) for place, key, _ in gateway.asked] == [
        ("POST /v1/quotes", "once-quote"),
        ("POST /v1/payments", "once"),
    ]
    assert gateway.asked[1][2]["quote_id"] == QUOTE["id"]
    assert gateway.asked[1][2]["creditor"] == {"account": "SG-1", "country": "SG", "kind": "legal"}


async def test_a_report_is_a_pacs_002_that_was_checked(gateway: FakeGateway, tmp_path: Path) -> None:
    """The message is written as it came, and told; what is no valid one is neither."""
    raw, path = write_status_report(REPORT), f"GET /v1/iso20022/pacs.002/{NUMBER}"
    gateway.will(path, (200, raw))
    status, told = await call("report", NUMBER, "--out", "status.xml")
    assert (status, told["status"], told["end_to_end_id"]) == (0, "ACCC", "E2E-1")
    assert (tmp_path / "status.xml").read_bytes() == raw
    gateway.will(path, (200, raw.replace(b"ACCC", b"ABCDE")))
    status, _ = await call("report", NUMBER, "--out", "other.xml")
    assert (status, (tmp_path / "other.xml").exists()) == (ExitCode.BAD_INPUT, False)


async def test_nothing_is_paid_that_costs_more_than_is_wanted(gateway: FakeGateway) -> None:
    """A quote above --max-cost ends the command, and no payment is asked for."""
    gateway.will("POST /v1/quotes", (201, QUOTE))
    status, error = await call(*SEND, "--max-cost", "1000.99")
    assert (status, error["fields"]["problem"]) == (ExitCode.REFUSED, "above-limit")
    assert len(gateway.asked) == 1


@pytest.mark.parametrize(("answer", "asked"), [("y\n", 2), ("n\n", 1), ("", 1)])
async def test_a_quote_has_to_be_confirmed(gateway: FakeGateway, answer: str, asked: int) -> None:
    """Without a bound a person is asked, and only yes pays."""
    gateway.will("POST /v1/quotes", (201, QUOTE))
    gateway.will("POST /v1/payments", (202, PAYMENT))
    status, _ = await call(*SEND, answer=answer)
    assert (status, len(gateway.asked)) == (0 if asked == 2 else ExitCode.REFUSED, asked)


@pytest.mark.parametrize(("end", "status"), [("paid", 0), ("returned", 4), ("failed", 4)])
async def test_the_end_is_waited_for(gateway: FakeGateway, end: str, status: int) -> None:
    """The exit status says whether the money arrived."""
    gateway.will("POST /v1/quotes", (201, QUOTE))
    gateway.will("POST /v1/payments", (202, PAYMENT | {"status": "pending"}))
    gateway.will(
        f"GET /v1/payments/{NUMBER}", (200, PAYMENT | {"status": "in_progress"}), (200, PAYMENT | {"status": end})
    )
    ended, paid = await call(*SEND, "--max-cost", "2000", "--wait", "30")
    assert (ended, paid["status"]) == (status, end)


async def test_a_payment_that_does_not_end_in_time_goes_on(gateway: FakeGateway) -> None:
    """Who waited too short is told so, and where to look."""
    gateway.will("POST /v1/quotes", (201, QUOTE))
    gateway.will("POST /v1/payments", (202, PAYMENT | {"status": "pending"}))
    status, error = await call(*SEND, "--max-cost", "2000", "--wait", "0.05")
    assert (status, error["type"]) == (ExitCode.NOT_YET, "TimedOut")
    assert f"causeway payment show {NUMBER}" in error["cure"]


@pytest.mark.parametrize(
    ("told", "status", "kind", "field"),
    [
        (problem("invalid", 422, field="target.amount", cure="write"), ExitCode.BAD_INPUT, "BadInput", "target.amount"),
        (problem("unauthorized", 401), ExitCode.BAD_INPUT, "BadInput", "--key-file"),
        (problem("forbidden", 403), ExitCode.REFUSED, "GatewayRefused", None),
        (problem("no-quote", 422), ExitCode.REFUSED, "GatewayRefused", None),
        (problem("quote-expired", 422, field="quote_id"), ExitCode.REFUSED, "GatewayRefused", None),
        (problem("key-reused", 422), ExitCode.REFUSED, "GatewayRefused", None),
        (problem("in-flight", 409), ExitCode.NOT_YET, "GatewayUnavailable", None),
        (problem("not-possible", 409), ExitCode.REFUSED, "GatewayRefused", None),
        (problem("too-many-requests", 429), ExitCode.NOT_YET, "GatewayUnavailable", None),
        (problem("unavailable", 503), ExitCode.NOT_YET, "GatewayUnavailable", None),
    ],
)
async def test_a_problem_is_told_as_every_error_is(
    gateway: FakeGateway, told: dict[str, Any], status: ExitCode, kind: str, field: str | None
) -> None:
    """What may succeed later, what is refused for good and what is to be corrected have their own statuses."""
    gateway.will("POST /v1/quotes", (told["status"], told))
    ended, error = await call(*SEND, "--max-cost", "2000")
    assert (ended, error["type"], error["fields"].get("field")) == (status, kind, field)


async def test_a_list_is_read_page_by_page(gateway: FakeGateway) -> None:
    """The next page is asked for by where the last one ended, until there are enough."""
    first, last = {"payments": [PAYMENT] * 2, "next": "1-a"}, {"payments": [PAYMENT], "next": None}
    gateway.will("GET /v1/payments", (200, first), (200, last))
    status, found = await call("list", "--status", "paid", "--limit", "10")
    assert (status, len(found)) == (0, 3)
    assert gateway.asked[1][2]["after"] == "1-a"
    assert gateway.asked[0][2]["status"] == "paid"


async def test_a_cancellation_carries_its_reason(gateway: FakeGateway) -> None:
    """Why a payment ends is handed on; one that is not there is told."""
    gateway.will(f"POST /v1/payments/{NUMBER}/cancel", (200, PAYMENT | {"status": "failed"}))
    status, found = await call("cancel", NUMBER, "--reason", "twice")
    assert (status, found["status"], gateway.asked[0][2]) == (0, "failed", {"reason": "twice"})
    assert (await call("cancel", "11" * 32))[0] == ExitCode.NOT_FOUND


async def test_a_person_approves_by_being_logged_in(gateway: FakeGateway) -> None:
    """Rules that referred the payment may be cleared, and no others."""
    said = {"subject": "ab" * 32, "verdict": "refer", "rule_version": "cd" * 32, "at": "x", "approved_by": [],
            "reasons": [{"rule": "large", "verdict": "refer", "text": "too much"}]}  # fmt: skip
    gateway.will(f"GET /v1/payments/{NUMBER}/decision", (200, said))
    gateway.will(f"POST /v1/payments/{NUMBER}/approvals", (201, said | {"verdict": "pass"}))
    status, error = await call("approve", NUMBER, "--clear", "other")
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--clear")
    status, found = await call("approve", NUMBER, "--clear", "large")
    assert (status, found["verdict"]) == (0, "pass")
    assert gateway.asked[-1][2] == {"clears": ["large"]}


async def test_an_approval_of_other_facts_is_not_handed_in(gateway: FakeGateway, tmp_path: Path) -> None:
    """What was signed of facts that have changed since stays here."""
    said = {"subject": "ab" * 32, "verdict": "refer", "reasons": []}
    gateway.will(f"GET /v1/payments/{NUMBER}/decision", (200, said))
    signed = {"payment_id": NUMBER, "subject": "00" * 32, "person": "ann", "clears": [], "at": "x", "signature": "00"}
    (tmp_path / "approval.json").write_text(json.dumps(signed))
    status, error = await call("approve", NUMBER, "--approval", "approval.json")
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--approval")
    assert len(gateway.asked) == 1


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("show", NUMBER), "--api"),
        (("show", NUMBER, "--api", "http://127.0.0.1:9"), "--key-file"),
        (("show", "12", "--api", "http://127.0.0.1:9", "--key-file", "api.key"), "PAYMENT"),
        (("approve", NUMBER, "--person-key", "k", "--api", "http://127.0.0.1:9"), "--person"),
    ],
)
def test_what_is_missing_is_named(arguments: tuple[str, ...], field: str) -> None:
    """A command that cannot begin says which option is wrong, and asks nobody."""
    status, error = called(*arguments)
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, field)


def test_a_gateway_that_does_not_answer_may_be_asked_again() -> None:
    """Nobody listens: the status says that the same command may succeed later."""
    assert called("show", NUMBER, "--api", "http://127.0.0.1:9", "--key-file", "api.key")[0] == ExitCode.NOT_YET


def test_a_payment_is_shown_out_of_the_database(tmp_path: Path) -> None:
    """A gateway that does not run is asked by its database, whose states the password opens."""
    folder = new_gateway_folder(tmp_path / "bank-a")
    asyncio.run(_begun(folder))
    status, found = called("show", NUMBER, *folder.options)
    assert (status, found["stage"], found["status"], found["payee"]) == (0, "asking", "pending", "bank-b")
    assert (found["source"]["amount"], found["source"]["is_bound"]) == ("10.00", True)
    assert [moment["stage"] for moment in found["history"]] == ["asking"]
    status, listed = called("list", *folder.options)
    assert (status, [each["id"] for each in listed]) == (0, [NUMBER])
    assert called("list", "--status", "paid", *folder.options)[1] == []
    assert called("show", "11" * 32, *folder.options)[0] == ExitCode.NOT_FOUND
    folder.password_file.write_text("wrong")
    assert called("show", NUMBER, *folder.options)[0] == ExitCode.BAD_INPUT


async def _begun(folder: GatewayFolder) -> None:
    particulars = Particulars("GDDS", "DE", "SG", "natural", "legal")
    places = ("digital-yuan", 2000, "digital-euro", "bank-a", 1000)
    order = payer.Order(bytes.fromhex(NUMBER), "bank-a", "clearing", "bank-b", *places, particulars, 1)
    number, state = PaymentId(bytes.fromhex(NUMBER)), payer.Asking(order)

    async def write(unit: UnitOfWork) -> None:
        store = PaymentStore(unit.connection, Sealer(folder.secrets.state_key))
        await store.save({number: state}, {}, [(number, state)], UnixMs(1_800_000_000_000))

    await folder.write(write)
