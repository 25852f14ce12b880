"""Bonds: who may join, as what, and what it weighs."""

from __future__ import annotations

from collections.abc import Iterator

import boa
import pytest
from eth.exceptions import Revert

from tests.support.bonds_contract import (
    BONDS,
    GROUP,
    STAKE,
    UNBONDING_SECONDS,
    BondsWorld,
    build_bonds,
    deploy_source,
    entry,
    set_variable,
)
from tests.support.native_contracts import NOBODY, ZERO, account, event, events, refused, refused_silently

NEWCOMER = account("newcomer").address
DELEGATOR = account("delegator").address
HOST_KEY, TRANSPORT_KEY, ENDPOINT = entry("newcomer")
FOUR = [account(f"voucher-{number}") for number in range(4)]


@pytest.fixture(scope="module")
def _deployed() -> BondsWorld:
    return build_bonds()


@pytest.fixture
def world(_deployed: BondsWorld) -> Iterator[BondsWorld]:
    """Bonds without anybody in it."""
    with boa.env.anchor():
        yield _deployed


@pytest.fixture
def admitted(world: BondsWorld) -> BondsWorld:
    """The same, with an account with money that is admitted and has not joined."""
    world.fund(NEWCOMER, 100 * STAKE)
    world.bonds.admit(NEWCOMER, sender=world.owner)
    return world


def join(world: BondsWorld, value: int = STAKE, commission_bps: int = 0) -> None:
    """Let the newcomer join."""
    world.bonds.join(HOST_KEY, TRANSPORT_KEY, ENDPOINT, commission_bps, value=value, sender=NEWCOMER)


# --- Deploying --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((0, 1, 1, 0), "Bonds: no minimum stake"),
        ((1, 0, 1, 0), "Bonds: bad unbonding time"),
        ((1, 2**32, 1, 0), "Bonds: bad unbonding time"),
        ((1, 1, 0, 0), "Bonds: bad slash"),
        ((1, 1, 10_001, 0), "Bonds: bad slash"),
        ((1, 1, 1, 5_001), "Bonds: bad reward"),
    ],
)
def test_terms_that_bind_nobody_are_refused(arguments: tuple[int, ...], reason: str) -> None:
    """Weight costs stake, stake stays within reach, a slash takes something, and most of it is lost to the offender."""
    with refused(reason):
        deploy_source(BONDS, *arguments)


@pytest.mark.usefixtures("world")
def test_terms_are_public() -> None:
    """Everybody can read what a bond is subject to; the extremes are allowed."""
    bonds = deploy_source(BONDS, 1, 2**32 - 1, 10_000, 5_000)
    terms = (bonds.minimum_stake(), bonds.unbonding_seconds(), bonds.slash_bps(), bonds.reward_bps())
    assert terms == (1, 2**32 - 1, 10_000, 5_000)


@pytest.mark.usefixtures("world")
def test_companions_are_named_once_and_by_the_owner() -> None:
    """Nobody else names Registry and Hub, neither is nobody, and the owner cannot exchange them."""
    with boa.env.prank(NEWCOMER):
        bonds = deploy_source(BONDS, 1, 1, 1, 0)
    with refused("ownable: caller is not the owner"):
        bonds.bind(DELEGATOR, DELEGATOR, sender=DELEGATOR)
    for pair in ((ZERO, DELEGATOR), (DELEGATOR, ZERO)):
        with refused("Bonds: zero account"):
            bonds.bind(*pair, sender=NEWCOMER)
    hub = account("hub").address
    bonds.bind(DELEGATOR, hub, sender=NEWCOMER)
    assert event(bonds, "CompanionsBound") == {"registry": DELEGATOR, "hub": hub}
    assert (bonds.registry(), bonds.hub()) == (DELEGATOR, hub)
    with refused("Bonds: already bound"):
        bonds.bind(DELEGATOR, hub, sender=NEWCOMER)


