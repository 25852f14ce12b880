"""Registry: vaults, the assets of EVM chains, and those that vouchers introduce."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.crypto import keccak

from tests.support.native_contracts import (
    CAIP19,
    COIN_POLICY,
    EVM_CAIP2,
    EVM_COIN,
    GENESIS,
    LOCKBOX,
    NOBODY,
    POLICY,
    ZERO,
    World,
    account,
    accounts,
    deploy,
    event,
    events,
    member,
    refused,
    refused_silently,
)
from tests.support.native_vaults import ERC20, EvmSide

OPEN_POLICY = (500, 0, 100, False, False, 10, 3, 10**24, 10**23)


def open_chain(evm: EvmSide, policy: tuple[Any, ...] = OPEN_POLICY) -> None:
    """Let vouchers introduce assets of the chain."""
    evm.world.registry.set_chain_policy(evm.chain, policy, True, sender=evm.world.owner)


def introduce(evm: EvmSide, caip19: str = ERC20, by: Any = None, **other: Any) -> bytes:
    """Bring the vouchers' word for an asset; its id."""
    values = {"chain": evm.chain, "caip19": caip19, "name": "Gold", "symbol": "GLD", "decimals": 6} | other
    signatures = evm.world.attest("AssetIntroduction", *values.values(), by=by)
    made: bytes = evm.world.hub.introduce(*values.values(), signatures)
    return made


# --- Vaults -----------------------------------------------------------------------------------------------------------


def test_vault_is_named_once_for_each_chain(evm: EvmSide) -> None:
    """A chain's vault is stored and told, and nothing can replace it."""
    world = evm.world
    other = world.registry.register_chain("eip155:5", GENESIS, 0, sender=world.owner)
    people = accounts("fifth", 1)
    group = bytes(world.registry.propose_group(other, 1, [member(people[0], 0)], sender=world.owner))
    world.activate(group, people, b"\x55" * 32)
    world.registry.register_vault(other, LOCKBOX, 99, group, sender=world.owner)
    told = {"chain": other, "lockbox": LOCKBOX, "start_block": 99, "group": group}
    assert event(world.registry, "VaultRegistered") == told
    assert tuple(world.registry.vault(other)) == (LOCKBOX, 99, group)
    assert tuple(world.registry.vault(evm.chain)) == (LOCKBOX, 7, evm.group)
    with refused("Registry: vault exists"):
        world.registry.register_vault(other, "0x" + "b1" * 20, 99, group, sender=world.owner)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chain": "bitcoin"}, "Registry: not an EVM chain"),
        ({"chain": "unknown"}, "Registry: not an EVM chain"),
        ({"lockbox": ZERO}, "Registry: no lockbox"),
        ({"group": NOBODY}, "Registry: group not of chain"),
        ({"group": "bitcoin"}, "Registry: group not of chain"),
        ({"group": "proposed"}, "Registry: group not of chain"),
    ],
)
def test_vault_that_nobody_could_use_is_refused(world: World, change: dict[str, str], reason: str) -> None:
    """A vault is a contract's address on an EVM chain, deployed with the key of an activated group of that chain."""
    chain = world.registry.register_chain(EVM_CAIP2, GENESIS, 0, sender=world.owner)
    proposed = world.registry.propose_group(chain, 1, [member(account("one"), 0)], sender=world.owner)
    chains = {"bitcoin": world.chain, "unknown": b"\x01" * 32}
    groups = {"bitcoin": world.group, "proposed": proposed, NOBODY: NOBODY}
    values = (
        chains.get(change.get("chain", ""), chain),
        change.get("lockbox", LOCKBOX),
        0,
        groups[change.get("group", "proposed")],
    )
    with refused(reason):
        world.registry.register_vault(*values, sender=world.owner)


# --- Assets of EVM chains ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        EVM_CAIP2 + "/erc20:0x" + "7E" * 20,  # the same token once more, in capitals
        EVM_CAIP2 + "/erc20:0x" + "7e" * 19,
        EVM_CAIP2 + "/erc20:0x" + "7e" * 20 + "0",
        EVM_CAIP2 + "/erc20:" + "7e" * 21,
        EVM_CAIP2 + "/erc721:0x" + "7e" * 20,
        EVM_CAIP2 + "/slip44:",
        EVM_CAIP2 + "/erc20:0x" + "7g" * 20,
    ],
)
def test_token_of_an_evm_chain_has_one_text(evm: EvmSide, text: str) -> None:
    """A contract is written in lower case and in full, so that it cannot be registered twice."""
    registry, owner = evm.world.registry, evm.world.owner
    with refused("Registry: not an ERC-20"):
        registry.register_asset(text, evm.chain, "Gold", "GLD", 6, COIN_POLICY, sender=owner)
    registry.register_asset(ERC20, evm.chain, "Gold", "GLD", 6, COIN_POLICY, sender=owner)
    assert registry.asset_by_text(EVM_COIN)[0] == evm.coin


def test_longest_name_and_widest_symbol_are_taken(evm: EvmSide) -> None:
    """25 and 10 printable bytes; the name may have spaces inside; two assets may share both."""
    registry, owner = evm.world.registry, evm.world.owner
    for digit in "12":
        text = EVM_CAIP2 + "/erc20:0x" + digit * 40
        registry.register_asset(text, evm.chain, "! " * 12 + "~", "!" * 9 + "~", 0, COIN_POLICY, sender=owner)


