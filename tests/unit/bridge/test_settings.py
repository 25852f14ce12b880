"""A node's configuration: what is missing or wrong is named, with the place where it stands."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from adapters.bitcoin.addresses import MAINNET, REGTEST
from bridge.settings import Role, Settings, bitcoin_asset, sat_per_kvb
from foundation.errors import BadInput

GOOD: dict[str, Any] = {
    "node": {"role": "storeman", "name": "anna-1", "listen": "tcp://127.0.0.1:7000"},
    "bitcoin": {"network": "regtest", "url": "http://127.0.0.1:18443", "user": "u", "password": "secret-word"},
    "native": {"url": "http://127.0.0.1:8545"},
}


def content(**changes: Any) -> dict[str, Any]:
    """The good content with values by dotted names; None takes a value away."""
    changed = copy.deepcopy(GOOD)
    for dotted, value in changes.items():
        *sections, name = dotted.split("__")
        place = changed
        for section in sections:
            place = place.setdefault(section, {})
        if value is None:
            place.pop(name, None)
        else:
            place[name] = value
    return changed


def test_a_small_configuration_is_complete() -> None:
    """What has a sensible default need not be written, and is within its own bounds."""
    settings = Settings.checked(GOOD, Path("/folder"))
    assert settings.node.role is Role.STOREMAN
    assert settings.database_url == "sqlite:////folder/node.db"
    assert settings.path(settings.node.keystore) == Path("/folder/keystore")
    assert settings.policy.limits.fee_cap == 200_000
    assert settings.native.max_fee == 200 * 10**9
    assert settings.network is REGTEST
    assert settings.asset == bitcoin_asset(REGTEST).id
    assert [tier.confirmations for tier in settings.policy.confirmations.tiers] == [3, 6, 12]
    assert "secret-word" not in repr(settings)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("node.role", "king"),
        ("node.role", None),
        ("node.name", "Anna"),
        ("node.name", "a" * 33),
        ("node.listen", "127.0.0.1:7000"),
        ("node.listen", "tcp://127.0.0.1:99999"),
        ("node.endpoint", "http://here"),
        ("node.colour", "blue"),
        ("bitcoin.network", "moonnet"),
        ("bitcoin.url", None),
        ("bitcoin.user", None),
        ("bitcoin.poll_seconds", 0),
        ("native.url", None),
        ("native.max_fee_gwei", -1),
        ("native.poll_seconds", "soon"),
        ("policy.input_depth", 0),
        ("policy.settled_depth", 1.5),
        ("policy.mint_margin", 3),
        ("policy.fee_floor", 0),
        ("policy.fee_fallback", 1000.0),
        ("policy.max_inputs", 65),
        ("policy.max_withdrawals", 33),
        ("policy.sweep_batch", 0),
        ("policy.slot_seconds", 0),
        ("policy.rescan_limit", -1),
        ("policy.typo", 1),
        ("policy.tiers", []),
        ("policy.tiers", [{"up_to": "1", "confirmations": 3}]),
        ("policy.tiers.0.up_to", [{"up_to": "0.000000001", "confirmations": 3}, {"confirmations": 6}]),
        ("policy.tiers.1.confirmations", [{"up_to": "1", "confirmations": 3}, {"confirmations": 0}]),
        ("policy.tiers.0.confirmations", [{"up_to": "1"}, {"confirmations": 2}]),
    ],
)
def test_the_value_that_is_wrong_is_named(field: str, value: Any) -> None:
    """Each wrong or missing value is refused with its dotted name."""
    place = "policy__tiers" if field.startswith("policy.tiers") else field.replace(".", "__")
    with pytest.raises(BadInput) as caught:
        Settings.checked(content(**{place: value}), Path("/folder"))
    assert caught.value.field == field
    assert caught.value.problem


def test_a_section_that_is_missing_is_named() -> None:
    """The node's chains cannot be guessed."""
    for section in ("node", "bitcoin", "native"):
        with pytest.raises(BadInput) as caught:
            Settings.checked(content(**{section: None}), Path())
        assert caught.value.field == section


def test_a_password_and_a_cookie_exclude_each_other() -> None:
    """There is one way to the bitcoin node."""
    cookie = content(bitcoin__user=None, bitcoin__password=None, bitcoin__cookie_file=".cookie")
    assert Settings.checked(cookie, Path()).bitcoin.cookie_file == Path(".cookie")
    with pytest.raises(BadInput, match="either"):
        Settings.checked(content(bitcoin__cookie_file=".cookie"), Path())


def test_a_file_is_read_or_its_fault_is_told(tmp_path: Path) -> None:
    """A file that is not there, is no TOML, is no text, or claims a folder is refused with a reason."""
    path = tmp_path / "node.toml"
    for written in (None, b"[node", b"\xff\xfe", b'folder = "/"\n'):
        if written is not None:
            path.write_bytes(written)
        with pytest.raises(BadInput) as caught:
            Settings.load(path)
        assert caught.value.field in {str(path), "folder"}
    path.write_text(
        '[node]\nrole = "voucher"\nname = "v"\nlisten = "tcp://127.0.0.1:1"\ndatabase = "postgresql://h/d"\n'
        '[bitcoin]\nnetwork = "main"\nurl = "http://h"\ncookie_file = "c"\n[native]\nurl = "http://h"\n'
        '[[policy.tiers]]\nup_to = "0.5"\nconfirmations = 2\n[[policy.tiers]]\nconfirmations = 4\n'
    )
    settings = Settings.load(path)
    assert settings.folder == tmp_path
    assert settings.database_url == "postgresql://h/d"
    assert settings.policy.tiers[0].up_to == 50_000_000
    assert settings.network is MAINNET
    assert sat_per_kvb(1.5) == 1_500