@pytest.mark.usefixtures("world")
def test_unbound_bonds_take_vouchers_alone() -> None:
    """Before the companions are known there are no storemen, no fees and no evidence."""
    bonds = deploy_source(BONDS, 1, 1, 1, 0)
    with refused("Bonds: not bound"):
        bonds.join_as_storeman(GROUP, 0, sender=NEWCOMER)
    with refused("Bonds: not bound"):
        bonds.report((3, [NOBODY, NOBODY], b""), (3, [NOBODY, NOBODY], b""))
    with refused("Bonds: not the Hub"):
        bonds.credit(ZERO, [NEWCOMER], 1)


# --- Vouchers ---------------------------------------------------------------------------------------------------------


def test_owner_admits_once(world: BondsWorld) -> None:
    """An admission is told; a second one, and that of nobody, are refused, and so is one by anybody else."""
    world.bonds.admit(NEWCOMER, sender=world.owner)
    assert events(world.bonds) == [("VoucherAdmitted", {"account": NEWCOMER})]
    assert tuple(world.bonds.voucher(NEWCOMER)) == (b"", NOBODY, "", 0, True, False)
    with refused("Bonds: already admitted"):
        world.bonds.admit(NEWCOMER, sender=world.owner)
    with refused("Bonds: zero account"):
        world.bonds.admit(ZERO, sender=world.owner)
    with refused("ownable: caller is not the owner"):
        world.bonds.admit(DELEGATOR, sender=NEWCOMER)


def test_joining_takes_what_is_sent_as_stake(admitted: BondsWorld) -> None:
    """Who joins with more than the minimum weighs all of it, and has a position, an index and its entry."""
    bonds = admitted.bonds
    join(admitted, STAKE + 7, 250)
    joined = {"host_key": HOST_KEY, "transport_key": TRANSPORT_KEY, "endpoint": ENDPOINT, "stake": STAKE + 7}
    assert event(bonds, "VoucherJoined") == {"account": NEWCOMER} | joined
    assert event(bonds, "Bonded") == {
        "position": 1, "operator": NEWCOMER, "owner": NEWCOMER, "amount": STAKE + 7
    }  # fmt: skip
    assert event(bonds, "WeightChanged") == {"account": NEWCOMER, "weight": STAKE + 7, "total": STAKE + 7}
    assert tuple(bonds.voucher(NEWCOMER)) == (HOST_KEY, TRANSPORT_KEY, ENDPOINT, STAKE + 7, True, True)
    assert tuple(bonds.operator(NEWCOMER)) == (
        STAKE + 7, STAKE + 7, 0, 0, 1, 250, 0, 0, 0, True, False, False, False
    )  # fmt: skip
    assert tuple(bonds.position(1)) == (NEWCOMER, NEWCOMER, STAKE + 7, 1, 0)
    assert bonds.weight_of(NEWCOMER) == bonds.total_weight() == admitted.balance() == STAKE + 7
    assert bonds.vouchers() == [NEWCOMER]
    assert (bonds.voucher_at(0), bonds.voucher_at(1), bonds.index_count()) == (NEWCOMER, ZERO, 1)


@pytest.mark.parametrize(
    ("change", "value", "reason"),
    [
        ({}, STAKE - 1, "Bonds: stake too small"),
        ({}, 0, "Bonds: stake too small"),
        ({"host_key": HOST_KEY[:32]}, STAKE, "Bonds: host key length"),
        ({"host_key": b"\x05" + HOST_KEY[1:]}, STAKE, "Bonds: host key form"),
        ({"transport_key": NOBODY}, STAKE, "Bonds: no transport key"),
        ({"endpoint": ""}, STAKE, "Bonds: no endpoint"),
        ({"commission_bps": 10_001}, STAKE, "Bonds: bad commission"),
    ],
)
def test_malformed_entry_is_refused(admitted: BondsWorld, change: dict[str, object], value: int, reason: str) -> None:
    """Who joins brings the minimum stake, a compressed host key, a transport key, an endpoint and a fair commission."""
    fields = {"host_key": HOST_KEY, "transport_key": TRANSPORT_KEY, "endpoint": ENDPOINT, "commission_bps": 10_000}
    with refused(reason):
        admitted.bonds.join(*(fields | change).values(), value=value, sender=NEWCOMER)


