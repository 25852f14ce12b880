"""What a bank reads over REST of payments that were made: events, statements, receipts; and payments as pacs.008."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api import reading
from settlement.books.postings import funding_entry
from settlement.books.receipt_check import verify_receipt
from settlement.books.receipt_file import decode_file
from settlement.books.store import Books
from settlement.connect.iso20022.camt053 import read_statement
from settlement.connect.iso20022.pacs002 import Status, read_status_report
from settlement.connect.iso20022.pacs008 import write_credit_transfer
from settlement.connect.iso20022.parties import Account
from settlement.gateway.bookkeeping import GatewayBooks
from settlement.quantities import Units
from tests.support.api_town import QUOTE, ApiTown, api_town, ended, terms
from tests.support.patience import PATIENCE_S
from tests.support.settlement_gateway import BUYER, EURO, EURO_LEDGER, FUNDS, SELLER, YUAN, A
from tests.support.settlement_iso20022 import TRANSFER

ROUTE = {
    "clearing": "clearing",
    "payee": "bank-b",
    "source_ledger": "digital-euro",
    "target_ledger": "digital-yuan",
    "target_scale": "2",
    "creditor_kind": "legal",
}


@pytest.fixture(scope="module")
async def bank(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiTown]:
    async with api_town(tmp_path_factory.mktemp("town"), with_books=True) as town:
        yield town


async def test_events_stream_as_they_happen_and_go_on_where_they_broke(bank: ApiTown) -> None:
    """A stream tells of each stage of a payment; resumed by the last number it misses none, nor repeats any."""
    begun = (await bank.post("/v1/payments", terms())).json()
    stages: list[str] = []
    last = "0"
    while "closed" not in stages:  # a new connection for each event
        async with bank.client.stream("GET", "/v1/events", headers={"Last-Event-ID": last}) as stream:
            async for line in stream.aiter_lines():
                name, _, text = line.partition(": ")
                if name == "id":
                    last = text
                if name == "data":
                    event = json.loads(text)
                    assert str(event["data"]["number"]) == last
                    if event["data"]["payment_id"] == begun["id"]:
                        stages.append(event["data"]["stage"])
                    break
    shown = await ended(bank, begun["links"]["self"])
    assert stages == [moment["stage"] for moment in shown["history"]]


async def test_a_statement_adds_up_and_names_its_payments(bank: ApiTown) -> None:
    """The statement leads from the opening to the closing balance, names each line's payment, and camt.053 agrees."""
    paid = await ended(bank, (await bank.post("/v1/payments", terms())).json()["links"]["self"])
    balance = await bank.town.balance(EURO_LEDGER, A)
    asked = {"ledger": "digital-euro", "limit": "1000"}
    answer = await bank.client.get("/v1/statements", params=asked)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert EURO.units(shown["closing"]) == balance
    assert shown["lines"][-1]["change"] == "-1001.00"
    assert shown["lines"][-1]["payment_id"] == paid["id"]
    xml = await bank.client.get("/v1/statements", params=asked, headers={"Accept": "application/xml"})
    read = read_statement(xml.content, {"EUR": EURO})
    assert (read.opening, read.closing) == (0, balance)
    assert [entry.change for entry in read.entries] == [EURO.units(shown["lines"][0]["change"])] + [
        -1001_00 for _ in shown["lines"][1:]
    ]
    accounts = (await bank.client.get("/v1/accounts")).json()["accounts"]
    assert [(one["account"], one["balance"]) for one in accounts] == [("bank-a", EURO.text(balance))]
    assert balance < FUNDS


