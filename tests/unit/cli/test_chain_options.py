"""What `causeway chain` and `causeway asset` make of what a person writes, before any chain is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.chain_options import Asked, confirmations_of, evm_chain_of, window_seconds
from cli.chain_registering import finality_text
from cli.evm_config import add_evm_block, evm_block
from cli.exits import ExitCode
from cli.main import app
from cli.node_folder import NodePlan, config_text
from cli.policy_options import PolicyTexts
from foundation.errors import BadInput
from foundation.quantities import TokenUnits
from registry.assets import AssetPolicy

NETWORK = (
    '[bitcoin]\nnetwork = "regtest"\nurl = "http://127.0.0.1:1"\nuser = "me"\npassword = "x"\n'
    '[native]\nurl = "http://127.0.0.1:1"\n'
)
OWNER = b"o" * 20
CHAIN = evm_chain_of("eip155:5")
ETH = Asked("ETH", "Ether", 60, 18, PolicyTexts())


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, node or key of the machine is found by chance."""
    monkeypatch.chdir(tmp_path)
    for name in ("CAUSEWAY_HOME", "CAUSEWAY_NETWORK", "CAUSEWAY_NODE", "CAUSEWAY_ACCOUNT_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "network.toml").write_text(NETWORK)
    (tmp_path / "owner.key").write_text("11" * 32)


def refused(*arguments: str) -> dict[str, Any]:
    """The error's document."""
    options = ["--network", "network.toml", "--account-key", "owner.key", "--json"]
    done = CliRunner().invoke(app, [*arguments, *options])
    assert done.exit_code in (ExitCode.BAD_INPUT, ExitCode.NOT_FOUND), done.stderr
    found: dict[str, Any] = json.loads(done.stderr)["error"]["fields"]
    return found


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("eip155:x",), "CAIP2.reference"),
        (("1",), "CAIP2"),
        (("bip122:0f9188f13cb7b2c71f2a335e3a4fc328",), "CAIP2"),
        (("solana:1",), "chain.namespace"),
        (("eip155:5",), "--rpc"),
        (("eip155:5", "--rpc", "ftp://x"), "--rpc"),
        (("eip155:5", "--rpc", "http://x", "--rpc", "http://x"), "--rpc"),
        (("eip155:5", "--rpc", "http://x", "--finality", "soon"), "--finality"),
        (("eip155:5", "--rpc", "http://x", "--finality", "depth:0"), "--finality"),
        (("eip155:5", "--rpc", "http://x", "--window", "31d"), "--window"),
        (("eip155:5", "--rpc", "http://x", "--window", "0"), "--window"),
        (("eip155:5", "--rpc", "http://x", "--guardian", "0x12"), "--guardian"),
        (("eip155:5", "--rpc", "http://x", "--coin", "E T H"), "symbol"),
        (("eip155:5", "--rpc", "http://x", "--fee", "1001"), "policy.fee_bps"),
        (("eip155:5", "--rpc", "http://x", "--minimum-deposit", "0"), "policy.minimum_deposit"),
        (("eip155:5", "--rpc", "http://x", "--minimum-deposit", "1,5"), "--minimum-deposit"),
        (("eip155:5", "--rpc", "http://x", "--token-minimum", "0"), "policy.minimum_deposit"),
        (("eip155:5", "--rpc", "http://x", "--members", "nobody.json"), "nobody.json"),
    ],
)
def test_what_is_wrong_is_named_before_any_chain_is_asked(arguments: tuple[str, ...], field: str) -> None:
    """Each option that cannot be is named, with what to write instead."""
    told = refused("chain", "register", *arguments)
    assert told["field"] == field
    assert told["cure"]


def test_an_asset_without_a_change_is_refused() -> None:
    """`asset policy` without an option says so, and asks nobody."""
    assert refused("asset", "policy", "ETH")["problem"] == "nothing shall change"


def test_a_window_and_a_finality_rule_are_read_as_people_write_them() -> None:
    """Spans have a unit or are seconds; a finality rule reads back as it was written."""
    assert [window_seconds(text) for text in ("90", "90s", "30m", "12h", "30d")] == [90, 90, 1800, 43_200, 2_592_000]
    for text in ("finalized", "depth:12"):
        assert finality_text(confirmations_of(text)) == text


