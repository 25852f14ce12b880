"""Hub: announcing, minting and returning deposits."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.support.native_contracts import (
    CAIP2,
    GENESIS,
    NOBODY,
    POLICY,
    ZERO,
    World,
    account,
    accounts,
    deploy,
    deposit_id,
    event,
    events,
    member,
    outpoint,
    refused,
)

USER = account("user").address
MINIMUM, FEE, *_ = POLICY


def terms(world: World, **other: object) -> dict[str, Any]:
    """The terms of a deposit address."""
    made: dict[str, Any] = {"asset": world.asset, "group": world.group, "recipient": USER, "reclaim_key": b"\x05" * 32}
    return made | {"delay": 144, "salt": b"\x06" * 32, "birthday": 100} | other


def test_hub_is_deployed_with_contracts_only(world: World) -> None:
    """Registry, Bonds and blueprint have to be contracts; the Hub shows which it believes."""
    good = [str(world.registry.address), str(world.bonds.address), world.blueprint]
    assert [world.hub.registry(), world.hub.bonds(), world.hub.token_blueprint()] == good
    for place in range(3):
        with refused("Hub: not a contract"):
            deploy("Hub", *[USER if n == place else one for n, one in enumerate(good)])


def test_announced_terms_are_told_in_full(world: World) -> None:
    """Anyone announces, any number of times; the id hashes all terms but the birthday."""
    given = terms(world)
    values = list(given.values())[:-1]
    id_ = keccak(encode(["bytes32", "bytes32", "address", "bytes32", "uint256", "bytes32"], values))
    for _ in range(2):
        assert world.hub.announce_deposit(*given.values()) == id_
        assert events(world.hub) == [("DepositAnnounced", {"id": id_} | given)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"asset": b"\x01" * 32}, "Hub: group not of asset"),
        ({"group": b"\x01" * 32}, "Hub: group not of asset"),
        ({"group": NOBODY, "asset": NOBODY}, "Hub: group not of asset"),
        ({"recipient": ZERO}, "Hub: bad recipient"),
        ({"recipient": "hub"}, "Hub: bad recipient"),
        ({"reclaim_key": NOBODY}, "Hub: no reclaim key"),
        ({"delay": 0}, "Hub: bad delay"),
        ({"delay": 65_536}, "Hub: bad delay"),
    ],
)
def test_terms_that_could_not_work_are_refused(world: World, change: dict[str, Any], reason: str) -> None:
    """Terms name a group of the asset's chain, somebody who can receive, a key to reclaim with, and a BIP-68 delay."""
    if change.get("recipient") == "hub":
        change = {"recipient": str(world.hub.address)}
    with refused(reason):
        world.hub.announce_deposit(*terms(world, **change).values())


@pytest.mark.parametrize("delay", [1, 65_535])
def test_delay_at_its_bounds_is_accepted(world: World, delay: int) -> None:
    """1 and 65,535 blocks can be written into a script."""
    world.hub.announce_deposit(*terms(world, delay=delay).values())


def test_first_mint_deploys_the_token_and_pays_less_the_fee(world: World) -> None:
    """The first deposit of an asset creates its token; the recipient gets the amount less the fee, once."""
    assert world.hub.supply(world.asset) == 0
    deposit = world.deposit(amount=100_000)
    id_ = deposit_id(*deposit[:3])
    assert world.hub.deposit_status(id_) == 0
    world.mint(deposit)
    token = event(world.hub, "TokenDeployed")["token"]
    minted = event(world.hub, "DepositMinted")
    assert minted == {
        "id": id_, "asset": world.asset, "recipient": USER, "amount": 100_000, "minted": 100_000 - FEE,
        "fee": 0, "attesters": 0b111, "txid": deposit[1], "vout": 0, "group": world.group,
    }  # fmt: skip
    assert world.hub.token_of(world.asset) == token
    assert world.hub.asset_of(token) == world.asset
    assert world.token.balanceOf(USER) == world.hub.supply(world.asset) == 100_000 - FEE
    assert world.hub.deposit_status(id_) == 1
    world.mint(world.deposit(1))
    assert [name for name, _ in events(world.hub) if name == "TokenDeployed"] == []


def test_each_asset_has_a_token_of_its_own(world: World) -> None:
    """A second asset of the same chain gets another token; the same coin counts for each asset by itself."""
    policy = (2, 1, 0, *POLICY[3:])
    other = world.registry.register_asset(CAIP2 + "/x:1", world.chain, "X", "X", 2, policy, sender=world.owner)
    world.mint(world.deposit())
    world.mint(world.deposit(asset=other))
    assert world.hub.token_of(other) not in (ZERO, world.hub.token_of(world.asset))
    assert world.hub.supply(other) == 99_999


def test_deposit_mints_once_whatever_is_said_about_it(world: World) -> None:
    """A coin that was minted is never minted again, not with another amount, recipient or group, however many sign."""
    world.mint(world.deposit())
    fresh = accounts("fresh", 1)
    group = world.propose(fresh, 1)
    world.activate(group, fresh, b"\x44" * 32)
    for other in ({}, {"amount": 10**9}, {"recipient": account("thief").address}, {"group": group}):
        with refused("Hub: deposit already final"):
            world.mint(world.deposit(**other), by=world.vouchers)
    assert world.hub.supply(world.asset) == 100_000 - FEE


