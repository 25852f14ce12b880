"""The Hub under any order of honest and lying acts, step by step beside a model of what it may accept.

CAUSEWAY_STATEFUL_EXAMPLES=500 makes a long run of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import boa
import pytest
from eth_account.signers.local import LocalAccount
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.native_contracts import (
    NOBODY,
    P2TR,
    POLICY,
    World,
    account,
    accounts,
    build_world,
    deposit_id,
    malleated,
    member,
    outpoint,
    outpoint_id,
    sign,
    typed,
)

EXAMPLES = int(os.environ.get("CAUSEWAY_STATEFUL_EXAMPLES", "12"))
STEPS = 30 if EXAMPLES <= 12 else 60

MINIMUM, FEE, MINIMUM_WITHDRAWAL, _ = POLICY
USER = account("user").address
REQUESTED, RESERVED, SETTLED, CANCELLED = 1, 2, 3, 4
LIVE, PAID, VOIDED = 1, 2, 3
MINTED, RETURNED = 1, 2

COINS = {outpoint_id(outpoint(number)): number for number in range(6)}
"""The coins of the vault, by outpoint id."""

pick = st.integers(0, 7)
coins = st.lists(st.integers(0, 5), max_size=3, unique=True)
lies = ["all", "minority", "one", "nobody", "twice", "twins", "strangers"]
whose = st.sampled_from(["quorum"] * 2 * len(lies) + lies)


@dataclass
class Withdrawal:
    """What the model knows of a withdrawal."""

    amount: int
    max_fee: int
    status: int = REQUESTED
    settled: int = 0


@dataclass
class Payout:
    """What the model knows of a payout."""

    group: bytes
    withdrawals: tuple[bytes, ...]
    inputs: tuple[bytes, ...]
    anchor: bytes
    status: int = LIVE
    older: list[tuple[bytes, ...]] = field(default_factory=list)

    @property
    def version(self) -> int:
        """Which version it is, from 1."""
        return len(self.older) + 1


@dataclass
class Model:
    """What the Hub has to be like. `reserved` knows the bound and barred outpoints alone."""

    deposits: dict[bytes, int] = field(default_factory=dict)
    attested: dict[bytes, int] = field(default_factory=dict)
    withdrawals: dict[bytes, Withdrawal] = field(default_factory=dict)
    payouts: dict[bytes, Payout] = field(default_factory=dict)
    reserved: dict[bytes, bytes] = field(default_factory=dict)
    used: set[tuple[object, ...]] = field(default_factory=set)
    minted: int = 0
    burnt: int = 0
    balance: int = 0
    paused: bool = False

    def open(self) -> list[bytes]:
        """Withdrawals whose tokens are locked."""
        return [id_ for id_, one in self.withdrawals.items() if one.status in (REQUESTED, RESERVED)]

    def free(self, payout: Payout, barred: bytes) -> None:
        """Free the inputs of a payout's version, but for one."""
        for point in payout.inputs:
            if point != barred:
                self.reserved.pop(point, None)


@lru_cache(maxsize=1)
def deployed() -> World:
    """One deployment for all examples, which put it back as it was."""
    return build_world()


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


def signatures_of(people: Sequence[LocalAccount], how: str, quorum: int, message: Any) -> tuple[list[bytes], bool]:
    """Signatures, and whether they are enough: `quorum` of `people` and nothing that is not theirs."""
    good = sign(people[:quorum], message)
    strangers = sign(accounts("stranger", quorum), message)
    return {
        "quorum": (good, True),
        "all": (sign(people, message), True),
        "minority": (good[:-1], False),
        "one": (good[:1], quorum == 1),
        "nobody": ([], False),
        "twice": ([good[0], *good], False),
        "twins": ([good[0], malleated(good[0]), *good[1:]], False),
        "strangers": (strangers, False),
    }[how]


