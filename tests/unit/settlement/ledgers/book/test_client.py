"""The client against a running book: what `Ledger` promises, over REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from settlement.ledgers.book.client import BookAccess, BookClient
from settlement.ledgers.book.http import BookHttp
from settlement.ledgers.book.types import Paid, Payment
from settlement.ledgers.protocol import (
    MEMO_BYTES_MAX,
    Cursor,
    Done,
    Fulfilment,
    Hold,
    HoldState,
    Ledger,
    LedgerAccount,
    LedgerEvent,
    LedgerId,
    LedgerMismatch,
    LedgerUnavailable,
    Refusal,
    Refused,
)
from settlement.quantities import MAX_UNITS, Asset, Preimage, Scale, Units
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import EUR, LEDGER, Bank, Time, a_hold, fulfilment_of, transfer_id

START = Cursor("")


def is_a_ledger(client: BookClient) -> Ledger:
    """Checked by mypy: a book's client is what the gateway asks of a ledger."""
    return client


async def events_of(client: BookClient, count: int, after: Cursor = START) -> list[LedgerEvent]:
    """The next `count` events."""
    found: list[LedgerEvent] = []
    async with aclosing(client.events(after)) as stream:  # type: ignore[type-var]
        async for events in stream:
            found.extend(events)
            if len(found) >= count:
                return found
    raise AssertionError("the stream ends by errors alone")


async def test_money_goes_from_one_bank_to_the_other(bank: Bank, clock: Time) -> None:
    """A hold by the payer and a fulfilment by the payee are seen by both, memo and preimage included."""
    alice, bob = await bank.account("alice", 1_000), await bank.account("bob")
    hold = a_hold("alice", "bob", 300, clock.now + 5_000, memo=bytes(range(256)))
    (held,) = await alice.hold([hold])
    assert isinstance(held, Done)
    assert (held.view.hold, held.view.state) == (hold, HoldState.HELD)
    assert (await alice.account()).available == 700
    assert (await bob.account()).incoming == 300
    (paid,) = await bob.fulfil([fulfilment_of(hold)])
    assert isinstance(paid, Done)
    assert await alice.transfers([hold.transfer_id, transfer_id()]) == (paid.view, None)
    assert (await alice.account()).balance == 700
    assert (await bob.account()).balance == 300


async def test_facts_are_checked_against_the_configuration(bank: Bank) -> None:
    """A book with another name, or an account in another asset, is not used."""
    await bank.account("alice")
    right = BookAccess(LEDGER, EUR, bank.url, LedgerAccount("alice"), bank.keys["alice"])
    async with BookClient(right) as client:
        facts = await client.facts()
        assert (facts.ledger_id, facts.asset, facts.settle_ms) == (LEDGER, EUR, 0)
    wrongs = [replace(right, ledger_id=LedgerId("other")), replace(right, asset=Asset("EUR", Scale(3)))]
    for wrong, field in zip(wrongs, ("ledger_id", "asset"), strict=True):
        async with BookClient(wrong) as client:
            with pytest.raises(LedgerMismatch) as mismatch:
                await client.facts()
            assert mismatch.value.field == field


async def test_each_item_of_a_batch_has_its_own_outcome(bank: Bank, clock: Time) -> None:
    """Items that no ledger accepts are refused by name; those around them are done, in order."""
    alice = await bank.account("alice", 1_000)
    await bank.account("bob")
    good = [a_hold("alice", "bob", 1, clock.now + 5_000) for _ in range(2)]
    bad = [
        replace(good[0], transfer_id=transfer_id(), amount=Units(0)),
        replace(good[0], transfer_id=transfer_id(), amount=Units(MAX_UNITS + 1)),
        replace(good[0], transfer_id=transfer_id(), memo=bytes(MEMO_BYTES_MAX + 1)),
        replace(good[0], transfer_id=transfer_id(), payee=LedgerAccount("nobody")),
    ]
    outcomes = await alice.hold([good[0], *bad, good[1]])
    assert [isinstance(outcome, Done) for outcome in outcomes] == [True, *[False] * 4, True]
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Refused)]
    assert reasons == [Refusal.BAD_REQUEST] * 3 + [Refusal.UNKNOWN_ACCOUNT]
    assert [outcome.transfer_id for outcome in outcomes if isinstance(outcome, Refused)] == [h.transfer_id for h in bad]