async def test_our_books_tell_the_same_as_a_ledgers_own_statement(
    bank: ApiTown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a ledger that keeps no statements, the books' is the one that the ledger would give; only numbers differ."""
    await ended(bank, (await bank.post("/v1/payments", terms())).json()["links"]["self"])
    gateway = bank.serving.gateway
    books = gateway._parts.books
    assert isinstance(books, GatewayBooks)
    async with gateway.database.unit() as unit:
        opening = funding_entry(bytes(32), books.accounts["digital-euro"], FUNDS, "opening")
        await Books(unit.connection, books.key).post_many([opening], bank.town.clock(), books.chart)
        await unit.commit()
    asked = {"ledger": "digital-euro", "limit": "1000"}
    theirs = (await bank.client.get("/v1/statements", params=asked)).json()
    monkeypatch.setattr(reading, "BookClient", GatewayBooks)  # no ledger is one: none keeps statements
    ours = (await bank.client.get("/v1/statements", params=asked)).json()
    assert (theirs["basis"], ours["basis"]) == ("ledger", "books")
    assert ours["closing"] == theirs["closing"]
    told = ("change", "counterparty", "transfer_id", "payment_id")
    lines = [[[line[name] for name in told] for line in each["lines"] if line["payment_id"]] for each in (ours, theirs)]
    assert lines[0] == lines[1]
    xml = await bank.client.get("/v1/statements", params=asked, headers={"Accept": "application/xml"})
    assert read_statement(xml.content, {"EUR": EURO}).closing == EURO.units(ours["closing"])


async def test_a_receipt_verifies_offline(bank: ApiTown) -> None:
    """The receipt of a payment that is over holds three signatures, which anybody verifies; before, there is none."""
    begun = (await bank.post("/v1/payments", terms())).json()
    early = await bank.client.get(begun["links"]["receipt"])
    assert early.status_code in (200, 409)
    await ended(bank, begun["links"]["self"])
    file = await bank.client.get(begun["links"]["receipt"])
    assert file.status_code == 200, file.text
    report = await verify_receipt(decode_file(file.content), None, None)
    assert report.is_sound, report


async def test_a_pacs_008_is_paid_and_reported_to_its_end(bank: ApiTown) -> None:
    """A credit transfer pays what it says, once for a key, answered by ACTC, and reported as ACSC once settled."""
    before = await bank.town.balance(EURO_LEDGER, A)
    answers = [await _transfer(bank, "pacs-1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202], answers[0].text
    report = read_status_report(answers[0].content)
    assert (report.status, report.original_end_to_end_id) == (Status.TECHNICALLY_VALID, "E2E-1")
    paid = await ended(bank, answers[0].headers["location"])
    assert paid["status"] == "paid", paid["reason"]
    assert await bank.town.balance(EURO_LEDGER, A) == before - 1001_00
    raw = (await bank.client.get(paid["links"]["status_report"])).content
    settled = read_status_report(raw)
    assert (settled.status, settled.reason) == (Status.SETTLED, "")
    assert (settled.original_message_id, settled.original_transaction_id) == ("MSG-1", "TX-1")
    assert settled.uetr == TRANSFER.uetr
    assert settled.message_id != report.message_id
    assert (await bank.client.get(paid["links"]["status_report"])).content == raw


async def test_a_pacs_008_that_fails_is_reported_with_its_reason(bank: ApiTown) -> None:
    """A credit transfer that may not cost what it costs ends as RJCT with the code for that, and moves nothing."""
    begun = await _transfer(bank, "pacs-dear", instructed=(EURO, Units(1000_99)))
    failed = await ended(bank, begun.headers["location"])
    assert failed["status"] == "failed"
    report = read_status_report((await bank.client.get(failed["links"]["status_report"])).content)
    assert (report.status, report.reason, report.original_end_to_end_id) == (Status.REJECTED, "AM14", "E2E-1")


async def test_a_pacs_008_goes_by_a_quote(bank: ApiTown) -> None:
    """A credit transfer that names a firm quote is its payment; one of another amount is refused and uses none up."""
    quote = (await bank.post("/v1/quotes", QUOTE)).json()
    other = await _transfer(bank, "pacs-other", quote_id=quote["id"], amount=Units(1999_99))
    assert (other.status_code, other.json()["field"]) == (422, "target.amount")
    begun = await _transfer(bank, "pacs-quote", quote_id=quote["id"], instructed=None)
    assert begun.status_code == 202, begun.text
    paid = await ended(bank, begun.headers["location"])
    assert (paid["status"], paid["source"]["amount"]) == ("paid", quote["source"]["amount"]), paid["reason"]


async def _transfer(bank: ApiTown, key: str, quote_id: str = "", **changes: Any) -> httpx.Response:
    """2,000 yuan as a pacs.008."""
    transfer = replace(
        TRANSFER,
        asset=YUAN,
        amount=Units(2000_00),
        instructed=(EURO, Units(1001_00)),
        charges=(),
        debtor_account=Account(iban=BUYER.account),
        creditor_account=Account(other=SELLER.account),
        purpose="GDDS",
    )
    route = {**ROUTE, "quote_id": quote_id} if quote_id else ROUTE
    headers = {"Content-Type": "application/xml", "Idempotency-Key": key}
    raw = write_credit_transfer(replace(transfer, **changes))
    return await bank.client.post("/v1/iso20022/pacs.008", params=route, content=raw, headers=headers)


@pytest.mark.parametrize("raw", [b"<Document/>", b"no xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'])
async def test_what_is_no_pacs_008_is_refused(bank: ApiTown, raw: bytes) -> None:
    """Another document is named as such, and begins nothing."""
    headers = {"Content-Type": "application/xml", "Idempotency-Key": f"bad-{hash(raw)}"}
    answer = await bank.client.post("/v1/iso20022/pacs.008", params=ROUTE, content=raw, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_a_payment_that_is_over_cannot_be_cancelled(bank: ApiTown) -> None:
    """Cancel says that it is too late, and the money stays where it is."""
    begun = (await bank.post("/v1/payments", terms())).json()
    await ended(bank, begun["links"]["self"])
    late = await bank.post(begun["links"]["cancel"], {})
    assert (late.status_code, late.json()["type"]) == (409, "urn:causeway:problem:not-possible")


async def test_streams_end_with_the_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An open stream ends properly when the server stops, and does not keep it."""
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(trust_env=False, timeout=60) as reader:
        async with api_town(tmp_path_factory.mktemp("ending")) as town:
            url, headers = f"{town.serving.url}/v1/events", town.client.headers
            reading = asyncio.create_task(reader.get(url, headers=headers))
            while town.serving.desk.streams == 0:
                await asyncio.sleep(0.01)
        assert (await reading).text.startswith(": causeway")
