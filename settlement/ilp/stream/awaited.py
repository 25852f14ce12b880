"""A link over anything that answers a packet with an awaitable: a test's wire, a plug-in of another library."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from foundation.errors import CausewayError
from settlement.ilp.link import Reply


class AwaitedLink:
    """A `Link` over `send`: one encoded Prepare in, its encoded answer out, or an error where there is none."""

    def __init__(self, send: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._send = send
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_up(self) -> bool:
        """Always: `send` itself says when it is not."""
        return True

    def send(self, prepare: bytes, reply: Reply) -> None:
        """Send in a task; no answer comes where `send` raises one of our errors or is out of reach."""
        task = asyncio.get_running_loop().create_task(self._ask(prepare, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, prepare: bytes, reply: Reply) -> None:
        try:
            answer = await self._send(prepare)
        except (CausewayError, OSError, TimeoutError):
            return  # the caller's timer ends the packet
        reply(answer)
