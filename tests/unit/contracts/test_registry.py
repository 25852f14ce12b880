"""Registry: chains, assets, policies, and who may name them."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak

from tests.support.native_contracts import (
    CAIP2,
    CAIP19,
    GENESIS,
    NOBODY,
    POLICY,
    ZERO,
    World,
    account,
    event,
    events,
    refused,
    refused_silently,
)

NOT_OWNER = "ownable: caller is not the owner"
OTHER = "eip155:1"


def test_chain_is_registered_under_the_hash_of_its_text(world: World) -> None:
    """A chain's id is keccak256 of its CAIP-2 text; it is stored and told."""
    made = world.registry.register_chain(OTHER, GENESIS, sender=world.owner)
    assert made == keccak(text=OTHER)
    assert events(world.registry) == [("ChainRegistered", {"id": made, "caip2": OTHER, "genesis": GENESIS})]
    assert tuple(world.registry.chain_info(made)) == (OTHER, GENESIS)


@pytest.mark.parametrize(
    ("caip2", "genesis", "reason"),
    [
        ("", GENESIS, "Registry: empty CAIP text"),
        (OTHER, NOBODY, "Registry: no genesis"),
        (CAIP2, b"\x01" * 32, "Registry: chain exists"),
    ],
)
def test_malformed_or_known_chain_is_refused(world: World, caip2: str, genesis: bytes, reason: str) -> None:
    """A chain needs a text and a genesis hash, and is never overwritten."""
    with refused(reason):
        world.registry.register_chain(caip2, genesis, sender=world.owner)


def test_text_that_is_too_long_is_refused(world: World) -> None:
    """A CAIP-2 text of more than 64 bytes does not get past the decoder."""
    with refused_silently():
        world.registry.register_chain("x" * 65, GENESIS, sender=world.owner)


def test_asset_is_registered_under_the_hash_of_its_text(world: World) -> None:
    """An asset's id is keccak256 of its CAIP-19 text; its first policy is told as well."""
    text = CAIP2 + "/slip44:99"
    made = world.registry.register_asset(text, world.chain, "Other", "OTH", 6, POLICY, sender=world.owner)
    assert made == keccak(text=text)
    assert [name for name, _ in events(world.registry)] == ["AssetRegistered", "AssetPolicyChanged"]
    told = event(world.registry, "AssetRegistered")
    assert told == {
        "id": made, "chain": world.chain, "caip19": text, "name": "Other", "symbol": "OTH", "decimals": 6
    }  # fmt: skip
    assert tuple(world.registry.asset(made)) == (world.chain, text, "Other", "OTH", 6)
    assert tuple(world.registry.asset_policy(made)) == POLICY


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"caip19": CAIP19}, "Registry: asset exists"),
        ({"chain": b"\x07" * 32}, "Registry: unknown chain"),
        ({"caip19": "eip155:1/slip44:60"}, "Registry: asset not of chain"),
        ({"caip19": CAIP2}, "Registry: asset not of chain"),
        ({"caip19": CAIP2 + "/"}, "Registry: asset not of chain"),
        ({"caip19": CAIP2 + "0/slip44:1"}, "Registry: asset not of chain"),
        ({"name": ""}, "Registry: empty name or symbol"),
        ({"symbol": ""}, "Registry: empty name or symbol"),
        ({"policy": (1_000, 1_000, 0, False)}, "Registry: fee above minimum"),
    ],
)
def test_malformed_asset_is_refused(world: World, change: dict[str, object], reason: str) -> None:
    """An asset is new, on a known chain that its text names, has a name and a symbol, and a policy that mints."""
    asset = {"caip19": CAIP2 + "/slip44:9", "chain": world.chain, "name": "N", "symbol": "S", "decimals": 8}
    with refused(reason):
        world.registry.register_asset(*(asset | {"policy": POLICY} | change).values(), sender=world.owner)


