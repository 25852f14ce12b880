"""The contract decides what the pure rules decide, whatever two banks submit, and pays out what came in."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

import boa
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from foundation.quantities import UnixMs
from settlement.channels.errors import Overruled
from settlement.channels.judge import (
    Challenge,
    Close,
    CloseAgreed,
    Command,
    Join,
    Settle,
    Status,
    Withdraw,
    judge,
    open_case,
    reveal,
)
from settlement.channels.signing import KeySigner, channel_id
from settlement.channels.terms import Sheet, Side, SignedSheet, Terms, first_sheet
from settlement.quantities import Condition, Units
from tests.support.channels import KEYS, START, lock, secret, terms
from tests.support.channels_contract import OnChain, checksum, compiled, deploy, domain, set_time

SIDES = st.sampled_from(list(Side))
STRANGER = KeySigner(b"c" * 32)


@dataclass(frozen=True)
class Recipe:
    """How a sheet is made: perhaps one that nobody should sign."""

    sequence: int
    held: int
    a: int
    locks: tuple[tuple[int, Side, int], ...]  # number, payer, seconds
    forged: int  # 0: both sign; 1: a stranger signs for A; 2: no signature of B; 3: another total


def _recipe(sequence: int, back: int, a: int, locks: list[tuple[int, Side, int]], forged: int) -> Recipe:
    return Recipe(sequence, max(0, sequence - back), a, tuple(locks), forged)


LOCKS = st.lists(
    st.tuples(st.integers(0, 3), SIDES, st.sampled_from((-20, 20, 60, 80))), max_size=2, unique_by=lambda each: each[0]
)
GOOD = st.builds(_recipe, st.integers(0, 8), st.integers(1, 3), st.integers(0, 600), LOCKS, st.just(0))
BAD = st.builds(_recipe, st.integers(1, 8), st.integers(0, 3), st.integers(0, 600), LOCKS, st.integers(1, 3))
RECIPES = st.one_of(GOOD, GOOD, GOOD, BAD)
CHALLENGES = st.tuples(st.just("challenge"), SIDES, RECIPES, st.booleans())
MOVES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("join", "withdraw")), SIDES),
        st.tuples(st.just("close"), SIDES, RECIPES),
        CHALLENGES,
        CHALLENGES,
        CHALLENGES,
        st.tuples(st.just("agreed"), st.integers(0, 1_000), st.booleans()),
        st.tuples(st.just("settle")),
        st.tuples(st.just("settle")),
        st.tuples(st.just("reveal"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from((1, 20, 40, 59, 60))),
        st.tuples(st.just("wait"), st.sampled_from((20, 60))),
    ),
    max_size=9,
)


class Twins:
    """One channel at the contract and at the pure rules."""

    def __init__(self, its_terms: Terms, token: bool) -> None:
        self.chain = OnChain(deploy(), its_terms, token=token)
        ledger = domain(self.chain.contract)
        self.terms = replace(its_terms, ledger=ledger, asset=self.chain.asset_bytes)
        self.chain.terms = self.terms
        self.now = START
        set_time(self.now)
        self.case = open_case(self.terms, self.terms.a)
        self.reveals: dict[Condition, UnixMs] = {}
        assert self.chain.open() == self.case.channel == channel_id(self.terms)

    def signed(self, recipe: Recipe) -> SignedSheet:
        """A recipe's sheet."""
        if recipe.sequence == 0:
            return first_sheet(self.terms, self.case.channel)
        locks = tuple(lock(n, payer, 10, START + seconds * 1000) for n, payer, seconds in recipe.locks)
        free = self.terms.total - 10 * len(locks)
        a = min(recipe.a, free)
        total_off = recipe.forged == 3
        sheet = Sheet(self.case.channel, recipe.sequence, recipe.held, Units(a), Units(free - a + total_off), locks)
        first = STRANGER if recipe.forged == 1 else KEYS[Side.A]
        second = b"" if recipe.forged == 2 else KEYS[Side.B].sign_sheet(self.terms.ledger, sheet)
        return SignedSheet(sheet, first.sign_sheet(self.terms.ledger, sheet), second)

    def submit(self, command: Command) -> None:
        """Both decide; they agree on whether to follow, and on what follows."""
        last = self.case.sheet.sheet
        try:
            self.case, _ = judge(self.case, command, self.reveals, self.now)
            followed = True
        except Overruled:
            followed = False
        try:
            self.chain.act(command, last)
            assert followed, f"the contract follows {command}"
        except boa.BoaError:
            assert not followed, f"the contract refuses {command}"
        self.compare()

    def compare(self) -> None:
        """The case stands alike on both, and the money is where it should be."""
        status, _, sequence, ends_at, submitted, answered, cheated = self.chain.contract.case(self.case.channel)
        assert status == 1 << list(Status).index(self.case.status)
        if self.case.status is Status.CLOSING:
            assert (sequence, ends_at) == (self.case.sheet.sheet.sequence, self.case.ends_at // 1000)
            assert tuple(n - 1 for n in submitted) == self.case.submitted
            assert (tuple(answered), tuple(cheated)) == (self.case.answered, self.case.cheated)
        assert self.chain.owed() == self.case.paid


@settings(max_examples=40)
@given(one_way=st.booleans(), token=st.booleans(), closer=SIDES, first=GOOD, moves=MOVES)
def test_contract_decides_as_the_rules_do(
    one_way: bool, token: bool, closer: Side, first: Recipe, moves: list[tuple[Any, ...]]
) -> None:
    """Whatever is submitted when and by whom, the contract and the pure rules follow or refuse it alike."""
    with boa.env.anchor():
        twins = Twins(terms(500, 0 if one_way else 500, one_way=one_way), token)
        with contextlib.suppress(Overruled):
            twins.submit(Join(twins.terms.b))
        for move in (("close", closer, first), *moves):
            _play(twins, move)
        twins.compare()


# What chance may miss: the edges, each with what has to come of it.
S1 = Recipe(1, 0, 400, (), 0)  # A proposed it
S2 = Recipe(2, 1, 300, (), 0)  # B proposed it
S3 = Recipe(3, 2, 200, (), 0)
LOCKED = Recipe(2, 1, 300, ((1, Side.A, 80),), 0)  # A set 10 aside, until 80 s
EDGES: dict[str, tuple[list[tuple[Any, ...]], tuple[int, int]]] = {
    "stale by two": ([("close", Side.A, S1), ("challenge", Side.B, S3, False), ("wait", 60), ("settle",)], (0, 1_000)),
    "its own proposal": (
        [("close", Side.B, S1), ("challenge", Side.A, S2, False), ("wait", 60), ("settle",)],
        (300, 700),
    ),
    "acknowledged": ([("close", Side.B, S1), ("challenge", Side.A, S2, True), ("wait", 60), ("settle",)], (1_000, 0)),
    "accepted": ([("close", Side.A, S1), ("challenge", Side.B, S2, False), ("wait", 60), ("settle",)], (0, 1_000)),
    "both": (
        [
            ("close", Side.A, S1),
            ("challenge", Side.B, S2, False),
            ("challenge", Side.A, Recipe(5, 4, 100, (), 0), False),
            ("wait", 60),
            ("settle",),
        ],
        (100, 900),
    ),
    "too late": ([("close", Side.A, S1), ("wait", 60), ("challenge", Side.B, S2, False), ("settle",)], (400, 600)),
    "just in time": (
        [("close", Side.A, S1), ("wait", 59), ("challenge", Side.B, S2, False), ("wait", 60), ("settle",)],
        (0, 1_000),
    ),
    "answers twice": (
        [
            ("close", Side.A, S1),
            ("challenge", Side.B, S2, False),
            ("challenge", Side.B, S3, False),
            ("wait", 60),
            ("settle",),
        ],
        (0, 1_000),
    ),
    "too early": ([("close", Side.A, S1), ("wait", 59), ("settle",)], (0, 0)),
    "put off": (
        [("close", Side.A, S1), ("wait", 59), ("challenge", Side.B, S2, False), ("wait", 1), ("settle",)],
        (0, 0),
    ),
    "not newer": ([("close", Side.A, S2), ("challenge", Side.B, S2, False), ("wait", 60), ("settle",)], (300, 700)),
    "lock open": ([("close", Side.A, LOCKED), ("wait", 60), ("settle",)], (0, 0)),
    "lock over": ([("close", Side.A, LOCKED), ("wait", 80), ("settle",)], (310, 690)),
    "revealed": ([("close", Side.A, LOCKED), ("wait", 60), ("reveal", 1), ("settle",)], (300, 700)),
    "revealed late": ([("close", Side.A, LOCKED), ("wait", 80), ("reveal", 1), ("settle",)], (310, 690)),
    "one second before": ([("close", Side.A, LOCKED), ("wait", 79), ("reveal", 1), ("settle",)], (300, 700)),
    "forged": ([("close", Side.A, Recipe(1, 0, 400, (), 1)), ("wait", 60), ("settle",)], (0, 0)),
    "unsigned": ([("close", Side.A, Recipe(1, 0, 400, (), 2)), ("wait", 60), ("settle",)], (0, 0)),
    "more than there is": ([("close", Side.A, Recipe(1, 0, 400, (), 3)), ("wait", 60), ("settle",)], (0, 0)),
    "deposits": ([("close", Side.A, Recipe(0, 0, 0, (), 0)), ("wait", 60), ("settle",)], (500, 500)),
    "agreed amid a close": ([("close", Side.A, S1), ("agreed", 250, True)], (250, 750)),
    "agreed by a stranger": ([("agreed", 250, False)], (0, 0)),
    "paid twice": ([("agreed", 250, True), ("agreed", 250, True), ("close", Side.A, S1)], (250, 750)),
}


@pytest.mark.parametrize(("moves", "paid"), EDGES.values(), ids=EDGES)
def test_edges_are_decided_as_they_must_be(moves: list[tuple[Any, ...]], paid: tuple[int, int]) -> None:
    """At the very moments where rules change, both the contract and the pure rules pay what they must."""
    with boa.env.anchor():
        twins = Twins(terms(500, 500), False)
        twins.submit(Join(twins.terms.b))
        for move in moves:
            _play(twins, move)
        assert twins.case.paid == paid


def test_deposit_of_a_bank_that_waits_in_vain_goes_back() -> None:
    """A takes its deposit back while B has not joined, and B cannot join after that."""
    with boa.env.anchor():
        twins = Twins(terms(500, 500), True)
        for move in (("withdraw", Side.B), ("withdraw", Side.A), ("join", Side.B)):
            _play(twins, move)
        assert twins.case.paid == (500, 0)


def _play(twins: Twins, move: tuple[Any, ...]) -> None:
    match move:
        case ("join", side):
            twins.submit(Join(twins.terms.account(side)))
        case ("withdraw", side):
            twins.submit(Withdraw(twins.terms.account(side)))
        case ("close", side, recipe):
            twins.submit(Close(twins.terms.account(side), twins.signed(recipe)))
        case ("challenge", side, recipe, with_held):
            held = KEYS[side.other].sign_held(twins.terms.ledger, twins.case.channel, recipe.sequence)
            twins.submit(Challenge(twins.terms.account(side), twins.signed(recipe), held if with_held else b""))
        case ("agreed", a, right):
            twins.submit(_agreed(twins, a, right))
        case ("settle",):
            twins.submit(Settle())
        case ("reveal", number):
            condition, at = reveal(twins.reveals, secret(number), twins.now)
            twins.reveals[condition] = at
            twins.chain.reveal(secret(number))
        case ("wait", seconds):
            twins.now = UnixMs(twins.now + seconds * 1000)
            set_time(twins.now)


def _agreed(twins: Twins, a: int, right: bool) -> CloseAgreed:
    a = min(a, twins.terms.total)
    sheet = Sheet(twins.case.channel, 9, 0, Units(a), Units(twins.terms.total - a))
    first = KEYS[Side.A] if right else STRANGER
    ledger = twins.terms.ledger
    return CloseAgreed(sheet, first.sign_close(ledger, sheet), KEYS[Side.B].sign_close(ledger, sheet))


@pytest.mark.parametrize("token", [False, True])
def test_money_is_collected_once(token: bool) -> None:
    """Each bank collects what it was paid out, in coin or tokens, once; the contract keeps nothing."""
    with boa.env.anchor():
        twins = Twins(terms(500, 500), token)
        twins.submit(Join(twins.terms.b))
        twins.submit(_agreed(twins, 200, True))
        contract, asset = twins.chain.contract, twins.chain.asset
        for account in (twins.terms.a, twins.terms.b):
            contract.collect(asset, checksum(account))
            with pytest.raises(boa.BoaError):
                contract.collect(asset, checksum(account))
        assert twins.chain.owed() == (0, 0)
        assert boa.env.get_balance(contract.address) == 0


def test_one_channel_cannot_be_opened_twice() -> None:
    """The same terms open one channel for ever: a second deposit under them is refused."""
    with boa.env.anchor():
        twins = Twins(terms(500, 0, one_way=True), False)
        with pytest.raises(boa.BoaError):
            twins.chain.open()
        assert compiled()["size"] < 24_576
