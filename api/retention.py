"""Who did what is kept for a time, and then forgotten; so are the names of transfers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from sqlalchemy import delete, select

from api.tables import acts, transfers
from foundation.database import Database
from foundation.errors import Retryable
from foundation.quantities import UnixMs
from settlement.quantities import Clock

_DAY_MS: Final = 24 * 3_600_000
_EVERY_SECONDS: Final = 3_600.0
_BATCH: Final = 1_000
_log = structlog.get_logger(__name__)


@asynccontextmanager
async def keep_forgetting(database: Database, days: int, clock: Clock) -> AsyncIterator[None]:
    """Forget each hour what is older than `days`, until the block ends."""
    task = asyncio.create_task(_run(database, days, clock))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def forget(database: Database, days: int, now: UnixMs) -> int:
    """Forget what is older than `days`, in short units of work; how many acts were forgotten.

    Raises:
        DatabaseUnavailable: the rest waits for the next time.
    """
    before, forgotten = now - days * _DAY_MS, 0
    while True:
        async with database.unit() as unit:
            old = select(acts.c.id).where(acts.c.at < before).order_by(acts.c.at).limit(_BATCH)
            done = await unit.connection.execute(delete(acts).where(acts.c.id.in_(old)))
            number = select(transfers.c.payment_id).where(transfers.c.made_at < before).limit(_BATCH)
            gone = await unit.connection.execute(delete(transfers).where(transfers.c.payment_id.in_(number)))
            await unit.commit()
        forgotten += done.rowcount
        if max(done.rowcount, gone.rowcount) < _BATCH:
            return forgotten


async def _run(database: Database, days: int, clock: Clock) -> None:
    while True:
        try:
            forgotten = await forget(database, days, clock())
            if forgotten:
                _log.info("acts forgotten", acts=forgotten, days=days)
        except Retryable as problem:
            _log.warning("acts wait to be forgotten", problem=str(problem))
        await asyncio.sleep(_EVERY_SECONDS)
