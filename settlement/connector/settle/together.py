"""Jobs that end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def together(jobs: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """What the jobs return, in order. Where one fails the others still come to their end before its error is raised.

    `asyncio.gather` would let them go on unwatched, a task group would cut them off in the middle of a write.
    """
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    except asyncio.CancelledError:
        await asyncio.gather(*tasks, return_exceptions=True)  # cancelled by it too: let them clean up
        raise
    results: list[Result] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results
