"""The books checked against themselves, the ledgers and the chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Executable, delete, insert, update

from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.books.accounts import Account
from settlement.books.alerts import Alert, AlertState, AlertStore, UnknownAlert
from settlement.books.anchoring import Anchoring
from settlement.books.batches import Anchored, BatchText, Place
from settlement.books.monitors import ANCHOR_MS_MAX, PERSISTENT, Monitors, WatchedLedger
from settlement.books.postings import chart_of, funding_entry
from settlement.books.receipt_store import ReceiptStore
from settlement.books.reviews import Reviews
from settlement.books.roles import Act, Action, Role
from settlement.books.store import Books
from settlement.books.tables import accounts, acts, batches, entries, lines, receipts, reviews
from settlement.books.tree import equations, tree
from settlement.books.verify import Finding, Monitor
from settlement.ledgers.protocol import AccountView, LedgerAccount, LedgerId, LedgerUnavailable
from settlement.quantities import Units
from tests.support.settlement_books import (
    EUR,
    EURO,
    KEY,
    LEDGERS,
    NOW,
    SIGNERS,
    A,
    account,
    books_database,
    entry,
    id_of,
    receipt,
    registry,
)

PLACE = Place("eip155:1337", b"\x11" * 20, b"\x22" * 20)


class Ledger:
    """A ledger that says what it is told to say."""

    def __init__(self) -> None:
        self.balance, self.held = 1_000, 0
        self.is_down = False

    async def account(self) -> AccountView:
        if self.is_down:
            raise LedgerUnavailable(LedgerId("digital-euro"), "down")
        return AccountView(LedgerAccount(A), EUR, self.balance, Units(self.held), Units(0), 0)


class Chain:
    """A chain in memory; `roots` by number."""

    def __init__(self) -> None:
        self.place = PLACE
        self.roots: dict[int, bytes] = {}
        self.is_down = False

    async def anchor(self, text: BatchText) -> Anchored:
        if self.is_down:
            raise LedgerUnavailable(LedgerId("chain"), "down")
        self.roots[text.number] = text.root
        return Anchored(bytes(32), bytes(32), text.number)

    async def root_at(self, place: Place, number: int) -> bytes | None:
        if self.is_down:
            raise LedgerUnavailable(LedgerId("chain"), "down")
        return self.roots.get(number)


@dataclass
class Yard:
    """Books with two entries, four receipts and two batches, and those who watch them."""

    database: Database
    ledger: Ledger
    chain: Chain
    monitors: Monitors
    now: int = NOW

    async def tamper(self, *statements: Executable) -> None:
        async with self.database.unit() as unit:
            for statement in statements:
                await unit.connection.execute(statement)
            await unit.commit()

    async def alerts(self) -> tuple[Alert, ...]:
        async with self.database.view() as view:
            return await AlertStore(view.connection).standing()

    async def monitors_of(self) -> set[Monitor]:
        return {finding.monitor for finding in await self.monitors.check(full=True)}


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    ledger, chain = Ledger(), Chain()
    async with books_database(tmp_path) as database:
        async with database.unit() as unit:
            first = funding_entry(id_of(1), EURO, 1_100)
            second = entry(2, (EURO.customers, 100), (EURO.nostro, -100))
            await Books(unit.connection).post_many([first, second], NOW, chart_of(A, LEDGERS))
            await unit.commit()
        anchoring = Anchoring(database, chain, SIGNERS[A], lambda: NOW, 1_000)
        for numbers in ((0, 1, 2), (3,)):
            async with database.unit() as unit:
                await ReceiptStore(unit.connection).keep_many([receipt(number) for number in numbers], NOW)
                await unit.commit()
            await anchoring.advance()
        made = Yard(database, ledger, chain, None)  # type: ignore[arg-type]
        watched = {"digital-euro": WatchedLedger(ledger, EURO)}
        made.monitors = Monitors(database, A, watched, registry(), chain, lambda: UnixMs(made.now), KEY)
        yield made


def test_tree_sums_at_each_level() -> None:
    """Groups, roots and the entity sum what is below them, and the equation is told as people know it."""
    top = tree(A, {EURO.nostro: 700, EURO.held: 300, EURO.customers: -900, EURO.fees_earned: -100})
    assert (top.name, top.sums) == (A, {EUR: 0})
    assert [child.name for child in top.children] == ["Assets", "Income", "Liabilities"]
    group = top.find(EURO.group)
    assert group is not None
    assert group.sums == {EUR: 1_000}
    (equation,) = equations(top)
    assert (equation.assets, equation.liabilities, equation.equity, equation.difference) == (1_000, 900, 100, 0)
    assert equations(tree(A, {EURO.nostro: 5}))[0].difference == 5


async def test_sound_books_raise_nothing(yard: Yard) -> None:
    """Where everything agrees there is no finding, from the beginning and from where the last check ended."""
    assert await yard.monitors.check(full=True) == ()
    assert await yard.monitors.check() == ()
    assert await yard.alerts() == ()


def _line(change: int, number: int = 1, place: int = 0) -> Executable:
    return update(lines).where(lines.c.number == number, lines.c.place == place).values(high=0, low=change)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([update(accounts).where(accounts.c.name == EURO.nostro.name).values(balance="5")], {Monitor.EQUATION}),
        ([_line(7)], {Monitor.JOURNAL, Monitor.EQUATION}),
        ([update(entries).where(entries.c.number == 1).values(event="gift")], {Monitor.JOURNAL}),
        ([update(entries).where(entries.c.number == 1).values(at=NOW + 1)], {Monitor.JOURNAL}),
        ([update(entries).where(entries.c.number == 1).values(digest=bytes(32))], {Monitor.JOURNAL}),
        ([update(entries).where(entries.c.number == 2).values(number=3)], {Monitor.JOURNAL, Monitor.EQUATION}),
        ([delete(entries).where(entries.c.number == 1)], {Monitor.JOURNAL, Monitor.EQUATION}),
        ([delete(lines).where(lines.c.number == 2)], {Monitor.JOURNAL, Monitor.EQUATION}),
        (
            [insert(lines).values(number=2, place=9, account=EURO.funding.name, high=0, low=1)],
            {Monitor.JOURNAL, Monitor.EQUATION},
        ),
        ([insert(lines).values(number=2, place=9, account=EURO.held.name, high=0, low=1)], {Monitor.JOURNAL}),
        ([insert(lines).values(number=9, place=0, account=EURO.nostro.name, high=0, low=1)], {Monitor.JOURNAL}),
        ([update(receipts).where(receipts.c.sequence == 2).values(digest=bytes(32))], {Monitor.RECEIPTS}),
        ([update(receipts).where(receipts.c.sequence == 2).values(receipt=b"x")], {Monitor.JOURNAL}),
        ([update(accounts).where(accounts.c.name == EURO.nostro.name).values(name="x")], {Monitor.JOURNAL}),
        ([delete(receipts).where(receipts.c.sequence == 2)], {Monitor.RECEIPTS, Monitor.ANCHORS}),
        (
            [update(receipts).where(receipts.c.sequence == 4).values(link=bytes(32))],
            {Monitor.RECEIPTS, Monitor.ANCHORS},
        ),
        ([update(batches).where(batches.c.number == 2).values(previous=bytes(32))], {Monitor.ANCHORS}),
        ([update(batches).where(batches.c.number == 2).values(made_at=NOW + 1)], {Monitor.ANCHORS}),
        ([delete(batches).where(batches.c.number == 1)], {Monitor.ANCHORS}),
    ],
)
async def test_whatever_is_changed_is_found(yard: Yard, statements: list[Executable], expected: set[Monitor]) -> None:
    """Whoever changes, drops or adds a row of the books is found out by a check from the beginning."""
    await yard.tamper(*statements)
    found = await yard.monitors_of()
    assert found - {Monitor.LEDGER} == expected


async def test_change_that_balances_is_found(yard: Yard) -> None:
    """A thief who moves lines and balances alike, so that all sums agree, breaks the entry's digest."""
    await yard.tamper(
        _line(1_099),
        insert(accounts).values(name="Assets:Thief", asset_code="EUR", asset_scale=2, balance="1", opened_at=NOW),
        insert(lines).values(number=1, place=9, account="Assets:Thief", high=0, low=1),
        update(accounts).where(accounts.c.name == EURO.nostro.name).values(balance="999"),
    )
    assert await yard.monitors_of() == {Monitor.JOURNAL}
    thief: Account = account("Assets:Thief")
    async with yard.database.view() as view:
        assert (await Books(view.connection).balances())[thief] == 1