async def test_a_preimage_or_id_of_another_length_is_refused(bank: Bank) -> None:
    """What is not 32 bytes is refused without troubling the book, also among cancellations."""
    alice = await bank.account("alice")
    (short,) = await alice.fulfil([Fulfilment(transfer_id(), Preimage(b"short"))])
    (unknown,) = await alice.cancel([transfer_id()])
    assert isinstance(short, Refused)
    assert isinstance(unknown, Refused)
    assert (short.reason, unknown.reason) == (Refusal.BAD_REQUEST, Refusal.UNKNOWN_TRANSFER)


async def test_calls_at_the_same_time_go_in_few_requests(
    bank: Bank, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred holds that are asked for together are one request, and each caller has its own outcome."""
    alice = await bank.account("alice", 1_000)
    await bank.account("bob")
    sizes = []
    post = BookHttp.post

    async def counted(http: BookHttp, path: str, body: Any, answer: Any) -> Any:
        sizes.append(len(body))
        return await post(http, path, body, answer)

    monkeypatch.setattr(BookHttp, "post", counted)
    holds = [a_hold("alice", "bob", 1, clock.now + 5_000) for _ in range(100)]
    outcomes = await asyncio.gather(*(alice.hold([hold]) for hold in holds))
    assert [outcome.view.hold for (outcome,) in outcomes if isinstance(outcome, Done)] == holds
    assert sizes == [100]


async def test_keys_open_their_own_accounts_alone(bank: Bank, clock: Time) -> None:
    """With another bank's key nothing is held, fulfilled, cancelled, paid or read."""
    alice = await bank.account("alice", 1_000)
    await bank.account("bob")
    await bank.account("eve")
    thief = await bank.client("alice", key_of="eve")
    hold = a_hold("alice", "bob", 1, clock.now + 5_000)
    await alice.hold([hold])
    stolen = Payment(transfer_id(), LedgerAccount("alice"), LedgerAccount("eve"), Units(1))
    answers = (
        *await thief.hold([replace(hold, transfer_id=transfer_id())]),
        *await thief.fulfil([fulfilment_of(hold)]),
        *await thief.cancel([hold.transfer_id]),
        *await thief.pay([stolen]),
    )
    assert {answer.reason for answer in answers if isinstance(answer, Refused)} == {Refusal.NOT_ALLOWED}
    assert len(answers) == 4
    assert await thief.transfers([hold.transfer_id]) == (None,)
    for asked in (thief.account, thief.statement):
        with pytest.raises(LedgerMismatch, match="no such account"):
            await asked()
    with pytest.raises(LedgerMismatch, match="no such account"):
        await events_of(thief, 1)


async def test_a_payment_is_paid_once(bank: Bank) -> None:
    """A payment that is repeated is the same payment, and one beyond the balance is refused."""
    alice = await bank.account("alice", 1_000)
    bob = await bank.account("bob")
    payment = Payment(transfer_id(), LedgerAccount("alice"), LedgerAccount("bob"), Units(1_000), b"rent")
    first, again = await alice.pay([payment]), await alice.pay([payment])
    assert first == again
    assert isinstance(first[0], Paid)
    (more,) = await alice.pay([replace(payment, transfer_id=transfer_id())])
    assert isinstance(more, Refused)
    assert more.reason is Refusal.INSUFFICIENT_FUNDS
    assert (await bob.account()).balance == 1_000


async def test_a_payee_learns_of_a_hold_and_both_of_its_end(bank: Bank, clock: Time) -> None:
    """The feed tells payer and payee each state a hold comes to, in order, and is resumed after any event."""
    alice, bob = await bank.account("alice", 1_000), await bank.account("bob")
    kept = [a_hold("alice", "bob", 1, clock.now + 100) for _ in range(3)]
    for client in (alice, bob):
        reading = asyncio.create_task(events_of(client, 6))
        if client is alice:
            await alice.hold(kept)
            await bob.fulfil([fulfilment_of(kept[0])])
            await bob.cancel([kept[1].transfer_id])
            clock.now += 100
        seen = await asyncio.wait_for(reading, PATIENCE_S)
        assert [(event.view.hold, event.view.state) for event in seen] == [
            *((hold, HoldState.HELD) for hold in kept),
            (kept[0], HoldState.FULFILLED),
            (kept[1], HoldState.CANCELLED),
            (kept[2], HoldState.EXPIRED),
        ]
        assert seen[3].view.preimage == fulfilment_of(kept[0]).preimage
        assert await asyncio.wait_for(events_of(client, 2, seen[3].cursor), PATIENCE_S) == seen[4:]


@pytest.mark.parametrize("is_busy", [False, True])
async def test_a_stream_ends_with_its_key(bank: Bank, clock: Time, is_busy: bool) -> None:
    """Whoever has a key revoked while reading is hung up on, however much there is to read."""
    alice, bob = await bank.account("alice", 10_000), await bank.account("bob")

    async def work() -> None:
        while True:
            await alice.hold([a_hold("alice", "bob", 1, clock.now + 5_000)])

    async def read() -> None:
        async for _ in bob.events(START):
            told.set()

    told = asyncio.Event()
    reading = asyncio.create_task(read())
    await alice.hold([a_hold("alice", "bob", 1, clock.now + 5_000)])
    await told.wait()
    working = asyncio.create_task(work()) if is_busy else None
    await bank.operator.revoke_key("bob-key")
    with pytest.raises(LedgerUnavailable, match="ended"):
        await asyncio.wait_for(reading, PATIENCE_S)
    if working is not None:
        working.cancel()
    with pytest.raises(LedgerMismatch, match="401"):
        await events_of(bob, 1)


async def test_a_cursor_of_another_ledger_is_refused(bank: Bank) -> None:
    """A reader who knows of events that the ledger does not have is told so: one of the two has lost something."""
    alice = await bank.account("alice")
    for cursor in ("99", "-1", "x"):
        with pytest.raises(LedgerMismatch) as mismatch:
            await events_of(alice, 1, Cursor(cursor))
        assert mismatch.value.field == "after"


async def test_a_book_that_is_not_there_leaves_everything_unknown(sqlite_url: str, clock: Time) -> None:
    """When the book does not answer, every call says that nothing is known and that it may be asked again."""
    async with Bank(sqlite_url, clock) as bank:
        await bank.account("alice")
        access = BookAccess(LEDGER, EUR, bank.url, LedgerAccount("alice"), bank.keys["alice"])
    async with BookClient(access) as client:
        hold = a_hold("alice", "bob", 1, clock.now + 1)
        for call in (client.hold([hold]), client.account(), client.facts(), events_of(client, 1)):
            with pytest.raises(LedgerUnavailable):
                await call


@asynccontextmanager
async def lying_book(answer: Any) -> AsyncIterator[BookClient]:
    """A client of a server that answers every POST with `answer` of the items."""

    async def lie(request: web.Request) -> web.Response:
        return web.json_response(answer(await request.json()))

    app = web.Application()
    app.add_routes([web.post("/{any}", lie)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with BookClient(
            BookAccess(LEDGER, EUR, f"http://{host}:{port}", LedgerAccount("alice"), "k.s")
        ) as client:
            yield client
    finally:
        await runner.cleanup()


def shown(item: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A hold's outcome as a book would answer, with `changes`."""
    asked = {name: value for name, value in item.items() if name != "preimage"}
    transfer = {**asked, "state": "held", "held_at": 1, **changes}
    return {"id": item["id"], "done": True, "transfer": transfer}


@pytest.mark.parametrize(
    "lie",
    [
        lambda items: [],
        lambda items: [shown(item) for item in items] * 2,
        lambda items: [{"id": items[0]["id"], "done": True}],
        lambda items: [shown(items[0], amount="2")],
        lambda items: [shown(items[0], payee="eve")],
        lambda items: [shown(items[0], amount="x")],
        lambda items: {"done": True},
    ],
)
async def test_a_book_that_answers_something_else_is_not_believed(lie: Any) -> None:
    """Outcomes that are missing, too many, of another transfer, or no outcomes at all, stop the client."""
    async with lying_book(lie) as client:
        with pytest.raises(LedgerMismatch):
            await client.hold([a_hold("alice", "bob", 1, 5_000)])


async def test_a_fulfilment_is_believed_with_its_preimage_alone() -> None:
    """A book that says fulfilled without the preimage of the condition is not believed."""
    hold: Hold = a_hold("alice", "bob", 1, 5_000)
    content = {"payer": "alice", "payee": "bob", "amount": "1", "condition": hold.condition.hex(), "expires_at": 5_000}
    right = {"state": "fulfilled", "preimage": fulfilment_of(hold).preimage.hex()}
    wrongs = ({"state": "held"}, {"state": "fulfilled"}, {**right, "preimage": "00" * 32}, {**right, "id": "00" * 32})
    for change in wrongs:
        async with lying_book(lambda items, change=change: [shown({**items[0], **content}, **change)]) as client:
            with pytest.raises(LedgerMismatch):
                await client.fulfil([fulfilment_of(hold)])
    async with lying_book(lambda items: [shown({**items[0], **content}, **right)]) as client:
        (believed,) = await client.fulfil([fulfilment_of(hold)])
        assert isinstance(believed, Done)