def test_host_key_is_taken_for_ever(admitted: BondsWorld) -> None:
    """Nobody joins with a key that a voucher has or had: it would draw that voucher's messages to its own endpoint."""
    join(admitted)
    other = account("other").address
    admitted.fund(other, 2 * STAKE)
    admitted.bonds.admit(other, sender=admitted.owner)
    for _ in range(2):
        with refused("Bonds: host key twice"):
            admitted.bonds.join(HOST_KEY, TRANSPORT_KEY, ENDPOINT, 0, value=STAKE, sender=other)
        if admitted.bonds.weight_of(NEWCOMER):
            admitted.bonds.leave(sender=NEWCOMER)
    admitted.bonds.join(entry("other")[0], TRANSPORT_KEY, ENDPOINT, 0, value=STAKE, sender=other)


def test_nobody_joins_unasked_or_twice(admitted: BondsWorld) -> None:
    """Joining needs an admission, and works once: not while a voucher, and not after leaving."""
    admitted.fund(DELEGATOR, STAKE)
    with refused("Bonds: not admitted"):
        admitted.bonds.join(HOST_KEY, TRANSPORT_KEY, ENDPOINT, 0, value=STAKE, sender=DELEGATOR)
    join(admitted)
    with refused("Bonds: already joined"):
        join(admitted)
    admitted.bonds.leave(sender=NEWCOMER)
    with refused("Bonds: already joined"):
        join(admitted)


def test_sixty_four_are_active_and_a_place_is_freed_by_leaving(world: BondsWorld) -> None:
    """The 65th is refused until one leaves; each index is new, and `weigh` takes all of them at once."""
    people = [world.join(account(f"many-{number}")) for number in range(64)]
    late = account("late").address
    with refused("Bonds: too many vouchers"):
        world.join(late)
    world.bonds.leave(sender=people[10])
    world.enter(late)
    assert sorted(world.bonds.vouchers()) == sorted([*people[:10], *people[11:], late])
    assert (world.bonds.voucher_at(10), world.bonds.voucher_at(64)) == (people[10], late)
    everybody = 2**65 - 1 - 2**10
    assert tuple(world.bonds.weigh(world.bonds.vouchers())) == (64 * STAKE, 64 * STAKE, everybody)
    with refused_silently():
        world.bonds.weigh([*people, late])


def test_the_257th_index_does_not_exist(admitted: BondsWorld) -> None:
    """When 256 indices were given, nobody joins any more: an index that meant two vouchers would pay the wrong one."""
    world = admitted
    set_variable(world, "index_count", 255)
    last = world.join(account("last"))
    assert world.bonds.operator(last)[8] == 255
    assert tuple(world.bonds.weigh([last])) == (STAKE, STAKE, 2**255)
    with refused("Bonds: no index left"):
        join(world)


def test_weighing_ignores_strangers(world: BondsWorld) -> None:
    """`weigh` sums the weights of those named and sets their bits; strangers, and who left, weigh nothing."""
    people = [world.join(one, STAKE + number) for number, one in enumerate(FOUR)]
    total = 4 * STAKE + 6
    assert tuple(world.bonds.weigh([people[3], people[1], DELEGATOR])) == (2 * STAKE + 4, total, 0b1010)
    assert tuple(world.bonds.weigh([])) == (0, total, 0)
    world.bonds.admit(NEWCOMER, sender=world.owner)
    assert tuple(world.bonds.weigh([NEWCOMER])) == (0, total, 0)
    world.bonds.leave(sender=people[0])
    assert tuple(world.bonds.weigh(people)) == (3 * STAKE + 6, 3 * STAKE + 6, 0b1110)


def test_money_comes_only_with_a_name(world: BondsWorld) -> None:
    """A plain transfer is refused, and so is value to a function that takes none."""
    world.fund(NEWCOMER, STAKE)
    with pytest.raises(Revert):
        boa.env.raw_call(str(world.bonds.address), value=1, sender=NEWCOMER)
    world.fund(world.owner, 1)
    with refused_silently():
        world.bonds.admit(NEWCOMER, value=1, sender=world.owner)


