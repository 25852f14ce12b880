"""Payments between real gateways, as they come into the three parties' books."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.books.monitors import Monitors, WatchedLedger
from settlement.books.postings import LedgerAccounts, funding_entry
from settlement.books.receipt_check import TrustedKeys, verify_receipt
from settlement.books.receipt_file import receipt_file
from settlement.books.reconciliation import AccountStatement, StatementLine, from_entries, reconcile
from settlement.books.store import Books
from settlement.gateway.bookkeeping import GatewayBooks
from settlement.ledgers.book.client import BookAccess, BookClient
from settlement.ledgers.book.operator import BookOperator
from settlement.ledgers.protocol import LedgerAccount, LedgerId
from settlement.quantities import PartyId
from tests.support.settlement_books import id_of
from tests.support.settlement_gateway import (
    EURO,
    EURO_LEDGER,
    FUNDS,
    TOWN_SCHEMA,
    YUAN,
    YUAN_LEDGER,
    A,
    B,
    C,
    Town,
    stages,
)

pytestmark = pytest.mark.integration
LEDGERS = {
    A: {str(EURO_LEDGER): EURO},
    B: {str(YUAN_LEDGER): YUAN},
    C: {str(EURO_LEDGER): EURO, str(YUAN_LEDGER): YUAN},
}


class Holder:
    """An account as the ledger's operator sees it."""

    def __init__(self, operator: BookOperator, name: str) -> None:
        self._operator = operator
        self._name = name

    async def account(self) -> Any:
        return await self._operator.account(self._name)


def _books() -> dict[PartyId, GatewayBooks]:
    return {party: GatewayBooks(party, assets, bytes([1]) * 32) for party, assets in LEDGERS.items()}


async def _fund(town: Town, party: PartyId, accounts: Mapping[str, LedgerAccounts], books: GatewayBooks) -> None:
    """Take over what is on the ledgers at the start."""
    entries = [funding_entry(id_of((party, name)), each, FUNDS) for name, each in accounts.items()]
    async with await Database.open(town.url(str(party)), TOWN_SCHEMA) as database, database.unit() as unit:
        await Books(unit.connection, books.key).post_many(entries, UnixMs(town.clock()), books.chart)
        await unit.commit()


async def test_books_are_what_the_ledgers_say(tmp_path: Path) -> None:
    """After a payment and one that fails, each party's books equal the ledgers', and the receipt is one and good."""
    town = Town(tmp_path)
    books = _books()
    town.books = books  # type: ignore[assignment]
    async with town:
        for party in (A, B, C):
            await _fund(town, party, books[party].accounts, books[party])
        payment = await town.pay(2_000_00)
        assert stages(await town.ended(payment)) == {A: "closed", B: "closed", C: "closed"}
        digests = set()
        trusted: TrustedKeys = {party: frozenset({secret.signer.member.key}) for party, secret in town.secrets.items()}
        for party in (A, B, C):
            registry = town.gateways[party]._parts.directory.registry
            async with await Database.open(town.url(str(party)), TOWN_SCHEMA) as database:
                watched = {
                    name: WatchedLedger(Holder(town.operators[LedgerId(name)], party), each)
                    for name, each in books[party].accounts.items()
                }
                monitors = Monitors(database, party, watched, registry, None, town.clock)
                assert await monitors.check(full=True) == ()
                assert await monitors.check() == (), "the same difference twice would be one"
                async with database.view() as view:
                    file = await receipt_file(view, payment, party, registry)
                digests.add(file.receipt.digest)
                assert (await verify_receipt(file, trusted, None)).is_sound
        assert len(digests) == 1, "all three have one receipt"


async def test_ledgers_statement_agrees_with_the_books(tmp_path: Path) -> None:
    """What the euro's ledger has booked for the clearing bank is what its books have, transfer by transfer."""
    town = Town(tmp_path)
    books = _books()
    town.books = books  # type: ignore[assignment]
    async with town:
        for payment in [await town.pay(amount) for amount in (2_000_00, 10_00, 5_00)]:
            await town.ended(payment)
        group = books[C].accounts[str(EURO_LEDGER)].group
        async with await Database.open(town.url(str(C)), TOWN_SCHEMA) as database, database.view() as view:
            posted = [each async for each in Books(view.connection).journal()]
        ours = from_entries(EURO, group, 0, posted)
        theirs = await _statement(town)
        outcome = reconcile(ours, theirs, days=1)
        assert outcome.first_difference is None, outcome.first_difference
        assert len(outcome.matched) == 3


async def _statement(town: Town) -> AccountStatement:
    """The ledger's own statement of the clearing bank's account, without what it was opened with."""
    url, key = town.services[EURO_LEDGER].url, town._keys[EURO_LEDGER, C]
    async with BookClient(BookAccess(EURO_LEDGER, EURO, url, LedgerAccount(C), key)) as client:
        page = await client.statement()
    lines = tuple(
        StatementLine(
            frozenset({booking.transfer_id.hex()[:32]}),
            booking.amount,
            datetime.fromtimestamp(booking.at / 1000, UTC).date(),
            f"booking {booking.number}",
        )
        for booking in page.bookings
        if booking.amount != FUNDS
    )
    return AccountStatement(EURO, 0, sum(line.change for line in lines), lines)
