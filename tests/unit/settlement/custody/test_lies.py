"""Attacks step by step, in the world of parties that lie: each has been a way to take somebody's money."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from settlement.custody import changes as c
from settlement.custody import clearer, payee, payer
from settlement.custody.states import stage_of
from settlement.custody.terms import source_transfer_id, target_transfer_id
from settlement.ledgers.protocol import HoldState
from tests.support.custody_liars import A, B, C, LyingWorld
from tests.support.custody_lies import Lies
from tests.support.custody_world import FUNDS, MARGINS, cost

SEEDS = range(12)
AMOUNT = 7_000


class Attack:
    """One payment over chains, of which some parties want more than they are due."""

    def __init__(self, seed: int, *liars: str, rules_bar: float = 0.0) -> None:
        self.world = LyingWorld(seed, frozenset(liars), 3, rules_bar)
        self.lies = Lies(self.world)
        self.payment = self.world.order(AMOUNT, "euro", "yuan")

    def until(self, name: str, *stages: str) -> bool:
        """Go on until a party has come to a stage; whether it has."""
        for _ in range(400):
            if self.stage(name) in stages:
                return True
            self.world.advance(1)
        return False

    def stage(self, name: str) -> str:
        state = self.world.parties[name].states.get(self.payment)
        return "" if state is None else stage_of(state)

    def copy(self, liar: str, source: bool, victim: str) -> None:
        """A hold for the victim under the id of the source, or the target, that ends in a moment."""
        number = (source_transfer_id if source else target_transfer_id)(self.payment)  # type: ignore[arg-type]
        bases = self.lies._bases()
        self.lies.copy(liar, 3 * [one.transfer_id for one in bases].index(number), victim)

    @property
    def source(self) -> HoldState | None:
        return self.world.state_at("euro", A, source_transfer_id(self.payment))  # type: ignore[arg-type]

    @property
    def target(self) -> HoldState | None:
        return self.world.state_at("yuan", C, target_transfer_id(self.payment))  # type: ignore[arg-type]

    def ended(self, source: HoldState) -> bool:
        """Whether the source has come to this end."""
        return self.source is source

    def ended_target(self, target: HoldState) -> bool:
        """Whether the target has come to this end."""
        return self.target is target

    def to_the_end(self) -> None:
        self.world.silent.clear()
        self.world.heal()
        for _ in range(3):
            self.world.pass_time(MARGINS.hold_ms_max // 3)
            self.world.heal()


def attacks(*liars: str, rules_bar: float = 0.0) -> Iterator[Attack]:
    """The same attack in many orders of events."""
    for seed in SEEDS:
        yield Attack(seed, *liars, rules_bar=rules_bar)


def test_a_payee_frees_no_source_by_a_copy_of_the_target() -> None:
    """A payee that makes a hold for the clearing bank under the target's id, and lets it end, is paid once."""
    tried = 0
    for attack in attacks(B):
        if attack.until(C, "waiting") and attack.target is HoldState.HELD:
            tried += 1
            attack.world.silent = {B}
            attack.copy(B, False, C)
            attack.lies.take_back(B)
            attack.world.advance(30)
            assert (attack.source, attack.stage(C)) == (HoldState.HELD, "waiting")
            attack.to_the_end()
            assert attack.source is attack.target
    assert tried > len(SEEDS) // 2


def test_a_clearing_bank_hides_no_payment_by_a_copy_of_the_source() -> None:
    """A payer that is made to see a hold under its own hold's id end does not take its own for given back."""
    tried = 0
    for attack in attacks(C):
        if attack.until(A, "held") and attack.source is HoldState.HELD:
            tried += 1
            attack.world.silent = {C}
            attack.copy(C, True, A)
            attack.lies.take_back(C)
            attack.world.advance(30)
            assert attack.stage(A) == "held"
            attack.to_the_end()
            state = attack.world.parties[A].states[attack.payment]
            assert attack.ended(HoldState.FULFILLED) is isinstance(state, payer.Paid | payer.Closed)
    assert tried > len(SEEDS) // 2


