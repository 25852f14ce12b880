"""Bonds: depositing, delegating, unbonding and withdrawing coin, with and without a slash."""

from __future__ import annotations

from collections.abc import Iterator

import boa
import pytest
from boa.contracts.abi.abi_contract import ABIContract

from tests.support.bonds_contract import (
    STAKE,
    UNBONDING_SECONDS,
    BondsWorld,
    build_bonds,
    set_variable,
    stand_in,
)
from tests.support.native_contracts import ZERO, account, event, events, refused

LIAR = account("liar")
OPERATOR = LIAR.address
ALICE, BOB = account("alice").address, account("bob").address
REPORTER = account("reporter").address


@pytest.fixture(scope="module")
def _deployed() -> BondsWorld:
    return build_bonds()


@pytest.fixture
def world(_deployed: BondsWorld) -> Iterator[BondsWorld]:
    """Bonds without anybody in it."""
    with boa.env.anchor():
        yield _deployed


@pytest.fixture
def joined(world: BondsWorld) -> BondsWorld:
    """The same with one voucher that bonds the minimum."""
    world.join(LIAR)
    return world


def took(world: BondsWorld, who: str, unbonding: int) -> int:
    """Withdraw, and say what arrived at an account."""
    before = boa.env.get_balance(who)
    world.bonds.withdraw(unbonding, sender=account("anybody").address)
    return int(boa.env.get_balance(who)) - before


# --- In ---------------------------------------------------------------------------------------------------------------


def test_deposit_joins_what_was_there(joined: BondsWorld) -> None:
    """An operator has one open position of its own: what it adds goes with the rest into a new one, and weighs."""
    assert joined.deposit(OPERATOR, 10) == 2
    assert events(joined.bonds) == [
        ("Bonded", {"position": 2, "operator": OPERATOR, "owner": OPERATOR, "amount": STAKE + 10}),
        ("PositionClosed", {"position": 1, "into": 2}),
        ("WeightChanged", {"account": OPERATOR, "weight": STAKE + 10, "total": STAKE + 10}),
    ]
    assert tuple(joined.bonds.position(1)) == (OPERATOR, OPERATOR, STAKE, 1, 2)
    assert tuple(joined.bonds.position(2)) == (OPERATOR, OPERATOR, STAKE + 10, 2, 0)
    assert (joined.bonds.worth(1), joined.bonds.worth(2), joined.bonds.worth(3)) == (0, STAKE + 10, 0)
    assert joined.own(OPERATOR) == joined.bonds.position_count() == 2


def test_delegation_adds_weight_and_opens_a_position_each_time(joined: BondsWorld) -> None:
    """What a holder delegates counts for the voucher at once; its positions stay apart."""
    assert joined.delegate(OPERATOR, ALICE, 7) == 2
    assert events(joined.bonds) == [
        ("Bonded", {"position": 2, "operator": OPERATOR, "owner": ALICE, "amount": 7}),
        ("WeightChanged", {"account": OPERATOR, "weight": STAKE + 7, "total": STAKE + 7}),
    ]
    assert joined.delegate(OPERATOR, ALICE, 8) == 3
    assert joined.pool(OPERATOR) == (STAKE + 15, STAKE + 15, 0, 0)
    assert joined.bonds.voucher(OPERATOR)[3] == joined.bonds.total_weight() == joined.balance() == STAKE + 15
    assert joined.own(OPERATOR) == 1


def test_an_operator_that_delegates_to_itself_deposits(joined: BondsWorld) -> None:
    """There is one kind of own bond, which the minimum and leaving are about."""
    assert joined.delegate(OPERATOR, OPERATOR, 3) == joined.own(OPERATOR) == 2
    assert joined.bonds.worth(2) == STAKE + 3


def test_bonds_go_to_operators_and_are_something(joined: BondsWorld) -> None:
    """Nothing sent, and nobody to hold it, are refused."""
    for act in (lambda: joined.deposit(ALICE, 1), lambda: joined.delegate(BOB, ALICE, 1)):
        with refused("Bonds: not an operator"):
            act()
    for act in (lambda: joined.deposit(OPERATOR, 0), lambda: joined.delegate(OPERATOR, ALICE, 0)):
        with refused("Bonds: nothing sent"):
            act()


def test_a_pool_stays_below_2_to_the_128(joined: BondsWorld) -> None:
    """Sums that could overflow the fees' arithmetic are refused before they are bonded."""
    joined.delegate(OPERATOR, ALICE, 2**128 - 1 - STAKE)
    with refused("Bonds: too much bonded"):
        joined.delegate(OPERATOR, ALICE, 1)


