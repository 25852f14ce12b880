"""Hub: whose signatures count, how they are weighed, and where they count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boa
import pytest
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak

from tests.support.native_contracts import (
    COIN_POLICY,
    REWARD_BPS,
    SLASH_BPS,
    STAKE,
    TYPES,
    UNBONDING_SECONDS,
    World,
    account,
    accounts,
    deploy,
    digest_of,
    join,
    malleated,
    outpoint,
    outpoint_id,
    refused,
    sign,
    typed,
)
from tests.support.native_vaults import ERC20, add_evm_side

NO_WEIGHT = "Hub: not enough weight"
NO_QUORUM = "Hub: no quorum of storemen"


def test_exactly_two_thirds_are_refused_and_one_wei_more_is_enough(world: World) -> None:
    """The weight has to be above two thirds of all: 4 of 6 stakes are not, 4 of 6 and one wei are."""
    for number in (4, 5):
        join(world, account(f"voucher-{number}"))
    four = world.vouchers
    with refused(NO_WEIGHT):
        world.mint(world.deposit(), by=four)
    boa.env.set_balance(four[0].address, 1)
    world.bonds.deposit(value=1, sender=four[0].address)
    world.mint(world.deposit(), by=four)


def test_weight_counts_not_heads(world: World) -> None:
    """One voucher with more than two thirds of the stake is enough; all others together are not."""
    heavy = account("heavy")
    join(world, heavy, 9 * STAKE)
    with refused(NO_WEIGHT):
        world.mint(world.deposit(), by=world.vouchers)
    world.mint(world.deposit(), by=[heavy])


def test_weight_is_counted_when_the_signatures_are_brought(world: World) -> None:
    """Signatures that once were enough are not after others have bonded more."""
    signatures = world.attest("DepositAttestation", *world.deposit())
    join(world, account("late"), STAKE)
    with refused(NO_WEIGHT):
        world.hub.mint(world.deposit(), signatures)


def test_without_vouchers_nothing_is_minted(world: World) -> None:
    """Zero of zero is not above two thirds."""
    empty = deploy("Bonds", 1, UNBONDING_SECONDS, SLASH_BPS, REWARD_BPS)
    hub = deploy("Hub", str(world.registry.address), str(empty.address), world.blueprint)
    with refused(NO_WEIGHT):
        hub.mint(world.deposit(), [])
    with refused(NO_WEIGHT):
        hub.mint(world.deposit(), sign(world.vouchers, typed(hub, "DepositAttestation", *world.deposit())))


def test_strangers_add_no_weight(world: World) -> None:
    """A stranger among the signers is counted as nothing, and neither are storemen vouchers."""
    crowd = sorted([*world.vouchers[:2], *accounts("stranger", 5)], key=lambda one: int(one.address, 16))
    with refused(NO_WEIGHT):
        world.mint(world.deposit(), by=crowd)
    with refused(NO_WEIGHT):
        world.mint(world.deposit(), by=world.storemen)


def test_storemen_with_a_stranger_are_no_quorum(world: World) -> None:
    """Storemen's acts take their signatures alone: too few, a stranger, or vouchers are refused."""
    world.fund(100_000)
    id_ = world.withdraw()
    with refused(NO_QUORUM):
        world.reserve([id_], [outpoint(1)], by=world.storemen[:2])
    with refused(NO_QUORUM):
        world.reserve([id_], [outpoint(1)], by=[])
    crowd = sorted([*world.storemen[:3], account("stranger")], key=lambda one: int(one.address, 16))
    with refused(NO_QUORUM):
        world.reserve([id_], [outpoint(1)], by=crowd)
    with refused(NO_QUORUM):
        world.reserve([id_], [outpoint(1)], by=world.vouchers)
    world.reserve([id_], [outpoint(1)], by=world.storemen[2:])


Call = Callable[[list[bytes]], object]


def acts(world: World) -> dict[str, tuple[tuple[Any, ...], Call, list[Any]]]:
    """Every act that needs signatures: what is signed, the call that brings it, and who signs. Needs a live payout."""
    world.fund(1_000_000)
    free, taken = world.withdraw(), world.withdraw()
    payout = world.reserve([taken], [outpoint("taken")])
    hub, vouchers, storemen = world.hub, world.vouchers[:3], world.storemen[:3]
    deposit = world.deposit("acts")
    returned = (world.asset, *outpoint("returned"), 5, world.group, 1)
    point = outpoint("free")
    reservation = (world.group, world.asset, [free], [point])
    spent, settled = (payout, b"\x01" * 32), (payout, b"\x02" * 32, 9)
    evm = add_evm_side(world)
    world.registry.set_chain_policy(evm.chain, COIN_POLICY, True, sender=world.owner)
    evm.fund(10**10)
    introduced, restored = (evm.chain, ERC20, "Gold", "GLD", 6), (evm.settled(), 10**6)
    until = boa.env.timestamp + 3_600
    world.halt(until, b"\x55" * 32)
    halted, resumed = (world.asset, until), (b"\x55" * 32, until)
    return {
        "DepositAttestation": (deposit, lambda found: hub.mint(deposit, found), vouchers),
        "DepositReturn": (returned, lambda found: hub.return_deposit(*returned, found), storemen),
        "PayoutReservation": (
            (world.group, world.asset, [free], [outpoint_id(point)]),
            lambda found: hub.reserve(reservation, found),
            storemen,
        ),
        "AnchorSpent": (spent, lambda found: hub.void_payout(*spent, found), vouchers),
        "PayoutSettlement": (settled, lambda found: hub.settle(*settled, found), vouchers),
        "AssetIntroduction": (introduced, lambda found: hub.introduce(*introduced, found), vouchers),
        "ReleaseCancelled": (restored, lambda found: hub.restore(*restored, found), vouchers),
        "Halt": (halted, lambda found: hub.halt(*halted, found), vouchers),
        "Resume": (resumed, lambda found: hub.resume(*resumed, found), vouchers),
    }


