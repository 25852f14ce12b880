"""A book on its database against a model of a page: repeats, other contents, time-outs, crashes at commits."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from foundation.database import Database, DatabaseUnavailable, Moment
from foundation.quantities import UnixMs
from settlement.ledgers.book.core import Terms
from settlement.ledgers.book.desk import do_batch
from settlement.ledgers.book.store import BookStore
from settlement.ledgers.book.types import (
    Account,
    AccountKind,
    Answer,
    Caller,
    CancelHold,
    Command,
    FulfilHold,
    Holder,
    MakeHold,
    MakePayment,
    Payment,
)
from settlement.ledgers.book.verify import Verifier
from settlement.ledgers.protocol import Fulfilment, Hold, LedgerAccount, Refusal, Refused, TransferId
from settlement.quantities import Units
from tests.support.settlement_book import BOOK_SCHEMA, EUR, Time, a_hold, preimage_of, transfer_id

NAMES = tuple(map(LedgerAccount, ("alice", "bob", "carol")))
ISSUER = LedgerAccount("issuer")
FLOORS = {"alice": 0, "bob": 0, "carol": -30, ISSUER: -1_000}
HOLD_MS_MAX = 100
START = 1_000

IDS = st.integers(0, 40).map(transfer_id)
_MADE: list[bytes] = []


@dataclass
class Kept:
    """A transfer of the model. `refused`: why it never came to be."""

    asked: Hold | Payment
    state: str
    refused: Refusal | None = None


class Model:
    """What a book is to do, one command after the other, without a database or batches."""

    def __init__(self) -> None:
        self.balances = dict.fromkeys((*NAMES, ISSUER), 0)
        self.kept: dict[TransferId, Kept] = {}
        self.newest = 0
        """When the last entry was made: the ledger's time is never before it."""

    def batch(self, asked: list[Command], clock: int) -> list[Refusal | None]:
        """The reason of each refusal; None for what is done."""
        now = max(clock, self.newest)
        self.pass_time(now)
        before = self.seen()
        answers = [self.do(command, now) for command in asked]
        if self.seen() != before:
            self.newest = now
        return answers

    def seen(self) -> list[tuple[TransferId, str]]:
        """All that has entries."""
        return [(identity, kept.state) for identity, kept in self.kept.items() if kept.refused is None]

    def held(self, name: str, *, incoming: bool = False) -> int:
        return sum(
            kept.asked.amount
            for kept in self.kept.values()
            if kept.state == "held" and (kept.asked.payee if incoming else kept.asked.payer) == name
        )

    def pass_time(self, now: int) -> None:
        for kept in self.kept.values():
            if kept.state == "held" and isinstance(kept.asked, Hold) and kept.asked.expires_at <= now:
                kept.state, self.newest = "expired", now

    def do(self, command: Command, now: int) -> Refusal | None:
        match command:
            case MakeHold(caller, asked) | MakePayment(caller, asked):
                return self.make(caller.holder, asked, now)
            case FulfilHold(caller, asked):
                return self.fulfil(caller.holder, asked)
            case CancelHold(caller, identity):
                return self.cancel(caller.holder, identity)

    def make(self, caller: str, asked: Hold | Payment, now: int) -> Refusal | None:
        if asked.amount == 0 or asked.payer == asked.payee:
            return Refusal.BAD_REQUEST
        if caller != asked.payer:
            return Refusal.NOT_ALLOWED
        if asked.transfer_id in self.kept:
            kept = self.kept[asked.transfer_id]
            if kept.asked != asked:
                return Refusal.SAME_ID_OTHER_TRANSFER
            return kept.refused
        refusal = self.refusal(asked, now)
        done = "held" if isinstance(asked, Hold) else "posted"
        self.kept[asked.transfer_id] = Kept(asked, "refused" if refusal else done, refusal)
        if refusal is None and isinstance(asked, Payment):
            self.move(asked)
        return refusal

    def refusal(self, asked: Hold | Payment, now: int) -> Refusal | None:
        if isinstance(asked, Hold) and asked.expires_at <= now:
            return Refusal.EXPIRED
        if isinstance(asked, Hold) and asked.expires_at > now + HOLD_MS_MAX:
            return Refusal.BAD_REQUEST
        if self.balances[asked.payer] - self.held(asked.payer) - asked.amount < FLOORS[asked.payer]:
            return Refusal.INSUFFICIENT_FUNDS
        return None

    def fulfil(self, caller: str, asked: Fulfilment) -> Refusal | None:
        kept = self.hold(asked.transfer_id)
        if kept is None:
            return Refusal.UNKNOWN_TRANSFER
        if caller != kept.asked.payee:
            return Refusal.NOT_ALLOWED
        if asked.preimage != preimage_of(asked.transfer_id):
            return Refusal.WRONG_PREIMAGE
        if kept.state == "held":
            kept.state = "fulfilled"
            self.move(kept.asked)
        ends = {"cancelled": Refusal.ALREADY_RETURNED, "expired": Refusal.EXPIRED}
        return ends.get(kept.state)

    def cancel(self, caller: str, identity: TransferId) -> Refusal | None:
        kept = self.hold(identity)
        if kept is None:
            return Refusal.UNKNOWN_TRANSFER
        if caller not in (kept.asked.payer, kept.asked.payee):
            return Refusal.NOT_ALLOWED
        if kept.state == "fulfilled":
            return Refusal.ALREADY_FULFILLED
        if kept.state == "held" and caller == kept.asked.payer:
            return Refusal.NOT_YET_EXPIRED
        kept.state = "cancelled" if kept.state == "held" else kept.state
        return None

    def hold(self, identity: TransferId) -> Kept | None:
        kept = self.kept.get(identity)
        is_hold = kept is not None and kept.state in {"held", "fulfilled", "cancelled", "expired"}
        return kept if is_hold else None

    def move(self, asked: Hold | Payment) -> None:
        self.balances[asked.payer] -= asked.amount
        self.balances[asked.payee] += asked.amount