def test_coin_forced_in_changes_no_share(joined: BondsWorld) -> None:
    """The first depositor cannot make shares dear for those who come later: what is donated is not counted."""
    joined.join_as_storeman(BOB, 1)
    boa.env.set_balance(str(joined.bonds.address), joined.balance() + 10**24)
    position = joined.delegate(BOB, ALICE, 5)
    assert (joined.bonds.position(position)[2], joined.bonds.worth(position)) == (5, 5)
    assert (joined.bonds.worth(joined.own(BOB)), joined.bonds.worth(1)) == (1, STAKE)
    joined.lie(LIAR, REPORTER)
    assert joined.bonds.worth(1) == STAKE * 3 // 4


# --- Out --------------------------------------------------------------------------------------------------------------


def test_unbonding_all_of_a_position(joined: BondsWorld) -> None:
    """It weighs nothing from then on, and is paid once, to its owner, after the time and not a second earlier."""
    position = joined.delegate(OPERATOR, ALICE, 100)
    ready_at = boa.env.timestamp + UNBONDING_SECONDS
    assert joined.bonds.unbond(position, 100, sender=ALICE) == 1
    assert events(joined.bonds) == [
        ("PositionClosed", {"position": position, "into": 0}),
        ("Unbonding", {"id": 1, "operator": OPERATOR, "owner": ALICE, "amount": 100, "ready_at": ready_at}),
        ("WeightChanged", {"account": OPERATOR, "weight": STAKE, "total": STAKE}),
    ]
    assert tuple(joined.bonds.unbonding(1)) == (OPERATOR, ALICE, 100, ready_at)
    assert joined.pool(OPERATOR) == (STAKE, STAKE, 100, 100)
    joined.wait(UNBONDING_SECONDS - 1)
    with refused("Bonds: not ready"):
        joined.bonds.withdraw(1, sender=ALICE)
    joined.wait(1)
    assert joined.bonds.unbonding_worth(1) == 100
    assert took(joined, ALICE, 1) == 100
    assert event(joined.bonds, "Withdrawn") == {"id": 1, "owner": ALICE, "amount": 100}
    assert joined.pool(OPERATOR) == (STAKE, STAKE, 0, 0)
    assert joined.balance() == STAKE
    assert tuple(joined.bonds.unbonding(1)) == (ZERO, ZERO, 0, 0)
    assert joined.bonds.unbonding_worth(1) == 0
    with refused("Bonds: no such unbonding"):
        joined.bonds.withdraw(1, sender=ALICE)


def test_unbonding_a_part_leaves_a_new_position_with_the_rest(joined: BondsWorld) -> None:
    """The rest keeps its owner and its pool; the old position is closed."""
    position = joined.delegate(OPERATOR, ALICE, 100)
    joined.bonds.unbond(position, 30, sender=ALICE)
    assert events(joined.bonds)[:2] == [
        ("Bonded", {"position": position + 1, "operator": OPERATOR, "owner": ALICE, "amount": 70}),
        ("PositionClosed", {"position": position, "into": position + 1}),
    ]
    closed, opened = joined.bonds.position(position), joined.bonds.position(position + 1)
    assert (opened[2], opened[3], opened[4]) == (70, closed[4], 0)
    assert joined.bonds.weight_of(OPERATOR) == STAKE + 70
    with refused("Bonds: position closed"):
        joined.bonds.unbond(position, 1, sender=ALICE)


def test_only_the_owner_unbonds_and_only_what_there_is(joined: BondsWorld) -> None:
    """Others' positions, unknown ones, nothing, and more than there is are refused."""
    position = joined.delegate(OPERATOR, ALICE, 100)
    for who, which in ((OPERATOR, position), (BOB, position), (ALICE, 99)):
        with refused("Bonds: not the owner"):
            joined.bonds.unbond(which, 1, sender=who)
    with refused("Bonds: nothing to unbond"):
        joined.bonds.unbond(position, 0, sender=ALICE)
    with refused("Bonds: more than the position"):
        joined.bonds.unbond(position, 101, sender=ALICE)
    with refused("Bonds: no such unbonding"):
        joined.bonds.withdraw(1, sender=ALICE)


def test_a_voucher_keeps_its_minimum(joined: BondsWorld) -> None:
    """An active voucher unbonds down to the minimum of its own bond, whatever others delegated; to go on it leaves."""
    joined.delegate(OPERATOR, ALICE, 5 * STAKE)
    position = joined.deposit(OPERATOR, 10)
    for amount in (11, STAKE + 10):
        with refused("Bonds: below minimum stake"):
            joined.bonds.unbond(position, amount, sender=OPERATOR)
    joined.bonds.unbond(position, 10, sender=OPERATOR)
    assert joined.bonds.worth(joined.own(OPERATOR)) == STAKE
    assert joined.bonds.weight_of(OPERATOR) == 6 * STAKE