# --- Leaving ----------------------------------------------------------------------------------------------------------


def test_leaving_ends_the_role_at_once_and_unbonds_the_own_bond(world: BondsWorld) -> None:
    """Who leaves weighs nothing from then on, keeps its index, and gets its bond when its time has come."""
    first, second = (world.join(one) for one in FOUR[:2])
    world.delegate(first, DELEGATOR, 50)
    world.deposit(first, 5)
    world.bonds.leave(sender=first)
    assert [name for name, _ in events(world.bonds)] == [
        "VoucherRemoved", "WeightChanged", "PositionClosed", "Unbonding"
    ]  # fmt: skip
    assert event(world.bonds, "WeightChanged") == {"account": first, "weight": 0, "total": STAKE}
    assert world.bonds.vouchers() == [second]
    assert world.bonds.voucher_at(0) == first
    assert tuple(world.bonds.operator(first))[:5] == (50, 50, STAKE + 5, STAKE + 5, 0)
    assert tuple(world.bonds.operator(first))[9:] == (False, True, False, False)
    assert tuple(world.bonds.voucher(first))[3:] == (0, True, False)
    world.wait()
    assert world.bonds.withdraw(1) == STAKE + 5
    with refused("Bonds: not a voucher"):
        world.bonds.leave(sender=first)
    with refused("Bonds: not a voucher"):
        world.bonds.leave(sender=DELEGATOR)


def test_who_left_takes_no_more_bonds(world: BondsWorld) -> None:
    """A former voucher that is no storeman is no operator; what is delegated to it can only go."""
    first = world.join(FOUR[0])
    position = world.delegate(first, DELEGATOR, 50)
    world.bonds.leave(sender=first)
    for act in (lambda: world.deposit(first, 1), lambda: world.delegate(first, DELEGATOR, 1)):
        with refused("Bonds: not an operator"):
            act()
    world.bonds.unbond(position, 50, sender=DELEGATOR)
    assert world.pool(first) == (0, 0, STAKE + 50, STAKE + 50)


# --- Storemen ---------------------------------------------------------------------------------------------------------


def test_a_storeman_joins_with_or_without_a_bond(world: BondsWorld) -> None:
    """A member of a group is an operator without weight; its bond may be anything."""
    for who, bond in ((NEWCOMER, 0), (DELEGATOR, 3)):
        world.join_as_storeman(who, bond, 100)
        assert event(world.bonds, "StoremanJoined") == {"account": who, "group": GROUP}
        assert tuple(world.bonds.operator(who))[:2] == (bond, bond)
        assert tuple(world.bonds.operator(who))[9:] == (False, False, True, False)
    assert world.own(NEWCOMER) == 0
    assert world.bonds.total_weight() == 0
    world.bonds.unbond(world.own(DELEGATOR), 3, sender=DELEGATOR)


def test_only_a_member_joins_as_storeman_and_once(world: BondsWorld) -> None:
    """The Registry decides who is a storeman of the group that is named."""
    with refused("Bonds: not a storeman"):
        world.bonds.join_as_storeman(GROUP, 0, sender=NEWCOMER)
    world.join_as_storeman(NEWCOMER)
    with refused("Bonds: already joined"):
        world.join_as_storeman(NEWCOMER)
    with refused("Bonds: bad commission"):
        world.join_as_storeman(DELEGATOR, 0, 10_001)


def test_a_storeman_that_becomes_a_voucher_brings_its_pool(admitted: BondsWorld) -> None:
    """One account has one pool: its own bond counts towards the minimum, and delegations weigh at once."""
    admitted.join_as_storeman(NEWCOMER, STAKE - 1)
    admitted.delegate(NEWCOMER, DELEGATOR, 10)
    with refused("Bonds: stake too small"):
        join(admitted, 0)
    join(admitted, 1)
    assert event(admitted.bonds, "VoucherJoined")["stake"] == STAKE + 10
    assert admitted.bonds.weight_of(NEWCOMER) == STAKE + 10
    assert tuple(admitted.bonds.operator(NEWCOMER))[9:] == (True, False, True, False)


