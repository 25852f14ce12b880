"""Watching both chains: nothing that a stranger, a node or one bad swap shows ends it for the others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.bitcoin.errors import DeepReorg
from adapters.evm.errors import Reverted
from foundation.errors import BadInput
from settlement.swap.engine.watchers import Watchers
from settlement.swap.machine.changes import Tick
from settlement.swap.store.rows import BITCOIN_CURSOR

KNOWN, STRANGE = bytes(20), b"\x66" * 20


class Desk:
    """Remembers what was withdrawn, and which places of reading were forgotten."""

    def __init__(self, office: Any = None) -> None:
        self.office = office
        self.evm = self
        self.asked: list[bytes] = []
        self.cursors: dict[str, bytes] = {}

    async def withdraw(self, asset: bytes) -> int:
        self.asked.append(asset)
        raise Reverted("withdraw", "Escrow: payee refused")

    async def set_cursor(self, name: str, value: bytes) -> bytes:
        self.cursors[name] = value
        return value


def watchers(desk: Desk) -> Any:
    nobody: Any = SimpleNamespace()
    return Watchers(desk, nobody, nobody, 0.01, [KNOWN])  # type: ignore[arg-type]


async def test_tokens_that_strangers_owe_us_are_left_alone():
    """Only of an asset that the trader knows is anything withdrawn, and where that fails, watching goes on."""
    desk = Desk()
    watching = watchers(desk)
    watching._collect(asset for asset in (STRANGE, KNOWN, KNOWN) if asset in watching._assets)
    await asyncio.gather(*watching._collecting.values())
    await asyncio.sleep(0)
    assert desk.asked == [KNOWN]
    assert not watching._collecting


@pytest.mark.parametrize("problem", [BadInput("outpoint", "1 bytes"), DeepReorg.__new__(DeepReorg)])
async def test_what_cannot_be_watched_now_is_watched_again(problem, monkeypatch):
    """An error that its raiser calls fatal does not end the watching of either chain."""
    monkeypatch.setattr("settlement.swap.engine.watchers._PAUSE_FIRST", 0)
    desk, looks, again = Desk(), 0, asyncio.Event()

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise problem
        again.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(watchers(desk)._steadily("bitcoin", look))
    await asyncio.wait_for(again.wait(), 5)
    task.cancel()
    assert desk.cursors == ({BITCOIN_CURSOR: b""} if isinstance(problem, DeepReorg) else {})


@pytest.mark.parametrize("problem", [AssertionError("an invariant"), BadInput("swap.state", "cannot be read")])
async def test_one_bad_swap_does_not_keep_others_from_the_news(problem):
    """Where one swap's machine cannot take in a change, whoever tells it goes on to the next one."""

    async def apply(swap_id: bytes, changes: list[Any]) -> None:
        raise problem

    watching = watchers(Desk(SimpleNamespace(apply=apply)))
    row: Any = SimpleNamespace(swap_id=bytes(32), state=SimpleNamespace(times=None))
    await watching._apply(row, [Tick()])