class CrashingCommits:
    """Loses the next commit, or its answer, when told to."""

    def __init__(self) -> None:
        self.at: Moment | None = None

    async def __call__(self, moment: Moment) -> None:
        if moment is self.at:
            self.at = None
            raise DatabaseUnavailable("a crash")


@st.composite
def transfers(draw: st.DrawFn, kept: dict[TransferId, Kept], now: int) -> Command:
    """A hold or a payment: new, or under a known id with the same or another content."""
    identity = draw(IDS)
    if identity in kept and draw(st.booleans()):
        asked = kept[identity].asked
    else:
        payer, payee = draw(st.permutations((*NAMES, ISSUER)))[:2]
        payee = draw(st.sampled_from((payee,) * 15 + (payer,)))
        amount = Units(draw(st.sampled_from((10, 25, 25, 40, 40, 0))))
        wait = draw(st.sampled_from((20, 50, 50, HOLD_MS_MAX, 0, HOLD_MS_MAX + 1)))
        asked = a_hold(payer, payee, amount, now + wait, identity=identity, memo=b"m")
        if draw(st.integers(0, 3)) == 0:
            asked = Payment(identity, payer, payee, amount)
    caller = Caller(Holder(draw(st.sampled_from((asked.payer,) * 9 + NAMES))))
    return MakeHold(caller, asked) if isinstance(asked, Hold) else MakePayment(caller, asked)


@st.composite
def ends(draw: st.DrawFn, kept: dict[TransferId, Kept]) -> Command:
    """A fulfilment or a cancellation, mostly of a hold that there is, by one of its parties."""
    standing = sorted(identity for identity, one in kept.items() if one.state == "held")
    identity = draw(st.sampled_from(standing * 4 + sorted(kept)) if kept else IDS)
    parties = (kept[identity].asked.payee,) * 3 + (kept[identity].asked.payer,) if kept else NAMES
    caller = Caller(Holder(draw(st.sampled_from(parties + NAMES[:1]))))
    if draw(st.integers(0, 2)) == 0:
        return CancelHold(caller, identity)
    of = draw(st.sampled_from((identity,) * 7 + (transfer_id(0),)))
    return FulfilHold(caller, Fulfilment(identity, preimage_of(of)))


