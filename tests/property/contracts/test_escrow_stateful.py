"""The Escrow under any order of good and bad acts, step by step beside a model of what it may do.

CAUSEWAY_STATEFUL_EXAMPLES=500 makes a long run of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import boa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.escrow import (
    CLAIMED,
    KEEPER,
    NEVER,
    PAYEE,
    PAYER,
    RETURNED,
    STRANGER,
    Desk,
    PointTerms,
    Terms,
    build_desk,
    coin_of,
    point_of,
    preimage_of,
)
from tests.support.lockbox import ACCEPT, REFUSE, actor, at, odd_token
from tests.support.native_contracts import ZERO

EXAMPLES = int(os.environ.get("CAUSEWAY_STATEFUL_EXAMPLES", "12"))
STEPS = 30 if EXAMPLES <= 12 else 60
SUPPLY = 10**9
START = 1_800_000_000
LABELS = ["a", "b", "c", "d"]

pick = st.integers(0, 7)
labels = st.sampled_from(LABELS)
is_token = st.booleans()
amounts = st.sampled_from([0, 1, 5, 40, 100])


@lru_cache(maxsize=1)
def deployed() -> tuple[Desk, Any, Any]:
    """One deployment for all examples, which put it back as it was: an Escrow, a token and a payee."""
    return build_desk(), odd_token(PAYER.address, SUPPLY), actor()


@pytest.fixture(scope="module", autouse=True)
def _deployed_before_the_examples() -> None:
    """boa takes back whatever an example deploys, so that the deployment has to be there before the first."""
    deployed()


def accepted(call: Callable[[], object]) -> bool:
    """Whether the contract accepted a call."""
    try:
        call()
    except boa.BoaError:
        return False
    return True


@dataclass
class Lock:
    """What the model knows of a lock. Fields: secret (a label); ends (what ended it, in order)."""

    terms: Terms | PointTerms
    secret: str
    ends: list[bytes]

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return not self.ends

    @property
    def is_hash(self) -> bool:
        """Whether it is a preimage that frees it."""
        return isinstance(self.terms, Terms)

    def other_kind(self) -> Terms | PointTerms:
        """The same words, as terms of the other kind."""
        words = tuple(self.terms)
        if isinstance(self.terms, Terms):
            return PointTerms(*words[:6], "0x" + self.terms.condition[12:].hex(), words[7])
        return Terms(*words[:6], bytes(12) + bytes.fromhex(self.terms.point[2:]), words[7])


class EscrowMachine(RuleBasedStateMachine):
    """Payers, payees and strangers, who act as they like; every answer is foretold."""

    def __init__(self) -> None:
        super().__init__()
        self.desk, self.token, self.payee = deployed()
        self._anchor = boa.env.anchor()
        self._anchor.__enter__()
        boa.env.timestamp = START
        self.token.approve(self.desk.address, 2**256 - 1, sender=PAYER.address)
        self.locks: dict[tuple[str, bytes], Lock] = {}
        self.owed: dict[tuple[str, str], int] = {}
        self.paid: dict[tuple[str, str], int] = {}
        self.refusing = self.barred = False
        for number, label in enumerate(LABELS[:3]):
            self.somebody_locks(label, label, label == "a", 40, 0, 30, number == 2)

    def teardown(self) -> None:
        """Put the deployment back as it was."""
        self._anchor.__exit__(None, None, None)

    # --- Acts ---

    @rule(
        label=labels,
        secret=labels,
        token=is_token,
        amount=amounts,
        who=st.integers(0, 1),
        seconds=pick,
        by_point=st.booleans(),
    )
    def somebody_locks(
        self, label: str, secret: str, token: bool, amount: int, who: int, seconds: int, by_point: bool
    ) -> None:
        """A payer locks coin or tokens by hash or point, perhaps under an id that it has used, perhaps too late."""
        fields = {
            "asset": at(self.token) if token else ZERO,
            "amount": amount,
            "beneficiary": (PAYEE.address, at(self.payee))[who],
            "expires_at": boa.env.timestamp + seconds,
        }
        terms: Terms | PointTerms
        if by_point:
            terms = self.desk.point_terms(label, point=point_of(secret), **fields)
        else:
            terms = self.desk.terms(label, condition=self.desk.terms(secret).condition, **fields)
        place = (terms.payer, terms.id)
        fine = amount > 0 and seconds > 0 and place not in self.locks
        assert accepted(lambda: self.lock(terms)) == fine
        if fine:
            self.locks[place] = Lock(terms, secret, [])

    @precondition(lambda self: self.locks)
    @rule(number=pick, secret=labels, right=st.booleans(), other=st.sampled_from([0, 0, 0, 1]))
    def preimage_is_brought(self, number: int, secret: str, right: bool, other: int) -> None:
        """Anyone brings a preimage or a scalar, right or wrong, in time or not, for the lock or for other terms."""
        lock = self.chosen(number)
        secret = lock.secret if right else secret
        terms = lock.terms._replace(amount=lock.terms.amount + other)
        fine = self.can_be_claimed(lock, secret) and not other
        assert accepted(lambda: self.claim(terms, secret)) == fine
        if fine:
            self.is_claimed(lock)

    @precondition(lambda self: self.locks)
    @rule(number=pick)
    def lock_is_passed_off_as_the_other_kind(self, number: int) -> None:
        """Anyone uses the functions for the other kind on a lock, with the right secret and the beneficiary's word."""
        lock = self.chosen(number)
        terms = lock.other_kind()
        assert not accepted(lambda: self.claim(terms, lock.secret))
        assert not accepted(lambda: self.refund(terms))
        assert not accepted(lambda: self.give_back(terms, self.desk.word(terms)))
        if isinstance(terms, Terms):
            assert not accepted(lambda: self.desk.escrow.claim_batch([(terms, preimage_of(lock.secret))]))

    @precondition(lambda self: self.locks)
    @rule(picks=st.lists(st.tuples(pick, st.booleans(), labels), max_size=5))
    def batch_is_brought(self, picks: list[tuple[int, bool, str]]) -> None:
        """Anyone brings several at once; what can be claimed is, once each."""
        batch, expected = [], []
        for number, right, secret in picks:
            lock = self.chosen(number)
            if not lock.is_hash:
                continue
            secret = lock.secret if right else secret
            batch.append((lock.terms, preimage_of(secret)))
            if self.can_be_claimed(lock, secret) and lock not in expected:
                expected.append(lock)
        send = {"sender": STRANGER.address}
        assert accepted(lambda: self.desk.escrow.claim_batch(batch, **send)) == bool(expected)
        for lock in expected:
            self.is_claimed(lock)

    @precondition(lambda self: self.locks)
    @rule(number=pick)
    def refund_is_asked(self, number: int) -> None:
        """Anyone asks for a refund, too early, in time, or again."""
        lock = self.chosen(number)
        fine = lock.is_open and boa.env.timestamp >= lock.terms.expires_at
        assert accepted(lambda: self.refund(lock.terms)) == fine
        if fine:
            self.is_returned(lock)

    @precondition(lambda self: self.locks)
    @rule(number=pick, by=st.sampled_from([PAYEE, PAYEE, PAYER, STRANGER]))
    def word_is_brought(self, number: int, by: Any) -> None:
        """The beneficiary, or somebody else, signs a lock back, at any time."""
        lock = self.chosen(number)
        word = self.desk.word(lock.terms, by)
        fine = lock.is_open and lock.terms.beneficiary == by.address
        assert accepted(lambda: self.give_back(lock.terms, word)) == fine
        if fine:
            self.is_returned(lock)

    @rule(token=is_token, who=st.integers(0, 1), to=st.integers(0, 2), by_owner=st.booleans())
    def owed_is_taken(self, token: bool, who: int, to: int, by_owner: bool) -> None:
        """Whoever is owed something, or anybody, has it sent somewhere."""
        people = (PAYEE.address, at(self.payee), KEEPER.address)
        owner, receiver = people[who], people[to]
        asset = at(self.token) if token else ZERO
        due = self.owed.get((owner, asset), 0)
        fine = due > 0 and (by_owner or owner == receiver) and self.takes(receiver, asset)
        sender = owner if by_owner else STRANGER.address
        assert accepted(lambda: self.desk.escrow.withdraw(owner, asset, receiver, sender=sender)) == fine
        if fine:
            self.owed[owner, asset] = 0
            self.pay(receiver, asset, due)

    @rule(seconds=st.integers(1, 5))
    def time_passes(self, seconds: int) -> None:
        """A few seconds: as long as locks last."""
        boa.env.timestamp += seconds

    @rule(refusing=st.booleans(), barred=st.booleans())
    def payees_change(self, refusing: bool, barred: bool) -> None:
        """A payee refuses coin, or takes it again; the token bars another, or does not."""
        self.refusing, self.barred = refusing, barred
        self.payee.behaves(REFUSE if refusing else ACCEPT, ZERO, b"")
        self.token.freezes(PAYEE.address, barred)

    # --- What always holds ---

    @invariant()
    def escrow_holds_what_is_open_and_owed(self) -> None:
        """Of each asset it holds exactly the sum of open locks and of what it owes; everybody has what was paid."""
        for asset in (ZERO, at(self.token)):
            open_ = sum(one.terms.amount for one in self.locks.values() if one.is_open and one.terms.asset == asset)
            due = sum(amount for (_, of), amount in self.owed.items() if of == asset)
            assert self.held(self.desk.address, asset) == open_ + due
            for who in (PAYEE.address, at(self.payee), KEEPER.address):
                assert self.held(who, asset) == self.paid.get((who, asset), 0)

    @invariant()
    def locks_end_once(self) -> None:
        """A slot holds the hash of an open lock or its one end, and nothing where no lock was made."""
        for label in LABELS:
            terms = self.desk.terms(label)
            lock = self.locks.get((terms.payer, terms.id))
            assert lock is None or len(lock.ends) <= 1
            expected = NEVER if lock is None else lock.terms.hash if lock.is_open else lock.ends[0]
            assert self.desk.state(terms) == expected

    # --- Helpers ---

    def lock(self, terms: Terms | PointTerms) -> None:
        """Lock by the functions for these terms."""
        if isinstance(terms, Terms):
            self.desk.lock(terms)
        else:
            self.desk.lock_point(terms)

    def claim(self, terms: Terms | PointTerms, secret: str) -> None:
        """Claim by the function for these terms."""
        if isinstance(terms, Terms):
            self.desk.claim(terms, secret)
        else:
            self.desk.claim_point(terms, secret)

    def refund(self, terms: Terms | PointTerms) -> None:
        """Refund by the function for these terms."""
        refund = self.desk.escrow.refund if isinstance(terms, Terms) else self.desk.escrow.refund_point
        refund(terms, sender=STRANGER.address)

    def give_back(self, terms: Terms | PointTerms, word: bytes) -> None:
        """Give back by the function for these terms."""
        give_back = self.desk.escrow.give_back if isinstance(terms, Terms) else self.desk.escrow.give_back_point
        give_back(terms, word, sender=STRANGER.address)

    def chosen(self, number: int) -> Lock:
        """One of the locks."""
        found = list(self.locks.values())
        return found[number % len(found)]

    def can_be_claimed(self, lock: Lock, secret: str) -> bool:
        """Whether a preimage ends a lock now."""
        return lock.is_open and secret == lock.secret and bool(boa.env.timestamp < lock.terms.expires_at)

    def takes(self, who: str, asset: str) -> bool:
        """Whether a payment to somebody succeeds."""
        if asset == ZERO:
            return not (self.refusing and who == at(self.payee))
        return not (self.barred and who == PAYEE.address)

    def is_claimed(self, lock: Lock) -> None:
        """A claim pays, or is owed."""
        lock.ends.append(CLAIMED)
        terms = lock.terms
        if self.takes(terms.beneficiary, terms.asset):
            self.pay(terms.beneficiary, terms.asset, terms.amount)
        else:
            place = (terms.beneficiary, terms.asset)
            self.owed[place] = self.owed.get(place, 0) + terms.amount

    def is_returned(self, lock: Lock) -> None:
        """A return pays the refund address."""
        lock.ends.append(RETURNED)
        self.pay(lock.terms.refund_to, lock.terms.asset, lock.terms.amount)

    def pay(self, who: str, asset: str, amount: int) -> None:
        """Somebody received an amount."""
        self.paid[who, asset] = self.paid.get((who, asset), 0) + amount

    def held(self, who: str, asset: str) -> int:
        """What somebody has."""
        return coin_of(who) if asset == ZERO else int(self.token.held(who))


TestEscrow = EscrowMachine.TestCase
TestEscrow.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS)
