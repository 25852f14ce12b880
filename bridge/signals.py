"""Waking those who wait for something to change."""

from __future__ import annotations

import asyncio


class Signal:
    """Set by those who change something; each waiter sees every change that comes after its last wait began."""

    def __init__(self) -> None:
        self._version = 0
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def version(self) -> int:
        """Counts the changes; pass it to `wait`."""
        return self._version

    def set(self) -> None:
        """Something has changed."""
        self._version += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self, seen: int, timeout_s: float) -> bool:
        """Wait until something has changed since version `seen`, or the time is up. Returns whether it has."""
        if self._version != seen:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
                return True
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
