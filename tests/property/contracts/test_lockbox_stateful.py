"""The Lockbox under any order of good and bad acts, step by step beside a model of what it may do.

CAUSEWAY_STATEFUL_EXAMPLES=500 makes a long run of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import boa
import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.lockbox import (
    ACCEPT,
    ALICE,
    BOB,
    CARRIER,
    CHRIS,
    DAY,
    GUARDIAN,
    NATIVE_ACCOUNT,
    REFUSE,
    RETURN,
    WINDOW_SECONDS,
    Payment,
    Vault,
    actor,
    at,
    build_vault,
    odd_token,
    secret_of,
)
from tests.support.native_contracts import NOBODY, ZERO, event

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("CAUSEWAY_STATEFUL_EXAMPLES", "12"))
STEPS = 30 if EXAMPLES <= 12 else 60
SUPPLY = 10**9
START = 1_800_000_000

PAID, FAILED, CLAIMED, CANCELLED = "paid", "failed", "claimed", "cancelled"
NUMBERS = [1, 2, 3, 4, 255, 256, RETURN | 1, RETURN | 2]
"""Few, so that batches overlap; at the edges of words, and with the mark of a return."""

pick = st.integers(0, 7)
is_token = st.booleans()
amounts = st.sampled_from([0, 1, 5, 40, 100, 10**6])
entries = st.tuples(st.sampled_from(NUMBERS), is_token, st.integers(0, 2), amounts, st.integers(0, 3))
lies = ["stranger", "old epoch", "other chain", "other lockbox"]
whose = st.sampled_from(["group"] * 3 * len(lies) + lies)


@dataclass
class Budget:
    """A limit, and what a window has used of it."""

    limit: int = 0
    spent: int = 0
    window: int = -1

    def now(self) -> int:
        """What the present window has used."""
        return self.spent if self.window == boa.env.timestamp // WINDOW_SECONDS else 0

    def fits(self, amount: int) -> bool:
        """Whether so much more is within the limit."""
        return self.limit == 0 or self.now() + amount <= self.limit

    def spend(self, amount: int) -> None:
        """Count it, where there is a limit."""
        if self.limit:
            self.spent, self.window = self.now() + amount, boa.env.timestamp // WINDOW_SECONDS


@dataclass
class Holding:
    """What the model knows of an asset."""

    deposits: Budget = field(default_factory=Budget)
    withdrawals: Budget = field(default_factory=Budget)
    denied: bool = False
    nonce: int = 0
    locked: int = 0
    released: int = 0
    fees: int = 0
    owed: int = 0

    @property
    def balance(self) -> int:
        """What the Lockbox has to hold."""
        return self.locked - self.released - self.fees


@lru_cache(maxsize=1)
def deployed() -> tuple[Vault, Vault, Any, Any]:
    """One deployment for all examples, which put it back as it was: two vaults, a token and a payee."""
    return build_vault(), build_vault(), odd_token(ALICE, SUPPLY), actor()


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


class LockboxMachine(RuleBasedStateMachine):
    """Users, payees, carriers, the guardian and the group, who act as they like; every answer is foretold."""

    def __init__(self) -> None:
        super().__init__()
        vault, self.other, self.token, self.payee = deployed()
        self._anchor = boa.env.anchor()
        self._anchor.__enter__()
        boa.env.timestamp = START
        boa.env.set_balance(ALICE, SUPPLY)
        self.vault = replace(vault)
        self.payees = (BOB, at(self.payee), self.vault.address)
        self.token.approve(self.vault.address, 2**256 - 1, sender=ALICE)
        self.holdings = {ZERO: Holding(), at(self.token): Holding()}
        self.ends: dict[int, list[str]] = {number: [] for number in NUMBERS}
        self.failures: dict[int, tuple[str, str, int]] = {}
        self.signed: list[tuple[int, list[Payment], Any]] = []
        self.refusing = self.barred = False
        self.paused_until = self.pauses = self.locks = 0
        for token in (False, True):
            self.user_locks(token=token, amount=100)

    def teardown(self) -> None:
        """Look at every number once more, and put the deployment back as it was."""
        try:
            self.ends_are_as_foretold()
        finally:
            self._anchor.__exit__(None, None, None)

    # --- Locks ---

    @rule(token=is_token, amount=amounts)
    def user_locks(self, token: bool, amount: int) -> None:
        """A user locks coin or tokens."""
        asset = self.asset(token)
        one = self.holdings[asset]
        fine = amount > 0 and not self.paused and not one.denied and one.deposits.fits(amount)
        value = 0 if token else amount
        lockbox = self.vault.lockbox
        assert accepted(lambda: lockbox.lock(asset, amount, NATIVE_ACCOUNT, value=value, sender=ALICE)) == fine
        if fine:
            self.locks += 1
            told = event(lockbox, "Locked")
            assert (told["number"], told["amount"], told["asset"]) == (self.locks, amount, asset)
            one.locked += amount
            one.deposits.spend(amount)

    # --- Releases ---

    @rule(batch=st.lists(entries, max_size=5), how=whose)
    def batch_is_released(self, batch: list[tuple[int, bool, int, int, int]], how: str) -> None:
        """A carrier brings any batch, which the group has signed, or somebody else, or for another place."""
        payments = [
            (number, self.asset(token), self.payees[payee], amount, fee) for number, token, payee, amount, fee in batch
        ]
        proof = self.signer(how).sign_release(payments)
        if how == "group":
            self.signed.append((self.vault.epoch, payments, proof))
        self.carry(payments, proof, how == "group")

    @precondition(lambda self: self.signed)
    @rule(number=pick)
    def signed_batch_is_brought_again(self, number: int) -> None:
        """Whatever the group ever signed is brought at another time, perhaps after the key was rotated."""
        epoch, payments, proof = self.signed[number % len(self.signed)]
        self.carry(payments, proof, epoch == self.vault.epoch)

    def carry(self, payments: list[Payment], proof: Any, is_signed: bool) -> None:
        """Bring a batch whose outcome is foretold, payment by payment."""
        before = (self.holdings, self.ends, self.failures)
        self.holdings = {asset: self.copy(one) for asset, one in self.holdings.items()}
        self.ends = {number: list(ends) for number, ends in self.ends.items()}
        self.failures = dict(self.failures)
        told = self.foretell(payments)
        fine = is_signed and not self.paused and any("Delayed" not in line for line in told)
        lockbox = self.vault.lockbox
        assert accepted(lambda: lockbox.release(payments, proof, sender=CARRIER)) == fine
        if fine:
            assert self.vault.told() == told
        else:
            self.holdings, self.ends, self.failures = before

    def foretell(self, payments: list[Payment]) -> list[str]:
        """What a batch does to the model, and the events of it."""
        told, run, fees = [], ZERO, 0
        for number, asset, payee, amount, fee in payments:
            if asset != run:
                self.pay_carrier(run, fees)
                run, fees = asset, 0
            one = self.holdings[asset]
            if self.ends[number]:
                continue
            if number < RETURN:
                if one.denied or not one.withdrawals.fits(amount + fee):
                    told.append(f"PaymentDelayed {number}")
                    continue
                one.withdrawals.spend(amount + fee)
            fees += fee
            if self.can_be_paid(asset, payee, amount):
                one.released += amount
                self.ends[number].append(PAID)
                told.append(f"Released {number}")
            else:
                self.failures[number] = (asset, payee, amount)
                self.ends[number].append(FAILED)
                told.append(f"PaymentFailed {number}")
        self.pay_carrier(run, fees)
        return told

    def pay_carrier(self, asset: str, fees: int) -> None:
        """The carrier is paid, or owed where there is too little."""
        one = self.holdings[asset]
        if one.balance >= fees:
            one.fees += fees
        else:
            one.owed += fees

    def can_be_paid(self, asset: str, payee: str, amount: int) -> bool:
        """Whether a payee takes an amount and the Lockbox has it."""
        if payee == self.vault.address:
            return asset != ZERO and amount == 0
        if self.holdings[asset].balance < amount:
            return False
        return not self.refusing or payee != at(self.payee) if asset == ZERO else not self.barred or payee != BOB

    # --- Claims and cancellations ---

    @precondition(lambda self: self.failures)
    @rule(number=pick, by_payee=st.booleans(), to=st.integers(0, 3), more=st.sampled_from([0, 0, 0, 1]))
    def failed_payment_is_claimed(self, number: int, by_payee: bool, to: int, more: int) -> None:
        """The payee, or anybody, has a failed payment paid to somebody, perhaps more than it was."""
        which = list(self.failures)[number % len(self.failures)]
        asset, payee, amount = self.failures[which]
        receiver = (*self.payees, CHRIS)[to]
        fine = (by_payee or receiver == payee) and not more and self.can_be_paid(asset, receiver, amount)
        sender = payee if by_payee else ALICE
        lockbox = self.vault.lockbox
        assert accepted(lambda: lockbox.claim(which, asset, amount + more, receiver, sender=sender)) == fine
        if fine:
            del self.failures[which]
            self.ends[which].append(CLAIMED)
            self.holdings[asset].released += amount

    @rule(token=is_token)
    def carrier_claims_its_fees(self, token: bool) -> None:
        """A carrier asks for what it is owed."""
        asset = self.asset(token)
        one = self.holdings[asset]
        fine = 0 < one.owed <= one.balance
        lockbox = self.vault.lockbox
        assert accepted(lambda: lockbox.claim_fee(asset, CARRIER, sender=CARRIER)) == fine
        if fine:
            one.fees, one.owed = one.fees + one.owed, 0

    @rule(numbers=st.lists(st.sampled_from(NUMBERS), max_size=3), how=whose)
    def numbers_are_cancelled(self, numbers: list[int], how: str) -> None:
        """The group, or somebody else, cancels open, failed and finished payments."""
        proof = self.signer(how).sign_cancel(numbers)
        open_ = [number for number in dict.fromkeys(numbers) if not self.ends[number] or number in self.failures]
        fine = how == "group" and bool(open_)
        assert accepted(lambda: self.vault.lockbox.cancel(numbers, proof)) == fine
        if fine:
            assert self.vault.told() == [f"PaymentCancelled {number}" for number in open_]
            for number in open_:
                self.ends[number].append(CANCELLED)
                self.failures.pop(number, None)

    # --- The group, the guardian, and time ---

    @rule(token=is_token, limits=st.tuples(amounts, amounts), percent=st.integers(0, 99), how=whose, skip=pick)
    def asset_is_configured(self, token: bool, limits: tuple[int, int], percent: int, how: str, skip: int) -> None:
        """The group, or somebody else, sets limits and denies an asset now and then; the nonce may be wrong."""
        asset = self.asset(token)
        one = self.holdings[asset]
        signer = self.signer(how)
        nonce = one.nonce + (0 if skip == 0 else 1)
        terms = (*limits, percent >= 80)
        fine = how == "group" and nonce == one.nonce + 1
        assert accepted(lambda: signer.configure(asset, *terms, nonce=nonce)) == fine
        if fine:
            one.nonce, one.denied = nonce, terms[2]
            for budget, limit in zip((one.deposits, one.withdrawals), limits, strict=True):
                budget.spent, budget.window, budget.limit = budget.now(), boa.env.timestamp // WINDOW_SECONDS, limit

    @rule(percent=st.integers(0, 99))
    def key_is_rotated(self, percent: int) -> None:
        """Now and then a new key takes over."""
        if percent >= 60:
            self.vault.rotate(secret_of(f"epoch-{self.vault.epoch}"))

    @rule(guardian=st.booleans(), percent=st.integers(0, 99))
    def vault_is_paused(self, guardian: bool, percent: int) -> None:
        """Now and then the guardian, or somebody else, pauses."""
        if percent < 70:
            return
        fine = guardian and boa.env.timestamp >= self.paused_until + DAY
        assert accepted(lambda: self.vault.lockbox.pause(sender=GUARDIAN if guardian else BOB)) == fine
        if fine:
            self.paused_until, self.pauses = boa.env.timestamp + DAY, self.pauses + 1

    @rule(how=whose, late=st.integers(0, 1))
    def pause_is_ended(self, how: str, late: int) -> None:
        """The group, or somebody else, ends this pause or the one before."""
        signer, nonce = self.signer(how), max(self.pauses - late, 0)
        fine = how == "group" and self.paused and nonce == self.pauses
        assert accepted(lambda: signer.unpause(nonce)) == fine
        if fine:
            self.paused_until = boa.env.timestamp

    @rule(seconds=st.sampled_from([1, WINDOW_SECONDS - 1, WINDOW_SECONDS, DAY]))
    def time_passes(self, seconds: int) -> None:
        """Within a window, to the next, or a day."""
        boa.env.timestamp += seconds

    @rule(refusing=st.booleans(), barred=st.booleans())
    def payees_change(self, refusing: bool, barred: bool) -> None:
        """A payee refuses coin, or takes it again; the token bars another, or does not."""
        self.refusing, self.barred = refusing, barred
        self.payee.behaves(REFUSE if refusing else ACCEPT, ZERO, b"")
        self.token.freezes(BOB, barred)

    # --- What always holds ---

    @invariant()
    def balances_are_conserved(self) -> None:
        """Of each asset the Lockbox holds what was locked less what was paid, claimed and given to carriers."""
        assert boa.env.get_balance(self.vault.address) == self.holdings[ZERO].balance
        assert self.token.held(self.vault.address) == self.holdings[at(self.token)].balance

    @invariant()
    def numbers_end_once(self) -> None:
        """A number has one end; only a failure is followed by a claim or a cancellation."""
        for ends in self.ends.values():
            assert ends in ([], [PAID], [CANCELLED], [FAILED], [FAILED, CLAIMED], [FAILED, CANCELLED])

    def ends_are_as_foretold(self) -> None:
        """What the Lockbox says of each number, of each asset and of itself."""
        lockbox = self.vault.lockbox
        for number, ends in self.ends.items():
            assert lockbox.consumed(number) == bool(ends)
            failure = self.failures.get(number)
            hashed = keccak(encode(["address", "address", "uint256"], failure)) if failure else NOBODY
            assert lockbox.failed(number) == hashed
            assert lockbox.failed_amount(number) == (failure[2] if failure else 0)
        for asset, one in self.holdings.items():
            limits = (one.deposits.limit, one.deposits.now(), one.withdrawals.limit, one.withdrawals.now(), one.denied)
            assert tuple(lockbox.limits(asset)) == limits
            assert lockbox.fees_owed(CARRIER, asset) == one.owed
        found = (lockbox.epoch(), lockbox.key(), lockbox.lock_count(), lockbox.paused_until(), lockbox.pause_count())
        assert found == (self.vault.epoch, self.vault.key, self.locks, self.paused_until, self.pauses)

    # --- Helpers ---

    @property
    def paused(self) -> bool:
        """Whether a pause is running."""
        return bool(boa.env.timestamp < self.paused_until)

    def asset(self, token: bool) -> str:
        """The token or the coin."""
        return at(self.token) if token else ZERO

    def signer(self, how: str) -> Vault:
        """The group, or somebody whose signature must not count."""
        return {
            "group": self.vault,
            "stranger": replace(self.vault, secret=secret_of("stranger")),
            "old epoch": replace(self.vault, epoch=self.vault.epoch + 1 if self.vault.epoch == 0 else 0),
            "other chain": replace(self.vault, chain_id=boa.env.evm.patch.chain_id + 1),
            "other lockbox": replace(self.vault, names=self.other.address),
        }[how]

    @staticmethod
    def copy(one: Holding) -> Holding:
        """A holding that can be changed alone."""
        return replace(one, deposits=replace(one.deposits), withdrawals=replace(one.withdrawals))


TestLockbox = LockboxMachine.TestCase
TestLockbox.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS)
