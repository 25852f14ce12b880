"""The settlement demo, as a newcomer runs it: real processes, thirteen steps, sums that are zero."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.e2e]


async def test_the_demo_shows_thirteen_steps_and_ends_content() -> None:
    """Every step is taken in order, the auditor finds nothing amiss, and every ledger sums to zero."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.demo_settlement"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 240)
    text = output.decode()
    assert process.returncode == 0, text
    assert [int(number) for number in re.findall(r"^ ?(\d+) ✓", text, re.MULTILINE)] == list(range(1, 14))
    assert re.search(r"^ Bank B +2000\.00 CNY", text, re.MULTILINE)
    assert "FAILS" not in text
    assert "NOT ZERO" not in text
    assert len(re.findall(r" zero ", text)) == 5
    assert all(len(line.rstrip()) <= 100 for line in text.splitlines())
