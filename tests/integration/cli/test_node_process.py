"""`causeway node run` as a process: its log, its signals and its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.exits import ExitCode
from cli.node_folder import NodePlan, create_node
from mpc.keystore import ScryptCost
from tests.support.command import Causeway
from tests.support.patience import PATIENCE_S

BITCOIN = {"network": "regtest", "url": "http://127.0.0.1:1", "user": "me", "password": "x"}
NATIVE = {"url": "http://127.0.0.1:1"}
DEPLOYMENT = {
    "chain_id": 31337,
    "genesis": "0x" + "00" * 32,
    "registry": "0x" + "01" * 20,
    "bonds": "0x" + "02" * 20,
    "hub": "0x" + "03" * 20,
    "token_blueprint": "0x" + "04" * 20,
    "start_block": 1,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node whose chains are both away."""
    folder = tmp_path / "node"
    create_node(folder, NodePlan("voucher", "v-1", "tcp://127.0.0.1:7400", BITCOIN, NATIVE), "x", ScryptCost(log_n=4))
    (folder / "deployment.json").write_text(json.dumps(DEPLOYMENT))
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_node_in_order(folder: Path, number: signal.Signals) -> None:
    """A node that waits for its chains says so in JSON lines; SIGTERM or Ctrl-C ends it with status 0."""
    command = [sys.executable, "-m", "cli.main", "node", "run", str(folder)]
    env = os.environ | {"CAUSEWAY_PASSWORD": "x"}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = json.loads(process.stderr.readline())
        process.send_signal(number)
        rest = [json.loads(line) for line in process.stderr]
        assert process.wait(PATIENCE_S) == 0
    assert (first["event"], first["level"]) == ("waiting", "warning")
    assert [line["event"] for line in rest][-2:] == ["stopping", "stopped"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.toml", "[node]\nrole = 'king'\n", "config.toml: node.role: "),
        ("deployment.json", "{}", "deployment.json.registry: is missing"),
        ("keystore", "", "keystore"),
    ],
)
def test_a_node_that_cannot_run_says_why_at_once(
    folder: Path, tmp_path: Path, name: str, text: str, words: str
) -> None:
    """A broken configuration, deployment or keystore ends the node with a status that means: do not start it again."""
    (folder / name).write_text(text)
    causeway = Causeway(tmp_path, {"CAUSEWAY_PASSWORD": "x"})
    status = ExitCode.REFUSED if name == "keystore" else ExitCode.BAD_INPUT
    assert words in causeway.run("node", "run", folder, status=status).stderr


def test_a_wrong_password_is_told_without_showing_it(folder: Path, tmp_path: Path) -> None:
    """A wrong password ends the node with the status for bad input; neither password is in the message."""
    wrong = Causeway(tmp_path, {"CAUSEWAY_PASSWORD": "mistyped-secret"})
    told = wrong.run("node", "run", folder, status=ExitCode.BAD_INPUT).stderr
    assert "keystore" in told
    assert "mistyped-secret" not in told
