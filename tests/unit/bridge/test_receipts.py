"""The deposit receipt: it reads back, it names what is wrong in it, and its address proves its terms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from adapters.bitcoin.addresses import MAINNET, NETWORKS, REGTEST, SIGNET, Network
from adapters.bitcoin.primitives import Coin, OutPoint
from bridge.receipts import DepositReceipt
from bridge.settings import bitcoin_asset
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi
from registry.ids import announcement_id
from tests.support.receipts import receipt


def edited(**changes: Any) -> str:
    """A receipt's text with other members."""
    return json.dumps(receipt().as_json() | changes)


def refused(text: str) -> BadInput:
    with pytest.raises(BadInput) as refusal:
        DepositReceipt.from_json(text, "r.json")
    return refusal.value


@pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))
def test_a_receipt_reads_back(network: Network) -> None:
    """What was written is read as the same terms, on every network."""
    written = receipt(network, delay=4320, birthday=0)
    assert DepositReceipt.from_json(written.to_json()) == written


def test_a_receipt_holds_no_secret_and_says_when_its_reclaim_is_valid() -> None:
    """The file tells the rule, and the receipt computes the height from it."""
    assert "delay" in receipt().as_json()["reclaim_rule"]
    coin = Coin(OutPoint(bytes(32), 0), Satoshi(1), receipt().script, BlockHeight(200))
    assert receipt(delay=12).reclaim_height(coin) == 212
    assert receipt().reclaim_height(Coin(coin.outpoint, coin.value, coin.script)) is None


def test_its_announcement_is_what_the_hub_will_call_it() -> None:
    """The announcement has the terms of the address, and the id that the Hub computes over them."""
    t, announced = receipt().terms, receipt().announcement
    assert (announced.group, announced.salt, announced.birthday) == (t.group_id, t.salt, 100)
    expected = announcement_id(t.asset, t.group_id, t.recipient, t.reclaim_key, t.delay, t.salt)
    assert receipt().announcement_id == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "shopping list"),
        ("version", 2),
        ("version", True),
        ("network", "moonnet"),
        ("asset", "bip122:00/slip44:1"),
        ("hub_chain_id", "31337"),
        ("hub_address", "0x12"),
        ("group_id", "ab"),
        ("group_key", "zz" * 32),
        ("group_key", "ff" * 32),
        ("recipient", "0x" + "1" * 39),
        ("reclaim_key", " " + "0" * 63),
        ("reclaim_key", "AB" * 32),
        ("delay", 0),
        ("delay", 65_536),
        ("delay", 144.5),
        ("salt", "00" * 31),
        ("birthday", -1),
        ("birthday", None),
        ("reclaim_rule", "whenever you like"),
        ("extra", 1),
    ],
)
def test_a_wrong_member_is_named(field: str, value: Any) -> None:
    """Whatever is wrong in a receipt, the error names the file and the member."""
    assert refused(edited(**{field: value})).field == f"r.json.{field}"


@pytest.mark.parametrize("field", sorted(receipt().as_json()))
def test_a_missing_member_is_named(field: str) -> None:
    """A receipt that lost a member is refused."""
    content = receipt().as_json()
    del content[field]
    assert refused(json.dumps(content)).field == f"r.json.{field}"


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c | {"recipient": "0x" + "11" * 20},
        lambda c: c | {"delay": 145},
        lambda c: c | {"salt": "11" * 32},
        lambda c: c | {"hub_chain_id": 1},
        lambda c: c | {"group_id": "11" * 32},
        lambda c: c | {"address": receipt(salt=b"s" * 32).address},
        lambda c: c | {"address": receipt(MAINNET).address},
    ],
)
def test_terms_that_the_address_does_not_commit_to_are_refused(
    change: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    """Another recipient, delay, salt, hub or group makes another address: nobody can redirect a receipt."""
    assert refused(json.dumps(change(receipt().as_json()))).field == "r.json.address"


def test_a_receipt_of_another_network_is_refused() -> None:
    """Networks that share their address prefix are told apart by the asset."""
    content = receipt(SIGNET, delay=4320).as_json() | {"network": "test"}
    assert refused(json.dumps(content)).field == "r.json.network"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"kind": NaN', "\ud800", "[" * 100_000])
def test_what_is_no_receipt_is_refused(text: str) -> None:
    """Any text gives a `BadInput`, never another error."""
    assert refused(text).field.startswith("r.json")


def test_a_member_that_is_there_twice_is_refused() -> None:
    """Readers disagree on which of the two counts."""
    text = receipt().to_json().replace('"delay": 144', '"delay": 9, "delay": 144')
    assert refused(text).field == "r.json.delay"


def test_terms_of_another_asset_make_no_receipt() -> None:
    """A receipt is about bitcoin on its own network."""
    with pytest.raises(BadInput) as refusal:
        DepositReceipt(MAINNET, receipt(REGTEST).terms, BlockHeight(0))
    assert refusal.value.field == "asset"
    assert receipt(REGTEST).terms.asset == bitcoin_asset(REGTEST).id


def test_a_delay_that_the_network_forbids_makes_no_receipt() -> None:
    """On networks where coins have value the delay has a lower bound."""
    with pytest.raises(BadInput) as refusal:
        receipt(MAINNET, delay=143)
    assert refusal.value.field == "delay"
