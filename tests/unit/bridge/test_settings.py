"""A node's configuration: what is missing or wrong is named, with the place where it stands."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from adapters.bitcoin.addresses import MAINNET, REGTEST
from bridge.settings import Role, Settings, bitcoin_asset, sat_per_kvb
from foundation.errors import BadInput
from registry.caip import evm_chain

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


EVM: dict[str, Any] = {"chain": "eip155:31337", "urls": ["http://127.0.0.1:8546", "https://user:key@host/path"]}


def with_evm(*blocks: Any) -> Settings:
    return Settings.checked({**GOOD, "evm": list(blocks)}, Path())


def test_a_node_serves_as_many_evm_chains_as_it_has_blocks() -> None:
    """None at all, or several; what is not written has a sensible value, and keys in URLs are not shown."""
    assert Settings.checked(GOOD, Path()).evm == ()
    first, second = with_evm(EVM, {**EVM, "chain": "eip155:1", "quorum": 1, "max_fee_gwei": 0.5, "relay": False}).evm
    assert first.id == evm_chain(31337).id
    assert (first.quorum, second.quorum) == (None, 1)
    assert (first.poll_seconds, first.give_back_after_seconds, first.log_range) == (0.5, 3600, 2000)
    assert (first.relay, first.relay_at_loss, second.relay) == (True, True, False)
    assert (first.max_fee, second.max_fee) == (200 * 10**9, 5 * 10**8)
    assert "key@host" not in repr(with_evm(EVM))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain", "ethereum"),
        ("chain", "eip155:"),
        ("chain", "eip155:01"),
        ("chain", "bip122:" + "0" * 32),
        ("chain", 1),
        ("chain", None),
        ("urls", None),
        ("urls", []),
        ("urls", "http://127.0.0.1:8546"),
        ("urls", [f"http://127.0.0.1:{port}" for port in range(1, 10)]),
        ("urls", ["http://127.0.0.1:1", "http://127.0.0.1:1"]),
        ("urls.0", ["ws://127.0.0.1:1"]),
        ("urls.0", ["127.0.0.1:8545"]),
        ("urls.0", ["http://"]),
        ("urls.1", ["http://127.0.0.1", "http://127.0.0.1:99999"]),
        ("urls.1", ["http://127.0.0.1", 5]),
        ("quorum", 0),
        ("quorum", 3),
        ("quorum", "all"),
        ("quorum", 1.5),
        ("poll_seconds", 0),
        ("poll_seconds", 61),
        ("max_fee_gwei", 0),
        ("max_fee_gwei", float("inf")),
        ("max_fee_gwei", float("nan")),
        ("relay", "perhaps"),
        ("relay_at_loss", 2),
        ("give_back_after_seconds", 0),
        ("give_back_after_seconds", float("inf")),
        ("log_range", 0),
        ("log_range", 1_000_001),
        ("log_range", "all"),
        ("colour", "blue"),
    ],
)
def test_what_is_wrong_in_a_block_of_an_evm_chain_is_named_with_its_cure(field: str, value: Any) -> None:
    """By the block's place in the file and the value's name, with what to write instead."""
    block = {**EVM, field.partition(".")[0]: value}
    with pytest.raises(BadInput) as caught:
        with_evm({**EVM, "chain": "eip155:1"}, {name: given for name, given in block.items() if given is not None})
    assert caught.value.field == f"evm.1.{field}"
    assert caught.value.problem
    assert caught.value.cure
    assert "127.0.0.1" not in str(caught.value), "a provider's URL may contain a key"


def test_a_chain_has_one_block() -> None:
    """Of two, each could be followed with endpoints that the other one would catch lying."""
    with pytest.raises(BadInput, match=r"evm\.0") as caught:
        with_evm(EVM, {**EVM, "chain": "eip155:1"}, EVM)
    assert (caught.value.field, bool(caught.value.cure)) == ("evm.2.chain", True)


@pytest.mark.parametrize(("field", "value"), [("evm", EVM), ("evm", "eip155:1"), ("evm.0", ["eip155:1"])])
def test_chains_that_are_not_written_as_blocks_are_refused(field: str, value: Any) -> None:
    """[evm] instead of [[evm]] is an easy mistake."""
    with pytest.raises(BadInput) as caught:
        Settings.checked({**GOOD, "evm": value}, Path())
    assert (caught.value.field, bool(caught.value.cure)) == (field, True)


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
        '[[evm]]\nchain = "eip155:1"\nurls = ["https://h"]\n[[evm]]\nchain = "eip155:10"\nurls = ["https://i"]\n'
        '[[policy.tiers]]\nup_to = "0.5"\nconfirmations = 2\n[[policy.tiers]]\nconfirmations = 4\n'
    )
    settings = Settings.load(path)
    assert settings.folder == tmp_path
    assert settings.database_url == "postgresql://h/d"
    assert settings.policy.tiers[0].up_to == 50_000_000
    assert settings.network is MAINNET
    assert [section.chain for section in settings.evm] == ["eip155:1", "eip155:10"]
    assert sat_per_kvb(1.5) == 1_500
