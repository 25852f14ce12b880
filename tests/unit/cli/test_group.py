"""Proposals that are refused before any chain is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app

NETWORK = (
    '[bitcoin]\nnetwork = "regtest"\nurl = "http://127.0.0.1:1"\nuser = "me"\npassword = "x"\n'
    '[native]\nurl = "http://127.0.0.1:1"\n'
)


def _identity(folder: Path, number: int, role: str = "storeman") -> str:
    file = folder / f"{role}-{number}.json"
    content = {
        "name": file.stem,
        "role": role,
        "account": "0x" + f"{number:02x}" * 20,
        "host_key": "02" + f"{number:02x}" * 32,
        "transport_key": f"{number:02x}" * 32,
        "endpoint": f"tcp://127.0.0.1:{7400 + number}",
    }
    file.write_text(json.dumps(content))
    return str(file)


def _create(folder: Path, members: list[str], threshold: int) -> Any:
    (folder / "network.toml").write_text(NETWORK)
    (folder / "owner.key").write_text("11" * 32)
    options = ["--network", str(folder / "network.toml"), "--account-key", str(folder / "owner.key")]
    members_option = ["--members", ",".join(members), "--threshold", str(threshold)]
    return CliRunner().invoke(app, ["group", "create", *members_option, *options])


@pytest.mark.parametrize(
    ("numbers", "threshold", "problem"),
    [
        ((1, 1, 2), 2, "--members: one is named twice"),
        ((1, 2, 3), 1, "group.threshold: 1 of 3"),
        ((1, 2, 3), 4, "group.threshold: 4 of 3"),
        ((), 1, "group.members: 0 members"),
    ],
)
def test_an_impossible_group_is_refused(tmp_path: Path, numbers: tuple[int, ...], threshold: int, problem: str) -> None:
    """A member twice, or a threshold that the contract would refuse, is named before anything is sent."""
    failed = _create(tmp_path, [_identity(tmp_path, number) for number in numbers], threshold)
    assert failed.exit_code == ExitCode.BAD_INPUT
    assert failed.stderr.startswith(f"error: {problem}")


def test_a_voucher_is_no_member(tmp_path: Path) -> None:
    """The identity of a voucher is refused by its name."""
    failed = _create(tmp_path, [_identity(tmp_path, 1), _identity(tmp_path, 2, "voucher")], 2)
    assert failed.exit_code == ExitCode.BAD_INPUT
    assert "voucher-2 is no storeman" in failed.stderr


def test_without_a_deployment_file_nothing_is_proposed(tmp_path: Path) -> None:
    """The file that is missing is named."""
    failed = _create(tmp_path, [_identity(tmp_path, 1)], 1)
    assert failed.exit_code == ExitCode.BAD_INPUT
    assert str(tmp_path / "deployment.json") in failed.stderr
