"""Carrying out orders: one that comes to a bad end waits, and the others go on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from foundation.quantities import UnixMs
from settlement.swap.engine import performer
from settlement.swap.machine import effects
from settlement.swap.store.store import DueOrder


async def test_an_error_that_nobody_foresaw_is_not_tried_again_without_a_pause(monkeypatch):
    """An order whose hand fails in a way that has no type of ours is put off, and is not lost."""

    async def stumble(desk: Any, row: Any, order: Any) -> Any:
        raise ValueError("what nobody foresaw")

    async def swap(swap_id: bytes) -> Any:
        return SimpleNamespace()

    put_off: list[int] = []
    monkeypatch.setattr(performer, "HANDS", {effects.PlaceLock: stumble})
    carrying = performer.Performer(SimpleNamespace(office=SimpleNamespace(swap=swap)))  # type: ignore[arg-type]

    async def later(order: DueOrder, pause_ms: int, error: Exception) -> None:
        put_off.append(pause_ms)

    monkeypatch.setattr(carrying, "_later", later)
    await carrying._perform(DueOrder(bytes(32), "PlaceLock", effects.PlaceLock(1), 1, UnixMs(0), 0, ""))
    assert put_off == [60_000]
