"""Open swaps as they were read a moment ago, with what this process has changed since: each reading costs a query."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from settlement.swap.store.store import SwapRow

FRESH_SECONDS: Final = 1.0
"""For so long what was read is taken as it is, with what this process changes of it."""


class OpenSwaps:
    """What was read of open swaps. Nothing in it is older than an order that is in the database: an order must not be
    carried out by an older state than the one that gave it."""

    def __init__(self) -> None:
        self._rows: tuple[SwapRow, ...] | None = None
        self._read_at = float("-inf")
        self._changes = 0
        self._storing = 0

    def fresh(self) -> tuple[SwapRow, ...] | None:
        """All open swaps; None: read them from the database."""
        if self._storing or time.monotonic() >= self._read_at + FRESH_SECONDS:
            return None
        return self._rows

    def begin(self) -> tuple[int, float]:
        """Before they are read: what `keep` has to be given."""
        return self._changes, time.monotonic()

    def keep(self, begun: tuple[int, float], rows: tuple[SwapRow, ...]) -> None:
        """Keep what was read, unless something has changed meanwhile."""
        if not self._storing and begun[0] == self._changes:
            self._read_at, self._rows = begun[1], rows

    def forget(self) -> None:
        """Have them read anew: a swap has begun or ended."""
        self._changes += 1
        self._rows = None

    @contextmanager
    def storing(self, *changed: SwapRow) -> Iterator[None]:
        """Around a commit: at some moment in it these swaps' changes take effect, and nobody can tell when."""
        self._changes += 1
        self._storing += 1
        try:
            yield
        except BaseException:
            self._rows = None  # they may be stored, or not
            raise
        finally:
            self._changes += 1  # what is being read now may be older
            self._storing -= 1
        newer = {row.swap_id: row for row in changed}
        if self._rows is not None:
            self._rows = tuple(newer.get(row.swap_id, row) for row in self._rows)
