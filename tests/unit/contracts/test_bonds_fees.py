"""Bonds: fees, shared by participation and by bond, to the last unit."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import boa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bonds_contract import STAKE, BondsWorld, build_bonds, stand_in
from tests.support.native_contracts import ZERO, account, event, events, execution_gas, refused, refused_silently

LIAR = account("liar")
OPERATOR = LIAR.address
OTHER, THIRD = account("other operator").address, account("third operator").address
ALICE, BOB = account("alice").address, account("bob").address
STRANGER = account("stranger").address


@pytest.fixture(scope="module")
def _deployed() -> BondsWorld:
    return build_bonds()


@pytest.fixture
def world(_deployed: BondsWorld) -> Iterator[BondsWorld]:
    """Bonds without anybody in it."""
    with boa.env.anchor():
        yield _deployed


@pytest.fixture
def pool(world: BondsWorld) -> BondsWorld:
    """The same with a storeman that bonds 10 wei (position 1) and takes no commission."""
    world.join_as_storeman(OTHER, 10)
    return world


def held(world: BondsWorld, who: str) -> int:
    """How much of the token an account has."""
    return int(world.token.balanceOf(who))


# --- Who gets what ----------------------------------------------------------------------------------------------------


def test_only_the_hub_credits(pool: BondsWorld) -> None:
    """Nobody else can invent fees, which would be paid from others'."""
    for who in (pool.owner, OTHER, str(pool.registry.address)):
        with refused("Bonds: not the Hub"):
            pool.bonds.credit(pool.token.address, [OTHER], 1, sender=who)


def test_parts_are_equal_and_the_first_ones_get_what_is_left(world: BondsWorld) -> None:
    """11 among three is 4, 4 and 3; each part is told."""
    world.credit([OPERATOR, OTHER, THIRD], 11)
    assert [(name, fields["operator"], fields["amount"]) for name, fields in events(world.bonds)] == [
        ("FeesCredited", OPERATOR, 4), ("FeesCredited", OTHER, 4), ("FeesCredited", THIRD, 3)
    ]  # fmt: skip
    assert [world.owed(who) for who in (OPERATOR, OTHER, THIRD)] == [4, 4, 3]


def test_fewer_units_than_operators_go_to_the_first_ones(world: BondsWorld) -> None:
    """One unit among two is one and none; none at all is nothing."""
    world.credit([OTHER, THIRD], 1)
    assert [name for name, _ in events(world.bonds)] == ["FeesCredited"]
    assert (world.owed(OTHER), world.owed(THIRD)) == (1, 0)
    world.credit([OTHER], 0)
    assert events(world.bonds) == []


def test_fees_have_somebody_to_go_to(world: BondsWorld) -> None:
    """No operators, the zero account, and more than a hundred are refused."""
    with refused("Bonds: no operators"):
        world.credit([], 1)
    with refused("Bonds: zero account"):
        world.credit([OTHER, ZERO], 1)
    with refused_silently():
        world.credit([OTHER] * 101, 101)
    world.credit([OTHER] * 100, 101)
    assert world.owed(OTHER) == 101


def test_a_part_is_commission_and_the_rest_by_share(world: BondsWorld) -> None:
    """Of 1,000 with 10 % commission the operator keeps 100, and positions of 10 and 30 share 900."""
    world.join_as_storeman(OTHER, 10, 1_000)
    position = world.delegate(OTHER, ALICE, 30)
    world.credit([OTHER], 1_000)
    assert (world.owed(OTHER), world.claimable(1), world.claimable(position)) == (100, 225, 675)
    assert world.bonds.claim(position, world.token.address, sender=STRANGER) == 675
    assert event(world.bonds, "FeesClaimed") == {"owner": ALICE, "token": world.token.address, "amount": 675}
    assert world.bonds.claim_commission(world.token.address, sender=OTHER) == 100
    assert event(world.bonds, "FeesClaimed") == {"owner": OTHER, "token": world.token.address, "amount": 100}
    world.bonds.claim(1, world.token.address)
    assert (held(world, ALICE), held(world, OTHER), held(world, str(world.bonds.address))) == (675, 325, 0)


