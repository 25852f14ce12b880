"""Making a node's folder."""

from __future__ import annotations

import json
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.native.deployment import Deployment
from bridge.settings import PolicySection, Settings
from cli.exits import ExitCode
from cli.main import app
from cli.node_folder import POLICY_EXPLAINED, NodePlan, PublicIdentity, config_text, create_node
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from mpc.keystore import Keystore, ScryptCost

BITCOIN = {"network": "regtest", "url": "http://127.0.0.1:18443", "user": "me", "password": 'a "quoted" \\ one'}
NATIVE = {"url": "http://127.0.0.1:8545", "deployment": "deployment.json"}
PLAN = NodePlan("storeman", "storeman-1", "tcp://127.0.0.1:7400", BITCOIN, NATIVE)
Run = Callable[..., Any]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A network file beside its deployment file."""
    one, two, three, four = (bytes([n]) * 20 for n in (1, 2, 3, 4))
    Deployment(one, two, three, four, 31_337, BlockHeight(1), bytes(32)).save(tmp_path / "deployment.json")
    file = tmp_path / "network.toml"
    file.write_text(
        '[bitcoin]\nnetwork = "regtest"\nurl = "http://127.0.0.1:18443"\ncookie_file = "regtest/.cookie"\n'
        '[native]\nurl = "http://127.0.0.1:8545"\n'
    )
    return file


@pytest.fixture
def init(network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `causeway node init` on that network, with other arguments where a test gives them."""
    monkeypatch.setattr("mpc.keystore.PRODUCTION_COST", ScryptCost(log_n=4))
    monkeypatch.setenv("CAUSEWAY_PASSWORD", "secret")

    def run(*more: str, **changed: str) -> Any:
        options = {"role": "voucher", "name": "v-1", "listen": "tcp://0.0.0.0:7400", "network": str(network), **changed}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return CliRunner().invoke(app, ["node", "init", str(tmp_path / "node"), *arguments, *more])

    return run


def test_the_configuration_reads_back_as_it_was_planned() -> None:
    """Whatever is in a password or a policy, the file gives the same settings again, the defaults included."""
    settings = Settings.checked(tomllib.loads(config_text(PLAN)), Path())
    assert settings.bitcoin.password == BITCOIN["password"]
    assert (settings.node.role, settings.node.name, settings.node.listen) == ("storeman", "storeman-1", PLAN.listen)
    assert settings.policy == PolicySection()


def test_what_a_plan_changes_of_the_policy_is_in_the_configuration() -> None:
    """A plan's own tiers and values replace the defaults."""
    policy = {"tiers": [{"up_to": "1", "confirmations": 1}, {"confirmations": 2}], "fee_cap": 50.0}
    plan = NodePlan("storeman", "s", "tcp://127.0.0.1:7400", BITCOIN, NATIVE, policy=policy)
    settings = Settings.checked(tomllib.loads(config_text(plan)), Path())
    assert [(tier.up_to, tier.confirmations) for tier in settings.policy.tiers] == [(10**8, 1), (None, 2)]
    assert settings.policy.fee_cap == 50.0


def test_every_value_of_the_policy_is_explained_above_it() -> None:
    """An operator who opens the file learns what each value means."""
    assert set(POLICY_EXPLAINED) == set(PolicySection.model_fields)
    lines = config_text(PLAN).splitlines()
    for name, explanation in POLICY_EXPLAINED.items():
        place = next(i for i, line in enumerate(lines) if line.startswith((f"{name} =", f"[[policy.{name}]]")))
        assert lines[place - 1] == f"# {explanation}"


def test_secrets_are_for_the_owner_alone(tmp_path: Path) -> None:
    """Keystore and configuration (it holds passwords) are readable for nobody else; the identity is public."""
    create_node(tmp_path / "node", PLAN, "secret", ScryptCost(log_n=4))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "node").iterdir()}
    assert (modes["config.toml"], modes["keystore"], modes["identity.json"]) == (0o600, 0o600, 0o644)


def test_the_identity_is_that_of_the_keystore(tmp_path: Path) -> None:
    """What others are told of a node are its real keys, and the file reads back."""
    made = create_node(tmp_path / "node", PLAN, "secret", ScryptCost(log_n=4))
    keystore = Keystore.open(tmp_path / "node" / "keystore", "secret")
    assert made.member.host_key == keystore.identity.host_key
    assert made.member.transport_key == keystore.identity.transport_key
    keystore.close()
    assert PublicIdentity.load(tmp_path / "node") == made
    assert PublicIdentity.load(tmp_path / "node" / "identity.json") == made


