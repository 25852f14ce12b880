"""The pages for users and operators keep up with the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from bridge.settings import BitcoinSection, EvmSection, NativeSection, NodeSection, PolicySection
from cli.exits import EXPLAINED
from cli.main import COMMANDS, app

DOCS = Path(__file__).parents[3] / "docs"


def _names() -> list[str]:
    group: Any = typer.main.get_command(app)
    context = typer.Context(group)
    names = []
    for name in COMMANDS:
        command = group.get_command(context, name)
        inner = command.list_commands(context) if hasattr(command, "list_commands") else [""]
        names += [f"causeway {name} {sub}".strip() for sub in inner]
    return names


@pytest.mark.parametrize("name", _names())
def test_every_command_is_in_the_page_of_commands(name: str) -> None:
    """docs/cli.md shows each command in use."""
    assert name in (DOCS / "cli.md").read_text()


def test_every_exit_status_is_in_the_page_of_commands() -> None:
    """docs/cli.md explains each exit status."""
    page = (DOCS / "cli.md").read_text()
    for code in EXPLAINED:
        assert f"| {int(code)} | " in page


@pytest.mark.parametrize("section", [NodeSection, BitcoinSection, NativeSection, EvmSection, PolicySection])
def test_every_value_of_the_configuration_is_in_the_page_for_operators(section: type[BaseModel]) -> None:
    """docs/operators.md explains each value, with the default that it really has."""
    lines = [line for line in (DOCS / "operators.md").read_text().splitlines() if line.startswith("| `")]
    for name, field in section.model_fields.items():
        line = next((line for line in lines if f"`{name}`" in line.split(" | ")[0]), None)
        assert line is not None, f"{name} is not explained"
        if isinstance(field.default, int | float):
            defaults = [cells.split(" | ")[1] for cells in lines if f"`{name}`" in cells.split(" | ")[0]]
            shown = str(field.default).lower() if isinstance(field.default, bool) else f"{field.default:g}"
            assert shown in defaults, f"{name} is {field.default}, the page says {defaults}"