async def test_checks_go_on_from_the_last(yard: Yard) -> None:
    """A check reads what is new; what it finds stands until a check from the beginning finds it no more."""
    assert await yard.monitors.check(full=True) == ()
    async with yard.database.unit() as unit:
        await Books(unit.connection).post(entry(3, (EURO.nostro, 1), (EURO.customers, -1)), NOW)
        await unit.commit()
    await yard.tamper(update(entries).where(entries.c.number == 3).values(event="gift"))
    yard.ledger.balance += 1
    for full in (False, False, True):
        assert [finding.subject for finding in await yard.monitors.check(full=full)] == ["entry 3"]
    await yard.tamper(update(entries).where(entries.c.number == 3).values(event="test"))
    assert len(await yard.monitors.check()) == 1
    assert await yard.monitors.check(full=True) == ()


async def test_ledger_that_says_something_else_is_found(yard: Yard) -> None:
    """A difference counts when it is there twice; one moment between a move and its posting does not."""
    yard.ledger.balance = 900
    assert await yard.monitors.check() == ()
    (finding,) = await yard.monitors.check()
    assert finding == Finding(Monitor.LEDGER, "balance on digital-euro", "the books have 10.00 EUR, the ledger 9.00")
    yard.ledger.is_down = True
    assert await yard.monitors.check() == (finding,)
    yard.ledger.is_down, yard.ledger.balance, yard.ledger.held = False, 1_000, 1
    assert await yard.monitors.check() == ()
    assert [each.subject for each in await yard.monitors.check()] == ["held on digital-euro"]


