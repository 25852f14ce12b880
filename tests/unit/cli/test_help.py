"""The command's overview, help and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.exits import EXPLAINED, ExitCode
from cli.main import COMMANDS, app


def _walk(command: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below, with its names."""
    if not hasattr(command, "list_commands"):
        yield names, command
        return
    context = typer.Context(command)
    for name in command.list_commands(context):
        yield from _walk(command.get_command(context, name), (*names, name))


LEFT_OUT = {("withdraw", "request"), ("lock", "send"), ("relay", "carry")}
"""Commands that are meant where none of their group is named."""
EVERY = list(_walk(typer.main.get_command(app)))


@pytest.mark.parametrize(("names", "command"), EVERY, ids=[" ".join(names) for names, _ in EVERY])
def test_every_command_shows_an_example_of_itself(names: tuple[str, ...], command: Any) -> None:
    """A command's help has an example that calls it, and every option says what it is for."""
    called = names[:-1] if names in LEFT_OUT else names
    assert f"causeway {' '.join(called)}" in command.help.partition("Example:")[2]
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} is not explained"


@pytest.mark.parametrize(("names", "command"), EVERY, ids=[" ".join(names) for names, _ in EVERY])
def test_every_command_takes_json(names: tuple[str, ...], command: Any) -> None:
    """Programs can use every command: all take --json."""
    assert any("--json" in parameter.opts for parameter in command.params)


def test_the_overview_names_every_command_and_exit_status() -> None:
    """`causeway --help` lists all groups of commands, and what each exit status means."""
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    for name, (_, line) in COMMANDS.items():
        assert name in shown.stdout
        assert line in shown.stdout
    for code, text in EXPLAINED.items():
        assert f"{int(code)}  {text}" in shown.stdout


def test_the_overview_imports_no_node() -> None:
    """`causeway --help` is quick: it imports no database, no chain's library and no configuration."""
    program = (
        "import sys; sys.argv = ['causeway', '--help']\n"
        "from cli.main import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('sqlalchemy', 'web3', 'pydantic', 'structlog', 'mpc') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version_is_shown() -> None:
    """`causeway --version` prints the name and the version."""
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout.split()[0]) == (0, "causeway")


def test_an_unknown_command_is_a_wrong_use() -> None:
    """A misspelt command ends with the status for wrong use."""
    assert CliRunner().invoke(app, ["nodes"]).exit_code == ExitCode.USAGE


def test_an_error_is_two_lines_on_standard_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A command that fails prints nothing on standard output, and what is wrong and what to do on standard error."""
    monkeypatch.setenv("CAUSEWAY_HOME", str(tmp_path))
    failed = CliRunner().invoke(app, ["dev", "mine"])
    assert failed.exit_code == ExitCode.NOT_FOUND
    assert failed.stdout == ""
    assert [line.split(":")[0] for line in failed.stderr.splitlines()] == ["error", "cure"]


def test_an_error_is_json_where_json_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """With --json an error is one JSON document on standard error, with its code and type."""
    monkeypatch.setenv("CAUSEWAY_HOME", str(tmp_path))
    failed = CliRunner().invoke(app, ["dev", "status", "--json"])
    told = json.loads(failed.stderr)["error"]
    assert (told["code"], told["type"], failed.stdout) == (6, "NotFound", "")


def test_a_bug_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw ends with status 1, and the message says how to report it."""
    monkeypatch.setattr("cli.dev.commands.dev_folder", lambda: 1 // 0)
    failed = CliRunner().invoke(app, ["dev", "mine"])
    assert failed.exit_code == ExitCode.BUG
    assert "Traceback" in failed.stderr
    assert "error: ZeroDivisionError" in failed.stderr
    assert "cure: report it" in failed.stderr
    told = json.loads(CliRunner().invoke(app, ["dev", "mine", "--json"]).stderr)["error"]
    assert told["code"] == ExitCode.BUG
    assert "Traceback" in told["fields"]["traceback"]


def test_ctrl_c_has_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is interrupted ends with 130."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.dev.commands.dev_folder", interrupt)
    assert CliRunner().invoke(app, ["dev", "mine"]).exit_code == ExitCode.INTERRUPTED
