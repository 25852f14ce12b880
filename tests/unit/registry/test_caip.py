"""Chain and asset ids."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak

from foundation.errors import BadInput
from registry.caip import (
    NATIVE_COIN,
    AssetType,
    BitcoinGenesis,
    ChainId,
    bitcoin_asset,
    bitcoin_chain,
    chain_number,
    erc20,
    evm_chain,
    evm_coin,
    lockbox_asset,
)


def test_bitcoin_chains_have_the_ids_that_the_standard_gives():
    """The main and test networks of bitcoin get the CAIP-2 ids of the bip122 namespace's own examples."""
    assert str(bitcoin_chain(BitcoinGenesis.MAIN.value)) == "bip122:000000000019d6689c085ae165831e93"
    assert str(bitcoin_chain(BitcoinGenesis.TESTNET.value)) == "bip122:000000000933ea01ad0ee984209779ba"


def test_bitcoin_on_test_networks_is_another_coin():
    """Coin 0 of SLIP-44 is bitcoin of the main network alone; regtest's coin is 1, so it is never taken for money."""
    assert str(bitcoin_asset(BitcoinGenesis.MAIN.value)).endswith("/slip44:0")
    assert str(bitcoin_asset(BitcoinGenesis.REGTEST.value)) == "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1"


def test_ids_are_the_hash_of_the_text():
    """Contracts name chains and assets by keccak-256 of the CAIP text."""
    asset = AssetType.parse("eip155:1/slip44:60")
    assert asset.id == keccak(b"eip155:1/slip44:60")
    assert asset.chain.id == evm_chain(1).id == keccak(b"eip155:1")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("bip122", "origin"),
        ("BIP122:000000000019d6689c085ae165831e93", "origin.namespace"),
        ("bip122:000000000019D6689c085ae165831e93", "origin.reference"),
        ("bip122:000000000019d6689c085ae165831e9", "origin.reference"),
        ("eip155:0x1", "origin.reference"),
        ("eip155:01", "origin.reference"),
        ("cosmos:" + "x" * 33, "origin.reference"),
        ("cosmos:hub\n", "origin.reference"),
        ("cosmos:ħub", "origin.reference"),
        ("", "origin"),
    ],
)
def test_a_bad_chain_id_names_its_field(text, field):
    """A chain id that CAIP-2 does not allow is refused, and the error names the part that is wrong."""
    with pytest.raises(BadInput) as refusal:
        ChainId.parse(text, "origin")
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("eip155:1", "coin"),
        ("eip155:1/slip44", "coin"),
        ("eip155:x/slip44:60", "coin.chain.reference"),
        ("eip155:1/SLIP44:60", "coin.namespace"),
        ("eip155:1/slip44:", "coin.reference"),
        ("eip155:1/erc20:" + "a" * 129, "coin.reference"),
        ("eip155:1/erc721:0x06012c8cf97BEaD5deAe237070F9587f8E7A266d/771769", "coin"),
    ],
)
def test_a_bad_asset_type_names_its_field(text, field):
    """An asset that CAIP-19 does not allow, or that names a single token, is refused with the part that is wrong."""
    with pytest.raises(BadInput) as refusal:
        AssetType.parse(text, "coin")
    assert refusal.value.field == field


def test_a_genesis_hash_has_32_bytes():
    """A genesis hash of another length gives no chain id."""
    with pytest.raises(BadInput) as refusal:
        bitcoin_chain(b"\0" * 31)
    assert refusal.value.field == "genesis"


TOKEN = bytes.fromhex("A0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")


def test_a_token_has_one_text():
    """An ERC-20 is written in lower case, whatever case its address came in, so that it has one id."""
    asset = erc20(evm_chain(1), TOKEN)
    assert str(asset) == "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
    assert lockbox_asset(AssetType.parse(str(asset))) == TOKEN


def test_a_chains_own_coin_is_the_address_zero():
    """Whatever its SLIP-44 number, a chain's own coin is what a Lockbox calls address zero."""
    assert str(evm_coin(evm_chain(1))) == "eip155:1/slip44:60"
    for number in (60, 0, 714):
        assert lockbox_asset(evm_coin(evm_chain(56), number)) == NATIVE_COIN == bytes(20)


def test_an_evm_chain_has_a_number():
    """The number is what wallets and signatures know the chain by; a bitcoin chain has none."""
    assert chain_number(ChainId.parse("eip155:31337")) == 31_337
    with pytest.raises(BadInput) as refusal:
        chain_number(bitcoin_chain(BitcoinGenesis.MAIN.value), "origin")
    assert refusal.value.field == "origin.namespace"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("bip122:000000000019d6689c085ae165831e93/slip44:0", "asset.chain.namespace"),
        ("eip155:1/erc721:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", "asset.namespace"),
        ("eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "asset.reference"),
        ("eip155:1/erc20:a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", "asset.reference"),
        ("eip155:1/erc20:0x" + "0" * 40, "asset.reference"),
        ("eip155:1/slip44:060", "asset.reference"),
        ("eip155:1/slip44:ether", "asset.reference"),
    ],
)
def test_what_no_lockbox_holds_is_refused(text, field):
    """Another kind of chain or asset, a second spelling, and the address zero as a token have no place in a Lockbox."""
    with pytest.raises(BadInput) as refusal:
        lockbox_asset(AssetType.parse(text))
    assert refusal.value.field == field


@pytest.mark.parametrize("token", [TOKEN[1:], bytes(20)])
def test_what_is_no_contract_is_no_token(token):
    """An address of a wrong length, and zero, which means the coin, are no tokens."""
    with pytest.raises(BadInput):
        erc20(evm_chain(1), token)
    with pytest.raises(BadInput):
        erc20(bitcoin_chain(BitcoinGenesis.MAIN.value), TOKEN)