def test_all_of_an_operator_that_keeps_all(world: BondsWorld) -> None:
    """A commission of 100 % leaves its delegators nothing, and says so beforehand."""
    world.join_as_storeman(OTHER, 10, 10_000)
    world.credit([OTHER], 999)
    assert (world.owed(OTHER), world.claimable(1)) == (999, 0)


def test_who_holds_no_bonds_gets_its_part_alone(world: BondsWorld) -> None:
    """An operator without a pool, never joined or empty, keeps all of its part."""
    world.join_as_storeman(OTHER, 10)
    world.bonds.unbond(1, 10, sender=OTHER)
    world.credit([OTHER, THIRD], 10)
    assert (world.owed(OTHER), world.owed(THIRD), world.claimable(1)) == (5, 5, 0)


def test_work_done_is_paid_after_leaving_and_after_a_slash(world: BondsWorld) -> None:
    """What was pending when an operator left, or was caught, is shared among those still bonded with it."""
    world.join(LIAR)
    position = world.delegate(OPERATOR, ALICE, STAKE)
    world.bonds.leave(sender=OPERATOR)
    world.credit([OPERATOR], STAKE)
    assert (world.claimable(position), world.claimable(1), world.owed(OPERATOR)) == (STAKE, 0, 0)
    world.lie(LIAR, STRANGER)
    world.credit([OPERATOR], STAKE)
    assert world.claimable(position) == 2 * STAKE
    world.bonds.unbond(position, world.bonds.worth(position), sender=ALICE)
    world.credit([OPERATOR], STAKE)
    assert (world.claimable(position), world.owed(OPERATOR)) == (2 * STAKE, STAKE)


# --- When -------------------------------------------------------------------------------------------------------------


def test_a_position_earns_between_opening_and_closing(pool: BondsWorld) -> None:
    """Nothing of what was credited before it opened or after it closed, and all of what was in between, for ever."""
    pool.credit([OTHER], 1_000)
    position = pool.delegate(OTHER, ALICE, 10)
    assert pool.claimable(position) == 0
    pool.credit([OTHER], 100)
    pool.credit([OTHER], 10)
    pool.bonds.unbond(position, 10, sender=ALICE)
    for number in range(20):
        pool.credit([OTHER], 7)
        pool.delegate(OTHER, BOB, 1 + number)
    assert pool.claimable(position) == 55
    pool.wait(10**8)
    pool.bonds.claim(position, pool.token.address)
    assert held(pool, ALICE) == 55


def test_a_position_opened_and_closed_at_once_earns_nothing(pool: BondsWorld) -> None:
    """Credits around a moment, in one transaction or many, are told apart by the moment's number, not by time."""
    pool.credit([OTHER], 100)
    position = pool.delegate(OTHER, ALICE, 10)
    pool.bonds.unbond(position, 10, sender=ALICE)
    pool.credit([OTHER], 100)
    assert pool.claimable(position) == 0
    assert pool.claimable(1) == 200


def test_a_deposit_and_a_part_withdrawn_lose_no_fees(pool: BondsWorld) -> None:
    """Merging and splitting close a position and open another at the same moment: earning goes on without a gap."""
    pool.credit([OTHER], 100)
    second = pool.deposit(OTHER, 10)
    pool.credit([OTHER], 50)
    pool.bonds.unbond(second, 15, sender=OTHER)
    third = pool.own(OTHER)
    pool.credit([OTHER], 5)
    assert [pool.claimable(one) for one in (1, second, third)] == [100, 50, 5]