# --- Introductions ----------------------------------------------------------------------------------------------------


def test_vouchers_introduce_a_token_with_its_chains_policy(evm: EvmSide) -> None:
    """More than two thirds name an ERC-20 that nobody registered; it gets the chain's policy and can be minted."""
    open_chain(evm)
    made = introduce(evm)
    assert made == keccak(text=ERC20)
    world = evm.world
    assert tuple(world.registry.asset(made)) == (evm.chain, ERC20, "Gold", "GLD", 6)
    assert tuple(world.registry.asset_policy(made)) == OPEN_POLICY
    world.mint(evm.deposit(1, 10_000, asset=made))
    assert world.hub.supply(made) == 10_000 - 10


def test_introduction_is_told_by_the_registry(evm: EvmSide) -> None:
    """The same events as for an asset that the owner registers."""
    open_chain(evm)
    assert str(evm.world.registry.registrar()) == str(evm.world.hub.address)
    introduce(evm)
    logged = [log for log in evm.world.hub.get_logs() if hasattr(log, "_asdict")]
    assert [type(log).__name__ for log in logged] == ["AssetRegistered", "AssetPolicyChanged"]


def test_introduction_needs_more_than_two_thirds(evm: EvmSide) -> None:
    """Two of four vouchers, storemen or nobody introduce nothing."""
    open_chain(evm)
    for by in (evm.world.vouchers[:2], evm.storemen, []):
        with refused("Hub: not enough weight"):
            introduce(evm, by=by)


def test_token_is_introduced_once(evm: EvmSide) -> None:
    """Not again under another name, and not after the owner registered it."""
    open_chain(evm)
    introduce(evm)
    with refused("Registry: asset exists"):
        introduce(evm, name="Other")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"caip19": EVM_CAIP2 + "/erc20:0x" + "7E" * 20}, "Registry: not an ERC-20"),
        ({"caip19": EVM_CAIP2 + "/slip44:61"}, "Registry: not an ERC-20"),
        ({"caip19": "eip155:31338" + ERC20[len(EVM_CAIP2) :]}, "Registry: asset not of chain"),
        ({"name": "Go\tld"}, "Registry: bad name"),
        ({"symbol": "G D"}, "Registry: bad symbol"),
        ({"chain": "bitcoin"}, "Registry: not an EVM chain"),
        ({"chain": "unknown"}, "Registry: not an EVM chain"),
    ],
)
def test_vouchers_cannot_introduce_anything_else(evm: EvmSide, change: dict[str, Any], reason: str) -> None:
    """An introduced asset is an ERC-20 of an open EVM chain with a name that people can read."""
    open_chain(evm)
    chains = {"bitcoin": evm.world.chain, "unknown": b"\x01" * 32}
    change = {key: chains.get(value, value) if key == "chain" else value for key, value in change.items()}
    with refused(reason):
        introduce(evm, **change)


def test_closed_chain_takes_no_introductions(evm: EvmSide) -> None:
    """Chains are closed at first, and the owner can close them again."""
    with refused("Registry: chain not open"):
        introduce(evm)
    open_chain(evm)
    evm.world.registry.set_chain_policy(evm.chain, OPEN_POLICY, False, sender=evm.world.owner)
    told = event(evm.world.registry, "ChainPolicyChanged")
    assert (told["chain"], told["open"], tuple(told["policy"])) == (evm.chain, False, OPEN_POLICY)
    policy, is_open = evm.world.registry.chain_policy(evm.chain)
    assert (tuple(policy), is_open) == (OPEN_POLICY, False)
    with refused("Registry: chain not open"):
        introduce(evm)


def test_only_the_registrar_introduces_and_it_is_set_once(world: World) -> None:
    """Not even the owner introduces an asset in the Hub's place, or names another Hub; the first is a contract."""
    with refused("Registry: not the registrar"):
        world.registry.introduce_asset(CAIP19, world.chain, "N", "S", 8, sender=world.owner)
    with refused("Registry: registrar is set"):
        world.registry.set_registrar(world.bonds.address, sender=world.owner)
    fresh = deploy("Registry")
    with refused("Registry: not a contract"):
        fresh.set_registrar(account("user").address)
    fresh.set_registrar(world.hub.address)
    assert events(fresh) == [("RegistrarSet", {"registrar": world.hub.address})]


def test_chain_policy_is_checked_like_any_other(evm: EvmSide) -> None:
    """A policy that could mint nothing, or one for a chain whose assets nobody introduces, is refused."""
    with refused("Registry: fee above minimum"):
        open_chain(evm, (3, 0, 0, False, False, 0, 3, 0, 0))
    with refused("Registry: not an EVM chain"):
        evm.world.registry.set_chain_policy(evm.world.chain, POLICY, True, sender=evm.world.owner)


def test_text_of_an_introduction_may_not_be_too_long(evm: EvmSide) -> None:
    """More than 25 bytes of name do not get past the decoder."""
    open_chain(evm)
    with refused_silently():
        introduce(evm, name="n" * 26)
    assert evm.world.registry.asset_by_text(ERC20)[0] == NOBODY