@pytest.mark.parametrize("name", ["account", "host_key", "transport_key", "endpoint", "name", "role"])
def test_a_damaged_identity_is_refused_by_name(name: str, tmp_path: Path) -> None:
    """An identity with a member missing or malformed is refused, and the message names file and member."""
    create_node(tmp_path / "node", PLAN, "secret", ScryptCost(log_n=4))
    file = tmp_path / "node" / "identity.json"
    content = json.loads(file.read_text())
    for damaged in ({**content, name: 7}, {key: value for key, value in content.items() if key != name}):
        file.write_text(json.dumps(damaged))
        with pytest.raises(BadInput) as refusal:
            PublicIdentity.load(file)
        assert str(file) in refusal.value.field
        assert name in refusal.value.field


def test_init_makes_a_node_that_can_be_loaded(init: Run, network: Path, tmp_path: Path) -> None:
    """The folder has a checked configuration, paths that hold from there, and a copy of the deployment."""
    shown = init("--json", endpoint="tcp://node.example.org:7400")
    assert shown.exit_code == 0, shown.stderr
    document = json.loads(shown.stdout)
    settings = Settings.load(tmp_path / "node" / "config.toml")
    assert settings.node.endpoint == document["endpoint"] == "tcp://node.example.org:7400"
    assert settings.bitcoin.cookie_file == network.parent / "regtest" / ".cookie"
    assert Deployment.load(settings.path(settings.native.deployment)) == Deployment.load(tmp_path / "deployment.json")
    assert PublicIdentity.load(tmp_path / "node").member.account.hex() == document["account"][2:]


def test_init_tells_what_to_do_next(init: Run) -> None:
    """A voucher's operator is told to be admitted, to join and to run."""
    shown = init().stdout
    for step in ("causeway voucher admit", "causeway voucher join", "causeway node run"):
        assert step in shown


def test_init_overwrites_nothing(init: Run, tmp_path: Path) -> None:
    """A second init in the same folder is refused, and the keys stay."""
    init()
    before = (tmp_path / "node" / "keystore").read_bytes()
    again = init()
    assert again.exit_code == ExitCode.BAD_INPUT
    assert "config.toml exists" in again.stderr
    assert (tmp_path / "node" / "keystore").read_bytes() == before


@pytest.mark.parametrize(
    ("option", "value", "field"),
    [
        ("listen", "0.0.0.0:7400", "node.listen"),
        ("endpoint", "tcp://host", "node.endpoint"),
        ("name", "A Name", "node.name"),
        ("network", "nowhere.toml", "--network"),
        ("password-file", "nowhere", "--password-file"),
    ],
)
def test_init_names_what_is_wrong(init: Run, tmp_path: Path, option: str, value: str, field: str) -> None:
    """Bad input is refused with its name, and no half-made folder is left."""
    failed = init(**{option: value})
    assert failed.exit_code == ExitCode.BAD_INPUT, failed.output
    assert failed.stderr.startswith(f"error: {field}: ")
    assert not (tmp_path / "node" / "config.toml").exists()


def test_a_network_file_says_what_is_wrong_in_it(init: Run, network: Path) -> None:
    """A misspelt section or value is named with the file."""
    good = network.read_text()
    for bad, field in ((good + "[ntaive]\n", "ntaive"), (good.replace('regtest"', 'regtset"', 1), "bitcoin.network")):
        network.write_text(bad)
        failed = init()
        assert failed.exit_code == ExitCode.BAD_INPUT
        assert f"{network}: {field}: " in failed.stderr


def test_export_and_recover_need_the_right_password(init: Run, tmp_path: Path) -> None:
    """The public recovery data is written with the right password only, and reads back into the keystore."""
    init()
    folder, target, wrong = str(tmp_path / "node"), tmp_path / "out.json", tmp_path / "wrong"
    wrong.write_text("other\n")
    refused = CliRunner().invoke(app, ["node", "export", folder, "--password-file", str(wrong)])
    assert refused.exit_code == ExitCode.BAD_INPUT
    done = CliRunner().invoke(app, ["node", "export", folder, "--output", str(target), "--json"])
    assert json.loads(done.stdout) == {"file": str(target), "groups": []}
    again = CliRunner().invoke(app, ["node", "recover", folder, str(target)])
    assert again.exit_code == 0, again.stderr
