"""Chain and asset ids."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak

from foundation.errors import BadInput
from registry.caip import AssetType, BitcoinGenesis, ChainId, bitcoin_asset, bitcoin_chain, evm_chain


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
