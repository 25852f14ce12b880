"""Packets that wait for room in an account which other processes hold: one question at a time for each account."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from settlement.connector.balances.model import Position

_WAITERS_MAX: Final = 1_000
_POOR_SECONDS: Final = 0.05
"""After a no, nobody is asked again for so long: a flood of packets that are too large costs no queries."""

_log = structlog.get_logger(__name__)
_Waiter = tuple[int, int, Callable[[bool], None]]


def has_room(position: Position, debit: int, credit: int) -> bool:
    """Whether `debit` and `credit` could be held now."""
    return (
        position.delta - position.debits - debit >= position.lowest
        and position.delta + position.credits + credit <= position.highest
        and position.credits + credit <= position.in_flight_max
    )


class RoomQueue:
    """Asks `find` for room, in order of arrival."""

    def __init__(
        self, find: Callable[[Position, int, int], Awaitable[bool]], start: Callable[[Awaitable[None]], None]
    ) -> None:
        """`find`: gets room for a debit and a credit, or says that there is none; `start`: runs a task."""
        self._find = find
        self._start = start
        self._waiters: dict[str, list[_Waiter]] = defaultdict(list)
        self._poor_until: dict[str, float] = {}

    def ask(self, position: Position, debit: int, credit: int, answered: Callable[[bool], None]) -> None:
        """See `Lender`."""
        name = position.terms.id
        waiters = self._waiters[name]
        if len(waiters) >= _WAITERS_MAX or self._is_poor(name):
            answered(False)
            return
        waiters.append((debit, credit, answered))
        if len(waiters) == 1:
            self._start(self._serve(position, waiters))

    async def _serve(self, position: Position, waiters: list[_Waiter]) -> None:
        name = position.terms.id
        while waiters:
            debit, credit, answered = waiters[0]
            is_granted = has_room(position, debit, credit)
            if not is_granted and not self._is_poor(name):
                try:
                    is_granted = await self._find(position, debit, credit)
                except Exception:  # noqa: BLE001 - or nobody would ask for this account again, and all would wait
                    _log.exception("room.failed", account=name)
                if not is_granted:
                    self._poor_until[name] = asyncio.get_running_loop().time() + _POOR_SECONDS
            waiters.pop(0)
            answered(is_granted)

    def _is_poor(self, name: str) -> bool:
        return asyncio.get_running_loop().time() < self._poor_until.get(name, 0.0)
