"""A channel whose money lies on a real book: deposits, payments, and the pay-out over REST, on PostgreSQL."""

from __future__ import annotations

import pytest

from adapters.evm.types import BlockRef
from foundation.database import Database
from foundation.quantities import BlockHeight, UnixMs
from settlement.channels import tables
from settlement.channels.book import BookAdjudicator, book_salt, deposit_hold
from settlement.channels.chain_cases import Projection
from settlement.channels.chain_store import ChainStore
from settlement.channels.judge import Close, Join, Settle, open_case
from settlement.channels.orders import Entry, OrderState, OrderStore, PaymentState, PayOrder
from settlement.channels.signing import KeySigner, book_domain, channel_id
from settlement.channels.state import Policy, Registered, new_channel
from settlement.channels.store import ChannelStore
from settlement.channels.terms import Sheet, Side, SignedSheet, Terms
from settlement.ledgers.protocol import Done, LedgerAccount
from settlement.quantities import Preimage, Units, condition_of
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


async def test_what_a_bank_keeps_is_kept_on_postgresql_too(postgres_url: str) -> None:
    """Cases, preimages, orders, payments and names are stored and found again as on SQLite."""
    terms = Terms(book_domain("b"), ANN.account, BOB.account, Units(2**64 - 1), Units(0), 60_000, False, b"s" * 32)
    case = open_case(terms, ANN.account)
    shown = Registered(Preimage(b"p" * 32), UnixMs(5))
    made = Projection({case.channel: case}, {condition_of(shown.preimage): shown})
    entry = Entry(case.channel, b"r" * 32, False, 2**64 - 1, PaymentState.PAID, "", UnixMs(7))
    async with await Database.open(postgres_url, tables.SCHEMA) as database:
        for number in (1, 2):
            async with database.unit() as unit:
                await ChainStore(unit.connection, terms.ledger).keep(made, BlockRef(BlockHeight(number), b"h" * 32))
                orders = OrderStore(unit.connection)
                await orders.record(entry)
                await ChannelStore(unit.connection).name({"one": case.channel})
                await ChannelStore(unit.connection).put(new_channel(terms, Side.A, Policy()))
                await unit.commit()
        async with database.unit() as unit:
            await OrderStore(unit.connection).add(b"o" * 32, PayOrder(case.channel, Units(2**64 - 1)), UnixMs(1))
            assert await OrderStore(unit.connection).finish(b"o" * 32, OrderState.DONE)
            assert not await OrderStore(unit.connection).finish(b"o" * 32, OrderState.DONE)
            await unit.commit()
        async with database.view() as view:
            chain, orders = ChainStore(view.connection, terms.ledger), OrderStore(view.connection)
            assert await chain.cursor() == BlockRef(BlockHeight(2), b"h" * 32)
            assert await chain.cases([case.channel]) == {case.channel: case}
            assert await chain.reveals(made.reveals) == (shown,)
            assert (await orders.outcome(b"r" * 32), await orders.waiting()) == (entry, ())
            found = await ChannelStore(view.connection).named("one")
            assert found is not None
            assert found.terms == terms
