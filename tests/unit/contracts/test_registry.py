"""Registry: chains, assets, policies, and who may name them."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak

from tests.support.native_contracts import (
    CAIP2,
    CAIP19,
    GENESIS,
    LOCKBOX,
    NOBODY,
    POLICY,
    ZERO,
    World,
    account,
    event,
    events,
    policy_with,
    refused,
    refused_silently,
)

NOT_OWNER = "ownable: caller is not the owner"
OTHER = "eip155:1"


@pytest.mark.parametrize(
    ("text", "kind", "confirmations"), [(OTHER, 2, 0), (OTHER, 2, 12), ("bip122:" + "0f" * 16, 1, 6)]
)
def test_chain_is_registered_under_the_hash_of_its_text(world: World, text: str, kind: int, confirmations: int) -> None:
    """A chain's id is keccak256 of its CAIP-2 text; its namespace says its kind; it is stored, told and found."""
    made = world.registry.register_chain(text, GENESIS, confirmations, sender=world.owner)
    assert made == keccak(text=text)
    told = {"id": made, "caip2": text, "genesis": GENESIS, "kind": kind, "confirmations": confirmations}
    assert events(world.registry) == [("ChainRegistered", told)]
    assert tuple(world.registry.chain_info(made)) == (text, GENESIS, kind, confirmations)
    found, chain = world.registry.chain_by_text(text)
    assert (found, tuple(chain)) == (made, (text, GENESIS, kind, confirmations))
    assert [world.registry.chain_at(n) for n in range(world.registry.chain_count())] == [world.chain, made]


@pytest.mark.parametrize(
    ("caip2", "genesis", "confirmations", "reason"),
    [
        ("", GENESIS, 1, "Registry: empty CAIP text"),
        (OTHER, NOBODY, 1, "Registry: no genesis"),
        (CAIP2, b"\x01" * 32, 1, "Registry: chain exists"),
        (CAIP2, GENESIS, 0, "Registry: bad finality"),
        ("bip122:" + "11" * 16, GENESIS, 0, "Registry: bad finality"),
        ("cosmos:hub-4", GENESIS, 1, "Registry: unknown namespace"),
        ("eip155", GENESIS, 1, "Registry: unknown namespace"),
        ("eip155:", GENESIS, 1, "Registry: unknown namespace"),
        ("bip122:", GENESIS, 1, "Registry: unknown namespace"),
        ("EIP155:1", GENESIS, 1, "Registry: unknown namespace"),
        ("eip155:0", GENESIS, 0, "Registry: bad chain number"),
        ("eip155:01", GENESIS, 0, "Registry: bad chain number"),
        ("eip155:1a", GENESIS, 0, "Registry: bad chain number"),
        ("eip155:0x1", GENESIS, 0, "Registry: bad chain number"),
        ("eip155:1/", GENESIS, 0, "Registry: bad chain number"),
        ("eip155:-1", GENESIS, 0, "Registry: bad chain number"),
    ],
)
def test_malformed_or_known_chain_is_refused(
    world: World, caip2: str, genesis: bytes, confirmations: int, reason: str
) -> None:
    """A chain has a text of a namespace that we know, a genesis hash and a finality rule, and is never overwritten."""
    with refused(reason):
        world.registry.register_chain(caip2, genesis, confirmations, sender=world.owner)


def test_longest_chain_number_is_taken(world: World) -> None:
    """A text may have 64 bytes, all of them digits after the namespace."""
    world.registry.register_chain("eip155:" + "9" * 57, GENESIS, 0, sender=world.owner)