def test_a_clearing_bank_that_asks_for_more_is_not_paid() -> None:
    """A payer holds nothing for a quote that costs one unit more than its order allows."""
    for attack in attacks(B, C):
        attack.until(C, "quoted")
        outbox = attack.world.parties[C].outbox
        ((number, given),) = ((one, effect) for one, (_, effect) in outbox.items() if isinstance(effect, c.GiveQuote))
        dear = msgspec.structs.replace(given.quote.source, amount=given.quote.source.amount + 1)
        quote = msgspec.structs.replace(given.quote, source=dear)
        outbox[number] = (attack.payment, c.GiveQuote(quote, given.signature))
        assert attack.until(A, "failed", "held")
        attack.to_the_end()
        assert attack.source is None


def test_words_free_nobody_of_a_hold() -> None:
    """A payee that says that it has ended a payment, and fulfils it then, has the clearing bank paid all the same."""
    tried = 0
    for attack in attacks(A, B):
        if attack.until(C, "waiting") and attack.target is HoldState.HELD:
            tried += 1
            attack.world.silent = {A, B}
            for liar in (A, B):
                attack.lies.end(liar, C, 0)
            attack.world.advance(30)
            assert (attack.source, attack.stage(C)) == (HoldState.HELD, "waiting")
            attack.to_the_end()
            assert attack.source is attack.target
    assert tried > len(SEEDS) // 2


@pytest.mark.parametrize("stage", ["considering", "consenting", "expecting"])
def test_a_payee_cancels_no_hold_that_it_is_about_to_fulfil(stage: str) -> None:
    """A decoy under the target's id makes a payee give back nothing while the real hold may come, and be fulfilled."""
    tried = 0
    for attack in attacks(C):
        if attack.until(B, stage) and attack.stage(C) in ("quoted", "clearing", "forwarding"):
            tried += 1
            attack.copy(C, False, B)
            while attack.world.read(B, "yuan"):
                pass
            attack.until(B, "received", "closed", "failed")
            attack.to_the_end()
            assert attack.world.shown_in_vain == []
            assert isinstance(attack.world.parties[B].states[attack.payment], payee.Received | payee.Closed)
    assert tried > 0


def test_a_hold_that_comes_before_the_payers_word_is_fulfilled_once() -> None:
    """A payee that is told twice of a hold, and of the payer's acceptance after it, shows its preimage for money."""
    tried = 0
    for attack in attacks(A):
        attack.until(A, "holding", "held")
        attack.world.delay()
        if attack.until(C, "waiting") and attack.stage(B) == "consenting":
            tried += 1
            attack.world.read(B, "yuan", knows=False)
            attack.world.read(B, "yuan")
            attack.world.hurry(B)
            attack.world.catch_up()
            attack.to_the_end()
            assert attack.world.shown_in_vain == []
            assert (attack.source, attack.target) == (HoldState.FULFILLED, HoldState.FULFILLED)
    assert tried > 0


@pytest.mark.parametrize("stage", ["quoted", "clearing", "forwarding", "waiting"])
def test_an_old_database_costs_the_clearing_bank_nothing(stage: str) -> None:
    """Put back to any stage while the target is held, with rules that bar the payment now, it is not out of pocket."""
    tried = 0
    for attack in attacks(A, B):
        if not attack.until(C, stage):
            continue
        attack.world.save()
        attack.until(B, "expecting")
        attack.world.silent = {B}
        if attack.until(C, "waiting") and attack.target is HoldState.HELD:
            tried += 1
            attack.world.rules_bar = 1.0
            assert attack.world.restore()
            for _ in range(3):
                attack.world.haunt(0)
                attack.world.hurry(C)
            attack.world.pass_time(MARGINS.skew_ms + 1)
            attack.world.hurry(C)
            assert attack.source is HoldState.HELD
            attack.to_the_end()
            assert attack.source is attack.target
    assert tried > 0


def test_a_request_of_a_dead_process_costs_the_clearing_bank_nothing() -> None:
    """A second hold that comes to its ledger after the restored process has asked for it is found by asking again."""
    tried = 0
    for attack in attacks(A, B):
        if not attack.until(C, "clearing"):
            continue
        attack.world.save()
        if attack.until(C, "forwarding") and attack.target is None:
            tried += 1
            attack.world.rules_bar = 1.0
            assert attack.world.restore()
            for _ in range(4):
                attack.world.hurry(C)
            assert attack.stage(C) == "checking"
            attack.world.haunt(0)
            assert attack.target is HoldState.HELD
            attack.to_the_end()
            assert attack.source is attack.target
    assert tried > 0


