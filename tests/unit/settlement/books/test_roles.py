"""Who may see what of the books, and who may do what with an entry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import pytest

from foundation.database import Database
from foundation.errors import BadInput, Fatal
from settlement.books.journal import FIRST_LINK
from settlement.books.postings import chart_of, funding_entry
from settlement.books.receipt_store import ReceiptStore
from settlement.books.reviews import Reviews, act_link
from settlement.books.roles import Act, Action, NotPermitted, Review, ReviewState, Role, SamePerson, WrongState, step
from settlement.books.store import Books
from settlement.books.views import BooksView
from tests.support.settlement_books import EUR, EURO, KEY, LEDGERS, NOW, A, books_database, entry, id_of, receipt

SUSPEND = Act(Action.SUSPEND, Role.AUDITOR, "ada", "the invoice is missing")
CONFIRM = Act(Action.CONFIRM, Role.ACCOUNTANT, "bob", "here it is")
CANCEL = Act(Action.CANCEL, Role.CFO, "cy", "there is none")
POSTED, SUSPENDED, CONFIRMED, CANCELLED = ReviewState


def _step(state: ReviewState, act: Act, *, is_reversal: bool = False) -> ReviewState:
    by = "ada" if state is not POSTED else ""
    return step(Review(1, state, by), act, is_reversal=is_reversal).state


def test_only_its_own_office_does_each_thing() -> None:
    """Of all roles and actions, the auditor suspends, the accountant confirms and the CFO cancels."""
    allowed = set()
    for action, role in product(Action, Role):
        state = SUSPENDED if action is not Action.SUSPEND else POSTED
        try:
            _step(state, Act(action, role, "zed", "because"))
        except NotPermitted:
            continue
        allowed.add((action, role))
    assert allowed == {(act.action, act.role) for act in (SUSPEND, CONFIRM, CANCEL)}


@pytest.mark.parametrize(
    ("act", "outcomes"),
    [
        (SUSPEND, {POSTED: SUSPENDED, SUSPENDED: SUSPENDED, CONFIRMED: SUSPENDED, CANCELLED: None}),
        (CONFIRM, {POSTED: CONFIRMED, SUSPENDED: CONFIRMED, CONFIRMED: CONFIRMED, CANCELLED: None}),
        (CANCEL, {POSTED: None, SUSPENDED: CANCELLED, CONFIRMED: None, CANCELLED: CANCELLED}),
    ],
)
def test_each_thing_is_done_from_its_states(act: Act, outcomes: dict[ReviewState, ReviewState | None]) -> None:
    """What can be done depends on where an entry stands; the same again changes nothing."""
    for state, expected in outcomes.items():
        if expected is None:
            with pytest.raises(WrongState):
                _step(state, act)
        else:
            assert _step(state, act) is expected


def test_whoever_suspends_does_not_decide() -> None:
    """A person with two offices cannot suspend an entry and confirm or cancel it."""
    for act in (CONFIRM, CANCEL):
        with pytest.raises(SamePerson):
            _step(SUSPENDED, Act(act.action, act.role, "ada", "I am everybody"))


def test_reversals_are_not_taken_back() -> None:
    """A reversal can be confirmed, and neither suspended nor cancelled: else a cancelled entry would count again."""
    assert _step(POSTED, CONFIRM, is_reversal=True) is CONFIRMED
    for state, act in ((POSTED, SUSPEND), (SUSPENDED, CANCEL)):
        with pytest.raises(WrongState):
            _step(state, act, is_reversal=True)


@pytest.mark.parametrize(("actor", "why"), [("", "x"), ("a" * 65, "x"), ("ada", " "), ("ada", "x" * 501)])
def test_nobody_and_no_reason_are_refused(actor: str, why: str) -> None:
    """An act names who does it, and why."""
    with pytest.raises(BadInput):
        Act(Action.SUSPEND, Role.AUDITOR, actor, why)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Books with 1,000 euro of funding, a payment of 100, and a receipt."""
    async with books_database(tmp_path) as opened:
        async with opened.unit() as unit:
            entries = [
                funding_entry(id_of(1), EURO, 1_000),
                entry(2, (EURO.customers, 100), (EURO.nostro, -100), narrative="for Maria"),
            ]
            await Books(unit.connection, KEY).post_many(entries, NOW, chart_of(A, LEDGERS))
            await ReceiptStore(unit.connection).keep_many([receipt()], NOW)
            await unit.commit()
        yield opened


async def _act(database: Database, act: Act, number: int = 2, evidence: bytes = b"") -> Review:
    async with database.unit() as unit:
        review = await Reviews(unit.connection, KEY).act(number, act, NOW, evidence)
        await unit.commit()
    return review


async def _nostro(database: Database, *, confirmed: bool) -> int:
    async with database.view() as view:
        top = await BooksView(view.connection, A, Role.CFO, KEY).balances(confirmed=confirmed)
        assert top.sums == {EUR: 0}, "whatever is left out, the rest balances"
        found = top.find(EURO.nostro.name)
        assert found is not None
        return found.sums[EUR]