def test_the_plan_has_the_owner_as_guardian_and_a_policy_that_the_registry_takes() -> None:
    """What is not written has a value that works: the owner guards, ERC-20s stay as they are, a thousandth is least."""
    plan = ETH.plan(CHAIN, OWNER)
    assert (plan.guardian, plan.window_seconds, plan.is_open, plan.confirmations) == (OWNER, 86_400, None, None)
    assert plan.coin.policy.minimum_deposit == 10**15
    assert plan.coin.asset(CHAIN).caip19 == "eip155:5/slip44:60"
    written = Asked("X", "X", 9, 0, PolicyTexts(fee_bps=30, deposit_limit="7"), is_open=True, token_fee=5)
    plan = written.plan(CHAIN, OWNER)
    assert (plan.coin.policy.minimum_deposit, plan.coin.policy.deposit_limit, plan.coin.policy.fee_bps) == (1, 7, 30)
    assert (plan.introduced.fee_bps, plan.is_open) == (5, True)
    assert plan.introduced.minimum_deposit == 1


def test_what_new_tokens_get_is_kept_only_where_none_of_it_is_written() -> None:
    """A zero that was written counts as written: it takes a fee away."""
    assert replace(ETH, is_open=True).plan(CHAIN, OWNER).keeps_introduced
    for written in ({"token_fee": 0}, {"token_minimum": 1}, {"token_limit": 0}):
        assert not replace(ETH, **written).plan(CHAIN, OWNER).keeps_introduced


def test_a_policy_changes_by_what_is_written_and_by_nothing_else() -> None:
    """Amounts are in whole coins; what nobody names stays, pause and denial too."""
    before = AssetPolicy(TokenUnits(5), TokenUnits(1), TokenUnits(3), paused=True, denied=True, fee_bps=0)
    after = PolicyTexts(minimum_deposit="1.5", fee_bps=10).policy(before, 2)
    assert (after.minimum_deposit, after.fee_bps) == (150, 10)
    assert (after.deposit_fee, after.minimum_withdrawal, after.paused, after.denied) == (1, 3, True, True)
    with pytest.raises(BadInput) as refusal:
        PolicyTexts(deposit_fee="0.001").policy(before, 2)
    assert refusal.value.field == "--deposit-fee"


def _config(folder: Path) -> Path:
    bitcoin = {"network": "regtest", "url": "http://127.0.0.1:1", "user": "me", "password": "x"}
    plan = NodePlan("storeman", "s-1", "tcp://127.0.0.1:7400", bitcoin, {"url": "http://127.0.0.1:1"})
    config = folder / "config.toml"
    config.write_text(config_text(plan))
    config.chmod(0o640)
    return config


def test_the_block_is_appended_once_and_reads_back(tmp_path: Path) -> None:
    """The node's configuration has the chain afterwards, all else as before; a second time changes nothing."""
    from bridge.settings import Settings

    config = _config(tmp_path)
    before = Settings.load(config)
    block = evm_block("eip155:5", ["http://one.example/k?a=%22", "https://two.example"], {"poll_seconds": 0.2})
    assert add_evm_block(config, "eip155:5", block) is True
    text = config.read_text()
    assert add_evm_block(config, "eip155:5", block) is False
    assert config.read_text() == text
    after = Settings.load(config)
    (section,) = after.evm
    assert section.urls == ("http://one.example/k?a=%22", "https://two.example")
    assert section.poll_seconds == 0.2
    assert (after.node, after.policy, config.stat().st_mode & 0o777) == (before.node, before.policy, 0o640)


def test_a_file_that_would_be_no_configuration_is_left_as_it_is(tmp_path: Path) -> None:
    """A file that is none, or a block that the node would refuse, is named, and nothing is written."""
    config = _config(tmp_path)
    text = config.read_text()
    with pytest.raises(BadInput) as refusal:
        add_evm_block(config, "eip155:5", evm_block("eip155:5", ["ftp://x"]))
    assert refusal.value.field == f"{config}: evm.0.urls.0"
    assert config.read_text() == text
    other = tmp_path / "network.toml"
    with pytest.raises(BadInput):
        add_evm_block(other, "eip155:5", evm_block("eip155:5", ["http://x"]))
    assert other.read_text() == NETWORK