def test_what_is_told_of_a_restored_payment_is_an_alarm() -> None:
    """A clearing bank that finds a hold which its database does not know tells a person."""
    for attack in attacks(B):
        if attack.until(C, "clearing"):
            attack.world.save()
            attack.world.silent = {B}
            if attack.until(C, "waiting") and attack.target is HoldState.HELD:
                attack.world.rules_bar = 1.0
                assert attack.world.restore()
                attack.world.pass_time(MARGINS.skew_ms + 1)
                for _ in range(4):
                    attack.world.hurry(C)
                state = attack.world.parties[C].states[attack.payment]
                assert isinstance(state, clearer.Waiting)
                assert attack.world.parties[C].alarms
                assert c.Alarm(attack.world.parties[C].alarms[0]).detail.endswith("old copy?")
                return
    raise AssertionError("no attack came so far")


ALTERED = ["amount", "packet", "expires_at", "condition", "memo"]


@pytest.mark.parametrize("field", ALTERED)
def test_a_payer_that_holds_otherwise_than_quoted_gets_no_target_for_it(field: str) -> None:
    """A clearing bank that pays has what it quoted, whatever of the source's hold its payer alters, with the payee."""
    for seed in range(5):
        attack = Attack(seed, A, B)
        attack.until(A, "holding")
        attack.lies.tweak(A, 0, field, seed)
        attack.until(C, "waiting", "returning", "failed")
        attack.world.pass_time(1_000)
        attack.to_the_end()
        assert attack.source is attack.target or attack.target is None
        assert attack.world.books["euro"].balances[C] - FUNDS in (0, cost(AMOUNT))
        assert not isinstance(attack.world.parties[C].states[attack.payment], clearer.Lost)


def test_a_payer_cannot_leave_the_payee_out() -> None:
    """A hold that the payer makes before the payee has accepted is not forwarded: the payee has not signed for it."""
    for attack in attacks(A):
        attack.until(A, "agreeing")
        state = attack.world.parties[A].states[attack.payment]
        assert isinstance(state, payer.Agreeing)
        agreed = c.Agreed(state.terms, bytes(32), bytes(32), b"both")
        held, effects = payer.step(state, agreed, attack.world.now)  # type: ignore[arg-type]
        assert isinstance(held, payer.Holding)
        attack.world.silent = {A}
        for effect in effects:
            assert isinstance(effect, c.MakeHold)
            attack.world.books["euro"].hold(effect)
        assert attack.until(C, "returning", "failed")
        assert attack.target is None


@pytest.mark.parametrize("field", ALTERED)
def test_a_clearing_bank_that_holds_otherwise_than_agreed_learns_no_preimage(field: str) -> None:
    """A payee shows its preimage for exactly what was agreed, whatever of the target's hold is altered."""
    for seed in range(5):
        attack = Attack(seed, C)
        attack.until(C, "forwarding")
        attack.until(B, "expecting")
        if attack.target is not None:
            continue
        (right,) = (one for _, one in attack.world.parties[C].outbox.values() if isinstance(one, c.MakeHold))
        attack.lies.tweak(C, 0, field, seed)
        (made,) = (one for _, one in attack.world.parties[C].outbox.values() if isinstance(one, c.MakeHold))
        attack.until(B, "received", "refusing", "failed")
        if made != right:
            assert attack.stage(B) in ("refusing", "failed", "expecting")
            assert not attack.ended_target(HoldState.FULFILLED)
        attack.to_the_end()
        assert attack.world.shown_in_vain == []


@pytest.mark.parametrize(("name", "stage", "end"), [(A, "held", "back"), (C, "waiting", "failed")])
def test_who_is_deserted_takes_its_money_back(name: str, stage: str, end: str) -> None:
    """On a chain nothing goes back by itself: whoever is left alone with its hold takes it back at the time-out."""
    others = {A, B, C} - {name}
    for attack in attacks(*others):
        if attack.until(name, stage) and HoldState.FULFILLED not in (attack.source, attack.target):
            attack.world.silent = others
            for _ in range(4):
                attack.world.pass_time(MARGINS.hold_ms_max // 4)
                attack.world.heal()
            assert attack.stage(name) == end
            assert (attack.source if name == A else attack.target) is HoldState.EXPIRED
