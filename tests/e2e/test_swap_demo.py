"""The swap demo, as a newcomer runs it: two people, their own nodes, real processes."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

from tests.support.patience import PATIENCE_S

pytestmark = [pytest.mark.integration, pytest.mark.e2e]


@pytest.mark.parametrize("options", [[], ["--private"]], ids=["hash", "point"])
async def test_the_demo_swaps_and_shows_ten_steps(options: list[str]) -> None:
    """Every step is taken in order, both end with what they wanted, and no line is wider than a terminal."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.demo_swap", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 3 * PATIENCE_S)
    text = output.decode()
    assert process.returncode == 0, text
    assert [int(number) for number in re.findall(r"^ ?(\d+) ✓", text, re.MULTILINE)] == list(range(1, 11))
    assert re.search(r"^ Alice +0\.9999\d* BTC +20\.99\d* ETH", text, re.MULTILINE)
    assert re.search(r"^ Bob +0\.9999\d* BTC +29\.99\d* ETH", text, re.MULTILINE)
    assert "Alice's screen says: You gave 1 BTC and got 20 ETH." in text
    assert "Bob's screen says: You gave 20 ETH and got 1 BTC." in text
    lines = [line.rstrip() for line in text.splitlines()]
    assert all(len(line) <= 100 for line in lines)
    assert [line for line in lines if line.endswith("…") and "causeway-swap:" not in line and "✓" not in line] == []
    for name in ("Escrow", "T1", "T2"):
        assert name in text
    assert "0 BTC, 50 ETH" in text