class HubMachine(RuleBasedStateMachine):
    """Users, vouchers and storemen, who act and lie as they like; every answer of the Hub is foretold."""

    def __init__(self) -> None:
        super().__init__()
        self._anchor = boa.env.anchor()
        self.world = replace(deployed())
        self._anchor.__enter__()
        self.model = Model()
        self.groups: dict[bytes, tuple[list[LocalAccount], int]] = {self.world.group: (self.world.storemen, 3)}
        self.active = self.world.group
        self.brought: list[Callable[[], object]] = []
        # From the start there is something to withdraw, to pay and to settle: few examples would get there by chance.
        self.deposit_is_minted(coin=0, amount=500_000, other=False, how="quorum")
        self.token = self.world.token
        self.token.approve(self.world.hub.address, 2**256 - 1, sender=USER)
        for amount in (30_000, 40_000, 50_000):
            self.user_withdraws(amount=amount, fee=1_000)
        self.open_withdrawals_are_reserved(points=[0, 1], how="quorum")

    def teardown(self) -> None:
        """Put the deployment back as it was."""
        self._anchor.__exit__(None, None, None)

    # --- Deposits ---

    @rule(coin=pick, amount=st.sampled_from([0, MINIMUM - 1, MINIMUM, 90_000, 10**9]), other=st.booleans(), how=whose)
    def deposit_is_minted(self, coin: int, amount: int, other: bool, how: str) -> None:
        """Vouchers attest a deposit, with whatever amount and recipient they like."""
        recipient = account("other").address if other else USER
        deposit = self.world.deposit(f"coin-{coin}", amount, recipient=recipient, group=self.active)
        message = typed(self.world.hub, "DepositAttestation", *deposit)
        signatures, enough = signatures_of(self.world.vouchers, how, 3, message)
        id_ = deposit_id(*deposit[:3])
        fine = enough and id_ not in self.model.deposits and amount >= MINIMUM and not self.model.paused
        self.bring(lambda: self.world.hub.mint(deposit, signatures), fine)
        if fine:
            self.model.deposits[id_] = MINTED
            self.model.attested[id_] = amount
            self.model.minted += amount - FEE
            self.model.balance += 0 if other else amount - FEE

    @rule(coin=pick, amount=st.integers(0, 100), how=whose)
    def deposit_is_returned(self, coin: int, amount: int, how: str) -> None:
        """Storemen bar a deposit."""
        group = self.active
        values = (self.world.asset, *outpoint(f"coin-{coin}"), amount, group, 1)
        signatures, enough = self.by_storemen(group, how, "DepositReturn", *values)
        id_ = deposit_id(*values[:3])
        fine = enough and id_ not in self.model.deposits
        self.bring(lambda: self.world.hub.return_deposit(*values, signatures), fine)
        if fine:
            self.model.deposits[id_] = RETURNED

    # --- Withdrawals ---

    @rule(
        amount=st.sampled_from([MINIMUM_WITHDRAWAL - 1, MINIMUM_WITHDRAWAL, 30_000, 40_000, 10**10]),
        fee=st.integers(0, 9_500),
    )
    def user_withdraws(self, amount: int, fee: int) -> None:
        """A user locks tokens, perhaps more than it has."""
        ids: list[bytes] = []
        hub, asset = self.world.hub, self.world.asset
        enough = MINIMUM_WITHDRAWAL <= amount <= self.model.balance and fee < amount - 546
        fine = enough and not self.model.paused
        made = accepted(lambda: ids.append(hub.withdraw(asset, amount, fee, P2TR, sender=USER)))
        assert made == fine
        if fine:
            self.model.withdrawals[ids[0]] = Withdrawal(amount, fee)
            self.model.balance -= amount

    @precondition(lambda self: self.model.withdrawals)
    @rule(number=pick, thief=st.booleans())
    def withdrawal_is_cancelled(self, number: int, thief: bool) -> None:
        """Its owner, or somebody else, asks for the tokens back."""
        id_, one = self.any_withdrawal(number)
        sender = account("thief").address if thief else USER
        fine = not thief and one.status == REQUESTED
        assert accepted(lambda: self.world.hub.cancel(id_, sender=sender)) == fine
        if fine:
            one.status = CANCELLED
            self.model.balance += one.amount

    @precondition(lambda self: self.model.withdrawals)
    @rule(number=pick, fee=st.integers(0, 40_000))
    def fee_limit_is_raised(self, number: int, fee: int) -> None:
        """Its owner lets more go to miners."""
        id_, one = self.any_withdrawal(number)
        fine = one.status in (REQUESTED, RESERVED) and one.max_fee < fee < one.amount - 546
        assert accepted(lambda: self.world.hub.raise_max_fee(id_, fee, sender=USER)) == fine
        if fine:
            one.max_fee = fee

    # --- Payouts ---

    @precondition(lambda self: self.model.withdrawals)
    @rule(numbers=st.lists(pick, max_size=3), points=coins, how=whose, retired=st.booleans())
    def payout_is_reserved(self, numbers: list[int], points: list[int], how: str, retired: bool) -> None:
        """Storemen, perhaps of a group that is not active any more, bind any withdrawals to any coins."""
        group = next(iter(self.groups)) if retired else self.active
        self.reserve(tuple(self.any_withdrawal(number)[0] for number in numbers), points, how, group)

    @precondition(lambda self: self.model.open())
    @rule(points=coins.filter(bool), how=whose)
    def open_withdrawals_are_reserved(self, points: list[int], how: str) -> None:
        """Storemen bind the withdrawals that are requested: what they do when they are honest."""
        ids = [id_ for id_ in self.model.open() if self.model.withdrawals[id_].status == REQUESTED]
        self.reserve(tuple(ids[:2]), points, how, self.active)

    @precondition(lambda self: self.model.payouts)
    @rule(number=pick, points=coins, how=whose, anchor=st.sampled_from(["first", "last", "missing"]))
    def payout_is_replaced(self, number: int, points: list[int], how: str, anchor: str) -> None:
        """Storemen bring a version with the same withdrawals, with or without the anchor, of any payout."""
        _, one = self.any_payout(number)
        spent = [] if anchor == "missing" else [COINS[one.anchor]]
        others = [point for point in points if point not in spent]
        self.reserve(one.withdrawals, [*spent, *others] if anchor == "first" else [*others, *spent], how, one.group)

    @precondition(lambda self: any(one.older for one in self.model.payouts.values()))
    @rule(number=pick, version=pick)
    def older_version_is_brought_back(self, number: int, version: int) -> None:
        """Storemen sign again what was replaced, with the same inputs in the same order."""
        replaced = [one for one in self.model.payouts.values() if one.older]
        one = replaced[number % len(replaced)]
        points = [COINS[point] for point in one.older[version % len(one.older)]]
        self.reserve(one.withdrawals, points, "all", one.group)

    @precondition(lambda self: self.model.payouts)
    @rule(number=pick, fee=st.sampled_from([0, 1, 500, 50_000]), how=whose)
    def payout_is_settled(self, number: int, fee: int, how: str) -> None:
        """Vouchers attest that a payout is final, for what it is or is not."""
        id_, one = self.any_payout(number)
        values = (id_, outpoint(f"paid-{number}")[0], fee)
        message = typed(self.world.hub, "PayoutSettlement", *values)
        signatures, enough = signatures_of(self.world.vouchers, how, 3, message)
        paid = [self.model.withdrawals[each] for each in one.withdrawals]
        fine = enough and one.status == LIVE and fee <= sum(each.max_fee for each in paid)
        self.bring(lambda: self.world.hub.settle(*values, signatures), fine)
        if fine:
            one.status = PAID
            if one.version > 1:
                self.model.free(one, one.anchor)
            for each in paid:
                each.status = SETTLED
                each.settled += 1
                self.model.burnt += each.amount

    @precondition(lambda self: self.model.payouts)
    @rule(number=pick, how=whose)
    def payout_is_voided(self, number: int, how: str) -> None:
        """Vouchers attest that a payout's anchor was spent elsewhere."""
        id_, one = self.any_payout(number)
        values = (id_, outpoint("elsewhere")[0])
        message = typed(self.world.hub, "AnchorSpent", *values)
        signatures, enough = signatures_of(self.world.vouchers, how, 3, message)
        fine = enough and one.status == LIVE
        self.bring(lambda: self.world.hub.void_payout(*values, signatures), fine)
        if fine:
            one.status = VOIDED
            self.model.free(one, one.anchor)
            for each in one.withdrawals:
                self.model.withdrawals[each].status = REQUESTED

    # --- Others ---

    @rule(percent=st.integers(0, 99))
    def asset_is_paused(self, percent: int) -> None:
        """The owner pauses and resumes; most of the time the bridge is open."""
        paused = percent >= 80
        self.world.registry.set_asset_policy(self.world.asset, (*POLICY[:3], paused), sender=self.world.owner)
        self.model.paused = paused

    @precondition(lambda self: len(self.groups) < 3)
    @rule(percent=st.integers(0, 99))
    def group_is_rotated(self, percent: int) -> None:
        """Now and then a new group becomes the active one."""
        number = len(self.groups)
        if percent < 70:
            return
        people = accounts(f"generation-{number}", 3)
        group = self.world.propose(people, 2)
        self.world.activate(group, people, member(people[0], 0)[2])
        self.groups[group] = (people, 2)
        self.active = group

    @precondition(lambda self: self.brought)
    @rule(number=st.integers(0, 100))
    def accepted_call_is_replayed(self, number: int) -> None:
        """Nothing that vouchers or storemen signed is accepted a second time, whenever."""
        assert not accepted(self.brought[number % len(self.brought)])

    # --- What always holds ---

    @invariant()
    def supply_is_backed(self) -> None:
        """Supply is what was minted less what was burnt, and at most the attested deposits less their fees."""
        supply = self.world.hub.supply(self.world.asset)
        assert supply == self.model.minted - self.model.burnt
        assert supply <= sum(amount - FEE for amount in self.model.attested.values())

    @invariant()
    def locked_tokens_are_the_open_withdrawals(self) -> None:
        """The Hub holds exactly what open withdrawals locked, and the user what is left to it."""
        locked = sum(self.model.withdrawals[id_].amount for id_ in self.model.open())
        assert self.token.balanceOf(str(self.world.hub.address)) == locked
        assert self.token.balanceOf(USER) == self.model.balance

    @invariant()
    def withdrawals_and_deposits_end_once(self) -> None:
        """A withdrawal is settled at most once; every status is the foretold one; a deposit has one end."""
        for id_, one in self.model.withdrawals.items():
            assert one.settled <= 1
            assert self.world.hub.withdrawal(id_)[5] == one.status
        ids = list(self.model.deposits)
        assert self.world.hub.deposit_statuses(ids) == [self.model.deposits[id_] for id_ in ids]

    @invariant()
    def coins_and_withdrawals_are_in_one_live_payout(self) -> None:
        """Live payouts share neither a coin nor a withdrawal, and each holds its coins; anchors are never free."""
        seen: set[bytes] = set()
        for id_, one in self.model.payouts.items():
            found = self.world.hub.payout(id_)
            assert (found[2], found[3], found[4]) == (one.anchor, one.version, one.status)
            assert self.world.hub.reserved_by(one.anchor) == id_
            if one.status == LIVE:
                assert not seen & {*one.inputs, *one.withdrawals}
                seen |= {*found[5], *found[6]}
        for point in COINS:
            assert self.world.hub.reserved_by(point) == self.model.reserved.get(point, NOBODY)

    # --- Helpers ---

    def bring(self, call: Callable[[], object], fine: bool) -> None:
        """Make a call whose answer is foretold; keep it for replays if it is accepted."""
        assert accepted(call) == fine
        if fine:
            self.brought.append(call)

    def reserve(self, ids: tuple[bytes, ...], points: list[int], how: str, group: bytes) -> None:
        """Bring a reservation, and do in the model what the Hub has to do."""
        inputs = tuple(outpoint_id(outpoint(number)) for number in points)
        reservation = (group, self.world.asset, list(ids), [outpoint(number) for number in points])
        signed = (group, self.world.asset, list(ids), list(inputs))
        signatures, enough = self.by_storemen(group, how, "PayoutReservation", *signed)
        replaced = self.replaced_by(ids, inputs, group)
        fine = (
            enough
            and bool(ids)
            and bool(inputs)
            and group == self.active
            and (group, ids, inputs) not in self.model.used
        )
        if replaced is None:
            fine = fine and len(set(ids)) == len(ids)
            fine = fine and all(self.model.withdrawals[id_].status == REQUESTED for id_ in ids)
        freed = set() if replaced is None else set(self.model.payouts[replaced].inputs)
        fine = fine and len(set(inputs)) == len(inputs)
        fine = fine and all(point in freed or point not in self.model.reserved for point in inputs)
        made: list[bytes] = []
        self.bring(lambda: made.append(self.world.hub.reserve(reservation, signatures)), fine)
        if fine:
            self.model.used.add((group, ids, inputs))
            self.note(made[0], replaced, group, ids, inputs)

    def replaced_by(self, ids: tuple[bytes, ...], inputs: tuple[bytes, ...], group: bytes) -> bytes | None:
        """The live payout whose next version a reservation would be, if it is one."""
        for id_, one in self.model.payouts.items():
            if one.status == LIVE and (one.withdrawals, one.group) == (ids, group) and one.anchor in inputs:
                return id_
        return None

    def note(
        self, id_: bytes, replaced: bytes | None, group: bytes, ids: tuple[bytes, ...], inputs: tuple[bytes, ...]
    ) -> None:
        """Take an accepted reservation into the model."""
        if replaced is None:
            assert id_ not in self.model.payouts
            self.model.payouts[id_] = Payout(group, ids, inputs, inputs[0])
            for each in ids:
                self.model.withdrawals[each].status = RESERVED
        else:
            assert id_ == replaced
            one = self.model.payouts[id_]
            self.model.free(one, NOBODY)
            one.older.append(one.inputs)
            one.inputs = inputs
        self.model.reserved.update(dict.fromkeys(inputs, id_))

    def by_storemen(self, group: bytes, how: str, name: str, *values: object) -> tuple[list[bytes], bool]:
        """Signatures of a group's storemen, and whether they are a quorum."""
        people, threshold = self.groups[group]
        return signatures_of(people, how, threshold, typed(self.world.hub, name, *values))

    def any_withdrawal(self, number: int) -> tuple[bytes, Withdrawal]:
        """One of the withdrawals."""
        return list(self.model.withdrawals.items())[number % len(self.model.withdrawals)]

    def any_payout(self, number: int) -> tuple[bytes, Payout]:
        """One of the payouts."""
        return list(self.model.payouts.items())[number % len(self.model.payouts)]


TestHub = HubMachine.TestCase
TestHub.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS)
