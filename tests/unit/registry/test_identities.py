"""Members, groups, assets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.errors import BadInput
from foundation.quantities import TokenUnits
from registry.assets import Asset, AssetPolicy, check_name, check_symbol
from registry.caip import AssetType
from registry.groups import Group, GroupStatus, Member, check_endpoint

MEMBER = Member(b"\1" * 20, b"\2" + b"\1" * 32, b"\3" * 32, "tcp://127.0.0.1:7001")
POLICY = AssetPolicy(TokenUnits(10_000), TokenUnits(1_000), TokenUnits(20_000))


def group(threshold: int, size: int) -> Group:
    members = tuple(replace(MEMBER, account=bytes([i]) * 20) for i in range(size))
    return Group(b"g" * 32, b"c" * 32, threshold, members, 0, None, GroupStatus.PROPOSED)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("account", b"\1" * 19),
        ("host_key", b"\2" * 32),
        ("host_key", b"\4" + b"\1" * 32),
        ("transport_key", b"\1" * 31),
    ],
)
def test_a_malformed_member_names_its_field(field, value):
    """A member whose keys have a wrong length or form is refused by field."""
    with pytest.raises(BadInput) as refusal:
        replace(MEMBER, **{field: value})
    assert refusal.value.field == f"member.{field}"


@pytest.mark.parametrize("endpoint", ["tcp://storeman-1.example.org:7001", "tcp://[::1]:7001"])
def test_names_and_ipv6_addresses_are_endpoints(endpoint):
    """An endpoint may name a host, or an IPv6 address in brackets."""
    check_endpoint(endpoint)
    assert replace(MEMBER, endpoint=endpoint).is_reachable


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "127.0.0.1:7001",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "ipc:///run/socket",
        "tcp://" + "a" * 130 + ":1",
    ],
)
def test_an_endpoint_that_is_none_harms_only_its_member(endpoint):
    """Nonsense is refused before it is registered; what a contract holds nevertheless is read, and not connected to."""
    with pytest.raises(BadInput) as refusal:
        check_endpoint(endpoint, "members[3].endpoint")
    assert refusal.value.field == "members[3].endpoint"
    assert not replace(MEMBER, endpoint=endpoint).is_reachable


@pytest.mark.parametrize(("threshold", "size"), [(0, 1), (2, 1), (2, 4), (1, 2), (1, 0), (51, 101)])
def test_two_quorums_must_meet(threshold, size):
    """A threshold of half the group or less, or above its size, is refused: two quorums could pay one thing twice."""
    with pytest.raises(BadInput):
        group(threshold, size)


def test_a_member_is_found_by_its_account():
    """A storeman's place in the list is its identifier; a stranger has none."""
    assert group(2, 3).index_of(b"\2" * 20) == 2
    assert group(2, 3).index_of(b"\7" * 20) is None


def test_an_asset_reads_and_writes_amounts():
    """An asset's own decimals and symbol apply."""
    asset = Asset.named(AssetType.parse("eip155:1/slip44:60"), "Ether", "ETH", 18, POLICY)
    assert asset.format(5 * 10**17) == "0.5 ETH"
    assert asset.parse("0.5") == 5 * 10**17
    with pytest.raises(BadInput):
        asset.parse("0.0000000000000000001")


def test_texts_that_the_registry_cannot_hold_are_refused():
    """Names longer than the contract's strings are refused before they reach the chain."""
    with pytest.raises(BadInput) as refusal:
        Asset.named(AssetType.parse("eip155:1/slip44:60"), "E" * 26, "ETH", 18, POLICY)
    assert refusal.value.field == "name"


@pytest.mark.parametrize("name", ["", " Ether", "Ether ", "\u0415ther", "E\nther", "E" * 26])
def test_a_name_that_could_be_taken_for_another_is_refused(name):
    """Names are plain characters that people can tell apart, as the Registry asks."""
    with pytest.raises(BadInput) as refusal:
        check_name(name)
    assert refusal.value.field == "name"
    check_name("USD Coin (bridged) ~!")


@pytest.mark.parametrize("symbol", ["", "E TH", " ETH", "\u0395TH", "E" * 11])
def test_a_symbol_that_could_be_taken_for_another_is_refused(symbol):
    """Symbols are plain characters without spaces, as the Registry asks."""
    with pytest.raises(BadInput) as refusal:
        check_symbol(symbol)
    assert refusal.value.field == "symbol"
    check_symbol("USDC.e")


def test_a_token_in_two_spellings_is_no_asset():
    """An EVM asset is registered in its one spelling alone: mixed case would give the token a second id."""
    mixed = AssetType.parse("eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
    with pytest.raises(BadInput):
        Asset.named(mixed, "USD Coin", "USDC", 6, POLICY)


def test_the_service_fee_is_its_part_or_the_floor():
    """The fee is rounded down, never below the floor; what is minted is what both fees leave."""
    policy = replace(POLICY, fee_bps=25, fee_floor=TokenUnits(10))
    assert [policy.service_fee(n) for n in (0, 4_000, 4_399, 4_400, 10**30)] == [10, 10, 10, 11, 25 * 10**26]
    assert policy.minted(11_000) == 11_000 - 1_000 - 25
    assert POLICY.service_fee(10**30) == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"fee_bps": 1_001}, "policy.fee_bps"),
        ({"deposit_fee": 10_000}, "policy.minimum_deposit"),
        ({"fee_floor": 9_000}, "policy.minimum_deposit"),
        ({"minimum_withdrawal": 10, "fee_floor": 10}, "policy.minimum_withdrawal"),
    ],
)
def test_a_policy_that_leaves_nothing_is_refused(changes, field):
    """A policy by which the smallest deposit or withdrawal would give nothing is refused, and the member named."""
    with pytest.raises(BadInput) as refusal:
        replace(POLICY, **changes).check()
    assert refusal.value.field == field
    assert refusal.value.cure
    replace(POLICY, fee_bps=1_000, minimum_withdrawal=TokenUnits(0), fee_floor=TokenUnits(8_999)).check()


def test_an_asset_is_open_unless_paused_or_denied():
    """Paused and denied are two reasons for the same refusal."""
    assert POLICY.is_open
    assert not replace(POLICY, paused=True).is_open
    assert not replace(POLICY, denied=True).is_open


def test_a_policy_has_no_negative_amounts():
    """A negative fee is refused, naming it."""
    with pytest.raises(BadInput) as refusal:
        replace(POLICY, deposit_fee=TokenUnits(-1))
    assert refusal.value.field == "policy.deposit_fee"
