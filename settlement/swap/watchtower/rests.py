"""How long a chain that cannot be read is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

LONGEST_SECONDS: Final = 30.0


class Rests:
    """Rests by name, each twice as long as the one before it, until it ends well."""

    def __init__(self, first_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._first = first_seconds
        self._clock = clock
        self._rests: dict[str, tuple[float, float]] = {}  # how long it is, and until when

    def has(self, name: str) -> bool:
        """Whether one is not over yet."""
        return name in self._rests and self._clock() < self._rests[name][1]

    def give(self, name: str) -> None:
        """It went wrong once more."""
        seconds = min(2 * self._rests[name][0], LONGEST_SECONDS) if name in self._rests else self._first
        self._rests[name] = seconds, self._clock() + seconds

    def end(self, name: str) -> None:
        """It went well."""
        self._rests.pop(name, None)
