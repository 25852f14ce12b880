"""A connector's configuration: what is read, and how what is wrong is named."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import BadInput
from settlement.connector.config import RatesFrom, load_config, parse_config
from settlement.connector.routing.routes import Relation
from settlement.ilp.addresses import Address

GOOD: dict[str, Any] = {
    "connector": {"address": "test.hub", "database": "sqlite:///hub.db", "margin_ms": 500, "durability": "power"},
    "listen": {"btp": "127.0.0.1:7768", "http": "[::1]:7770", "settlement": "127.0.0.1:7771"},
    "rates": {"prices": {"EUR": "1.08"}, "spread_bp": 20},
    "accounts": [
        {
            "id": "alice",
            "asset": "EUR",
            "scale": 2,
            "relation": "child",
            "floor": "-100.00",
            "ceiling": "none",
            "max_packet": "5.00",
            "packets_per_second": 100,
            "settle_threshold": "50",
            "btp": {"token": "secret of alice"},
            "settlement": {"url": "http://127.0.0.1:3000"},
        },
        {
            "id": "peer-1",
            "asset": "USD",
            "scale": 9,
            "relation": "peer",
            "http": {"token": "in", "url": "http://127.0.0.1:9000/ilp", "outgoing_token": "out"},
            "routing": {"allowed": ["test.other"], "routes_max": 10},
        },
    ],
    "routes": [{"prefix": "test.far", "account": "peer-1"}],
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The good configuration with one value replaced, or removed where it is None."""
    content = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    place: Any = content
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


def test_everything_is_read_with_its_units(tmp_path: Path) -> None:
    """Amounts become base units of the account's asset, paths and the database lie in the file's folder."""
    config = parse_config(GOOD, tmp_path)
    alice, peer = config.peers
    assert (alice.account.floor, alice.account.ceiling, alice.account.max_packet) == (-10_000, None, 500)
    assert (alice.account.settle_threshold, alice.account.relation) == (5_000, Relation.CHILD)
    assert config.database == f"sqlite:///{tmp_path}/hub.db"
    assert config.window.margin == 500
    assert config.rates.backend is RatesFrom.STATIC
    assert config.http is not None
    assert config.http.host == "::1"
    assert peer.http is not None
    assert peer.http.outgoing is not None
    assert peer.http.outgoing.token == "out"


def test_children_have_routes_and_peers_have_rules(tmp_path: Path) -> None:
    """Each child is reached below our address; what peers may announce is as configured."""
    routing = parse_config(GOOD, tmp_path).routing(Address("test.hub"), bytes(32))
    assert dict(routing.static) == {"test.far": "peer-1", "test.hub.alice": "alice"}
    assert [(rules.account, rules.allowed, rules.routes_max) for rules in routing.peers] == [
        ("peer-1", ("test.other",), 10)
    ]


def test_secrets_may_be_files_and_are_not_shown(tmp_path: Path) -> None:
    """A token is read from a file, and no secret is in what is printed of the configuration."""
    (tmp_path / "token").write_text("from a file\n")
    config = parse_config(changed("accounts.0.btp", {"token_file": "token"}), tmp_path)
    assert config.peers[0].btp is not None
    assert config.peers[0].btp.token == "from a file"
    assert "from a file" not in repr(config)
    assert "secret of alice" not in repr(parse_config(GOOD, tmp_path))


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("connector.address", None, "connector.address"),
        ("connector.address", "nowhere", "connector.address"),
        ("connector.durability", "strong", "connector.durability"),
        ("connector.margin_ms", "500", "connector.margin_ms"),
        ("connector.margin_ms", 0, "connector.margin_ms"),
        ("connector.journal", 1, "connector.journal"),
        ("connector.colour", "blue", "connector.colour"),
        ("connector.routing_secret", "abc", "connector.routing_secret"),
        ("listen.btp", "7768", "listen.btp"),
        ("listen.btp", None, "accounts.alice.btp.token"),
        ("listen.settlement", None, "listen.settlement"),
        ("listen.tls_key", "key.pem", "listen.tls_key"),
        ("rates.backend", "file", "rates.file"),
        ("rates.backend", "http", "rates.url"),
        ("rates.backend", "oracle", "rates.feeds"),
        ("rates.spread_bp", 10_000, "rates.spread_bp"),
        ("rates.prices", {"EUR": 1.08}, "rates.prices"),
        ("accounts.0.id", "a.b", "accounts.a.b.id"),
        ("accounts.0.id", "peer-1", "accounts.peer-1.id"),
        ("accounts.0.scale", 256, "accounts.alice.scale"),
        ("accounts.0.scale", True, "accounts.alice.scale"),
        ("accounts.0.relation", "friend", "accounts.alice.relation"),
        ("accounts.0.relation", "local", "accounts.alice.relation"),
        ("accounts.0.floor", "-1.005", "accounts.alice.floor"),
        ("accounts.0.floor", -100, "accounts.alice.floor"),
        ("accounts.0.max_packet", "0", "accounts.alice.max_packet"),
        ("accounts.0.max_packet", "-1", "accounts.alice.max_packet"),
        ("accounts.0.packets_per_second", 0, "accounts.alice.packets_per_second"),
        ("accounts.0.settle_to", "50.00", "accounts.alice.settle_to"),
        ("accounts.0.settle_threshold", None, "accounts.alice.settle_threshold"),
        ("accounts.0.btp", {}, "accounts.alice.btp.token"),
        ("accounts.0.btp", {"token": "x", "token_file": "y"}, "accounts.alice.btp.token"),
        ("accounts.0.http", {"token": "x"}, "accounts.alice.http"),
        ("accounts.0.unknown", 1, "accounts.alice.unknown"),
        ("accounts.1.http", {}, "accounts.peer-1.http.url"),
        ("routes.0.account", "nobody", "routes.test.far.account"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, path: str, value: object, field: str) -> None:
    """A value that cannot be used is refused with the dotted path of its field and a cure."""
    with pytest.raises(BadInput) as refusal:
        parse_config(changed(path, value), tmp_path)
    assert refusal.value.field == field
    assert refusal.value.cure


def test_floor_above_the_ceiling_is_refused(tmp_path: Path) -> None:
    """Limits that nothing can satisfy are refused when the accounts are made."""
    config = parse_config(changed("accounts.0.ceiling", "-200.00"), tmp_path)
    with pytest.raises(BadInput):
        _ = config.peers[0].account.terms


def test_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    """A file that cannot be read or parsed is named."""
    path = tmp_path / "connector.toml"
    with pytest.raises(BadInput):
        load_config(path)
    path.write_text("[connector\n")
    with pytest.raises(BadInput) as refusal:
        load_config(path)
    assert refusal.value.field == str(path)
