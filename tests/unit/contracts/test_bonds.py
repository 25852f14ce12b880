"""Bonds: who may join, with what, and what it weighs."""

from __future__ import annotations

import boa
import pytest
from eth.exceptions import Revert

from tests.support.native_contracts import (
    NOBODY,
    STAKE,
    ZERO,
    World,
    account,
    deploy,
    event,
    events,
    join,
    member,
    refused,
    refused_silently,
)

NEWCOMER = account("newcomer")
_, HOST_KEY, TRANSPORT_KEY, ENDPOINT = member(NEWCOMER, 0)


@pytest.fixture
def admitted(world: World) -> World:
    """A world where an account with money is admitted, and has not joined."""
    boa.env.set_balance(NEWCOMER.address, 100 * STAKE)
    world.bonds.admit(NEWCOMER.address, sender=world.owner)
    return world


def test_a_minimum_stake_is_needed() -> None:
    """Bonds cannot be deployed without a minimum stake: weight without stake would be for free."""
    with refused("Bonds: no minimum stake"):
        deploy("Bonds", 0)
    assert deploy("Bonds", 1).minimum_stake() == 1


def test_owner_admits_once(world: World) -> None:
    """An admission is told; a second one, and that of nobody, are refused."""
    world.bonds.admit(NEWCOMER.address, sender=world.owner)
    assert events(world.bonds) == [("VoucherAdmitted", {"account": NEWCOMER.address})]
    with refused("Bonds: already admitted"):
        world.bonds.admit(NEWCOMER.address, sender=world.owner)
    with refused("Bonds: zero account"):
        world.bonds.admit(ZERO, sender=world.owner)


def test_only_the_owner_admits(world: World) -> None:
    """A voucher cannot admit another, and a stranger cannot take ownership."""
    with refused("ownable: caller is not the owner"):
        world.bonds.admit(NEWCOMER.address, sender=world.vouchers[0].address)
    with refused("ownable: caller is not the owner"):
        world.bonds.transfer_ownership(NEWCOMER.address, sender=NEWCOMER.address)


def test_joining_counts_the_whole_stake(admitted: World) -> None:
    """A voucher weighs what it sent; identity and weight are told and can be read."""
    bonds = admitted.bonds
    bonds.join(HOST_KEY, TRANSPORT_KEY, ENDPOINT, value=STAKE + 7, sender=NEWCOMER.address)
    joined = {"host_key": HOST_KEY, "transport_key": TRANSPORT_KEY, "endpoint": ENDPOINT, "stake": STAKE + 7}
    assert event(bonds, "VoucherJoined") == {"account": NEWCOMER.address} | joined
    assert event(bonds, "WeightChanged") == {
        "account": NEWCOMER.address, "weight": STAKE + 7, "total": 5 * STAKE + 7
    }  # fmt: skip
    assert tuple(bonds.voucher(NEWCOMER.address)) == (HOST_KEY, TRANSPORT_KEY, ENDPOINT, STAKE + 7, True, True)
    assert bonds.weight_of(NEWCOMER.address) == STAKE + 7
    assert bonds.total_weight() == 5 * STAKE + 7
    assert bonds.vouchers()[-1] == NEWCOMER.address
    assert boa.env.get_balance(str(bonds.address)) == bonds.total_weight()


@pytest.mark.parametrize(
    ("change", "value", "reason"),
    [
        ({}, STAKE - 1, "Bonds: stake too small"),
        ({"host_key": HOST_KEY[:32]}, STAKE, "Bonds: host key length"),
        ({"host_key": b"\x05" + HOST_KEY[1:]}, STAKE, "Bonds: host key form"),
        ({"transport_key": NOBODY}, STAKE, "Bonds: no transport key"),
        ({"endpoint": ""}, STAKE, "Bonds: no endpoint"),
    ],
)
def test_malformed_entry_is_refused(admitted: World, change: dict[str, object], value: int, reason: str) -> None:
    """Who joins brings the minimum stake, a compressed host key, a transport key and an endpoint."""
    entry = {"host_key": HOST_KEY, "transport_key": TRANSPORT_KEY, "endpoint": ENDPOINT} | change
    with refused(reason):
        admitted.bonds.join(*entry.values(), value=value, sender=NEWCOMER.address)


