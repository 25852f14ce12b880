"""Finding chains and assets by what a person writes, and what is shown of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cli.asset_view import asset_documents, asset_text, list_text
from cli.exits import NotFound
from cli.registry_lookup import chosen_asset, chosen_chain, find_asset, shared_symbols
from foundation.errors import BadInput
from foundation.quantities import TokenUnits
from registry.assets import Asset, AssetPolicy
from registry.caip import BitcoinGenesis as Genesis
from registry.caip import bitcoin_asset, erc20, evm_chain, evm_coin
from registry.chains import Chain

POLICY = AssetPolicy(
    TokenUnits(1_000), TokenUnits(0), TokenUnits(1_000), fee_bps=10, deposit_limit=TokenUnits(5 * 10**6)
)
FIVE, SIX = evm_chain(5), evm_chain(6)
CHAINS = [
    Chain.named(bitcoin_asset(Genesis.REGTEST.value).chain, Genesis.REGTEST.value, 1),
    Chain.named(FIVE, b"5" * 32, 0),
    Chain.named(SIX, b"6" * 32, 3),
]
BTC = Asset.named(bitcoin_asset(Genesis.REGTEST.value), "Bitcoin", "BTC", 8, POLICY)
ETH = Asset.named(evm_coin(FIVE), "Ether", "ETH", 18, POLICY)
FALSE_ETH = Asset.named(erc20(FIVE, b"\xab" * 20), "Ether", "eth", 6, POLICY)
DAI = Asset.named(erc20(SIX, b"\xcd" * 20), "Dai", "DAI", 18, POLICY)
ASSETS = [BTC, ETH, FALSE_ETH, DAI]
TOKEN = b"\x77" * 20


@pytest.mark.parametrize(
    ("text", "chain"),
    [("eip155:5", 1), (CHAINS[2].id.hex(), 2), ("0x" + CHAINS[2].id.hex()[:8], 2), (CHAINS[0].caip2, 0)],
)
def test_a_chain_is_found_by_text_and_by_id(text: str, chain: int) -> None:
    """CAIP-2 text, the whole id, and its beginning as tables show it."""
    assert chosen_chain(CHAINS, text) == CHAINS[chain]


def test_a_chain_that_is_not_registered_is_not_found() -> None:
    """Too few digits are no id either."""
    for text in ("eip155:7", CHAINS[1].id.hex()[:4], "ff" * 32):
        with pytest.raises(NotFound):
            chosen_chain(CHAINS, text)


@pytest.mark.parametrize(
    ("text", "asset"),
    [
        ("BTC", BTC),
        ("dai", DAI),
        ("cwDAI", DAI),
        (ETH.id.hex(), ETH),
        (FALSE_ETH.id.hex()[:8] + "…", FALSE_ETH),
        ("eip155:5/slip44:60", ETH),
        ("eip155:6/erc20:0x" + "CD" * 20, DAI),
    ],
)
def test_an_asset_is_found_by_symbol_text_and_id(text: str, asset: Asset) -> None:
    """Symbols in any case, also as the mapping token writes them; a contract's address in any case."""
    assert chosen_asset(ASSETS, text) == asset


@pytest.mark.parametrize("text", ["ETH", "eth", "cwETH"])
def test_a_symbol_of_several_assets_names_none(text: str) -> None:
    """An asset that calls itself by another one's symbol is not taken for it: both are listed with their ids."""
    with pytest.raises(BadInput) as refusal:
        chosen_asset(ASSETS, text)
    for asset in (ETH, FALSE_ETH):
        assert f"{asset.id.hex()[:8]} ({asset.caip19})" in refusal.value.problem
    assert set(shared_symbols(ASSETS)) == {"ETH"}


class _Native:
    """The native chain: one asset has a token; a halt of everything, where a test wants one."""

    def __init__(self, halted_until: int = 0) -> None:
        self.halted = halted_until

    async def assets(self, _at: str) -> list[Asset]:
        return ASSETS

    async def asset_of(self, token: bytes, _at: str) -> bytes | None:
        return ETH.id if token == TOKEN else None

    async def token_of(self, asset: bytes, _at: str) -> bytes | None:
        return TOKEN if asset == ETH.id else None

    async def supply(self, asset: bytes, _at: str) -> int:
        return 2 * 10**18 if asset == ETH.id else 0

    async def halted_until(self, asset: bytes, _at: str) -> int:
        return self.halted if asset == bytes(32) else 0

    async def block(self, _at: str) -> Any:
        return SimpleNamespace(timestamp=1_000)


def test_an_asset_is_found_by_its_mapping_token_and_by_no_other_address() -> None:
    """The mapping token's address names the asset; a token's on its own chain does not, but its asset is told."""
    native = cast(Any, _Native())
    assert asyncio.run(find_asset(native, "0x" + TOKEN.hex())) == ETH
    with pytest.raises(NotFound) as refusal:
        asyncio.run(find_asset(native, "0x" + "cd" * 20))
    assert DAI.caip19 in refusal.value.cure


def test_the_list_warns_of_a_symbol_that_several_assets_have() -> None:
    """Both are marked, whatever the case, and a line says what to do; others are not."""
    documents = asyncio.run(asset_documents(cast(Any, _Native()), ASSETS))
    assert [bool(document["same_symbol"]) for document in documents] == [False, True, True, False]
    text = list_text(documents)
    assert "ETH !" in text
    assert "eth !" in text
    assert "BTC !" not in text
    assert "SEVERAL ASSETS HAVE THIS SYMBOL" in text
    assert "SEVERAL" not in list_text([documents[0], documents[3]])


def test_an_asset_is_shown_with_policy_token_supply_and_state() -> None:
    """Amounts are in whole coins; a halt of everything, a pause and a denial are told."""
    (document,) = asyncio.run(asset_documents(cast(Any, _Native()), ASSETS, [ETH]))
    text = asset_text(document)
    for part in ("0x" + TOKEN.hex(), "2 ETH", "10 basis points", "0.000000000005 ETH a day", "open", "OTHER ASSETS"):
        assert part in text
    (document,) = asyncio.run(asset_documents(cast(Any, _Native(halted_until=2_000)), ASSETS, [DAI]))
    assert "HALTED until 1970-01-01 00:33:20Z" in asset_text(document)
    for policy, word in ((replace(POLICY, paused=True), "PAUSED"), (replace(POLICY, denied=True), "DENIED")):
        (document,) = asyncio.run(asset_documents(cast(Any, _Native()), ASSETS, [replace(DAI, policy=policy)]))
        assert word in asset_text(document)
