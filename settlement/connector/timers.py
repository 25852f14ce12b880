"""Deadlines of many packets with one timer of the event loop: each met up to two slots late, never early."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from foundation.quantities import UnixMs
from settlement.quantities import Clock

SLOT_MS: Final = 32
"""How far apart the timer ticks; a small part of the margins that deadlines stand in."""


class Timed(Protocol):
    """Something with a deadline."""

    deadline: UnixMs

    def expired(self) -> None:
        """The deadline has passed. Never raises."""


class Timers:
    """Things to be told when their time has passed. Adding and removing cost a set operation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[int, set[Timed]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(len(slot) for slot in self._slots.values())

    def add(self, item: Timed) -> None:
        """Tell `item` once its deadline has passed."""
        number = item.deadline // SLOT_MS
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = set()
            if self._timer is None:
                self._wait()
        slot.add(item)

    def remove(self, item: Timed) -> None:
        """Forget it; harmless where it is not there."""
        slot = self._slots.get(item.deadline // SLOT_MS)
        if slot is not None:
            slot.discard(item)

    def tick(self) -> None:
        """Tell all whose deadline has passed."""
        now = self._clock() // SLOT_MS
        for number in sorted(number for number in self._slots if number < now):
            for item in self._slots.pop(number):
                item.expired()

    def close(self) -> None:
        """Stop the timer; nobody is told any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._slots.clear()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SLOT_MS / 1000, self._ticked)

    def _ticked(self) -> None:
        self._timer = None
        self.tick()
        if self._slots and self._timer is None:
            self._wait()
