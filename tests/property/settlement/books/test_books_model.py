"""The journal against a model: whatever is posted, repeated, taken back, suspended, and wherever it crashes."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation.database import Database
from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.books.accounts import Account, chart
from settlement.books.errors import EntryConflict
from settlement.books.journal import Entry, Line
from settlement.books.reviews import Reviews
from settlement.books.roles import Act, Action, ReviewState, Role
from settlement.books.store import Books
from settlement.books.tree import tree
from settlement.books.verify import verify_journal
from settlement.quantities import MAX_UNITS
from tests.support.settlement_books import CNY, EUR, KEY, NOW, SCHEMA, A, account, id_of
from tests.support.settling import Death, Killed

NAMES = ("Assets:Bank:One", "Assets:Bank:Two", "Liabilities:Owed", "Equity:Own", "Income:Fees", "Expenses:Fees")
EURO = [account(name, EUR) for name in NAMES]
YUAN = [account(f"{name}:Yuan", CNY) for name in NAMES]
CHART = chart(A, [*[account(f"{each.name}:Euro", EUR) for each in EURO], *YUAN])
ACCOUNTS = list(CHART.accounts.values())


@st.composite
def _lines(draw: st.DrawFn) -> tuple[Line, ...]:
    """Lines in one currency or two, each of which sums to zero."""
    lines: list[Line] = []
    for asset in draw(st.sampled_from([(EUR,), (CNY,), (EUR, CNY)])):
        among = [each for each in ACCOUNTS if each.asset == asset]
        chosen = draw(st.lists(st.sampled_from(among), min_size=2, max_size=3, unique=True))
        amounts = [draw(st.integers(1, MAX_UNITS // 2)) for _ in chosen[1:]]
        lines.extend(Line(each, amount) for each, amount in zip(chosen[1:], amounts, strict=True))
        lines.append(Line(chosen[0], -sum(amounts)))
    return tuple(lines)


POST = st.tuples(st.just("post"), st.lists(st.tuples(st.integers(0, 12), _lines()), min_size=1, max_size=4))
REVIEW = st.tuples(
    st.sampled_from([(Action.SUSPEND, Role.AUDITOR), (Action.CONFIRM, Role.ACCOUNTANT), (Action.CANCEL, Role.CFO)]),
    st.integers(1, 8),
)
STEPS = st.lists(st.tuples(st.one_of(POST, REVIEW), st.sampled_from(["", "", "before", "after"])), max_size=14)


class Model:
    """What the books have to say. Fields: entries (by number); state and reversed (by number)."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.numbers: dict[bytes, int] = {}
        self.states: dict[int, ReviewState] = {}

    def balances(self, *, confirmed: bool = False) -> dict[Account, int]:
        sums: defaultdict[Account, int] = defaultdict(int)
        for number, entry in enumerate(self.entries, 1):
            if not (confirmed and self.states.get(number) is ReviewState.SUSPENDED):
                for line in entry.lines:
                    sums[line.account] += line.change
        return {each: total for each, total in sums.items() if total}

    def post(self, entries: list[Entry]) -> None:
        fresh: dict[bytes, Entry] = {}
        for entry in entries:
            number = self.numbers.get(entry.entry_id)
            known = fresh.get(entry.entry_id) if number is None else self.entries[number - 1]
            if known is not None and known != entry:
                raise EntryConflict(entry.entry_id)
            if known is None:
                fresh[entry.entry_id] = entry
        for entry in fresh.values():
            self.entries.append(entry)
            self.numbers[entry.entry_id] = len(self.entries)

    def review(self, action: Action, number: int) -> None:
        state = self.states.get(number, ReviewState.POSTED)
        entry = self.entries[number - 1]
        if action is Action.CANCEL and state is ReviewState.SUSPENDED:
            lines = tuple(Line(line.account, -line.change) for line in entry.lines)
            self.entries.append(Entry(id_of(("back", number)), "reversal", lines, reverses=number))
        after = {
            Action.SUSPEND: ReviewState.SUSPENDED,
            Action.CONFIRM: ReviewState.CONFIRMED,
            Action.CANCEL: ReviewState.CANCELLED,
        }
        self.states[number] = after[action]

    def allows(self, action: Action, number: int) -> bool:
        if number > len(self.entries):
            return False
        state, is_reversal = self.states.get(number, ReviewState.POSTED), self.entries[number - 1].reverses is not None
        if is_reversal:
            return action is Action.CONFIRM
        if state is ReviewState.CANCELLED:
            return action is Action.CANCEL
        return action is not Action.CANCEL or state is ReviewState.SUSPENDED


async def _do(database: Database, what: object, argument: object, now: UnixMs) -> None:
    async with database.unit() as unit:
        if what == "post":
            assert isinstance(argument, list)
            entries = [Entry(id_of(label), "test", lines, narrative=f"n{label}") for label, lines in argument]
            await Books(unit.connection, KEY).post_many(entries, now, CHART)
        else:
            assert isinstance(what, tuple)
            assert isinstance(argument, int)
            action, role = what
            await Reviews(unit.connection, KEY).act(argument, Act(action, role, f"a {role}", "because"), now)
        await unit.commit()


def _expect(model: Model, what: object, argument: object) -> bool:
    """Carry it out in the model; False where it is refused."""
    if what == "post":
        assert isinstance(argument, list)
        try:
            model.post([Entry(id_of(label), "test", lines, narrative=f"n{label}") for label, lines in argument])
        except EntryConflict:
            return False
        return True
    assert isinstance(what, tuple)
    assert isinstance(argument, int)
    if not model.allows(what[0], argument):
        return False
    model.review(what[0], argument)
    return True


async def _check(database: Database, model: Model) -> None:
    async with database.view() as view:
        books, reviews = Books(view.connection, KEY), Reviews(view.connection, KEY)
        kept = {each: total for each, total in (await books.balances()).items() if total}
        confirmed = {each: total for each, total in (await reviews.confirmed_balances()).items() if total}
        assert kept == model.balances()
        assert confirmed == model.balances(confirmed=True)
        for sums in (kept, confirmed):
            assert not any(tree(A, sums).sums.values()), "each currency sums to zero at the top"
        journal = [posted async for posted in books.journal()]
        assert [posted.number for posted in journal] == list(range(1, len(model.entries) + 1))
        for posted, entry in zip(journal, model.entries, strict=True):
            assert (posted.entry.lines, posted.entry.reverses) == (entry.lines, entry.reverses)
        mark, faults = await verify_journal(view.connection, A)
        assert (faults, mark.number) == ((), len(model.entries))


async def _run(steps: list[tuple[tuple[object, object], str]], folder: Path) -> None:
    url, model = f"sqlite:///{folder / 'books.db'}", Model()
    for place, ((what, argument), crash) in enumerate(steps):
        death = Death(at={"before": 0, "after": 1}.get(crash))
        async with await Database.open(url, SCHEMA, commit_hook=death.on_commit) as database:
            try:
                await _do(database, what, argument, UnixMs(NOW + place))
                done = True
            except Killed:
                done = crash == "after"
            except Fatal:
                done = False
                assert not _expect(model, what, argument)
        if done or crash:
            # After a crash whoever asked asks again: it is done once all the same.
            async with await Database.open(url, SCHEMA) as database:
                if _expect(model, what, argument):
                    await _do(database, what, argument, UnixMs(NOW + place))
                await _check(database, model)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_books_do_what_the_model_does(steps: list[tuple[tuple[object, object], str]]) -> None:
    """After each step, crash and repeat, balances, numbers and reviews are the model's, and all sums are zero."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(steps, Path(folder)))