def test_claims_are_found_among_many_checkpoints(pool: BondsWorld) -> None:
    """Positions opened between any two of forty credits earn exactly the later ones."""
    positions, expected = [], []
    for number in range(40):
        positions.append(pool.delegate(OTHER, ALICE, 1))
        pool.credit([OTHER], (10 + len(positions)) * (number + 1))
        expected = [sum_ + number + 1 for sum_ in (*expected, 0)]
    assert [pool.claimable(one) for one in positions] == expected
    assert pool.claimable(1) == 10 * expected[0]


def test_credits_between_two_moments_share_a_checkpoint(pool: BondsWorld) -> None:
    """Fees that come often take no new storage, unless a position opened or closed in between."""
    gas = []
    for opens in (True, False, False, True):
        if opens:
            pool.delegate(OTHER, ALICE, 1)
        pool.credit([OTHER], 100)
        gas.append(execution_gas(pool.bonds))
    assert max(gas[1:3]) + 15_000 < gas[3]


def test_tokens_are_apart(pool: BondsWorld) -> None:
    """What is credited in one token cannot be claimed in another."""
    pool.credit([OTHER], 100)
    pool.credit([OTHER], 7, pool.other_token)
    pool.bonds.claim(1, pool.other_token.address)
    assert (pool.claimable(1), pool.claimable(1, pool.other_token)) == (100, 0)
    with refused("Bonds: nothing to claim"):
        pool.bonds.claim(1, pool.other_token.address)


# --- Claiming ---------------------------------------------------------------------------------------------------------


def test_nothing_is_paid_twice(pool: BondsWorld) -> None:
    """A claim takes all there is; the next needs new fees, and an unknown position has none."""
    pool.credit([OTHER], 100)
    pool.bonds.claim(1, pool.token.address)
    for act in (
        lambda: pool.bonds.claim(1, pool.token.address),
        lambda: pool.bonds.claim(99, pool.token.address),
        lambda: pool.bonds.claim_commission(pool.token.address, sender=OTHER),
    ):
        with refused("Bonds: nothing to claim"):
            act()
    pool.credit([OTHER], 10)
    assert pool.bonds.claim(1, pool.token.address) == 10


def test_claiming_often_loses_nothing(pool: BondsWorld) -> None:
    """Two positions that share 1 unit thirty times have 15 each, however often they claim in between."""
    position = pool.delegate(OTHER, ALICE, 10)
    for _ in range(30):
        pool.credit([OTHER], 1)
        if pool.claimable(position):
            pool.bonds.claim(position, pool.token.address)
    assert held(pool, ALICE) == 15
    assert pool.claimable(1) == 15


def test_remainders_are_carried_also_when_the_pool_changes(world: BondsWorld) -> None:
    """What a pool of 3·2**126 cannot divide, a quarter of each unit here, is not lost: it counts with the next unit."""
    world.join_as_storeman(OTHER, 3 * 2**126)
    for _ in range(8):
        world.credit([OTHER], 1)
    assert world.claimable(1) == 7  # 7.5; it would be 6 if the remainders were dropped
    world.bonds.unbond(1, 3 * 2**126 - 2**125, sender=OTHER)
    world.credit([OTHER], 1)
    assert world.claimable(world.own(OTHER)) == 1  # 1.5
    world.delegate(OTHER, ALICE, 2**125)
    world.credit([OTHER], 1)
    assert world.claimable(2) == 2


def test_amounts_near_2_to_the_256_are_shared(world: BondsWorld) -> None:
    """A token with absurd amounts stops neither crediting nor claiming: 2**255 for two positions of one wei each."""
    world.join_as_storeman(OTHER, 1, 3_333)
    position = world.delegate(OTHER, ALICE, 1)
    amount = 2**255
    world.credit([OTHER], amount)
    commission = amount * 3_333 // 10_000
    assert world.owed(OTHER) == commission
    assert world.claimable(position) == world.claimable(1) == (amount - commission) // 2
    world.bonds.claim(position, world.token.address)
    assert held(world, ALICE) == (amount - commission) // 2


