"""The Node.js scripts of `tests/js`, which make other software's packages answer to a test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def node_command(script: str, *packages: str) -> list[str]:
    """The command that runs a script of `tests/js`; the test is skipped where Node.js or a package is missing."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not there")
    for package in packages:
        if not (ROOT / "node_modules" / package / "package.json").is_file():
            pytest.skip(f"the npm package {package} is not installed: run `make setup`")
    return [node, str(ROOT / "tests" / "js" / script)]
