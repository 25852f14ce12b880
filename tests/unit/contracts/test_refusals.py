"""Every reason that a contract can give is explained to people, and tried by a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts import artifacts

ROOT = Path(__file__).resolve().parents[3]
REASON = re.compile(r'assert .*?, "([^"]+)"$', re.MULTILINE)
UNREACHABLE = {"Hub: transfer failed"}
"""The mapping token reverts by itself and never answers false; the check stays, should another token ever do so."""


def reasons() -> list[str]:
    """All reasons in the sources."""
    return sorted({reason for path in artifacts.SOURCES.glob("*.vy") for reason in REASON.findall(path.read_text())})


def explained() -> set[str]:
    """All reasons in the table of docs/contracts.md; in a cell, the contract's name holds for what follows."""
    found = set()
    for line in (ROOT / "docs" / "contracts.md").read_text().splitlines():
        contract = ""
        for text in re.findall(r"`([^`]+)`", line.split("|")[1] if line.startswith("|") else ""):
            contract, _, reason = text.rpartition(": ") if ": " in text else (contract, "", text)
            found.add(f"{contract}: {reason}")
    return found


def test_sources_have_reasons() -> None:
    """The pattern above finds what there is: each assertion in the sources has a reason."""
    assertions = sum(
        len(re.findall(r"^\s+assert ", path.read_text(), re.MULTILINE)) for path in artifacts.SOURCES.glob("*.vy")
    )
    found = sum(len(REASON.findall(path.read_text())) for path in artifacts.SOURCES.glob("*.vy"))
    assert found == assertions > 60


@pytest.mark.parametrize("reason", reasons())
def test_reason_is_explained_and_tried(reason: str) -> None:
    """A person finds what to do about it in docs/contracts.md, and some test provokes it."""
    assert reason in explained()
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))
    assert reason in UNREACHABLE or f'"{reason}"' in tests
