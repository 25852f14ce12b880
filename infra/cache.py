"""The cache folder: what was downloaded once and can be fetched again. Safe to delete, safe to share between runs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

from infra.errors import CacheBusy

CACHE_VARIABLE = "CAUSEWAY_CACHE"
"""Names another cache folder than `.cache/` in the checkout."""

CHECKOUT = Path(__file__).resolve().parents[1]
_LOCK_WAIT_SECONDS = 600.0
_POLL_SECONDS = 0.1


def cache_folder() -> Path:
    """The cache folder, which need not exist yet."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser().absolute() if named else CHECKOUT / ".cache"


@contextlib.contextmanager
def locked(lock: Path, wait_seconds: float = _LOCK_WAIT_SECONDS) -> Iterator[None]:
    """Hold an exclusive lock on the file `lock`, which is made where it is missing and never removed.

    The kernel lets go of the lock when its holder dies, so a crashed run leaves nothing to clean up.

    Raises:
        CacheBusy: another process holds it for longer than `wait_seconds`.
    """
    with _opened(lock) as file:
        deadline = time.monotonic() + wait_seconds
        while not _taken(file):
            if time.monotonic() >= deadline:
                raise CacheBusy(lock, wait_seconds)
            time.sleep(_POLL_SECONDS)
        yield


@contextlib.asynccontextmanager
async def locked_async(lock: Path, wait_seconds: float = _LOCK_WAIT_SECONDS) -> AsyncIterator[None]:
    """As `locked`, without blocking the event loop."""
    with _opened(lock) as file:
        deadline = time.monotonic() + wait_seconds
        # Polled, because the kernel has no way to await a file lock.
        while not _taken(file):
            if time.monotonic() >= deadline:
                raise CacheBusy(lock, wait_seconds)
            await asyncio.sleep(_POLL_SECONDS)
        yield


def _opened(lock: Path) -> IO[str]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    return lock.open("a")


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
