"""docs/connector.md keeps up with the code: its files are accepted, and it explains every value that is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from cli.main import app
from cli.paying import read_connection
from settlement.connector.config import parse_config
from settlement.connector.settle.engines.config import EngineConfig
from settlement.connector.toml import Section
from tests.support.command import InProcess

PAGE = (Path(__file__).parents[3] / "docs" / "connector.md").read_text()
SECRET = "ab" * 32
EVERYTHING: dict[str, Any] = {
    "connector": {"address": "test.hub"},
    "listen": {"btp": "127.0.0.1:1", "http": "127.0.0.1:2", "settlement": "127.0.0.1:3"},
    "rates": {
        "backend": "oracle",
        "feeds": {"ETH": {"urls": ["http://x"], "chain_id": 1, "genesis": SECRET, "contract": "0x" + "00" * 20}},
    },
    "routes": [{"prefix": "test.bank", "account": "a"}],
    "local": {"asset": "EUR", "scale": 2},
    "accounts": [
        {
            "id": "a",
            "asset": "EUR",
            "scale": 2,
            "relation": "peer",
            "settle_threshold": "1",
            "btp": {"token": "a"},
            "routing": {},
            "settlement": {"url": "http://127.0.0.1:3000"},
        },
        {"id": "b", "asset": "EUR", "scale": 2, "relation": "child", "http": {"token": "b"}},
    ],
}


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The page's files in a folder, with secrets beside them."""
    for block in re.findall(r"```toml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / block[0]).write_text(block[1])
    for number, name in enumerate(("alice.token", "bank.token", "admin.token")):
        (tmp_path / name).write_text(f"{number:064x}")
    for name in ("hub-routing.secret", "bank-routing.secret", "bank-stream.secret"):
        (tmp_path / name).write_text(SECRET)
    return tmp_path


@pytest.mark.parametrize("name", ["hub", "bank"])
def test_example_configurations_are_accepted(example: Path, name: str) -> None:
    """Both connectors of the page pass `causeway connector check`."""
    checked = InProcess(example, {}).json("connector", "check", "--config", example / f"{name}.toml")
    assert checked["address"] == f"test.{name}"
    assert checked["keeps_routing_secret"]
    assert read_connection(example / "alice.toml").btp is not None


def test_example_engine_is_accepted(example: Path) -> None:
    """The engine's file needs only its chain's values filled in, and talks to where the connector listens."""
    text = (example / "engine.toml").read_text()
    text = text.replace('genesis = "0x…"', f'genesis = "0x{"00" * 32}"').replace(
        'token = "0x…"', f'token = "0x{"00" * 20}"'
    )
    assert EngineConfig.checked(msgspec.toml.decode(text), example).evm is not None


def test_two_peers_with_one_token_are_found_before_anything_starts(example: Path) -> None:
    """`connector check` says what `connector run` would refuse."""
    (example / "bank.token").write_text((example / "alice.token").read_text())
    InProcess(example, {}).run("connector", "check", "--config", example / "hub.toml", status=3)


def test_every_value_of_a_configuration_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever name the configuration's reader asks for stands in the page."""
    asked: set[str] = set()
    take = Section._take

    def taking(self: Section, name: str, *arguments: Any, **options: Any) -> Any:
        asked.add(name)
        return take(self, name, *arguments, **options)

    monkeypatch.setattr(Section, "_take", taking)
    parse_config(EVERYTHING, tmp_path)
    assert {"settle_threshold", "routes_max", "callback_url", "contract", "payees", "admin"} <= asked
    names = {name.removesuffix("_file") for name in asked}
    tables = {"connector", "listen", "rates", "accounts", "routes", "local"}
    missing = {name for name in names - tables if not re.search(rf"`[^`]*\b{name}\b[^`]*`", PAGE)}
    assert not missing


def test_every_command_of_the_page_exists() -> None:
    """The page names no command that there is not."""
    group: Any = typer.main.get_command(app)
    known = set(group.list_commands(typer.Context(group)))
    assert set(re.findall(r"causeway ([a-z]+)\b", PAGE)) <= known