def test_an_operator_that_unbonded_all_can_bond_again(world: BondsWorld) -> None:
    """A storeman's pool may be empty for a time; the next own bond opens a position of its own."""
    world.join_as_storeman(BOB, 10)
    world.bonds.unbond(1, 10, sender=BOB)
    assert world.own(BOB) == 0
    world.deposit(BOB, 4)
    assert (world.own(BOB), world.pool(BOB)) == (2, (4, 4, 10, 10))


def test_several_unbondings_are_withdrawn_each_at_its_time(joined: BondsWorld) -> None:
    """One that began later waits longer, and none is paid from another's part."""
    first, second = joined.delegate(OPERATOR, ALICE, 100), joined.delegate(OPERATOR, BOB, 50)
    joined.bonds.unbond(first, 100, sender=ALICE)
    joined.wait(10)
    joined.bonds.unbond(second, 20, sender=BOB)
    joined.wait(UNBONDING_SECONDS - 10)
    assert took(joined, ALICE, 1) == 100
    with refused("Bonds: not ready"):
        joined.bonds.withdraw(2)
    joined.wait(10)
    assert took(joined, BOB, 2) == 20
    assert joined.pool(OPERATOR) == (STAKE + 30, STAKE + 30, 0, 0)


# --- After a slash ----------------------------------------------------------------------------------------------------