def test_another_output_of_the_same_transaction_is_another_deposit(world: World) -> None:
    """txid and vout together name a coin."""
    world.mint(world.deposit(vout=0))
    world.mint(world.deposit(vout=1))
    assert world.hub.supply(world.asset) == 2 * (100_000 - FEE)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount": MINIMUM - 1}, "Hub: deposit too small"),
        ({"amount": 0}, "Hub: deposit too small"),
        ({"recipient": ZERO}, "Hub: bad recipient"),
        ({"recipient": "hub"}, "Hub: bad recipient"),
        ({"group": b"\x01" * 32}, "Hub: group not of asset"),
        ({"group": NOBODY}, "Hub: group not of asset"),
        ({"asset": b"\x01" * 32}, "Hub: group not of asset"),
    ],
)
def test_deposit_that_cannot_be_minted_is_refused_even_when_attested(
    world: World, change: dict[str, Any], reason: str
) -> None:
    """All vouchers together cannot mint what the policy, the recipient or the group forbids."""
    if change.get("recipient") == "hub":
        change = {"recipient": str(world.hub.address)}
    with refused(reason):
        world.mint(world.deposit(**change), by=world.vouchers)


def test_smallest_deposit_mints_the_rest_after_the_fee(world: World) -> None:
    """Exactly the minimum is accepted."""
    world.mint(world.deposit(amount=MINIMUM))
    assert world.hub.supply(world.asset) == MINIMUM - FEE


def test_group_of_another_chain_holds_nothing_of_this_asset(world: World) -> None:
    """An activated group of a different chain is no vault of the asset: no mint, no return, no announcement."""
    chain = world.registry.register_chain("eip155:7", GENESIS, 0, sender=world.owner)
    fresh = accounts("fresh", 1)
    group = world.registry.propose_group(chain, 1, [member(fresh[0], 0)], sender=world.owner)
    world.activate(group, fresh, b"\x44" * 32)
    with refused("Hub: group not of asset"):
        world.mint(world.deposit(group=group))
    with refused("Hub: group not of asset"):
        world.hub.announce_deposit(*terms(world, group=group).values())
    with refused("Hub: group not of asset"):
        bring_return(world, group=group, by=fresh)


def test_deposit_to_a_retired_group_is_still_minted(world: World) -> None:
    """After a rotation the coins that still arrive at the old group's addresses count."""
    fresh = accounts("fresh", 1)
    world.activate(world.propose(fresh, 1), fresh, b"\x44" * 32)
    world.mint(world.deposit())


def test_paused_asset_mints_nothing_and_later_all(world: World) -> None:
    """A pause delays a mint; nothing is lost by it."""
    world.set_policy(paused=True)
    with refused("Hub: asset paused"):
        world.mint(world.deposit())
    world.set_policy()
    world.mint(world.deposit())


def bring_return(world: World, label: int = 0, by: Any = None, **other: Any) -> tuple[bytes, dict[str, Any]]:
    """Bring the storemen's signatures for a return; the deposit's id and the values."""
    txid, vout = outpoint(label)
    values = {"asset": world.asset, "txid": txid, "vout": vout, "amount": 100_000, "group": world.group, "reason": 3}
    values |= other
    world.hub.return_deposit(*values.values(), world.countersign("DepositReturn", *values.values(), by=by))
    return deposit_id(values["asset"], values["txid"], values["vout"]), values


def test_returned_deposit_is_never_minted(world: World) -> None:
    """t storemen bar a mint for ever, and the return is told in full."""
    id_, values = bring_return(world)
    assert events(world.hub) == [("DepositReturned", {"id": id_} | values)]
    assert world.hub.deposit_status(id_) == 2
    with refused("Hub: deposit already final"):
        world.mint(world.deposit(), by=world.vouchers)
    with refused("Hub: deposit already final"):
        bring_return(world, reason=4)
    assert world.hub.supply(world.asset) == 0


def test_minted_deposit_is_never_returned(world: World) -> None:
    """Once the tokens exist, no storemen can have the coin sent back by the Hub's word."""
    world.mint(world.deposit())
    with refused("Hub: deposit already final"):
        bring_return(world, by=world.storemen)


def test_return_works_while_paused_and_below_the_minimum(world: World) -> None:
    """What cannot be minted can be returned: too small, to the Hub itself, or while paused."""
    world.set_policy(paused=True)
    bring_return(world, amount=1)


def test_statuses_of_many_deposits_come_in_order(world: World) -> None:
    """One call answers for many ids."""
    world.mint(world.deposit(1))
    returned, _ = bring_return(world, 2)
    minted = deposit_id(*world.deposit(1)[:3])
    assert world.hub.deposit_statuses([returned, NOBODY, minted]) == [2, 0, 1]
    assert world.hub.deposit_statuses([]) == []
    assert world.hub.deposit_statuses([minted] * 256) == [1] * 256