def test_tiny_fees_for_huge_bonds_add_up(world: BondsWorld) -> None:
    """One unit for a pool near 2**128 wei is carried until it can be paid."""
    world.join_as_storeman(OTHER, 2**127)
    position = world.delegate(OTHER, ALICE, 2**127 - 1)
    for _ in range(4):
        world.credit([OTHER], 1)
    assert (world.claimable(1), world.claimable(position)) in ((2, 1), (1, 1))
    assert sum(world.claimable(one) for one in (1, position)) <= 4


# --- Tokens that misbehave --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("manner", "reason"), [(1, "Bonds: transfer failed"), (2, "token: no")])
def test_a_transfer_that_fails_keeps_the_claim(pool: BondsWorld, manner: int, reason: str) -> None:
    """Where a token answers false or reverts, nothing is counted as claimed."""
    pool.credit([OTHER], 100)
    pool.token.behave(manner, ZERO, b"")
    with refused(reason):
        pool.bonds.claim(1, pool.token.address)
    pool.token.behave(0, ZERO, b"")
    pool.bonds.claim(1, pool.token.address)
    assert held(pool, OTHER) == 100


def test_a_token_that_returns_nothing_is_fine(pool: BondsWorld) -> None:
    """No answer is no refusal."""
    silent = stand_in("silent_token")
    pool.credit([OTHER], 100, silent)
    pool.bonds.claim(1, silent.address)
    assert silent.balanceOf(OTHER) == 100


def test_a_token_that_calls_back_gets_nothing_twice(pool: BondsWorld) -> None:
    """During a claim no other claim gets in, of this or of another position."""
    position = pool.delegate(OTHER, ALICE, 10)
    pool.credit([OTHER], 100)
    for which in (1, position):
        with boa.env.anchor():
            answer = pool.bonds.claim.prepare_calldata(which, pool.token.address)
            pool.token.behave(3, pool.bonds.address, answer)
            pool.bonds.claim(1, pool.token.address)
            assert (held(pool, OTHER), pool.token.accepted()) == (50, 0)


# --- Exactness --------------------------------------------------------------------------------------------------------

amounts = st.one_of(st.integers(0, 12), st.integers(0, 2**128), st.integers(2**250, 2**251))
bonds = st.one_of(st.integers(1, 9), st.integers(1, 10**20))


@given(
    own=bonds,
    delegated=st.lists(bonds, min_size=1, max_size=3),
    commission_bps=st.integers(0, 10_000),
    credits_=st.lists(st.tuples(amounts, st.integers(0, 3)), max_size=6),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_credited_is_claimed_and_claimable_and_a_bounded_rest(
    world: BondsWorld, own: int, delegated: list[int], commission_bps: int, credits_: list[tuple[int, int]]
) -> None:
    """Every claimable amount is its exact share rounded down, less what the carried remainder holds back: one unit."""
    world.join_as_storeman(OTHER, own, commission_bps)
    shares = {1: own}
    exact: dict[int, Fraction] = {1: Fraction(0)}
    claimed: dict[int, int] = {}
    commission = total = 0
    for amount, number in credits_:
        if number < len(delegated):
            shares[new := world.delegate(OTHER, ALICE, delegated[number])] = delegated[number]
            exact[new] = Fraction(0)
        world.credit([OTHER], amount)
        kept = amount * commission_bps // 10_000
        commission, total = commission + kept, total + amount
        for one, its in shares.items():
            exact[one] += Fraction((amount - kept) * its, sum(shares.values()))
        if number == 3 and world.claimable(1):
            claimed[1] = claimed.get(1, 0) + world.bonds.claim(1, world.token.address)
    paid = {one: claimed.get(one, 0) + world.claimable(one) for one in shares}
    assert world.owed(OTHER) == commission
    for one in shares:
        assert Fraction(-1, 10**9) < exact[one] - paid[one] < 2
    rest = total - commission - sum(paid.values())
    assert 0 <= rest <= len(shares)
    assert held(world, str(world.bonds.address)) == total - sum(claimed.values())
