"""The feed: the same events from memory and from the journal, and no gap between the two."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ledgers.book.core import USUAL_TERMS, Changes
from settlement.ledgers.book.desk import do_batch
from settlement.ledgers.book.feed import PAGE_EVENTS, Event, Feed
from settlement.ledgers.book.office import new_account
from settlement.ledgers.book.store import BookStore
from settlement.ledgers.book.types import AccountKind, Caller, CancelHold, Command, Holder, MakeHold
from settlement.ledgers.book.wire import AccountIn, AssetOut
from settlement.ledgers.protocol import LedgerAccount
from tests.support.settlement_book import BOOK_SCHEMA, Time, a_hold

ALICE = LedgerAccount("alice")
BOB = LedgerAccount("bob")


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    async with await Database.open(sqlite_url, BOOK_SCHEMA) as opened:
        async with opened.unit() as unit:
            for name in ("alice", "bob", "carol"):
                asked = AccountIn(name, AssetOut("EUR", 2), name, AccountKind.LIABILITY, "-1000000")
                await BookStore(unit.connection).open(new_account(asked, UnixMs(0)))
            await unit.commit()
        yield opened


async def held(database: Database, clock: Time, count: int, payer: str = "alice", payee: str = "bob") -> Changes:
    holds = [a_hold(payer, payee, 1, clock.now + 1_000, memo=b"memo") for _ in range(count)]
    commands: list[Command] = [MakeHold(Caller(Holder(payer)), hold) for hold in holds]
    return await do_batch(database, commands, clock, USUAL_TERMS)


async def all_events(feed: Feed, account: LedgerAccount, after: int = 0) -> list[Event]:
    """Everything after a number, page by page, as a reader gets it."""
    found: list[Event] = []
    while True:
        page = await feed.page(account, after)
        found.extend(page.events)
        if not page.events:
            return found
        after = page.after


async def test_memory_and_journal_tell_the_same(database: Database, clock: Time) -> None:
    """A reader who keeps up and one who comes later see the same events, each hold as it stood then."""
    live, late = Feed(database), Feed(database)
    live.noticed(0)
    first = await held(database, clock, 3)
    live.committed(first)
    ended: list[Command] = [CancelHold(Caller(Holder("bob")), first.made[0].transfer_id)]
    live.committed(await do_batch(database, ended, clock, USUAL_TERMS))
    live.committed(await held(database, clock, 2, "bob", "carol"))
    for account, numbers in (("alice", [1, 2, 3, 4]), ("bob", [1, 2, 3, 4, 5, 6]), ("carol", [5, 6])):
        seen = await all_events(live, LedgerAccount(account))
        assert seen == await all_events(late, LedgerAccount(account))
        assert [event.number for event in seen] == numbers


async def test_pages_are_bounded_and_join(database: Database, clock: Time) -> None:
    """However much there is, a page is small, and the pages together have everything once, in order."""
    live = Feed(database)
    live.noticed(0)
    live.committed(await held(database, clock, PAGE_EVENTS * 2 + 5))
    for feed in (live, Feed(database)):
        assert len((await feed.page(BOB, 0)).events) == PAGE_EVENTS
        assert [event.number for event in await all_events(feed, BOB)] == list(range(1, PAGE_EVENTS * 2 + 6))


async def test_what_other_processes_wrote_is_not_missed(database: Database, clock: Time) -> None:
    """Entries of another process between two of ours are read from the journal, whether or not a tick has seen them."""
    feed = Feed(database)
    feed.noticed(0)
    feed.committed(await held(database, clock, 1))
    await held(database, clock, 2)  # another process
    feed.committed(await held(database, clock, 1))
    assert [event.number for event in await all_events(feed, ALICE)] == [1, 2, 3, 4]
    await held(database, clock, 1)  # another process
    assert await all_events(feed, ALICE, 4) == []  # not told yet
    feed.noticed(5)
    assert [event.number for event in await all_events(feed, ALICE, 3)] == [4, 5]


async def test_a_tick_that_sees_our_commit_first_hides_nothing(database: Database, clock: Time) -> None:
    """Whichever comes first, the tick's number or our own commit, every event is told."""
    feed = Feed(database)
    feed.noticed(0)
    changes = await held(database, clock, 2)
    feed.noticed(2)
    feed.committed(changes)
    feed.noticed(1)  # a tick that had read before
    feed.committed(await held(database, clock, 1))
    assert [event.number for event in await all_events(feed, ALICE)] == [1, 2, 3]


async def test_memory_is_bounded(database: Database, clock: Time) -> None:
    """What no longer fits into memory is read from the journal, without a gap."""
    feed = Feed(database, recent_bytes=1_000)
    feed.noticed(0)
    for _ in range(4):
        feed.committed(await held(database, clock, 3))
    assert feed.recent_bytes <= 1_000
    for after in range(13):
        assert [event.number for event in await all_events(feed, ALICE, after)] == list(range(after + 1, 13))


async def test_readers_are_woken_for_their_accounts(database: Database, clock: Time) -> None:
    """A commit wakes the readers of the accounts that it concerns; another process's wakes all."""
    feed = Feed(database)
    feed.noticed(0)
    with feed.reader(BOB) as for_bob, feed.reader(LedgerAccount("carol")) as for_carol:
        feed.committed(await held(database, clock, 1))
        assert (for_bob.is_set(), for_carol.is_set()) == (True, False)
        feed.noticed(9)
        assert for_carol.is_set()


@pytest.mark.parametrize("after", [-1, 2])
async def test_a_number_that_is_not_there_yet_is_refused(database: Database, clock: Time, after: int) -> None:
    """A reader who has read further than the journal goes is told so."""
    await held(database, clock, 1)
    with pytest.raises(BadInput) as refusal:
        await Feed(database).page(ALICE, after)
    assert refusal.value.field == "after"
