"""The desk: what waits together is committed together, and who waits is always answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from foundation.database import Database, DatabaseUnavailable, Moment
from foundation.quantities import UnixMs
from settlement.ledgers.book.core import Changes, Terms
from settlement.ledgers.book.desk import Desk, DeskFull, DeskLimits
from settlement.ledgers.book.office import new_account
from settlement.ledgers.book.store import BookStore
from settlement.ledgers.book.types import AccountKind, Caller, FulfilHold, Holder, MakeHold
from settlement.ledgers.book.wire import AccountIn, AssetOut
from settlement.ledgers.protocol import Done, HoldState, Refusal, Refused
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import BOOK_SCHEMA, Time, a_hold, fulfilment_of

ALICE, BOB = Caller(Holder("alice")), Caller(Holder("bob"))
QUIET = DeskLimits(tick_ms=3_600_000)


class Commits:
    """Counts commits, and fails one where it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.fail: Moment | None = None

    async def __call__(self, moment: Moment) -> None:
        if moment is self.fail:
            self.fail = None
            raise DatabaseUnavailable("lost")
        self.count += moment is Moment.AFTER


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
async def database(database_url: str, commits: Commits) -> AsyncIterator[Database]:
    """A book where alice may owe 1,000, and bob nothing."""
    async with await Database.open(database_url, BOOK_SCHEMA, commit_hook=commits) as opened:
        async with opened.unit() as unit:
            for name, floor in (("alice", "-1000"), ("bob", "0")):
                asked = AccountIn(name, AssetOut("EUR", 2), name, AccountKind.LIABILITY, floor)
                await BookStore(unit.connection).open(new_account(asked, UnixMs(0)))
            await unit.commit()
        commits.count = 0
        yield opened


def hold(clock: Time, amount: int = 1, wait: int = 1_000) -> MakeHold:
    return MakeHold(ALICE, a_hold("alice", "bob", amount, clock.now + wait))


async def test_what_arrives_during_a_commit_goes_into_the_next_one(
    database: Database, clock: Time, commits: Commits
) -> None:
    """Fifty requests that arrive at once take far fewer transactions, and each gets its own answer."""
    async with Desk(database, clock, limits=QUIET) as desk:
        asked = [hold(clock) for _ in range(50)]
        answers = await asyncio.gather(*(desk.submit([one]) for one in asked))
        assert [answer.view.hold for (answer,) in answers if isinstance(answer, Done)] == [one.hold for one in asked]
    assert commits.count == 1


async def test_a_batch_stays_below_its_limit(database: Database, clock: Time, commits: Commits) -> None:
    """More commands than one transaction takes go into several, and a request is never split."""
    async with Desk(database, clock, limits=DeskLimits(batch_max=4, tick_ms=3_600_000)) as desk:
        sizes = (3, 3, 1, 9)
        answers = await asyncio.gather(*(desk.submit([hold(clock) for _ in range(size)]) for size in sizes))
        assert tuple(map(len, answers)) == sizes
    assert commits.count == 3  # 3, then 3 and 1, then 9


async def test_a_full_desk_takes_nothing_more(database: Database, clock: Time) -> None:
    """Beyond its limit the desk refuses at once, and what it has taken is done."""
    async with Desk(database, clock, limits=DeskLimits(waiting_max=5, tick_ms=3_600_000)) as desk:
        taken = [asyncio.create_task(desk.submit([hold(clock)])) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(DeskFull):
            await desk.submit([hold(clock)])
        answers = await asyncio.gather(*taken)
        assert [isinstance(answer, Done) for (answer,) in answers] == [True] * 5
        assert isinstance((await desk.submit([hold(clock)]))[0], Done)


@pytest.mark.parametrize("moment", list(Moment))
async def test_a_lost_commit_is_told_and_a_repeat_finds_what_became_of_it(
    database: Database, clock: Time, commits: Commits, moment: Moment
) -> None:
    """When the commit or its answer is lost, the caller is told so; the repeat is done once, and the desk works on."""
    async with Desk(database, clock, limits=QUIET) as desk:
        commits.fail = moment
        asked = hold(clock, 600)
        with pytest.raises(DatabaseUnavailable):
            await desk.submit([asked])
        (answer,) = await desk.submit([asked])
        assert isinstance(answer, Done)
        (more,) = await desk.submit([hold(clock, 401)])
        assert isinstance(more, Refused)
        assert more.reason is Refusal.INSUFFICIENT_FUNDS


async def test_whoever_hangs_up_undoes_nothing(database: Database, clock: Time) -> None:
    """A request whose client has gone away is done all the same, and the others of its batch are answered."""
    async with Desk(database, clock, limits=QUIET) as desk:
        gone, stays = hold(clock), hold(clock)
        first, second = (asyncio.create_task(desk.submit([one])) for one in (gone, stays))
        await asyncio.sleep(0)
        first.cancel()
        assert isinstance((await second)[0], Done)
        (again,) = await desk.submit([FulfilHold(BOB, fulfilment_of(gone.hold))])
        assert isinstance(again, Done)


async def test_the_ticker_returns_what_is_due(database: Database, clock: Time) -> None:
    """A hold that nobody touches goes back by itself after its time-out."""
    returned = asyncio.Event()

    def committed(changes: Changes) -> None:
        if any(transfer.state.value == HoldState.EXPIRED for transfer in changes.moved):
            returned.set()

    async with Desk(database, clock, Terms(), DeskLimits(tick_ms=5), committed) as desk:
        await desk.submit([hold(clock, 1_000)])
        clock.now += 1_000
        await asyncio.wait_for(returned.wait(), PATIENCE_S)
        async with database.view() as view:
            (account,) = (await BookStore(view.connection).accounts([a_hold("alice", "bob", 1, 1).payer])).values()
        assert (account.balance, account.held) == (0, 0)


async def test_money_that_is_due_back_can_be_used_before_the_ticker_returns_it(database: Database, clock: Time) -> None:
    """A hold that needs the money of one whose time-out has passed is not refused."""
    async with Desk(database, clock, limits=QUIET) as desk:
        await desk.submit([hold(clock, 1_000)])
        clock.now += 1_000
        assert isinstance((await desk.submit([hold(clock, 1_000)]))[0], Done)


async def test_the_ledgers_time_never_runs_backwards(database: Database, clock: Time) -> None:
    """A clock that is set back does not make a hold live longer than it had."""
    async with Desk(database, clock, limits=QUIET) as desk:
        asked = hold(clock, wait=100)
        await desk.submit([asked])
        clock.now += 100
        await desk.submit([hold(clock)])  # an entry at the later moment
        clock.now -= 50
        (answer,) = await desk.submit([FulfilHold(BOB, fulfilment_of(asked.hold))])
        assert isinstance(answer, Refused)
        assert answer.reason is Refusal.EXPIRED


async def test_what_a_stopping_desk_had_not_done_is_told(database: Database, clock: Time) -> None:
    """Nobody waits for ever for a desk that has stopped."""
    async with Desk(database, clock, limits=QUIET) as desk:
        waiting = [asyncio.create_task(desk.submit([hold(clock)])) for _ in range(3)]
        await asyncio.sleep(0)
    for task in waiting:
        with pytest.raises(DatabaseUnavailable):
            await task
