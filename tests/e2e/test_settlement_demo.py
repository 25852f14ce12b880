"""The settlement demo, as a newcomer runs it: real processes, thirteen steps, sums that are zero."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

README = Path(__file__).parents[2] / "README.md"

pytestmark = [pytest.mark.integration, pytest.mark.e2e]


async def test_the_demo_shows_thirteen_steps_and_the_readmes_curl_examples_run_as_they_stand(tmp_path: Path) -> None:
    """All steps are taken, all sums are zero; what is left running pays by the README's lines, and ends well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.demo_settlement", "--keep"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    lines: list[str] = []
    try:
        variables = await asyncio.wait_for(_variables(process, lines), 3 * PATIENCE_S)
        await _examples(tmp_path, variables)
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = await process.communicate()
    text = "".join([*lines, rest.decode()])
    assert process.returncode == 0, text
    assert [int(number) for number in re.findall(r"^ ?(\d+) ✓", text, re.MULTILINE)] == list(range(1, 14))
    assert re.search(r"^ Bank B +2000\.00 CNY", text, re.MULTILINE)
    assert "FAILS" not in text
    assert "NOT ZERO" not in text
    assert len(re.findall(r" zero ", text)) == 5
    how_to_talk = re.compile(r"^(export |Everything goes on|Its folder)")
    assert all(len(line.rstrip()) <= 100 for line in text.splitlines() if not how_to_talk.match(line))


async def _examples(folder: Path, variables: dict[str, str]) -> None:
    """What the README lets a bank try."""
    (examples,) = re.findall(r"```bash\n(post\(\).*?)```", README.read_text(), re.DOTALL)
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", examples),
        cwd=folder,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(shell.communicate(), 2 * PATIENCE_S)
    assert shell.returncode == 0, output.decode()
    assert '"status": "paid"' in output.decode()
    assert json.loads((folder / "receipt.json").read_bytes())["format"] == "causeway-receipt/1"


async def _variables(process: asyncio.subprocess.Process, lines: list[str]) -> dict[str, str]:
    """What the demo says is to be exported; `lines` gets all that it says until then."""
    assert process.stdout is not None
    found: dict[str, str] = {}
    async for line in process.stdout:
        lines.append(line.decode())
        match = re.match(r"export (CAUSEWAY_\w+)=(\S+)", lines[-1])
        if match:
            found[match[1]] = match[2]
        if len(found) == 2:
            return found
    raise AssertionError("the demo ended without a word of how to talk to it: " + "".join(lines))
