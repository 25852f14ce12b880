"""Running `causeway` as a person would: a process of its own (which is forked, see `tests.support.forking`)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cli.main import app
from tests.support.forking import forking_causeway

TIMEOUT_S = 240


@dataclass(frozen=True)
class Causeway:
    """The command with an environment. Fields: home (CAUSEWAY_HOME); env (added)."""

    home: Path
    env: Mapping[str, str]

    def run(self, *arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it; it must end with `status`."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("CAUSEWAY_")}
        cache = os.environ.get("CAUSEWAY_CACHE")
        env |= {"CAUSEWAY_HOME": str(self.home), **self.env} | ({"CAUSEWAY_CACHE": cache} if cache else {})
        command = [str(forking_causeway()), *map(str, arguments)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: object, status: int = 0) -> Any:
        """What it prints with --json: one document."""
        return json.loads(self.run(*arguments, "--json", status=status).stdout)


class InProcess(Causeway):
    """The command without a process of its own: most of a command's time is Python's start."""

    def run(self, *arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it; it must end with `status`."""
        env = {"CAUSEWAY_HOME": str(self.home), **self.env}
        done = CliRunner(env=env).invoke(app, [*map(str, arguments)])
        assert done.exit_code == status, f"{arguments}: status {done.exit_code}\n{done.stdout}\n{done.stderr}"
        return subprocess.CompletedProcess([], status, done.stdout, done.stderr)