def test_delegators_and_those_who_unbond_bear_their_part(joined: BondsWorld) -> None:
    """A slash takes a quarter from own, delegated and unbonding coin alike; none can leave faster than the evidence."""
    alice, bob = joined.delegate(OPERATOR, ALICE, 100), joined.delegate(OPERATOR, BOB, 41)
    joined.bonds.unbond(bob, 41, sender=BOB)
    joined.wait(UNBONDING_SECONDS)
    joined.lie(LIAR, REPORTER)
    assert (joined.bonds.worth(1), joined.bonds.worth(alice)) == (STAKE * 3 // 4, 75)
    assert joined.bonds.unbonding_worth(1) == 30
    assert took(joined, BOB, 1) == 30
    joined.bonds.unbond(alice, 75, sender=ALICE)
    joined.wait()
    assert took(joined, ALICE, 2) == 75


def test_a_part_of_a_cut_position_is_exact(joined: BondsWorld) -> None:
    """After a slash too, exactly what was asked for is unbonded, and the rest is never more than it was."""
    position = joined.delegate(OPERATOR, ALICE, 101)
    joined.lie(LIAR, REPORTER)
    assert joined.bonds.worth(position) == 75
    joined.bonds.unbond(position, 20, sender=ALICE)
    assert event(joined.bonds, "Unbonding")["amount"] == joined.bonds.unbonding_worth(1) == 20
    rest = joined.bonds.position_count()
    assert joined.bonds.position(rest)[2] == 74
    assert joined.bonds.worth(rest) == 55
    with refused("Bonds: more than the position"):
        joined.bonds.unbond(rest, 56, sender=ALICE)
    joined.bonds.unbond(rest, 55, sender=ALICE)
    joined.wait()
    assert (took(joined, ALICE, 1), took(joined, ALICE, 2)) == (20, 55)


def test_the_own_bond_of_a_slashed_voucher_may_go(joined: BondsWorld) -> None:
    """It is no voucher any more, so that no minimum holds it."""
    joined.lie(LIAR, REPORTER)
    joined.bonds.unbond(1, 1, sender=OPERATOR)
    joined.bonds.unbond(2, joined.bonds.worth(2), sender=OPERATOR)
    joined.wait()
    assert took(joined, OPERATOR, 1) + took(joined, OPERATOR, 2) in (STAKE * 3 // 4, STAKE * 3 // 4 - 1)
    assert joined.bonds.insurance() == joined.balance()


def test_what_rounding_leaves_becomes_insurance(joined: BondsWorld) -> None:
    """When the last share of a slashed pool has gone, no wei is left over that nobody owns."""
    positions = [joined.delegate(OPERATOR, ALICE, 1) for _ in range(5)]
    joined.bonds.unbond(positions[0], 1, sender=ALICE)
    joined.bonds.unbond(positions[1], 1, sender=ALICE)
    joined.lie(LIAR, REPORTER)
    assert joined.pool(OPERATOR) == ((STAKE + 3) * 3 // 4, STAKE + 3, 1, 2)
    joined.wait()
    assert (took(joined, ALICE, 1), took(joined, ALICE, 2)) == (0, 0)
    assert joined.pool(OPERATOR)[2:] == (0, 0)
    assert joined.balance() == joined.pool(OPERATOR)[0] + joined.bonds.insurance()
    with refused("Bonds: more than the position"):
        joined.bonds.unbond(positions[2], 1, sender=ALICE)


def test_a_pool_cut_to_nothing_stays_nothing() -> None:
    """With a slash of everything, positions are worth nothing for ever, and nobody can buy in for a wei."""
    with boa.env.anchor():
        world = build_bonds(slash_bps=10_000)
        world.join(LIAR)
        position = world.delegate(OPERATOR, ALICE, 10)
        leaving = world.delegate(OPERATOR, BOB, 10)
        world.bonds.unbond(leaving, 10, sender=BOB)
        world.lie(LIAR, REPORTER)
        assert world.pool(OPERATOR) == (0, STAKE + 10, 0, 10)
        assert (world.bonds.worth(position), world.bonds.unbonding_worth(1)) == (0, 0)
        with refused("Bonds: slashed"):
            world.delegate(OPERATOR, ALICE, 1)
        with refused("Bonds: more than the position"):
            world.bonds.unbond(position, 1, sender=ALICE)
        world.wait()
        assert took(world, BOB, 1) == 0


# --- Who is a contract ------------------------------------------------------------------------------------------------


@pytest.fixture
def holder(joined: BondsWorld) -> ABIContract:
    """A contract that has 100 wei delegated to the voucher in position 2, all of it ready to be withdrawn as 1."""
    made = stand_in("holder", joined.bonds.address)
    joined.fund(ALICE, 100)
    made.act(joined.bonds.delegate.prepare_calldata(OPERATOR), 100, value=100, sender=ALICE)
    made.act(joined.bonds.unbond.prepare_calldata(2, 100), 0)
    joined.wait()
    return made


def test_an_owner_that_refuses_coin_harms_itself_alone(joined: BondsWorld, holder: ABIContract) -> None:
    """Its withdrawal is refused and kept for later; others' go on."""
    position = joined.delegate(OPERATOR, BOB, 9)
    joined.bonds.unbond(position, 9, sender=BOB)
    joined.wait()
    holder.behave(True, b"")
    with refused("Bonds: payment refused"):
        joined.bonds.withdraw(1)
    assert took(joined, BOB, 2) == 9
    holder.behave(False, b"")
    assert took(joined, str(holder.address), 1) == 100


def test_an_owner_that_calls_back_gets_nothing_twice(joined: BondsWorld, holder: ABIContract) -> None:
    """While coin is paid out, no function of Bonds can be entered, neither the same nor another."""
    bonds = joined.bonds
    for answer in (
        bonds.withdraw.prepare_calldata(1),
        bonds.unbond.prepare_calldata(1, 1),
        bonds.claim.prepare_calldata(1, joined.token.address),
        bonds.weigh.prepare_calldata([OPERATOR]),
        bonds.leave.prepare_calldata(),
    ):
        with boa.env.anchor():
            holder.behave(False, answer)
            assert took(joined, str(holder.address), 1) == 100
            assert (holder.tries(), holder.accepted()) == (1, 0)
            assert joined.balance() == STAKE


def test_insurance_is_paid_by_the_owner_and_no_more_than_there_is(joined: BondsWorld) -> None:
    """Nobody else pays it, it goes to somebody, and bonds are not touched."""
    joined.lie(LIAR, REPORTER)
    there = joined.bonds.insurance()
    with refused("ownable: caller is not the owner"):
        joined.bonds.pay_insurance(BOB, 1, sender=REPORTER)
    with refused("Bonds: zero account"):
        joined.bonds.pay_insurance(ZERO, 1, sender=joined.owner)
    with refused("Bonds: more than the insurance"):
        joined.bonds.pay_insurance(BOB, there + 1, sender=joined.owner)
    joined.bonds.pay_insurance(BOB, there, sender=joined.owner)
    assert event(joined.bonds, "InsurancePaid") == {"to": BOB, "amount": there}
    assert boa.env.get_balance(BOB) == there
    assert joined.bonds.insurance() == 0
    assert joined.balance() == joined.pool(OPERATOR)[0]


def test_insurance_that_is_refused_stays(joined: BondsWorld) -> None:
    """A payee that takes no coin makes the payment fail as a whole."""
    payee = stand_in("holder", joined.bonds.address)
    payee.behave(True, b"")
    set_variable(joined, "insurance", 10)
    with refused("Bonds: payment refused"):
        joined.bonds.pay_insurance(payee.address, 10, sender=joined.owner)
    assert joined.bonds.insurance() == 10
