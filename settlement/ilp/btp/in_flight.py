"""Requests that are not answered yet, found by their id and forgotten after a time, without a timer for each."""

from __future__ import annotations

from typing import Generic, TypeVar

Held = TypeVar("Held")


class InFlight(Generic[Held]):
    """A table of two generations: `turn` forgets what lived through one whole period, so an entry lives one to two.

    Bounded: `full` says when there are `limit` entries; the owner then takes no more.
    """

    __slots__ = ("_limit", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[int, Held] = {}
        self._old: dict[int, Held] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, key: int) -> bool:
        return key in self._young or key in self._old

    @property
    def full(self) -> bool:
        """Whether no more may be added."""
        return len(self._young) + len(self._old) >= self._limit

    def add(self, key: int, held: Held) -> None:
        """Keep an entry, instead of one that the key has."""
        self._old.pop(key, None)
        self._young[key] = held

    def get(self, key: int) -> Held | None:
        """The entry of a key, which stays."""
        held = self._young.get(key)
        return self._old.get(key) if held is None else held

    def pop(self, key: int) -> Held | None:
        """Take an entry out; None where it is not there, or was forgotten."""
        held = self._young.pop(key, None)
        return self._old.pop(key, None) if held is None else held

    def drain(self) -> list[tuple[int, Held]]:
        """Take all entries out, oldest first."""
        entries = [*self._old.items(), *self._young.items()]
        self._old.clear()
        self._young.clear()
        return entries

    def turn(self) -> int:
        """Start a new period; answers how many entries are forgotten with that."""
        forgotten = len(self._old)
        self._old, self._young = self._young, {}
        return forgotten