def test_a_bonded_storeman_needs_send_nothing_to_become_a_voucher(admitted: BondsWorld) -> None:
    """Where its own bond is enough, it opens no new position."""
    admitted.join_as_storeman(NEWCOMER, STAKE)
    join(admitted, 0)
    assert event(admitted.bonds, "WeightChanged")["weight"] == STAKE
    assert (admitted.own(NEWCOMER), admitted.bonds.position_count()) == (1, 1)


def test_a_voucher_that_leaves_stays_a_storeman(admitted: BondsWorld) -> None:
    """The roles are apart: who leaves the vouchers can still take bonds as a storeman, without weight."""
    join(admitted)
    admitted.join_as_storeman(NEWCOMER, 5)
    admitted.bonds.leave(sender=NEWCOMER)
    admitted.deposit(NEWCOMER, 9)
    assert admitted.pool(NEWCOMER) == (9, 9, STAKE + 5, STAKE + 5)
    assert admitted.bonds.weight_of(NEWCOMER) == admitted.bonds.total_weight() == 0


# --- Commission -------------------------------------------------------------------------------------------------------


def commission(world: BondsWorld, who: str = NEWCOMER) -> tuple[int, int, int]:
    """The commission now, the announced one, and when that begins."""
    return tuple(world.bonds.operator(who)[5:8])


def test_commission_falls_at_once_and_rises_late(admitted: BondsWorld) -> None:
    """Delegators have the whole unbonding time to leave before an operator keeps more."""
    join(admitted, commission_bps=500)
    now = boa.env.timestamp
    admitted.bonds.set_commission(900, sender=NEWCOMER)
    assert event(admitted.bonds, "CommissionChanged") == {
        "operator": NEWCOMER, "commission_bps": 900, "since": now + UNBONDING_SECONDS
    }  # fmt: skip
    assert commission(admitted) == (500, 900, now + UNBONDING_SECONDS)
    admitted.wait(UNBONDING_SECONDS - 1)
    assert commission(admitted) == (500, 900, now + UNBONDING_SECONDS)
    admitted.wait(1)
    assert commission(admitted) == (900, 0, 0)
    admitted.bonds.set_commission(100, sender=NEWCOMER)
    assert commission(admitted) == (100, 0, 0)


def test_a_lower_commission_takes_an_announced_rise_back(admitted: BondsWorld) -> None:
    """The last word counts, and a rise cannot be begun in advance and finished later."""
    join(admitted, commission_bps=500)
    admitted.bonds.set_commission(900, sender=NEWCOMER)
    admitted.wait(UNBONDING_SECONDS - 1)
    admitted.bonds.set_commission(10_000, sender=NEWCOMER)
    admitted.wait(1)
    assert commission(admitted)[0] == 500
    admitted.bonds.set_commission(500, sender=NEWCOMER)
    admitted.wait()
    assert commission(admitted) == (500, 0, 0)


def test_joining_as_storeman_does_not_raise_the_commission_at_once(admitted: BondsWorld) -> None:
    """There is no way around the delay for an operator with bonds; one without bonds harms nobody."""
    join(admitted, commission_bps=500)
    admitted.join_as_storeman(NEWCOMER, 0, 9_000)
    assert commission(admitted)[:2] == (500, 9_000)
    admitted.join_as_storeman(DELEGATOR, 0, 10)
    admitted.bonds.set_commission(9_000, sender=DELEGATOR)
    assert commission(admitted, DELEGATOR) == (9_000, 0, 0)


def test_commission_is_an_operators_and_at_most_everything(admitted: BondsWorld) -> None:
    """Who is no operator has none to set; more than all is refused."""
    with refused("Bonds: not an operator"):
        admitted.bonds.set_commission(1, sender=NEWCOMER)
    join(admitted)
    with refused("Bonds: bad commission"):
        admitted.bonds.set_commission(10_001, sender=NEWCOMER)
