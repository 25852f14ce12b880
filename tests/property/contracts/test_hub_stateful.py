"""The Hub under any order of honest and lying acts, step by step beside a model of what it may accept.

CAUSEWAY_STATEFUL_EXAMPLES=500 makes a long run of it.
"""

from __future__ import annotations

import os

import pytest
from eth_account.signers.local import LocalAccount
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.support.hub_machine import FUNDS, BrakesAndReleases, deployed, pick, whose
from tests.support.hub_model import (
    CANCELLED,
    LIVE,
    MINTED,
    PAID,
    REQUESTED,
    RESERVED,
    RETURNED,
    SETTLED,
    VOIDED,
    Payout,
    Withdrawal,
    accepted,
    bits,
    signatures_of,
    today,
)
from tests.support.native_contracts import (
    NOBODY,
    P2TR,
    POLICY,
    account,
    accounts,
    deposit_id,
    fee_key,
    member,
    outpoint,
    outpoint_id,
    typed,
)

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("CAUSEWAY_STATEFUL_EXAMPLES", "7"))
STEPS = 30 if EXAMPLES <= 12 else 60

MINIMUM, FEE, MINIMUM_WITHDRAWAL, *_ = POLICY
USER = account("user").address

COINS = {outpoint_id(outpoint(number)): number for number in range(6)}
"""The coins of the vault, by outpoint id."""

coins = st.lists(st.integers(0, 5), max_size=3, unique=True)


@pytest.fixture(scope="module", autouse=True)
def _deployed_before_the_examples() -> None:
    """boa takes back whatever an example deploys, so that the deployment has to be there before the first."""
    deployed()


class HubMachine(BrakesAndReleases):
    """Users, vouchers and storemen, who act and lie as they like; every answer of the Hub is foretold."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[bytes, tuple[list[LocalAccount], int]] = {self.world.group: (self.world.storemen, 3)}
        # From the start there is something to withdraw, to pay and to settle: few examples would get there by chance.
        self.deposit_is_minted(coin=0, amount=500_000, other=False, how="quorum")
        self.token = self.world.token
        self.token.approve(self.world.hub.address, 2**256 - 1, sender=USER)
        for amount in (30_000, 40_000, 50_000):
            self.user_withdraws(amount=amount, fee=1_000)
        self.open_withdrawals_are_reserved(points=[0, 1], how="quorum")
        self.evm.fund(FUNDS)
        for _ in range(2):
            self.release_is_requested(amount=1_000_000)

    # --- Deposits ---

    @rule(coin=pick, amount=st.sampled_from([0, MINIMUM - 1, MINIMUM, 90_000, 10**9]), other=st.booleans(), how=whose)
    def deposit_is_minted(self, coin: int, amount: int, other: bool, how: str) -> None:
        """Vouchers attest a deposit, with whatever amount and recipient they like."""
        recipient = account("other").address if other else USER
        deposit = self.world.deposit(f"coin-{coin}", amount, recipient=recipient, group=self.active)
        message = typed(self.world.hub, "DepositAttestation", *deposit)
        signatures, enough = signatures_of(self.world.vouchers, how, 3, message)
        id_ = deposit_id(*deposit[:3])
        fine = enough and id_ not in self.model.deposits and amount >= MINIMUM
        fine = fine and self.model.is_open and self.model.fits("in", amount)
        self.bring(lambda: self.world.hub.mint(deposit, signatures), fine)
        if fine:
            self.model.deposits[id_] = MINTED
            self.model.attested[id_] = amount
            self.model.count("in", amount)
            fee = self.model.fee(amount - FEE)
            self.model.note(NOBODY, bits(how, 3, 4), fee)
            self.model.minted += amount - FEE - fee
            self.model.balance += 0 if other else amount - FEE - fee

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
        service = self.model.fee(amount)
        enough = MINIMUM_WITHDRAWAL <= amount <= self.model.balance and fee < amount - service - 546
        fine = enough and self.model.is_open and self.model.fits("out", amount)
        made = accepted(lambda: ids.append(hub.withdraw(asset, amount, fee, P2TR, sender=USER)))
        assert made == fine
        if fine:
            day = self.model.count("out", amount)
            self.model.withdrawals[ids[0]] = Withdrawal(amount - service, fee, service, day)
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
            self.model.balance += one.amount + one.fee
            if one.counted_on == today():
                self.model.windows["out", today()] -= one.amount + one.fee

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
                self.model.burnt += each.amount + each.fee
                self.model.paid_out += each.amount
            fees = sum(each.fee for each in paid)
            self.model.note(one.group, one.signers, fees // 2)
            self.model.note(NOBODY, bits(how, 3, 4), fees - fees // 2)

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
    def supply_and_pending_fees_are_backed(self) -> None:
        """Supply is what was minted less what was burnt; with the pending fees it is exactly what the reserves are."""
        supply, pending = self.world.hub.supply(self.world.asset), self.world.hub.pending_total(self.world.asset)
        assert supply == self.model.minted - self.model.burnt + self.model.distributed
        assert pending == sum(self.model.pending.values())
        reserves = sum(amount - FEE for amount in self.model.attested.values()) - self.model.paid_out
        assert supply + pending == reserves
        assert self.token.balanceOf(str(self.world.bonds.address)) == self.model.distributed
        for (group, signers), amount in self.model.pending.items():
            assert self.world.hub.pending_fees(self.world.asset, fee_key(group, signers)) == amount

    @invariant()
    def locked_tokens_are_the_open_withdrawals(self) -> None:
        """The Hub holds exactly what open withdrawals locked, and the user what is left to it."""
        found = [self.model.withdrawals[id_] for id_ in self.model.open()]
        locked = sum(one.amount + one.fee for one in found)
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
            and self.model.running
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
            self.note(made[0], replaced, Payout(group, bits(how, *self.size(group)), ids, inputs, inputs[0]))

    def replaced_by(self, ids: tuple[bytes, ...], inputs: tuple[bytes, ...], group: bytes) -> bytes | None:
        """The live payout whose next version a reservation would be, if it is one."""
        for id_, one in self.model.payouts.items():
            if one.status == LIVE and (one.withdrawals, one.group) == (ids, group) and one.anchor in inputs:
                return id_
        return None

    def note(self, id_: bytes, replaced: bytes | None, accepted: Payout) -> None:
        """Take an accepted reservation into the model."""
        if replaced is None:
            assert id_ not in self.model.payouts
            self.model.payouts[id_] = accepted
            for each in accepted.withdrawals:
                self.model.withdrawals[each].status = RESERVED
        else:
            assert id_ == replaced
            one = self.model.payouts[id_]
            self.model.free(one, NOBODY)
            one.older.append(one.inputs)
            one.inputs, one.signers = accepted.inputs, accepted.signers
        self.model.reserved.update(dict.fromkeys(accepted.inputs, id_))

    def size(self, group: bytes) -> tuple[int, int]:
        """Threshold and size of a group."""
        people, threshold = self.groups[group]
        return threshold, len(people)

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
