"""Bonds under any order of honest and greedy acts, step by step beside an exact model of who owns what.

CAUSEWAY_STATEFUL_EXAMPLES=500 makes a long run of it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import boa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.bonds_contract import (
    GROUP,
    REWARD_BPS,
    SLASH_BPS,
    STAKE,
    UNBONDING_SECONDS,
    BondsWorld,
    build_bonds,
    entry,
)
from tests.support.native_contracts import account

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("CAUSEWAY_STATEFUL_EXAMPLES", "8"))
STEPS = 25 if EXAMPLES <= 8 else 60

LABELS = ("ann", "bea", "cem", "dan")
PEOPLE = [account(label).address for label in LABELS]
KEPT = Fraction(10_000 - SLASH_BPS, 10_000)
TINY = Fraction(1, 10**9)
"""More than all carried remainders together: each is below the pool's shares / 2**128."""

pick = st.integers(0, 30)
who = st.integers(0, len(PEOPLE) - 1)
amounts = st.sampled_from([0, 1, 2, 3, 7, 1_000_003, STAKE // 3, STAKE, 5 * STAKE + 1])
fees = st.sampled_from([0, 1, 2, 5, 99, 10**6 + 3, 10**18, 10**40])


@dataclass
class Position:
    """What the model knows of a position."""

    operator: str
    owner: str
    shares: int
    is_open: bool = True
    exact: Fraction = Fraction(0)
    """All that it ever earned, not rounded."""
    claimed: int = 0


@dataclass
class Exit:
    """What the model knows of an unbonding."""

    operator: str
    owner: str
    shares: int
    ready_at: int
    is_paid: bool = False


@dataclass
class Operator:
    """What the model knows of an operator."""

    admitted: bool = False
    voucher: bool = False
    former: bool = False
    storeman: bool = False
    slashed: bool = False
    commission_bps: int = 0
    owed: int = 0
    index: int | None = None

    @property
    def takes_bonds(self) -> bool:
        """Whether bonds may be added."""
        return (self.voucher or self.storeman) and not self.slashed


@dataclass
class Model:
    """What Bonds has to be like."""

    operators: dict[str, Operator] = field(default_factory=lambda: {one: Operator() for one in PEOPLE})
    positions: list[Position] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    stakes: dict[tuple[str, str], Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    """(operator, owner) → what is the owner's of the coin there, not rounded."""
    coin: int = 0
    cut: int = 0
    indices: int = 0
    credited: int = 0
    claimed: int = 0

    def worth(self, operator: str, shares: int) -> int:
        """What shares are worth, in wei."""
        return int(shares * KEPT) if self.operators[operator].slashed else shares

    def open(self, operator: str, owner: str | None = None) -> list[Position]:
        """The open positions with an operator, of one owner or all."""
        return [
            one for one in self.positions
            if one.is_open and one.operator == operator and owner in (None, one.owner)
        ]  # fmt: skip

    def leaving(self, operator: str) -> list[Exit]:
        """What unbonds from an operator."""
        return [one for one in self.exits if not one.is_paid and one.operator == operator]

    def shares(self, operator: str) -> int:
        """An operator's active shares."""
        return sum(one.shares for one in self.open(operator))


_world: list[BondsWorld] = []


@pytest.fixture(scope="module", autouse=True)
def _deployed_before_the_examples() -> None:
    """boa takes back whatever an example deploys, so that the deployment has to be there before the first."""
    _world[:] = [build_bonds()]


class BondsMachine(RuleBasedStateMachine):
    """Anybody does anything at any time; every answer of Bonds is foretold, and every wei and unit is accounted for."""

    def __init__(self) -> None:
        super().__init__()
        self._anchor = boa.env.anchor()
        self._anchor.__enter__()
        self.world = _world[0]
        self.bonds = self.world.bonds
        self.model = Model()
        for one in PEOPLE:
            self.world.fund(one, 10**6 * STAKE)
        # From the start there is something to share, to take and to slash: few examples would get there by chance.
        for number in (0, 1):
            self.owner_admits(number)
            self.voucher_joins(number, extra=number, commission_bps=1_000 * number)
        self.holder_delegates(operator=0, holder=2, amount=STAKE // 3)
        self.storeman_joins(number=3, bond=3, commission_bps=777)

    def teardown(self) -> None:
        """Put the deployment back as it was."""
        self._anchor.__exit__(None, None, None)

    # --- Roles ---

    @rule(number=who)
    def owner_admits(self, number: int) -> None:
        """The owner admits somebody, perhaps again."""
        one = self.model.operators[PEOPLE[number]]
        self.expect(lambda: self.bonds.admit(PEOPLE[number], sender=self.world.owner), not one.admitted)
        one.admitted = True

    @rule(number=who, extra=st.sampled_from([-1, 0, 5]), commission_bps=st.sampled_from([0, 777, 10_000]))
    def voucher_joins(self, number: int, extra: int, commission_bps: int) -> None:
        """Somebody joins as a voucher, admitted or not, with enough or not."""
        address, value = PEOPLE[number], STAKE + extra
        one = self.model.operators[address]
        own = sum(position.shares for position in self.model.open(address, address))
        fine = one.admitted and not (one.voucher or one.former) and own + value >= STAKE
        self.expect(lambda: self.bonds.join(*entry(LABELS[number]), commission_bps, value=value, sender=address), fine)
        if fine:
            one.voucher, one.index = True, self.model.indices
            self.model.indices += 1
            self.take_commission(address, commission_bps)
            self.bonded(address, address, value)

    @rule(number=who, bond=amounts, commission_bps=st.sampled_from([0, 500, 777]))
    def storeman_joins(self, number: int, bond: int, commission_bps: int) -> None:
        """A member of a group becomes an operator, perhaps again, perhaps beside being a voucher."""
        address = PEOPLE[number]
        one = self.model.operators[address]
        self.world.registry.add_storeman(GROUP, address)
        fine = not one.storeman and not one.slashed
        self.expect(lambda: self.bonds.join_as_storeman(GROUP, commission_bps, value=bond, sender=address), fine)
        if fine:
            one.storeman = True
            self.take_commission(address, commission_bps)
            if bond:
                self.bonded(address, address, bond)

    @rule(number=who)
    def voucher_leaves(self, number: int) -> None:
        """A voucher, or somebody else, gives its role up."""
        address = PEOPLE[number]
        one = self.model.operators[address]
        was = one.voucher
        self.expect(lambda: self.bonds.leave(sender=address), was)
        if was:
            one.voucher, one.former = False, True
            (own,) = self.model.open(address, address)
            self.unbonded(own, own.shares)

    # --- Bonds ---

    @rule(operator=who, holder=who, amount=amounts)
    def holder_delegates(self, operator: int, holder: int, amount: int) -> None:
        """Somebody bonds with somebody, perhaps with itself or with one who takes no bonds."""
        at, owner = PEOPLE[operator], PEOPLE[holder]
        fine = self.model.operators[at].takes_bonds and amount > 0
        if operator == holder:
            self.expect(lambda: self.bonds.deposit(value=amount, sender=owner), fine)
        else:
            self.expect(lambda: self.bonds.delegate(at, value=amount, sender=owner), fine)
        if fine:
            self.bonded(at, owner, amount)

    @precondition(lambda self: self.model.positions)
    @rule(number=pick, part=st.sampled_from(["all", "all", "one", "half", "more"]), thief=st.integers(0, 9))
    def position_is_unbonded(self, number: int, part: str, thief: int) -> None:
        """An owner, or a thief, unbonds all or a part of any position, open or closed."""
        id_ = number % len(self.model.positions) + 1
        one = self.model.positions[id_ - 1]
        sender = PEOPLE[thief] if thief < len(PEOPLE) else one.owner
        worth = self.model.worth(one.operator, one.shares)
        amount = {"all": worth, "one": 1, "half": worth // 2, "more": worth + 1}[part]
        shares = one.shares
        if amount < worth:
            kept = KEPT if self.model.operators[one.operator].slashed else Fraction(1)
            shares = -int(-amount // kept)
        fine = sender == one.owner and one.is_open and 0 < amount <= worth
        if self.model.operators[one.operator].voucher and one.owner == one.operator:
            fine = fine and one.shares - shares >= STAKE
        self.expect(lambda: self.bonds.unbond(id_, amount, sender=sender), fine)
        if fine:
            self.unbonded(one, shares)

    @precondition(lambda self: self.model.exits)
    @rule(number=pick, wait=st.booleans())
    def unbonding_is_withdrawn(self, number: int, wait: bool) -> None:
        """Anybody asks for what unbonds to be paid to its owner, too early or not, once or twice."""
        id_ = number % len(self.model.exits) + 1
        one = self.model.exits[id_ - 1]
        if wait:
            boa.env.time_travel(seconds=UNBONDING_SECONDS)
        fine = not one.is_paid and boa.env.timestamp >= one.ready_at
        before = boa.env.get_balance(one.owner)
        self.expect(lambda: self.bonds.withdraw(id_), fine)
        if fine:
            one.is_paid = True
            paid = int(boa.env.get_balance(one.owner)) - int(before)
            assert paid == self.model.worth(one.operator, one.shares)
            self.model.coin -= paid
            self.model.stakes[one.operator, one.owner] -= paid

    # --- Fees ---

    @rule(numbers=st.lists(who, max_size=4, unique=True), amount=fees, honest=st.integers(0, 5))
    def fees_are_credited(self, numbers: list[int], amount: int, honest: int) -> None:
        """The Hub, or somebody who would like to be it, credits fees to any operators."""
        operators = [PEOPLE[number] for number in numbers]
        fine = bool(operators) and honest > 0
        token = self.world.token
        sender = self.world.hub if honest else PEOPLE[0]
        self.expect(lambda: self.bonds.credit(token.address, operators, amount, sender=sender), fine)
        if not fine:
            return
        token.mint(self.bonds.address, amount)
        self.model.credited += amount
        for place, address in enumerate(operators):
            part = amount // len(operators) + (place < amount % len(operators))
            one, shares = self.model.operators[address], self.model.shares(address)
            kept = part * one.commission_bps // 10_000 if shares else part
            one.owed += kept
            for position in self.model.open(address):
                position.exact += Fraction((part - kept) * position.shares, shares)

    @precondition(lambda self: self.model.positions)
    @rule(number=pick)
    def fees_are_claimed(self, number: int) -> None:
        """Anybody has the fees of any position paid to its owner."""
        id_ = number % len(self.model.positions) + 1
        one, token = self.model.positions[id_ - 1], self.world.token
        due, before = self.world.claimable(id_), token.balanceOf(one.owner)
        self.expect(lambda: self.bonds.claim(id_, token.address), due > 0)
        assert token.balanceOf(one.owner) == before + due
        assert self.world.claimable(id_) == 0
        one.claimed += due
        self.model.claimed += due

    @rule(number=who)
    def commission_is_claimed(self, number: int) -> None:
        """Somebody claims what it kept as an operator, if anything."""
        one = self.model.operators[PEOPLE[number]]
        self.expect(lambda: self.bonds.claim_commission(self.world.token.address, sender=PEOPLE[number]), one.owed > 0)
        self.model.claimed += one.owed
        one.owed = 0

    # --- Slashing ---

    @rule(number=who, reporter=who, honest=st.booleans())
    def voucher_is_reported(self, number: int, reporter: int, honest: bool) -> None:
        """Somebody brings evidence against somebody, good or not, perhaps against itself."""
        address, by = PEOPLE[number], account(LABELS[number])
        one = self.model.operators[address]
        fine = honest and (one.voucher or one.former) and not one.slashed
        statements = self.world.attestation(by), self.world.attestation(by, amount=101, vout=0 if honest else 1)
        before = boa.env.get_balance(PEOPLE[reporter])
        self.expect(lambda: self.bonds.report(*statements, sender=PEOPLE[reporter]), fine)
        if fine:
            one.former, one.voucher, one.slashed = True, False, True
            leaving = sum(each.shares for each in self.model.leaving(address))
            held = (self.model.shares(address), leaving)
            cut = sum(shares - int(shares * KEPT) for shares in held)
            reward = cut * REWARD_BPS // 10_000
            assert boa.env.get_balance(PEOPLE[reporter]) - before == reward
            self.model.coin -= reward
            for operator, owner in list(self.model.stakes):
                if operator == address:
                    self.model.stakes[operator, owner] *= KEPT
            assert self.bonds.weigh([address])[0] == 0

    @rule(everything=st.booleans())
    def insurance_is_paid(self, everything: bool) -> None:
        """The owner pays out what slashes took, or tries to pay out more."""
        there = int(self.bonds.insurance())
        amount = there if everything else there + 1
        payee = account("payee").address
        self.expect(lambda: self.bonds.pay_insurance(payee, amount, sender=self.world.owner), everything)
        self.model.coin -= there if everything else 0

    # --- What always holds ---

    @invariant()
    def coin_is_conserved(self) -> None:
        """What is there is what came in less what went out, and is bonds, unbonding bonds and insurance."""
        bonded = 0
        for address in PEOPLE:
            bond, shares, unbonding, unbonding_shares = self.world.pool(address)
            leaving = self.model.leaving(address)
            assert shares == self.model.shares(address)
            assert unbonding_shares == sum(one.shares for one in leaving)
            owed = [self.model.worth(address, one.shares) for one in self.model.open(address)]
            assert sum(owed) <= bond <= sum(owed) + len(owed)
            assert sum(self.model.worth(address, one.shares) for one in leaving) <= unbonding
            bonded += bond + unbonding
        assert self.world.balance() == self.model.coin == bonded + self.bonds.insurance()

    @invariant()
    def weights_are_the_pools_of_active_vouchers(self) -> None:
        """Who is no voucher any more weighs nothing in the very next tally."""
        active = [one for one, its in self.model.operators.items() if its.voucher]
        bits = sum(1 << (self.model.operators[one].index or 0) for one in active)
        total = sum(self.model.shares(one) for one in active)
        assert tuple(self.bonds.weigh(PEOPLE)) == (total, total, bits)
        assert sorted(self.bonds.vouchers()) == sorted(active)

    @invariant()
    def nobody_owns_more_than_its_share(self) -> None:
        """What an owner could still take from an operator is at most what is its own there, before rounding."""
        could: dict[tuple[str, str], int] = defaultdict(int)
        for one in (*self.model.positions, *self.model.exits):
            if one.is_open if isinstance(one, Position) else not one.is_paid:
                could[one.operator, one.owner] += self.model.worth(one.operator, one.shares)
        for which, stake in self.model.stakes.items():
            assert 0 <= could[which] <= stake

    @invariant()
    def fees_are_conserved(self) -> None:
        """Each position has its exact share less at most two units; with the rest they are what was credited."""
        claimable = 0
        for number, one in enumerate(self.model.positions, 1):
            due = self.world.claimable(number)
            assert -TINY < one.exact - one.claimed - due < 2
            claimable += due
        owed = [self.world.owed(address) for address in PEOPLE]
        assert owed == [one.owed for one in self.model.operators.values()]
        balance = self.world.token.balanceOf(self.bonds.address)
        assert balance == self.model.credited - self.model.claimed
        assert 0 <= balance - claimable - sum(owed) <= len(self.model.positions) + len(PEOPLE)

    # --- The model's part ---

    def expect(self, call: Callable[[], object], fine: bool) -> None:
        """Do it, and hold Bonds to what the model foretold."""
        try:
            call()
        except boa.BoaError:
            assert not fine
        else:
            assert fine

    def take_commission(self, address: str, commission_bps: int) -> None:
        """A higher commission would hold later: the model's operators ask for what they have, at most."""
        one = self.model.operators[address]
        present = int(self.bonds.operator(address)[5])
        if commission_bps > present:
            # Announced only, if there were bonds: take it back, so that the model need not know the time.
            self.bonds.set_commission(present, sender=address)
        one.commission_bps = present

    def bonded(self, at: str, owner: str, amount: int) -> None:
        """Coin came in; an operator's own goes together into one position."""
        shares = amount
        if at == owner:
            for old in self.model.open(at, at):
                old.is_open = False
                shares += old.shares
        self.model.positions.append(Position(at, owner, shares))
        self.model.stakes[at, owner] += amount
        self.model.coin += amount

    def unbonded(self, one: Position, shares: int) -> None:
        """A position closed; the rest is a new one."""
        one.is_open = False
        if one.shares > shares:
            self.model.positions.append(Position(one.operator, one.owner, one.shares - shares))
        self.model.exits.append(Exit(one.operator, one.owner, shares, boa.env.timestamp + UNBONDING_SECONDS))


TestBonds = BondsMachine.TestCase
TestBonds.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
