"""Registry: two names for one coin, and groups that come between a Lockbox and its withdrawals."""

from __future__ import annotations

import pytest

from tests.support.native_contracts import COIN_POLICY, EVM_CAIP2, GENESIS, accounts, member, refused
from tests.support.native_vaults import EvmSide

COIN_AS_TOKEN = EVM_CAIP2 + "/erc20:0x" + "0" * 40


@pytest.mark.parametrize("text", ["/slip44:060", "/slip44:61", "/slip44:60 ", "/slip44:x"])
def test_the_coin_of_an_evm_chain_has_one_asset(evm: EvmSide, text: str) -> None:
    """A vault has one coin: a second asset for it would be backed by the same coin as the first."""
    registry, owner = evm.world.registry, evm.world.owner
    with refused("Registry: asset exists"):
        registry.register_asset(EVM_CAIP2 + text, evm.chain, "Ether", "ETH", 18, COIN_POLICY, sender=owner)


def test_each_evm_chain_has_a_coin(evm: EvmSide) -> None:
    """The coin of one chain is not that of another, and Bitcoin-like chains may name several."""
    world = evm.world
    other = world.registry.register_chain("eip155:5", GENESIS, 0, sender=world.owner)
    world.registry.register_asset("eip155:5/slip44:60", other, "Ether", "ETH", 18, COIN_POLICY, sender=world.owner)
    assert world.registry.asset_count() == 3


def test_coin_is_no_token(evm: EvmSide) -> None:
    """A Lockbox calls its coin zero, so that no token may have that address: neither the owner nor vouchers name it."""
    world = evm.world
    with refused("Registry: not an ERC-20"):
        world.registry.register_asset(COIN_AS_TOKEN, evm.chain, "Gold", "GLD", 6, COIN_POLICY, sender=world.owner)
    world.registry.set_chain_policy(evm.chain, COIN_POLICY, True, sender=world.owner)
    signatures = world.attest("AssetIntroduction", evm.chain, COIN_AS_TOKEN, "Gold", "GLD", 6)
    with refused("Registry: not an ERC-20"):
        world.hub.introduce(evm.chain, COIN_AS_TOKEN, "Gold", "GLD", 6, signatures)


def test_another_group_comes_between_a_lockbox_and_its_withdrawals(evm: EvmSide) -> None:
    """Accepted: once another group is active on the chain, only that one can reserve; requests can be cancelled."""
    world = evm.world
    evm.fund(10**18)
    withdrawal = evm.withdraw()
    people = accounts("successor", 1)
    successor = bytes(world.registry.propose_group(evm.chain, 1, [member(people[0], 0)], sender=world.owner))
    world.activate(successor, people, b"\x55" * 32)
    with refused("Hub: group not active"):
        evm.reserve([withdrawal])
    world.mint(evm.deposit(2))  # the vault's group still serves deposits
    owner = world.hub.withdrawal(withdrawal)[1]
    world.hub.cancel(withdrawal, sender=owner)
    assert evm.token.balanceOf(owner) == 2 * 10**18