@pytest.mark.parametrize("name", [name for name in TYPES if name != "GroupKey"])
def test_signature_counts_in_its_own_domain_alone(world: World, name: str) -> None:
    """A signature for another chain, contract or version, or as a plain message, is worth nothing; the right one is."""
    values, call, signers = acts(world)[name]
    twin = deploy("Hub", str(world.registry.address), str(world.bonds.address), world.blueprint)
    right = typed(world.hub, name, *values)
    for wrong in (
        typed(world.hub, name, *values, chain_id=2),
        typed(world.hub, name, *values, version="2"),
        typed(twin, name, *values),
        typed(world.registry, name, *values),
        encode_defunct(digest_of(right)),
    ):
        with boa.reverts():
            call(sign(signers, wrong))
    call(sign(signers, right))


@pytest.mark.parametrize("name", [name for name in TYPES if name != "GroupKey"])
def test_every_field_is_signed(world: World, name: str) -> None:
    """Signatures over a structure with any one field changed are refused."""
    values, call, signers = acts(world)[name]
    for place, value in enumerate(values):
        changed = list(values)
        changed[place] = different(value)
        with boa.reverts():
            call(sign(signers, typed(world.hub, name, *changed)))
    call(sign(signers, typed(world.hub, name, *values)))


def different(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, int):
        return value + 1
    if isinstance(value, bytes):
        return keccak(value)
    if isinstance(value, str) and not value.startswith("0x"):
        return value + "x"
    if isinstance(value, list):
        return [*value, value[0]]
    return account("somebody else").address


@pytest.mark.parametrize("name", [name for name in TYPES if name != "GroupKey"])
def test_signatures_are_strict_in_form_and_order(world: World, name: str) -> None:
    """Each act refuses doubles, any other order, a high s, v that is not 27 or 28, and a wrong length."""
    values, call, signers = acts(world)[name]
    good = sign(signers, typed(world.hub, name, *values))
    first, second, third = good
    wrong = [
        ("eip712: signers not ascending", [first, first, second, third]),
        ("eip712: signers not ascending", [first, third, second]),
        ("eip712: signers not ascending", [third, second, first]),
        ("eip712: s is high", [malleated(first), second, third]),
        ("eip712: s is high", [first, malleated(first), second, third]),
        ("eip712: v is not 27 or 28", [first, second, third[:64] + bytes([third[64] - 27])]),
        ("eip712: v is not 27 or 28", [first, second, third[:64] + b"\x25"]),
        ("eip712: signature length", [first, second, third[:64]]),
        ("eip712: signature length", [b"", *good]),
        ("eip712: invalid signature", [bytes(64) + b"\x1b", *good]),
    ]
    for reason, signatures in wrong:
        with refused(reason):
            call(signatures)
    call(good)


def test_signatures_of_one_act_do_not_serve_another(world: World) -> None:
    """The storemen's and the vouchers' structures have types of their own: one is never taken for another."""
    world.fund(100_000)
    payout = world.reserve([world.withdraw()], [outpoint(1)])
    spent = world.attest("AnchorSpent", payout, b"\x01" * 32)
    with boa.reverts():
        world.hub.settle(payout, b"\x01" * 32, 0, spent)
    settled = world.attest("PayoutSettlement", payout, b"\x01" * 32, 0)
    with boa.reverts():
        world.hub.void_payout(payout, b"\x01" * 32, settled)
    world.hub.settle(payout, b"\x01" * 32, 0, settled)


def test_fork_with_a_new_chain_id_takes_no_old_signature(world: World) -> None:
    """The domain is computed from the chain's id at each call: attestations do not live on across a fork."""
    signatures = world.attest("DepositAttestation", *world.deposit())
    with boa.env.anchor():
        boa.env.evm.patch.chain_id = 999
        with boa.reverts():
            world.hub.mint(world.deposit(), signatures)
        world.mint(world.deposit())
    world.hub.mint(world.deposit(), signatures)
