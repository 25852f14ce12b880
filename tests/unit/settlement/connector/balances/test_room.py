"""Packets that wait for room: each is answered, whatever happens to the question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from settlement.connector.balances.model import Position, Terms
from settlement.connector.balances.room import RoomQueue
from settlement.quantities import Asset, Scale


async def test_question_that_fails_is_a_no_and_the_next_one_is_asked() -> None:
    """A mistake on the way to room refuses the packet that met it, and the account is not stuck for ever."""
    answers: list[bool] = []
    asked: list[int] = []

    async def find(position: Position, debit: int, credit: int) -> bool:
        asked.append(debit)
        if debit == 1:
            raise LookupError("a mistake")
        return True

    tasks: list[asyncio.Future[None]] = []

    def start(work: Awaitable[None]) -> None:
        tasks.append(asyncio.ensure_future(work))

    queue = RoomQueue(find, start)
    position = Position(Terms("alice", Asset("EUR", Scale(2))))
    position.lowest = position.highest = 0
    queue.ask(position, 1, 0, answers.append)
    await asyncio.gather(*tasks)
    await asyncio.sleep(0.06)  # after a no, nobody is asked again for a moment
    queue.ask(position, 2, 0, answers.append)
    await asyncio.gather(*tasks)
    assert (answers, asked) == ([False, True], [1, 2])