async def test_suspended_entry_is_in_no_confirmed_balance(database: Database) -> None:
    """A suspended entry stays in the journal and leaves the confirmed balances, until it is confirmed."""
    assert await _nostro(database, confirmed=True) == 900
    await _act(database, SUSPEND)
    assert (await _nostro(database, confirmed=False), await _nostro(database, confirmed=True)) == (900, 1_000)
    async with database.view() as view:
        (suspended,) = await Reviews(view.connection, KEY).suspended()
        assert (suspended.number, suspended.suspended_by) == (2, "ada")
    await _act(database, CONFIRM)
    assert await _nostro(database, confirmed=True) == 900


async def test_cancelled_entry_is_reversed(database: Database) -> None:
    """Cancelling posts a reversal, once; both entries stay, and all balances are as before the first."""
    await _act(database, SUSPEND)
    review = await _act(database, CANCEL)
    assert (review.state, review.reversal) == (CANCELLED, 3)
    assert await _act(database, CANCEL) == review
    assert (await _nostro(database, confirmed=False), await _nostro(database, confirmed=True)) == (1_000, 1_000)
    async with database.view() as view:
        assert (await Books(view.connection).head())[0] == 3
        assert (await Books(view.connection).entry(3)).entry.reverses == 2


async def test_every_act_is_recorded(database: Database) -> None:
    """Who, when, why and by what evidence is kept in a chain, the words sealed; repeats and refusals are no acts."""
    for act in (SUSPEND, SUSPEND, CANCEL):
        await _act(database, act, evidence=b"signature of " + act.actor.encode())
    with pytest.raises(WrongState):
        await _act(database, CONFIRM)
    async with database.view() as view:
        digest = (await Books(view.connection).entry(2)).digest
        made = await BooksView(view.connection, A, Role.AUDITOR, KEY).acts(2)
        assert await BooksView(view.connection, A, Role.AUDITOR, KEY).acts() == made
        raw = (await view.connection.exec_driver_sql("SELECT why FROM books_acts")).scalars().all()
    assert [recorded.act for recorded in made] == [SUSPEND, CANCEL]
    assert [recorded.evidence for recorded in made] == [b"signature of ada", b"signature of cy"]
    link = FIRST_LINK
    for sequence, recorded in enumerate(made, 1):
        link = act_link(link, sequence, recorded.act.digest(digest), recorded.evidence, NOW)
        assert (recorded.sequence, recorded.at, recorded.link) == (sequence, NOW, link)
    assert b"invoice" not in b"".join(raw)


async def test_act_without_its_evidence_is_refused(database: Database) -> None:
    """Where evidence is asked for, it is checked against this act on this entry before anything is done."""

    class Forged(Fatal):
        """The evidence is not the actor's."""

    def check(act: Act, digest: bytes, evidence: bytes) -> None:
        if evidence != b"signed " + digest:
            raise Forged

    async with database.unit() as unit:
        reviews = Reviews(unit.connection, KEY, check)
        digest = SUSPEND.digest((await Books(unit.connection).entry(2)).digest)
        other = SUSPEND.digest((await Books(unit.connection).entry(1)).digest)
        with pytest.raises(Forged):
            await reviews.act(2, SUSPEND, NOW, b"signed " + other)
        assert (await reviews.review(2)).state is POSTED
        assert (await reviews.act(2, SUSPEND, NOW, b"signed " + digest)).state is SUSPENDED


async def test_each_role_sees_its_share(database: Database) -> None:
    """Accountant and CFO read narratives, the auditor does not; the observer sees totals and no entry."""
    await _act(database, SUSPEND)
    async with database.view() as view:
        shown = {role: BooksView(view.connection, A, role, KEY) for role in Role}
        for role, narrative in ((Role.ACCOUNTANT, "for Maria"), (Role.CFO, "for Maria"), (Role.AUDITOR, None)):
            entries = await shown[role].entries()
            assert [each.narrative for each in entries][1:] == [narrative]
            assert [each.review.state for each in entries] == [POSTED, SUSPENDED]
            assert len(await shown[role].entries(after=1)) == 1
            assert len(await shown[role].entries(limit=1)) == 1
            assert await shown[role].entries(after=2) == ()
        totals = await shown[Role.OBSERVER].balances()
        assert [node.name for node in totals.walk()] == [A, "Assets", "Equity", "Liabilities"]
        for asked in (shown[Role.OBSERVER].entries(), shown[Role.OBSERVER].acts(), shown[Role.OBSERVER].receipt(b"")):
            with pytest.raises(NotPermitted):
                await asked
        with pytest.raises(NotPermitted):
            await shown[Role.ACCOUNTANT].receipt(receipt().payment_id)
        kept = await shown[Role.AUDITOR].receipt(receipt().payment_id)
        assert kept is not None
        assert kept.receipt == receipt()