async def test_difference_that_keeps_changing_counts_in_the_end(yard: Yard) -> None:
    """On a busy ledger a difference is never the same twice, and counts when it does not go away."""
    found = []
    for number in range(PERSISTENT):
        yard.ledger.balance = 900 + number
        found.append(len(await yard.monitors.check()))
    assert found == [0] * (PERSISTENT - 1) + [1]


async def test_root_that_the_chain_does_not_have_is_found(yard: Yard) -> None:
    """A root that is not on the chain as it was signed is named; a chain that is away is no finding."""
    yard.chain.is_down = True
    assert await yard.monitors.check(full=True) == ()
    yard.chain.is_down = False
    yard.chain.roots[2] = bytes(32)
    assert [finding.subject for finding in await yard.monitors.check()] == ["batch 2"]


async def test_batch_that_waits_too_long_is_told(yard: Yard) -> None:
    """Receipts that are not anchored for an hour raise an alert, which goes when they are."""
    yard.chain.is_down = True
    async with yard.database.unit() as unit:
        await ReceiptStore(unit.connection).keep_many([receipt(9)], NOW)
        await unit.commit()
    anchoring = Anchoring(yard.database, yard.chain, SIGNERS[A], lambda: NOW, 1_000)
    with pytest.raises(LedgerUnavailable):
        await anchoring.advance()
    assert await yard.monitors.check() == ()
    yard.now += ANCHOR_MS_MAX + 1
    assert [finding.subject for finding in await yard.monitors.check()] == ["batch 3 waits"]
    yard.chain.is_down = False
    await anchoring.advance()
    assert await yard.monitors.check() == ()


async def test_alerts_are_kept_for_people(yard: Yard) -> None:
    """An alert is opened once, acknowledged by somebody, and resolved when it is found no more."""
    yard.ledger.balance = 900
    for _ in range(3):
        await yard.monitors.check()
    (alert,) = await yard.alerts()
    assert (alert.state, alert.monitor, alert.subject) == (AlertState.OPEN, Monitor.LEDGER, "balance on digital-euro")
    async with yard.database.unit() as unit:
        await AlertStore(unit.connection).acknowledge(alert.id, "ada")
        await AlertStore(unit.connection).acknowledge(alert.id, "bob")
        await unit.commit()
    yard.now += 5
    await yard.monitors.check()
    (alert,) = await yard.alerts()
    assert (alert.state, alert.acknowledged_by, alert.seen_at) == (AlertState.ACKNOWLEDGED, "ada", NOW + 5)
    yard.ledger.balance = 1_000
    await yard.monitors.check()
    assert await yard.alerts() == ()
    async with yard.database.unit() as unit:
        store = AlertStore(unit.connection)
        (alert,) = await store.page()
        assert (alert.state, alert.resolved_at) == (AlertState.RESOLVED, NOW + 5)
        assert await store.page(before=alert.id) == ()
        for number in (alert.id, 999):
            with pytest.raises(UnknownAlert):
                await store.acknowledge(number, "ada")


REVIEWS = [
    (1, Act(Action.CONFIRM, Role.ACCOUNTANT, "bob", "all is there")),
    (2, Act(Action.SUSPEND, Role.AUDITOR, "ada", "no invoice")),
    (2, Act(Action.CANCEL, Role.CFO, "cy", "indeed")),
]


@pytest.mark.parametrize(
    "statement",
    [
        update(acts).where(acts.c.sequence == 2).values(actor="eve"),
        update(acts).where(acts.c.sequence == 2).values(at=NOW + 1),
        update(acts).where(acts.c.sequence == 2).values(evidence=b"x"),
        update(acts).where(acts.c.sequence == 2).values(why=b"x" * 30),
        update(acts).where(acts.c.sequence == 2).values(role="cfo"),
        update(acts).where(acts.c.sequence == 2).values(number=1),
        update(acts).where(acts.c.sequence == 2).values(number=99),
        delete(acts).where(acts.c.sequence == 1),
        delete(acts).where(acts.c.sequence == 2),
        update(reviews).where(reviews.c.number == 1).values(state="suspended"),
        update(reviews).where(reviews.c.number == 2).values(state="confirmed"),
        delete(reviews).where(reviews.c.number == 1),
        insert(reviews).values(number=3, state="suspended", suspended_by="eve"),
    ],
)
async def test_changed_record_of_acts_is_found(yard: Yard, statement: Executable) -> None:
    """Whoever changes what people did with entries, or what came of it, is found out."""
    async with yard.database.unit() as unit:
        for number, act in REVIEWS:
            await Reviews(unit.connection, KEY).act(number, act, NOW)
        await unit.commit()
    yard.ledger.balance = 1_100
    assert await yard.monitors_of() == set()
    await yard.tamper(statement)
    assert await yard.monitors_of() == {Monitor.ACTS}
