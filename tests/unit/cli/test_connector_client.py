"""How commands find a running connector, and what they say where they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app
from infra.ports import free_port

CONFIG = '[connector]\naddress = "test.hub"\n'


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connector of the machine is found by chance."""
    monkeypatch.chdir(tmp_path)
    for name in ("CAUSEWAY_CONNECTOR", "CAUSEWAY_CONNECTOR_URL", "CAUSEWAY_CONNECTOR_TOKEN_FILE", "CAUSEWAY_PAY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text("0123456789abcdef\n")
    (tmp_path / "hub.toml").write_text(CONFIG)


def refused(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and the error's document."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert not done.stdout
    return done.exit_code, json.loads(done.stderr)["error"]


@pytest.mark.parametrize("command", [["accounts"], ["routes"], ["rates"], ["statement", "alice"]])
def test_without_a_connector_the_cure_names_the_option(command: list[str]) -> None:
    """A command that is told of no connector says how to name one."""
    status, error = refused(*command)
    assert (status, "--config" in error["cure"]) == (ExitCode.NOT_FOUND, True)


def test_configuration_without_operators_service_says_what_to_write() -> None:
    """A connector that does not listen for operators cannot be asked, and the cure has the lines that are missing."""
    status, error = refused("accounts", "--config", "hub.toml")
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "listen.admin")
    assert "admin_token_file" in error["cure"]


@pytest.mark.parametrize(
    ("url", "field"),
    [("http://connector.example:7780", "--url"), ("ftp://127.0.0.1", "--url"), ("127.0.0.1:7780", "--url")],
)
def test_token_goes_nowhere_unencrypted(url: str, field: str) -> None:
    """A token is not sent to another machine without TLS, nor to what is no URL."""
    status, error = refused("rates", "--url", url, "--token-file", "token")
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, field)


def test_url_without_a_token_is_refused() -> None:
    """The operators' service always wants a token."""
    status, error = refused("rates", "--url", "http://127.0.0.1:7780")
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--token-file")


def test_connector_that_does_not_run_is_worth_another_try() -> None:
    """Nobody listens: status 5, and the cure says how to start it."""
    url = f"http://127.0.0.1:{free_port()}"
    status, error = refused("accounts", "--url", url, "--token-file", "token")
    assert (status, error["type"]) == (ExitCode.NOT_YET, "ConnectorUnavailable")
    assert "causeway connector run" in error["cure"]


def test_broken_configuration_is_named_by_check() -> None:
    """`connector check` ends with 3 and the field's path."""
    Path("hub.toml").write_text(CONFIG + "margin = 3\n")
    status, error = refused("connector", "check", "--config", "hub.toml")
    assert (status, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "connector.margin")
