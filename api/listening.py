"""What every HTTP service of ours does alike: its socket, a server that leaves signals alone, and an awaited start."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Final

import uvicorn

from foundation.errors import BadInput

_BACKLOG: Final = 1_024


@contextlib.contextmanager
def listening(host: str, port: int, field: str) -> Generator[socket.socket, None, None]:
    """A socket that listens; port 0 takes a free one. Raises `BadInput` naming `field` where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise BadInput(field, f"cannot listen on {host}:{port}: {error.strerror}", "a free port") from error
    with listener:
        yield listener


def place_of(listener: socket.socket) -> str:
    """Where it listens, as a URL has it: `host:port`."""
    name, number = listener.getsockname()[:2]
    return f"[{name}]:{number}" if ":" in name else f"{name}:{number}"


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can connect to it."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@asynccontextmanager
async def served(config: uvicorn.Config, listener: socket.socket, closing: asyncio.Event) -> AsyncIterator[None]:
    """Serve until the block ends; `closing` is set then, so that what streams or waits ends, and the server need not
    wait for it. Raises what the server ended with, where it does not start.
    """
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await _first(serving, server.ready)
        yield
    finally:
        closing.set()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Leaves signals to the process, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


async def _first(task: asyncio.Task[None], ready: asyncio.Event) -> None:
    """Wait until it is ready, or has ended instead."""
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        await task
