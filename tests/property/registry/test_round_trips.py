"""What is written is read back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import BadInput
from registry.amounts import format_amount, parse_amount
from registry.assets import AssetPolicy
from registry.caip import AssetType, ChainId, chain_number, erc20, evm_chain, lockbox_asset

CHAINS = st.builds(
    ChainId,
    st.from_regex(r"[-a-z0-9]{3,8}", fullmatch=True).filter(lambda name: name not in {"bip122", "eip155"}),
    st.from_regex(r"[-_a-zA-Z0-9]{1,32}", fullmatch=True),
)
ASSETS = st.builds(
    AssetType,
    CHAINS,
    st.from_regex(r"[-a-z0-9]{3,8}", fullmatch=True),
    st.from_regex(r"[-.%a-zA-Z0-9]{1,128}", fullmatch=True),
)


@given(units=st.integers(0, 2**256 - 1), decimals=st.integers(0, 30))
def test_an_amount_survives_writing_and_reading(units, decimals):
    """Any amount that a contract can hold is written and read back to the same base units."""
    assert parse_amount(format_amount(units, decimals), decimals) == units


@given(ASSETS)
def test_an_asset_type_survives_writing_and_reading(asset):
    """Any valid asset type is written and parsed back to itself, its chain included."""
    assert AssetType.parse(str(asset)) == asset


@given(st.text(max_size=60))
def test_any_text_is_an_asset_type_or_bad_input(text):
    """Whatever text arrives, it is parsed to what writes the same text, or refused as bad input; nothing else."""
    try:
        parsed = AssetType.parse(text)
    except BadInput:
        return
    assert str(parsed) == text


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_bad_input(text):
    """Whatever text arrives as an amount, the answer is base units or bad input."""
    try:
        units = parse_amount(text, 8)
    except BadInput:
        return
    assert units >= 0


def test_a_chain_with_a_slash_is_no_chain():
    """A chain's text cannot smuggle in an asset."""
    with pytest.raises(BadInput):
        ChainId.parse("eip155:1/slip44:60")


@given(number=st.integers(1, 10**31), token=st.binary(min_size=20, max_size=20).filter(any))
def test_a_token_survives_writing_and_reading(number, token):
    """Any token's address, and any chain's number, are read back from the asset's text."""
    asset = AssetType.parse(str(erc20(evm_chain(number), token)))
    assert lockbox_asset(asset) == token
    assert chain_number(asset.chain) == number


@given(
    deposit=st.integers(1, 2**200),
    fee=st.integers(0, 2**200),
    bps=st.integers(0, 1_000),
    floor=st.integers(0, 2**200),
    more=st.integers(0, 2**200),
)
def test_a_policy_that_holds_for_the_smallest_deposit_holds_for_all(deposit, fee, bps, floor, more):
    """Whoever deposits at least the minimum receives something, under any policy that is let pass."""
    policy = AssetPolicy(deposit, fee, 0, fee_bps=bps, fee_floor=floor)
    try:
        policy.check()
    except BadInput:
        assert policy.minted(deposit) <= 0 or deposit <= fee
        return
    assert policy.minted(deposit + more) > 0
