"""A channel whose money lies on a real book: deposits, payments, and the pay-out over REST, on PostgreSQL."""

from __future__ import annotations

import pytest

from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.channels import tables
from settlement.channels.book import BookAdjudicator, book_salt, deposit_hold
from settlement.channels.judge import Close, Join, Settle
from settlement.channels.signing import KeySigner, book_domain, channel_id
from settlement.channels.terms import Sheet, Side, SignedSheet, Terms
from settlement.ledgers.protocol import Done, LedgerAccount
from settlement.quantities import Units
from tests.support.settlement_book import Bank, Time

pytestmark = pytest.mark.integration

ANN, BOB = KeySigner(b"a" * 32), KeySigner(b"b" * 32)


async def test_channel_is_funded_and_settled_on_a_book(postgres_url: str, tmp_path: object) -> None:
    """Two banks' holds fund a channel, and after the challenge period the book pays each its balance, once."""
    clock = Time()
    domain = book_domain("book")
    names = LedgerAccount("ann"), LedgerAccount("bob")
    async with Bank(f"sqlite:///{tmp_path}/book.db", clock) as bank:
        ann, bob = await bank.account("ann", 5_000), await bank.account("bob", 5_000)
        operator = await bank.account("channels")
        async with await Database.open(postgres_url, tables.SCHEMA) as database:
            court = BookAdjudicator(database, operator, domain, clock)
            terms = Terms(
                domain, ANN.account, BOB.account, Units(1_000), Units(500), 60_000, False, book_salt(*names, b"n" * 32)
            )
            end = UnixMs(clock.now + 60_000)
            for side, client in ((Side.A, ann), (Side.B, bob)):
                (outcome,) = await client.hold([deposit_hold(terms, side, client.own, operator.own, end)])
                assert isinstance(outcome, Done)
            channel = await court.open(terms, *names, b"n" * 32)
            assert await court.open(terms, *names, b"n" * 32) == channel == channel_id(terms)
            await court.submit(channel, Join(BOB.account))
            sheet = Sheet(channel, 1, 0, Units(700), Units(800))
            signed = SignedSheet(sheet, ANN.sign_sheet(domain, sheet), BOB.sign_sheet(domain, sheet))
            await court.submit(channel, Close(ANN.account, signed))
            clock.now += 60_000
            await court.submit(channel, Settle())
            assert await court.pay_out() == 0
        balances = [(await client.account()).balance for client in (ann, bob, operator)]
        assert balances == [4_700, 5_300, 0]
