"""The development network's plan, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.dev.network import DevNetwork, DevPlan, kept_plan
from cli.dev.nodes import DEV_POLICY, DevNode
from cli.dev.origin import DevOrigin, account_named
from cli.exits import ExitCode, NotFound
from cli.main import app
from foundation.errors import BadInput


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        (DevPlan(storemen=0), "--storemen"),
        (DevPlan(storemen=41, threshold=21), "--storemen"),
        (DevPlan(vouchers=0), "--vouchers"),
        (DevPlan(storemen=4, threshold=2), "--threshold"),
        (DevPlan(storemen=4, threshold=5), "--threshold"),
        (DevPlan(database="oracle"), "--database"),
        (DevPlan(evm_chain=31_337), "--evm-chain"),
        (DevPlan(evm_chain=-1), "--evm-chain"),
    ],
)
def test_an_impossible_plan_is_refused_by_its_option(plan: DevPlan, field: str, tmp_path: Path) -> None:
    """Nothing is started or written for a network that cannot be."""
    with pytest.raises(BadInput) as refusal:
        DevNetwork(tmp_path / "dev", plan)
    assert refusal.value.field == field
    assert not (tmp_path / "dev").exists()


def test_the_command_refuses_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dev up` with half of the storemen as the threshold names the option and what is possible."""
    monkeypatch.setenv("CAUSEWAY_HOME", str(tmp_path))
    failed = CliRunner().invoke(app, ["dev", "up", "--storemen", "4", "--threshold", "2"])
    assert failed.exit_code == ExitCode.BAD_INPUT
    assert failed.stderr.splitlines()[0].startswith("error: --threshold: 2 of 4")


def test_describing_a_network_writes_nothing(tmp_path: Path) -> None:
    """A network can be looked at before it is made; its nodes have their names and roles."""
    network = DevNetwork(tmp_path / "dev", DevPlan(storemen=3, threshold=2, vouchers=1))
    assert [node.name for node in network.nodes] == ["storeman-1", "storeman-2", "storeman-3", "voucher-1"]
    assert [node.role for node in network.vouchers] == ["voucher"]
    assert not any(node.exists or node.is_running for node in network.nodes)
    assert not (tmp_path / "dev").exists()


def test_a_network_that_was_never_made_is_not_found(tmp_path: Path) -> None:
    """`DevNetwork.at` takes only a folder with a network in it."""
    with pytest.raises(NotFound):
        DevNetwork.at(tmp_path)


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    """A plan that does not parse is named, not overwritten."""
    for text in ("{", '{"storemens": 3}', "[]"):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(BadInput) as refusal:
            kept_plan(tmp_path)
        assert refusal.value.field == str(tmp_path / "plan.json")


def test_a_dev_node_has_the_dev_policy_and_its_own_password(tmp_path: Path) -> None:
    """Making a node twice keeps its keys; its policy is quick, and its password opens its keystore."""
    from bridge.settings import Settings

    node = DevNode(tmp_path / "storeman-1", "storeman")
    bitcoin = {"network": "regtest", "url": "http://127.0.0.1:1", "user": "me", "password": "x"}
    for _ in range(2):
        node.create(bitcoin, {"url": "http://127.0.0.1:1"}, "sqlite:///node.db")
        made = node.public
    settings = Settings.load(node.folder / "config.toml")
    assert settings.policy.slot_seconds == DEV_POLICY["slot_seconds"]
    assert [tier.confirmations for tier in settings.policy.tiers] == [1, 2]
    assert node.identity().host_key == made.member.host_key
    assert settings.node.password_file is not None


def test_an_evm_chain_is_there_only_where_it_is_asked_for(tmp_path: Path) -> None:
    """A plan of before there were such chains reads as one without; with one, its node is one more of the chains."""
    (tmp_path / "plan.json").write_text('{"storemen": 3, "threshold": 2, "vouchers": 1, "database": "sqlite"}')
    old = DevNetwork.at(tmp_path)
    assert (old.origin, [node.name for node in old.chains]) == (None, ["bitcoind", "anvil"])
    new = DevNetwork(tmp_path / "dev", DevPlan(evm_chain=4_242))
    assert new.origin is not None
    assert (new.origin.chain, [node.name for node in new.chains]) == ("eip155:4242", ["bitcoind", "anvil", "ethereum"])
    assert not (tmp_path / "dev").exists()


def test_a_node_is_told_of_the_evm_chain_once(tmp_path: Path) -> None:
    """Its block is as quick as the chain, and is not repeated by the next start."""
    from bridge.settings import Settings

    origin = DevOrigin(tmp_path, 4_242, detached=False)
    node = DevNode(tmp_path / "storeman-1", "storeman")
    bitcoin = {"network": "regtest", "url": "http://127.0.0.1:1", "user": "me", "password": "x"}
    node.create(bitcoin, {"url": "http://127.0.0.1:1"}, "sqlite:///node.db")
    for _ in range(2):
        origin.configure(node.folder / "config.toml")
    (section,) = Settings.load(node.folder / "config.toml").evm
    assert (section.chain, section.urls, section.poll_seconds) == ("eip155:4242", (origin.anvil.url,), 0.2)


def test_tokens_and_coin_of_an_evm_chain_need_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of bitcoin alone says so, and a person who is not in the network is not found."""
    monkeypatch.setenv("CAUSEWAY_HOME", str(tmp_path))
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "plan.json").write_text("{}")
    account = "0x" + "ab" * 20
    for command in (
        ["token", "T", "T", "--to", "alice", "--amount", "1"],
        ["faucet", account, "1", "--on", "ethereum"],
    ):
        failed = CliRunner().invoke(app, ["dev", *command])
        assert failed.exit_code == ExitCode.NOT_FOUND
        assert "has no EVM origin chain" in failed.stderr
    origin = DevOrigin(tmp_path, 4_242, detached=False)
    assert account_named(origin, account) == b"\xab" * 20
    with pytest.raises(NotFound):
        account_named(origin, "alice")
    with pytest.raises(BadInput):
        account_named(origin, "mallory")
