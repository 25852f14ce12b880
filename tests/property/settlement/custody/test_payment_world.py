"""Whatever is lost, repeated, late or crashed: nobody who follows the protocol loses money, and every hold ends."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from settlement.custody import clearer, payee, payer
from settlement.ledgers.protocol import HoldState
from tests.support.custody_world import FUNDS, LEDGERS, MARGINS, PARTIES, World, cost

NAMES = st.sampled_from(PARTIES)
NUMBERS = st.integers(0, 2**16)
ENDS = (
    *(payer.Closed, payer.Back, payer.Failed),
    *(payee.Closed, payee.Failed),
    *(clearer.Closed, clearer.Failed, clearer.Lapsed),
)


class Payments(RuleBasedStateMachine):
    """Payments between two banks by way of a third, over three ledgers."""

    @initialize(seed=st.integers(0, 2**32), bar=st.sampled_from([0.0, 0.0, 0.2]))
    def begin(self, seed: int, bar: float) -> None:
        self.world = World(seed, bar)

    @rule(amount=st.integers(1, 500_000), ledgers=st.permutations(LEDGERS), moved=st.sampled_from([None, None, 1]))
    def order(self, amount: int, ledgers: list[str], moved: int | None) -> None:
        self.world.order(amount, ledgers[0], ledgers[1], moved)

    @rule(position=NUMBERS, keep=st.booleans(), times=st.integers(1, 4))
    def deliver(self, position: int, keep: bool, times: int) -> None:
        for _ in range(times):
            self.world.deliver(position, keep=keep)

    @rule(name=NAMES, position=NUMBERS, knows=st.booleans())
    def work(self, name: str, position: int, knows: bool) -> None:
        outbox = tuple(self.world.parties[name].outbox)
        if outbox:
            self.world.work(name, outbox[position % len(outbox)], knows=knows)

    @rule(name=NAMES)
    def work_off(self, name: str) -> None:
        for number in tuple(self.world.parties[name].outbox):
            self.world.work(name, number, knows=True)

    @rule(name=NAMES, ledger=st.sampled_from(LEDGERS), knows=st.booleans())
    def read(self, name: str, ledger: str, knows: bool) -> None:
        self.world.read(name, ledger, knows=knows)

    @rule(name=NAMES, ledger=st.sampled_from(LEDGERS))
    def read_all(self, name: str, ledger: str) -> None:
        while self.world.read(name, ledger):
            pass

    @rule(ledger=st.sampled_from(LEDGERS))
    def go_down(self, ledger: str) -> None:
        self.world.ledgers[ledger].up = False

    @rule(ledger=st.sampled_from(LEDGERS))
    def come_up(self, ledger: str) -> None:
        self.world.ledgers[ledger].up = True

    @rule(ms=st.sampled_from([1, 500, 10_000, 31_000, 61_000, 95_000, 100_000]))
    def pass_time(self, ms: int) -> None:
        self.world.pass_time(ms)

    @rule(name=NAMES, position=NUMBERS)
    def cancel(self, name: str, position: int) -> None:
        if self.world.orders:
            payment = tuple(self.world.orders)[position % len(self.world.orders)]
            self.world.cancel(name, payment)

    @rule()
    def heal(self) -> None:
        self.world.heal()

    @invariant()
    def every_ledger_conserves(self) -> None:
        for ledger in self.world.ledgers.values():
            assert sum(ledger.balances.values()) + ledger.held() == FUNDS * len(PARTIES)
            assert min(ledger.balances.values()) >= 0

    @invariant()
    def no_preimage_is_shown_in_vain(self) -> None:
        assert self.world.shown_in_vain == []

    @invariant()
    def nobody_raises_an_alarm(self) -> None:
        assert [party.alarms for party in self.world.parties.values()] == [[], [], []]

    @invariant()
    def the_source_is_paid_only_if_the_target_is(self) -> None:
        for payment, order in self.world.orders.items():
            if self._state(payment, order.source_ledger, source=True) is HoldState.FULFILLED:
                assert self._state(payment, order.target_ledger, source=False) is HoldState.FULFILLED

    def teardown(self) -> None:
        self.world.heal()
        for _ in range(4):
            self.world.pass_time(MARGINS.hold_ms_max // 4)
            self.world.heal()
        for party in self.world.parties.values():
            assert [state for state in party.states.values() if not isinstance(state, ENDS)] == []
            assert party.outbox == {}
        moved = {name: dict.fromkeys(PARTIES, 0) for name in LEDGERS}
        for payment, order in self.world.orders.items():
            source = self._state(payment, order.source_ledger, source=True)
            target = self._state(payment, order.target_ledger, source=False)
            assert HoldState.HELD not in (source, target)
            assert (source is HoldState.FULFILLED) == (target is HoldState.FULFILLED)
            self._check_words(payment, paid=source is HoldState.FULFILLED)
            if source is HoldState.FULFILLED:
                for ledger, name, amount in (
                    (order.source_ledger, "bank-a", -cost(order.target_amount)),
                    (order.source_ledger, "clearing", cost(order.target_amount)),
                    (order.target_ledger, "clearing", -order.target_amount),
                    (order.target_ledger, "bank-b", order.target_amount),
                ):
                    moved[ledger][name] += amount
        for name, book in self.world.ledgers.items():
            assert book.balances == {party: FUNDS + moved[name][party] for party in PARTIES}

    def _state(self, payment: bytes, ledger: str, *, source: bool) -> HoldState | None:
        from settlement.custody.terms import source_transfer_id, target_transfer_id

        number = (source_transfer_id if source else target_transfer_id)(payment)  # type: ignore[arg-type]
        view = self.world.ledgers[ledger].holds.get(number)
        return None if view is None else view.state

    def _check_words(self, payment: bytes, *, paid: bool) -> None:
        """What each party believes, and has written into its books, is what happened."""
        a, clearing, b = (self.world.parties[name] for name in PARTIES)
        assert isinstance(a.states[payment], payer.Closed) == paid
        assert isinstance(b.states.get(payment), payee.Closed) == paid
        assert isinstance(clearing.states.get(payment), clearer.Closed) == paid
        for party, events in ((a, ("paid",)), (clearing, ("paid", "earned")), (b, ("received",))):
            posted = [event for which, event in party.posted if which == payment]
            assert len(posted) == len(set(posted)), "nothing is posted twice"
            assert all((event in posted) == paid for event in events)
            assert posted.count("hold") == posted.count("returned") + ("hold" in posted and paid)


TestPayments = Payments.TestCase
TestPayments.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