@pytest.mark.parametrize("change", [{"name": "n" * 26}, {"symbol": "s" * 11}])
def test_name_or_symbol_that_is_too_long_for_the_token_is_refused(world: World, change: dict[str, object]) -> None:
    """A name of 25 and a symbol of 10 bytes are the most, so that the token's longer ones always fit."""
    asset = {"caip19": CAIP2 + "/slip44:9", "chain": world.chain, "name": "N", "symbol": "S", "decimals": 8}
    with refused_silently():
        world.registry.register_asset(*(asset | {"policy": POLICY} | change).values(), sender=world.owner)


def test_policy_changes_and_is_told(world: World) -> None:
    """The owner changes an asset's policy; the views and the event say the new one."""
    policy = (5_000, 4_999, 7, True)
    world.registry.set_asset_policy(world.asset, policy, sender=world.owner)
    assert tuple(event(world.registry, "AssetPolicyChanged").values()) == (world.asset, *policy)
    assert tuple(world.registry.asset_policy(world.asset)) == policy
    assert (world.registry.deposit_terms(world.group, world.asset)[0]) is True
    assert tuple(world.registry.deposit_terms(world.group, world.asset)[1]) == policy


@pytest.mark.parametrize("fee", [20_000, 20_001, 2**256 - 1])
def test_policy_that_could_mint_nothing_is_refused(world: World, fee: int) -> None:
    """The deposit fee stays below the smallest deposit."""
    with refused("Registry: fee above minimum"):
        world.registry.set_asset_policy(world.asset, (20_000, fee, 0, False), sender=world.owner)


def test_policy_of_an_unknown_asset_is_refused(world: World) -> None:
    """Only a registered asset has a policy."""
    with refused("Registry: unknown asset"):
        world.registry.set_asset_policy(b"\x01" * 32, POLICY, sender=world.owner)


def test_only_the_owner_names_things(world: World) -> None:
    """A stranger can register no chain or asset, change no policy, propose no group, and take no ownership."""
    stranger = account("stranger").address
    calls = [
        lambda: world.registry.register_chain(OTHER, GENESIS, sender=stranger),
        lambda: world.registry.register_asset(CAIP2 + "/x:1", world.chain, "N", "S", 8, POLICY, sender=stranger),
        lambda: world.registry.set_asset_policy(world.asset, POLICY, sender=stranger),
        lambda: world.registry.propose_group(world.chain, 1, [], sender=stranger),
        lambda: world.registry.transfer_ownership(stranger, sender=stranger),
    ]
    for call in calls:
        with refused(NOT_OWNER):
            call()


def test_ownership_is_handed_on(world: World) -> None:
    """The owner can name another owner, but not nobody; the old one has no rights left."""
    heir = account("heir").address
    with refused("ownable: new owner is the zero address"):
        world.registry.transfer_ownership(ZERO, sender=world.owner)
    world.registry.transfer_ownership(heir, sender=world.owner)
    assert world.registry.owner() == heir
    with refused(NOT_OWNER):
        world.registry.register_chain(OTHER, GENESIS, sender=world.owner)
    world.registry.register_chain(OTHER, GENESIS, sender=heir)


@pytest.mark.parametrize("contract", ["registry", "hub"])
def test_domain_is_the_documented_one(world: World, contract: str) -> None:
    """eip712Domain (EIP-5267) names Causeway, version 1, this chain and this contract."""
    found = getattr(world, contract).eip712Domain()
    assert tuple(found)[:5] == (b"\x0f", "Causeway", "1", 1, getattr(world, contract).address)


def test_unknown_ids_answer_empty(world: World) -> None:
    """What was never registered has empty fields, no vault and no quorum."""
    nothing = b"\x09" * 32
    assert tuple(world.registry.chain_info(nothing)) == ("", NOBODY)
    assert world.registry.asset(nothing)[0] == NOBODY
    assert tuple(world.registry.asset_policy(nothing)) == (0, 0, 0, False)
    assert world.registry.members(nothing) == []
    assert world.registry.active_group(nothing) == NOBODY
    assert not world.registry.is_quorum(nothing, [])
    for group, asset in ((nothing, world.asset), (world.group, nothing), (NOBODY, nothing), (NOBODY, world.asset)):
        assert not world.registry.is_vault_of(group, asset)
        assert not world.registry.is_active_vault_of(group, asset)
        assert world.registry.deposit_terms(group, asset)[0] is False
