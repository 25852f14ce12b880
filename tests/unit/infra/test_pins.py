"""What is pinned, is pinned by hash, and says nothing about where it came from."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from infra.cache import CHECKOUT

LOCKS = ("runtime", "dev")


def _pinned(kind: str) -> dict[str, str]:
    text = (CHECKOUT / "requirements" / f"{kind}.lock").read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)(?:\[[a-z,-]+\])?==(\S+) \\$", text, re.MULTILINE))


def _wanted() -> dict[str, list[str]]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    runtime = [re.split(r"[\[<>=~ ]", line)[0].lower() for line in project["dependencies"]]
    development = [re.split(r"[\[<>=~ ]", line)[0].lower() for line in project["optional-dependencies"]["dev"]]
    return {"runtime": runtime, "dev": runtime + development}


@pytest.mark.parametrize("kind", LOCKS)
def test_lock_pins_every_dependency_by_hash(kind: str) -> None:
    """Each direct dependency of pyproject.toml is in the lock, and each package in it has a hash."""
    pinned = _pinned(kind)
    assert set(_wanted()[kind]) <= set(pinned)
    text = (CHECKOUT / "requirements" / f"{kind}.lock").read_text()
    for block in re.split(r"\n(?=[a-z0-9])", text):
        assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.parametrize("path", ["requirements/runtime.lock", "requirements/dev.lock", "package-lock.json"])
def test_lock_names_no_address(path: str) -> None:
    """A lock works with whatever mirror a machine is set up for; npm's also says whom one may sponsor."""
    text = (CHECKOUT / path).read_text()
    if path.endswith(".json"):
        text = json.dumps([{**package, "funding": None} for package in json.loads(text)["packages"].values()])
    assert "://" not in text


def test_both_locks_agree() -> None:
    """What runs in production is what was tested."""
    runtime, development = _pinned("runtime"), _pinned("dev")
    assert runtime
    assert {name: development.get(name) for name in runtime} == runtime


def test_npm_lock_is_in_step_with_what_it_locks() -> None:
    """`npm ci` refuses a lock that differs from package.json."""
    wanted = json.loads((CHECKOUT / "package.json").read_text())["optionalDependencies"]
    locked = json.loads((CHECKOUT / "package-lock.json").read_text())["packages"]
    assert locked[""]["optionalDependencies"] == wanted
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