class BookMachine(RuleBasedStateMachine):
    """The book and the model, asked the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.clock = Time(START)
        self.model = Model()
        self.commits = CrashingCommits()
        self.database = self.runner.run(self.opened())

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    async def opened(self) -> Database:
        path = self.folder / "book.db"
        if _MADE:
            path.write_bytes(_MADE[0])
        database = await Database.open(f"sqlite:///{path}", BOOK_SCHEMA, commit_hook=self.commits)
        if not _MADE:
            async with database.unit() as unit:
                for name, floor in FLOORS.items():
                    kind = AccountKind.ISSUER if name == ISSUER else AccountKind.LIABILITY
                    row = Account(LedgerAccount(name), EUR, kind, Holder(name), floor, False, 0, 0, 0, UnixMs(START))
                    await BookStore(unit.connection).open(row)
                await unit.commit()
            await database.close()
            _MADE.append(path.read_bytes())
            return await self.opened()
        return database

    def book(self, asked: list[Command], *, sweep: bool = False) -> tuple[Answer, ...]:
        terms = Terms(hold_ms_max=HOLD_MS_MAX)
        return self.runner.run(do_batch(self.database, asked, self.clock, terms, sweep=sweep)).answers

    @rule(data=st.data(), crash=st.sampled_from((None, None, *Moment)))
    def batch(self, data: st.DataObject, crash: Moment | None) -> None:
        """Some commands at once."""
        made = transfers(self.model.kept, self.clock.now)
        commands = st.one_of(made, made, ends(self.model.kept), ends(self.model.kept))
        self.ask(data.draw(st.lists(commands, min_size=1, max_size=6)), crash)

    @rule(data=st.data())
    def life(self, data: st.DataObject) -> None:
        """A hold and its end in one batch."""
        hold = data.draw(transfers(self.model.kept, self.clock.now))
        if isinstance(hold, MakeHold):
            kept = {hold.hold.transfer_id: Kept(hold.hold, "held")}
            self.ask([hold, data.draw(ends(kept))], None)

    def ask(self, asked: list[Command], crash: Moment | None) -> None:
        """Ask for a batch, again where its answer was lost."""
        self.commits.at = crash
        try:
            answers = self.book(asked)
        except DatabaseUnavailable:
            if crash is Moment.AFTER:
                self.model.batch(asked, self.clock.now)  # it was done: what is said now is said of what it left behind
            answers = self.book(asked)
        self.commits.at = None
        expected = self.model.batch(asked, self.clock.now)
        assert [answer.reason if isinstance(answer, Refused) else None for answer in answers] == expected

    @rule(ms=st.sampled_from((1, 20, 30, 100, -50)))
    def time_passes(self, ms: int) -> None:
        """The clock may be set back; the ledger's time stands still then."""
        self.clock.now += ms

    @rule(name=st.sampled_from(NAMES), amount=st.sampled_from((40, 100)))
    def money_is_issued(self, name: LedgerAccount, amount: int) -> None:
        payment = Payment(transfer_id(), ISSUER, name, Units(amount))
        self.ask([MakePayment(Caller(Holder(ISSUER)), payment)], None)

    @invariant()
    def the_book_is_the_models(self) -> None:
        """After what is due has gone back: totals as the model's, nothing below its floor, sums of zero."""
        self.book([], sweep=True)
        self.model.batch([], self.clock.now)
        accounts, verdict = self.runner.run(self.seen())
        assert verdict == ((), {"EUR/2": 0})
        for name, account in accounts.items():
            expected = (self.model.balances[name], self.model.held(name), self.model.held(name, incoming=True))
            assert (account.balance, account.held, account.incoming) == expected, name
            assert account.available >= FLOORS[name]

    async def seen(self) -> tuple[dict[LedgerAccount, Account], object]:
        async with self.database.view() as view:
            found = await Verifier(view.connection).verdict()
            return await BookStore(view.connection).accounts((*NAMES, ISSUER)), (found.faults, found.sums)


TestBook = BookMachine.TestCase
TestBook.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
