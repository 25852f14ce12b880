"""Whatever one party, or any two together, say and do: who followed the protocol ends with what it began with."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from settlement.custody import clearer, payee, payer
from settlement.custody.terms import Quote, source_transfer_id, target_transfer_id
from settlement.ledgers.protocol import HoldState
from settlement.quantities import fulfils
from tests.support.custody_liars import ACCOUNTS, A, B, C, LyingWorld
from tests.support.custody_lies import FIELDS, Lies
from tests.support.custody_world import FUNDS, LEDGERS, MARGINS, PARTIES

NAMES = st.sampled_from(PARTIES)
NUMBERS = st.integers(0, 2**12)
LIARS = [frozenset(chosen) for count in (1, 2) for chosen in itertools.combinations(PARTIES, count)]
ENDED = (
    *(payer.Paid, payer.Closed, payer.Back, payer.Failed),
    *(payee.Received, payee.Closed, payee.Failed),
    *(clearer.Earned, clearer.Closed, clearer.Failed, clearer.Lapsed),
)
"""Receipts may be withheld for ever: the money is where it belongs."""

LIES = ["hold", "alter", "copy", "mislead", "mislead", "bring", "give back", "claim", "take back"]
TROUBLES = ["time", "time", "down", "delay", "catch up", "heal", "cancel", "save", "restore", "restore", "haunt"]


class Liars(RuleBasedStateMachine):
    """Payments between two banks by way of a third, of whom one or two lie, over books and chains."""

    @initialize(
        seed=st.integers(0, 2**32),
        liars=st.sampled_from(LIARS),
        chains=st.integers(0, 3),
        orders=st.integers(1, 2),
        steps=st.integers(0, 80),
    )
    def begin(self, seed: int, liars: frozenset[str], chains: int, orders: int, steps: int) -> None:
        self.world = LyingWorld(seed, liars, chains, rules_bar=0.1)
        self.lies = Lies(self.world)
        self.names = sorted(liars)
        for number in range(orders):
            self.world.order(7_000, LEDGERS[number], LEDGERS[number + 1])
        self.world.advance(steps)

    def _liar(self, number: int) -> str:
        return self.names[number % len(self.names)]

    # ---- what everybody does

    @rule(amount=st.integers(1, 100_000), ledgers=st.permutations(LEDGERS), steps=st.integers(0, 60))
    def order(self, amount: int, ledgers: list[str], steps: int) -> None:
        self.world.order(amount, ledgers[0], ledgers[1])
        self.world.advance(steps)

    @rule(how=st.sampled_from(["advance", "hurry", "deliver", "work", "read"]), name=NAMES, number=NUMBERS)
    def go_on(self, how: str, name: str, number: int) -> None:
        world, is_known = self.world, number % 3 > 0
        match how:
            case "advance":
                world.advance(1 + number % 10)
            case "hurry":
                world.hurry(name)
            case "deliver":
                world.deliver(number, keep=not is_known)
            case "work" if outbox := tuple(world.parties[name].outbox):
                world.work(name, outbox[number % len(outbox)], knows=is_known)
            case "read":
                world.read(name, LEDGERS[number % len(LEDGERS)], knows=is_known)

    @rule(what=st.sampled_from(TROUBLES), name=NAMES, number=NUMBERS)
    def have_trouble(self, what: str, name: str, number: int) -> None:
        world = self.world
        match what:
            case "time":
                world.pass_time((1, 500, 3_000, 10_000, 31_000, 95_000)[number % 6])
            case "down":
                world.books[LEDGERS[number % len(LEDGERS)]].up = number % 4 > 0
            case "delay":
                world.delay()
            case "catch up":
                world.catch_up()
            case "heal":
                world.heal()
            case "cancel" if world.orders:
                world.cancel(name, tuple(world.orders)[number % len(world.orders)])
            case "save":
                world.save()
            case "restore" if C not in world.liars:
                world.restore()
                world.haunt(number)
            case "haunt":
                world.haunt(number)

    # ---- what liars do

    @rule(
        how=st.sampled_from(LIES),
        who=NUMBERS,
        number=NUMBERS,
        altered=st.lists(st.tuples(st.sampled_from(FIELDS), NUMBERS), min_size=1, max_size=2),
    )
    def lie_on_ledgers(self, how: str, who: int, number: int, altered: list[tuple[str, int]]) -> None:
        lies, liar = self.lies, self._liar(who)
        match how:
            case "hold":
                lies.hold(liar, number % 2 == 0, number, altered)
            case "alter":
                lies.tweak(liar, number, *altered[0])
            case "copy":
                lies.copy(liar, number, self._victim(altered[0][1]))
            case "mislead":
                lies.mislead(liar, number, self._victim(altered[0][1]))
            case "bring":
                lies.bring(liar, number, altered[0][1])
            case "give back":
                lies.cancel(liar, number % 2 == 0, number)
            case "claim":
                lies.claim_now(liar, number)
            case "take back":
                lies.take_back(liar)

    @rule(
        how=st.sampled_from(["say", "say", "end", "withhold", "silence"]),
        who=NUMBERS,
        number=NUMBERS,
        leaf=st.integers(0, 60),
        to=st.sampled_from([None, None, *PARTIES]),
    )
    def lie_in_words(self, how: str, who: int, number: int, leaf: int, to: str | None) -> None:
        liar = self._liar(who)
        match how:
            case "say":
                self.lies.say(number, leaf, who, to)
            case "end":
                self.lies.end(liar, to or self._victim(number), number)
            case "withhold":
                self.lies.withhold(liar, number)
            case "silence":
                self.world.silent ^= {liar}

    def _victim(self, number: int) -> str:
        return self.world.honest[number % len(self.world.honest)]

    # ---- what holds at any time

    @invariant()
    def every_ledger_conserves(self) -> None:
        for ledger in self.world.books.values():
            assert sum(ledger.balances.values()) + ledger.held() == FUNDS * len(ACCOUNTS)

    @invariant()
    def nobody_honest_has_lost(self) -> None:
        for name in self.world.honest:
            for state in self.world.parties[name].states.values():
                assert not isinstance(state, clearer.Lost | payee.Lost)

    @invariant()
    def no_preimage_is_shown_in_vain(self) -> None:
        assert B in self.world.liars or self.world.shown_in_vain == []

    @invariant()
    def no_source_goes_back_whose_target_can_be_paid(self) -> None:
        if C not in self.world.liars:
            for payment, quote in self._quotes(C):
                if self._target(payment, quote) in (HoldState.HELD, HoldState.FULFILLED):
                    assert self._source(payment, quote) in (HoldState.HELD, HoldState.FULFILLED)

    @invariant()
    def no_source_is_paid_before_the_payee_has_said_so(self) -> None:
        if not {A, B} & self.world.liars:
            for payment, quote in self._quotes(A):
                if self._source(payment, quote) is HoldState.FULFILLED:
                    assert self._target(payment, quote) is HoldState.FULFILLED

    # ---- what holds at the end

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.heal()
        for _ in range(4):
            self.world.pass_time(MARGINS.hold_ms_max // 4)
            self.world.heal()
        self._check_ends()
        for name, check in ((A, self._check_payer), (C, self._check_clearer), (B, self._check_payee)):
            if name not in self.world.liars:
                check()

    def _check_ends(self) -> None:
        for name in self.world.honest:
            party = self.world.parties[name]
            assert [state for state in party.states.values() if not isinstance(state, ENDED)] == []
            assert party.outbox == {}
        for _, _, view in self.world.all_holds():
            if view.state is HoldState.HELD:
                assert view.hold.payer not in self.world.honest, "every hold of who is honest ends"

    def _check_payer(self) -> None:
        """It has paid what its payments say, each by an agreement that the payee accepted, and else nothing."""
        spent = dict.fromkeys(LEDGERS, 0)
        for payment, state in self.world.parties[A].states.items():
            assert isinstance(state, payer.State)
            order, number = state.order, source_transfer_id(payment)  # type: ignore[arg-type]
            is_paid = self.world.state_at(order.source_ledger, A, number) is HoldState.FULFILLED
            assert is_paid == isinstance(state, payer.Paid | payer.Closed)
            if isinstance(state, payer.Paid | payer.Closed):
                spent[order.source_ledger] += state.deal.terms.quote.source.amount
                assert state.deal.terms.quote.source.amount <= order.source_max
                assert state.deal.terms.quote.target.amount == order.target_amount
                assert fulfils(state.preimage, state.deal.condition)
                if B not in self.world.liars:
                    assert self._target(payment, state.deal.terms.quote) is HoldState.FULFILLED
                    assert isinstance(self.world.parties[B].states[payment], payee.Received | payee.Closed)
        for name, ledger in self.world.books.items():
            assert ledger.balances[A] >= FUNDS - spent[name]

    def _check_clearer(self) -> None:
        """What it paid out for a payment it was paid back at its price, and it has paid out nothing else."""
        moved = dict.fromkeys(LEDGERS, 0)
        for payment, quote in self._quotes(C):
            is_paid = self._target(payment, quote) is HoldState.FULFILLED
            if is_paid:
                assert self._source(payment, quote) is HoldState.FULFILLED
                assert isinstance(self.world.parties[C].states[payment], clearer.Earned | clearer.Closed)
                moved[quote.target.ledger] -= quote.target.amount
                moved[quote.source.ledger] += quote.source.amount
        for name, ledger in self.world.books.items():
            assert ledger.balances[C] >= FUNDS + moved[name]

    def _check_payee(self) -> None:
        """It has what it says that it has received."""
        received = dict.fromkeys(LEDGERS, 0)
        for payment, state in self.world.parties[B].states.items():
            if isinstance(state, payee.Received | payee.Closed):
                quote = state.deal.terms.quote
                assert self._target(payment, quote) is HoldState.FULFILLED
                received[quote.target.ledger] += quote.target.amount
        for name, ledger in self.world.books.items():
            assert ledger.balances[B] >= FUNDS + received[name]

    def _quotes(self, name: str) -> list[tuple[bytes, Quote]]:
        found: list[tuple[bytes, Quote]] = []
        for payment, state in self.world.parties[name].states.items():
            deal: Any = getattr(state, "deal", None)
            if isinstance(state, clearer.State):
                found.append((payment, state.offer.quote))
            elif deal is not None:
                found.append((payment, deal.terms.quote))
        return found

    def _source(self, payment: bytes, quote: Quote) -> HoldState | None:
        number = source_transfer_id(payment)  # type: ignore[arg-type]
        return self.world.state_at(quote.source.ledger, quote.source.payer, number)

    def _target(self, payment: bytes, quote: Quote) -> HoldState | None:
        number = target_transfer_id(payment)  # type: ignore[arg-type]
        return self.world.state_at(quote.target.ledger, quote.target.payer, number)


TestLiars = Liars.TestCase
TestLiars.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