def test_text_that_is_too_long_is_refused(world: World) -> None:
    """A CAIP-2 text of more than 64 bytes does not get past the decoder."""
    with refused_silently():
        world.registry.register_chain("eip155:" + "9" * 58, GENESIS, 0, sender=world.owner)


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
    found, asset, policy = world.registry.asset_by_text(text)
    assert (found, tuple(asset), tuple(policy)) == (made, (world.chain, text, "Other", "OTH", 6), POLICY)
    assert [world.registry.asset_at(n) for n in range(world.registry.asset_count())] == [world.asset, made]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"caip19": CAIP19}, "Registry: asset exists"),
        ({"chain": b"\x07" * 32}, "Registry: unknown chain"),
        ({"caip19": "eip155:1/slip44:60"}, "Registry: asset not of chain"),
        ({"caip19": CAIP2}, "Registry: asset not of chain"),
        ({"caip19": CAIP2 + "/"}, "Registry: asset not of chain"),
        ({"caip19": CAIP2 + "0/slip44:1"}, "Registry: asset not of chain"),
        ({"name": ""}, "Registry: bad name"),
        ({"name": " Ether"}, "Registry: bad name"),
        ({"name": "Ether "}, "Registry: bad name"),
        ({"name": "Eth\x1fer"}, "Registry: bad name"),
        ({"name": "Eth\x7fer"}, "Registry: bad name"),
        ({"name": "Eth\u0435r"}, "Registry: bad name"),  # a Cyrillic letter that looks like e
        ({"symbol": ""}, "Registry: bad symbol"),
        ({"symbol": "E T"}, "Registry: bad symbol"),
        ({"symbol": "ETH\n"}, "Registry: bad symbol"),
        ({"symbol": "\u0415TH"}, "Registry: bad symbol"),
        ({"policy": policy_with(minimum_deposit=1_000)}, "Registry: fee above minimum"),
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
    policy = (5_000, 4_000, 7_000, True, True, 25, 999, 10**9, 10**8)
    world.registry.set_asset_policy(world.asset, policy, sender=world.owner)
    told = event(world.registry, "AssetPolicyChanged")
    assert (told["asset"], tuple(told["policy"])) == (world.asset, policy)
    assert tuple(world.registry.asset_policy(world.asset)) == policy
    is_vault, found = world.registry.deposit_terms(world.group, world.asset)
    assert (is_vault, tuple(found)) == (True, policy)
    kind, found = world.registry.withdrawal_terms(world.asset)
    assert (kind, tuple(found)) == (1, policy)
    assert tuple(world.registry.reservation_terms(world.group, world.asset)) == (True, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"deposit_fee": 20_000},
        {"deposit_fee": 20_001},
        {"deposit_fee": 2**256 - 1},
        {"fee_floor": 19_000},  # all that the deposit fee leaves of the smallest deposit
        {"fee_floor": 10_000},  # all of the smallest withdrawal
        {"fee_floor": 2**256 - 1},
        {"minimum_withdrawal": 1, "fee_floor": 1},
    ],
)
def test_policy_that_could_mint_or_pay_nothing_is_refused(world: World, change: dict[str, int]) -> None:
    """Something is left of the smallest deposit and of the smallest withdrawal after all fees."""
    with refused("Registry: fee above minimum"):
        world.set_policy(**change)


def test_policy_at_its_bounds_is_accepted(world: World) -> None:
    """One unit may be all that is left; without a minimum the Hub looks at each withdrawal; a tenth is the most."""
    world.set_policy(fee_floor=9_999)
    world.set_policy(fee_floor=18_999, minimum_withdrawal=0)
    world.set_policy(fee_bps=1_000, minimum_deposit=2**256 - 1, minimum_withdrawal=2**256 - 1)
    with refused("Registry: fee above a tenth"):
        world.set_policy(fee_bps=1_001)


def test_policy_of_an_unknown_asset_is_refused(world: World) -> None:
    """Only a registered asset has a policy."""
    with refused("Registry: unknown asset"):
        world.registry.set_asset_policy(b"\x01" * 32, POLICY, sender=world.owner)


def test_only_the_owner_names_things(world: World) -> None:
    """A stranger can register no chain or asset, change no policy, propose no group, and take no ownership."""
    stranger = account("stranger").address
    calls = [
        lambda: world.registry.register_chain(OTHER, GENESIS, 0, sender=stranger),
        lambda: world.registry.register_vault(world.chain, LOCKBOX, 0, world.group, sender=stranger),
        lambda: world.registry.set_chain_policy(world.chain, POLICY, True, sender=stranger),
        lambda: world.registry.set_registrar(stranger, sender=stranger),
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
        world.registry.register_chain(OTHER, GENESIS, 0, sender=world.owner)
    world.registry.register_chain(OTHER, GENESIS, 0, sender=heir)


@pytest.mark.parametrize("contract", ["registry", "hub"])
def test_domain_is_the_documented_one(world: World, contract: str) -> None:
    """eip712Domain (EIP-5267) names Causeway, version 1, this chain and this contract."""
    found = getattr(world, contract).eip712Domain()
    assert tuple(found)[:5] == (b"\x0f", "Causeway", "1", 1, getattr(world, contract).address)


def test_unknown_ids_answer_empty(world: World) -> None:
    """What was never registered has empty fields, no vault and no quorum."""
    nothing = b"\x09" * 32
    assert tuple(world.registry.chain_info(nothing)) == ("", NOBODY, 0, 0)
    assert world.registry.chain_by_text(OTHER) == (NOBODY, ("", NOBODY, 0, 0))
    assert world.registry.asset_by_text(OTHER)[0] == NOBODY
    assert world.registry.vault(nothing) == (ZERO, 0, NOBODY)
    assert world.registry.asset(nothing)[0] == NOBODY
    assert tuple(world.registry.asset_policy(nothing)) == (0, 0, 0, False, False, 0, 0, 0, 0)
    assert world.registry.members(nothing) == []
    assert world.registry.active_group(nothing) == NOBODY
    assert world.registry.quorum(nothing, []) == (False, 0)
    assert world.registry.withdrawal_terms(nothing)[0] == 0
    for group, asset in ((nothing, world.asset), (world.group, nothing), (NOBODY, nothing), (NOBODY, world.asset)):
        assert not world.registry.is_vault_of(group, asset)
        assert not world.registry.is_active_vault_of(group, asset)
        assert world.registry.deposit_terms(group, asset)[0] is False
        assert world.registry.reservation_terms(group, asset)[0] is False
