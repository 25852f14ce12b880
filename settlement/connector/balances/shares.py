"""How processes share an account's room: pure arithmetic of leases.

Each process may move the balance by a `delta` between `lowest` and `highest`, whatever the others do. The bounds of all
processes together keep the floor and the ceiling:

    base + Σ lowest ≥ floor        base + Σ highest ≤ ceiling

A bound is widened only in the database, under the account's row lock, and used after the commit; it is narrowed in
memory first. So no process needs another's word to take a packet, and none is ever wrong about its room.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from settlement.connector.balances.model import UNBOUNDED, Position, Terms


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part in an account. Fields: process; delta (written); lowest, highest (bounds of delta)."""

    process: int
    delta: int
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a process's delta may go. Fields: lowest, highest."""

    lowest: int
    highest: int


def free_room(terms: Terms, base: int, shares: Iterable[Share]) -> tuple[int, int]:
    """What no process holds: (room to fall, room to rise). Never negative."""
    lowest = highest = base
    for share in shares:
        lowest += share.lowest
        highest += share.highest
    down = UNBOUNDED if terms.floor is None else max(0, lowest - terms.floor)
    up = UNBOUNDED if terms.ceiling is None else max(0, terms.ceiling - highest)
    return down, up


def widened(mine: Bounds, wanted: Bounds, free: tuple[int, int], members: int) -> Bounds:
    """My bounds after asking for `wanted`: all of what is missing, if it is free, and a fair part of the rest.

    A side whose wish cannot be met stays as it is.
    """
    down = _granted(max(0, mine.lowest - wanted.lowest), free[0], members)
    up = _granted(max(0, wanted.highest - mine.highest), free[1], members)
    return Bounds(max(-UNBOUNDED, mine.lowest - down), min(UNBOUNDED, mine.highest + up))


def _granted(missing: int, free: int, members: int) -> int:
    if missing > free:
        return 0
    return missing + (free - missing) // max(1, members)


def reach(position: Position, written: int) -> Bounds:
    """The furthest that this process's delta can get by what it has taken on, written or not, fulfilled or not."""
    return Bounds(
        min(position.delta, written) - position.debits,
        max(position.delta, written) + position.credits,
    )


def raised(position: Position, needed: Bounds, change: int) -> Bounds:
    """My bounds once a settlement has raised the balance by `change`, also above the ceiling: what it uses of the room
    is mine, so that no other process gives it away. `needed`: see `reach`.
    """
    highest = max(position.highest, min(UNBOUNDED, needed.highest + change))
    return Bounds(position.lowest, highest)


def narrowed(position: Position, written: int, wanted: tuple[int, int]) -> Bounds:
    """My bounds after giving room back, because somebody lacks `wanted` to fall and to rise by.

    Of the room that nothing in flight needs, half is given, or all that is wanted where that is more.
    """
    needed = reach(position, written)
    lowest, highest = position.lowest, position.highest
    if -UNBOUNDED < lowest < needed.lowest and wanted[0]:
        lowest += _given(needed.lowest - lowest, wanted[0])
    if needed.highest < highest < UNBOUNDED and wanted[1]:
        highest -= _given(highest - needed.highest, wanted[1])
    return Bounds(lowest, highest)


def _given(unused: int, wanted: int) -> int:
    return min(unused, max((unused + 1) // 2, wanted))
