"""The development network's plan, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.dev.network import DevNetwork, DevPlan, kept_plan
from cli.dev.nodes import DEV_POLICY, DevNode
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
