"""A gateway crashes at any commit, in any way: the payment goes on where it was."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.support.gateway_crashes import Crashes, Plan, Way, without_pauses
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import Time
from tests.support.settlement_gateway import EURO_LEDGER, FUNDS, YUAN_LEDGER, A, B, C, Town, stages

pytestmark = pytest.mark.integration
POSTS = {A: ["hold", "paid", "closed"], B: ["received", "closed"], C: ["hold", "paid", "earned", "closed"]}


async def test_a_crash_at_any_commit_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of their commits all three crash at, before, after, or unsure of it, a payment is made once."""
    without_pauses(monkeypatch)
    async with Town(tmp_path, clock=Time()) as town:
        crashes = Crashes(town)
        for name in (A, B, C):
            crashes.watch(name)
            await town.stop(name)
            await town.start(name)
        made = 0
        async with crashes.kept_running():
            for way in Way:
                for commit in range(40):
                    crashes.arm(*(Plan(party, commit, way) for party in (A, B, C)))
                    payment = await town.pay()
                    made += 1
                    assert stages(await town.ended(payment)) == {A: "closed", B: "closed", C: "closed"}, (way, commit)
                    if len(crashes.plans) == 3:
                        break  # nobody has so many commits in a payment
                else:
                    raise AssertionError("a payment takes more commits than this test tries")
            crashes.plans.clear()
        assert await town.balance(EURO_LEDGER, A) == FUNDS - made * 1_001_00
        assert await town.balance(EURO_LEDGER, C) == FUNDS + made * 1_001_00
        assert await town.balance(YUAN_LEDGER, C) == FUNDS - made * 2_000_00
        assert await town.balance(YUAN_LEDGER, B) == FUNDS + made * 2_000_00
        for name, events in POSTS.items():
            counted = Counter(event for _, event in await town.posts(name))
            assert counted == dict.fromkeys(events, made), f"what {name} posted"
        await _outboxes_empty(town)


async def _outboxes_empty(town: Town) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while any([await town.outbox(party) for party in (A, B, C)]):
            await asyncio.sleep(0.02)