def test_host_key_of_another_voucher_is_refused(admitted: World) -> None:
    """Nobody joins with a key that a voucher has: it would draw that voucher's messages to its own endpoint."""
    taken = admitted.bonds.voucher(admitted.vouchers[0].address)[0]
    with refused("Bonds: host key twice"):
        admitted.bonds.join(taken, TRANSPORT_KEY, ENDPOINT, value=STAKE, sender=NEWCOMER.address)
    admitted.bonds.join(HOST_KEY, TRANSPORT_KEY, ENDPOINT, value=STAKE, sender=NEWCOMER.address)


def test_nobody_joins_unasked_or_twice(admitted: World) -> None:
    """Joining needs an admission, and works once; a stranger that is not a voucher cannot top up either."""
    stranger = account("stranger").address
    boa.env.set_balance(stranger, STAKE)
    with refused("Bonds: not admitted"):
        admitted.bonds.join(HOST_KEY, TRANSPORT_KEY, ENDPOINT, value=STAKE, sender=stranger)
    with refused("Bonds: not a voucher"):
        admitted.bonds.top_up(value=1, sender=NEWCOMER.address)
    admitted.bonds.join(HOST_KEY, TRANSPORT_KEY, ENDPOINT, value=STAKE, sender=NEWCOMER.address)
    with refused("Bonds: already joined"):
        admitted.bonds.join(HOST_KEY, TRANSPORT_KEY, ENDPOINT, value=STAKE, sender=NEWCOMER.address)


def test_top_up_adds_weight(world: World) -> None:
    """What a voucher adds counts for it and for the total; nothing added is refused."""
    one = world.vouchers[0].address
    boa.env.set_balance(one, 10)
    world.bonds.top_up(value=10, sender=one)
    assert events(world.bonds) == [
        ("WeightChanged", {"account": one, "weight": STAKE + 10, "total": 4 * STAKE + 10})
    ]  # fmt: skip
    assert world.bonds.voucher(one)[3] == world.bonds.weight_of(one) == STAKE + 10
    with refused("Bonds: nothing sent"):
        world.bonds.top_up(sender=one)


def test_money_comes_only_with_a_name(world: World) -> None:
    """A plain transfer is refused, and so is value to a function that takes none."""
    boa.env.set_balance(NEWCOMER.address, STAKE)
    for address in (world.bonds.address, world.hub.address, world.registry.address):
        with pytest.raises(Revert):
            boa.env.raw_call(str(address), value=1, sender=NEWCOMER.address)
    boa.env.set_balance(world.owner, STAKE)
    with refused_silently():
        world.bonds.admit(NEWCOMER.address, value=1, sender=world.owner)


def test_weighing_ignores_strangers(world: World) -> None:
    """`weigh` sums the weights of those named, strangers weigh nothing, and gives the total beside it."""
    people = [one.address for one in world.vouchers[:2]]
    assert tuple(world.bonds.weigh([*people, NEWCOMER.address])) == (2 * STAKE, 4 * STAKE)
    assert tuple(world.bonds.weigh([])) == (0, 4 * STAKE)
    assert tuple(world.bonds.voucher(NEWCOMER.address)) == (b"", NOBODY, "", 0, False, False)


def test_admitted_who_never_joined_weighs_nothing(admitted: World) -> None:
    """Admission alone gives no weight."""
    assert tuple(admitted.bonds.weigh([NEWCOMER.address])) == (0, 4 * STAKE)


def test_sixty_four_vouchers_fit_and_no_more(world: World) -> None:
    """The 65th is refused, so that all vouchers' signatures always fit into one tally."""
    for number in range(60):
        join(world, account(f"many-{number}"))
    assert len(world.bonds.vouchers()) == 64
    with refused("Bonds: too many vouchers"):
        join(world, account("many-60"))
    everybody = sorted(
        [*world.vouchers, *(account(f"many-{number}") for number in range(60))], key=lambda one: int(one.address, 16)
    )
    world.mint(world.deposit(), by=everybody)
    with refused_silently():
        world.hub.mint(world.deposit(1), [bytes(65)] * 65)
