"""Waiting for what a chain says: callers wait for news, and are told when there can be none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from settlement.ledgers.bitcoin.types import MS
from settlement.ledgers.protocol import LedgerId, LedgerMismatch, LedgerUnavailable

_STALE_SECONDS: Final = 60.0
"""After so long without an answer of the node, what is kept is not told as if it were the present."""

_log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")


class Pulse:
    """How a follower is doing, and who waits for it."""

    def __init__(self, ledger_id: LedgerId, answer_ms: int) -> None:
        """`answer_ms`: how long a call may wait."""
        self._ledger_id = ledger_id
        self._answer_ms = answer_ms
        self._moved = asyncio.Event()
        self._answered_at = time.monotonic()
        self._problem = "nothing was read yet"
        self._broken: LedgerMismatch | None = None
        self._is_caught_up = False

    def beat(self, *, is_caught_up: bool) -> None:
        """The node answered; everything that is final was read, or not yet."""
        self._answered_at, self._problem = time.monotonic(), ""
        self._is_caught_up = self._is_caught_up or is_caught_up
        self.wake()

    def miss(self, error: Exception) -> None:
        """The node did not answer; it may again."""
        self._problem = str(error)
        _log.warning("ledger waits", ledger=self._ledger_id, problem=str(error))

    def stop(self, error: Exception) -> None:
        """The chain is not what it was configured to be, or a bug: nobody may go on as if nothing were."""
        if not isinstance(error, LedgerMismatch):
            error = LedgerMismatch(self._ledger_id, type(error).__name__, "none", str(error))
        self._broken = error
        _log.error("ledger is not usable", ledger=self._ledger_id, problem=str(error))
        self.wake()

    def wake(self) -> None:
        """Have everybody look again."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def check(self) -> None:
        """Refuse to speak for a chain that is not ours, or that has been silent.

        Raises:
            LedgerMismatch, LedgerUnavailable.
        """
        if self._broken is not None:
            raise self._broken
        if time.monotonic() - self._answered_at > _STALE_SECONDS:
            raise LedgerUnavailable(self._ledger_id, self._problem)

    async def current(self) -> None:
        """Wait until all that is final now has been read, once after a start. Raises as `until`."""

        async def caught_up() -> bool | None:
            return self._is_caught_up or None

        await self.until(caught_up)
        self.check()

    async def until(self, ask: Callable[[], Awaitable[Answer | None]]) -> Answer:
        """What `ask` answers once that is not None; asked again whenever something was read.

        Raises:
            LedgerUnavailable: not within the time that a call may take.
            LedgerMismatch: see `stop`.
        """
        try:
            async with asyncio.timeout(self._answer_ms / MS):
                while True:
                    moved = self._moved
                    answer = await ask()
                    if answer is not None:
                        return answer
                    if self._broken is not None:
                        raise self._broken
                    await moved.wait()
        except TimeoutError:
            raise LedgerUnavailable(self._ledger_id, self._problem or "it is not final yet") from None

    async def moved(self, seconds: float) -> None:
        """Wait until something was read, or for so long."""
        moved = self._moved
        try:
            async with asyncio.timeout(seconds):
                await moved.wait()
        except TimeoutError:
            return
