"""Hub: the vouchers' brake. It delays, never takes, and cannot be used twice."""

from __future__ import annotations

import boa
import pytest

from tests.support.native_contracts import NOBODY, STAKE, World, account, events, join, outpoint, refused

USER = account("user").address
WEEK = 7 * 86_400
NO_WEIGHT = "Hub: not enough weight"


def in_future(seconds: int) -> int:
    """A time of the chain to come."""
    return int(boa.env.timestamp) + seconds


@pytest.mark.parametrize("everything", [False, True])
def test_halt_stops_what_is_new_and_nothing_else(funded: World, everything: bool) -> None:
    """Minting, withdrawing and reserving stop until it ends; cancelling, returning, settling and voiding go on."""
    until = in_future(3_600)
    ids = [funded.withdraw() for _ in range(4)]
    payout, other = funded.reserve(ids[:1], [outpoint(1)]), funded.reserve(ids[1:2], [outpoint(2)])
    asset = NOBODY if everything else funded.asset
    funded.halt(until, asset)
    assert events(funded.hub) == [("Halted", {"asset": asset, "until": until})]
    assert funded.hub.halted_until(asset) == until
    new = (
        lambda: funded.mint(funded.deposit("halted"), by=funded.vouchers),
        funded.withdraw,
        lambda: funded.reserve(ids[2:3], [outpoint(3)]),
    )
    for act in new:
        with refused("Hub: halted"):
            act()
    funded.settle(payout)
    funded.void(other)
    funded.hub.cancel(ids[3], sender=USER)
    values = (funded.asset, *outpoint("returned"), 5, funded.group, 1)
    funded.hub.return_deposit(*values, funded.countersign("DepositReturn", *values))
    boa.env.timestamp = until - 1
    with refused("Hub: halted"):
        funded.withdraw()
    boa.env.timestamp = until
    for act in new:
        act()


def test_halt_of_one_asset_leaves_others_alone(funded: World) -> None:
    """Only zero stands for everything."""
    funded.halt(in_future(60), b"\x01" * 32)
    funded.withdraw()


def test_halt_needs_more_than_a_third(world: World) -> None:
    """Exactly a third is too little, one wei more is enough: those who could block anyway."""
    for number in (4, 5):
        join(world, account(f"voucher-{number}"))
    two = world.vouchers[:2]
    for by in (world.vouchers[:1], two, world.storemen, []):
        with refused(NO_WEIGHT):
            world.halt(in_future(60), by=by)
    boa.env.set_balance(two[0].address, 1)
    world.bonds.deposit(value=1, sender=two[0].address)
    world.halt(in_future(60), by=two)


def test_resumption_needs_more_than_two_thirds(world: World) -> None:
    """Those who halted cannot be overruled by fewer; the halt they name is the present one."""
    until = in_future(60)
    world.halt(until)
    with refused(NO_WEIGHT):
        world.resume(until, by=world.vouchers[:2])
    for other in (until - 1, until + 1, 0):
        with refused("Hub: not halted"):
            world.resume(other)
    world.resume(until)
    assert events(world.hub) == [("Resumed", {"asset": world.asset})]
    assert world.hub.halted_until(world.asset) == 0
    world.mint(world.deposit())
    with refused("Hub: not halted"):
        world.resume(until)


@pytest.mark.parametrize("seconds", [0, -1, WEEK + 1, 2**255])
def test_halt_lasts_at_most_a_week(world: World, seconds: int) -> None:
    """An end that is past, or more than seven days away, is refused."""
    with refused("Hub: bad halt"):
        world.halt(in_future(seconds), by=world.vouchers)
    world.halt(in_future(WEEK))


def test_halt_is_extended_but_never_shortened(world: World) -> None:
    """A minority cannot end a halt early by voting for a shorter one, nor repeat the one there is."""
    until = in_future(600)
    world.halt(until)
    for other in (until, until - 300):
        with refused("Hub: bad halt"):
            world.halt(other)
    world.halt(until + 1)
    assert world.hub.halted_until(world.asset) == until + 1


def test_lifted_halt_cannot_be_brought_back(world: World) -> None:
    """The votes for a halt that was lifted are public: whoever replays them, or kept an earlier one, is refused."""
    until = in_future(600)
    votes = world.attest("Halt", world.asset, until, by=world.vouchers[:2])
    earlier = world.attest("Halt", world.asset, until - 1, by=world.vouchers[:2])
    world.hub.halt(world.asset, until, votes)
    world.resume(until)
    for end, signatures in ((until, votes), (until - 1, earlier)):
        with refused("Hub: bad halt"):
            world.hub.halt(world.asset, end, signatures)
    world.mint(world.deposit())
    world.halt(until + 1)


def test_votes_to_resume_serve_one_halt(world: World) -> None:
    """Votes that lifted a halt do not lift the next one."""
    until = in_future(600)
    world.halt(until)
    votes = world.attest("Resume", world.asset, until)
    world.hub.resume(world.asset, until, votes)
    world.halt(until + 1)
    with refused("Hub: not halted"):
        world.hub.resume(world.asset, until, votes)
    with refused("Hub: not enough weight"):
        world.hub.resume(world.asset, until + 1, [])


def test_halt_and_resumption_are_votes_of_their_own(world: World) -> None:
    """A vote to halt is no vote to resume, also not with the same asset and time."""
    until = in_future(600)
    votes = world.attest("Halt", world.asset, until, by=world.vouchers)
    world.hub.halt(world.asset, until, votes)
    with boa.reverts():
        world.hub.resume(world.asset, until, votes)


def test_slashed_or_departed_weight_halts_nothing(world: World) -> None:
    """Votes count with the weight of the moment."""
    votes = world.attest("Halt", world.asset, in_future(60), by=world.vouchers[:2])
    world.bonds.leave(sender=world.vouchers[0].address)
    world.bonds.leave(sender=world.vouchers[1].address)
    join(world, account("late"), STAKE)
    with refused(NO_WEIGHT):
        world.hub.halt(world.asset, in_future(60), votes)
