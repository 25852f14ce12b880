"""The book's REST service: one process of perhaps several on one database."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from foundation.database import Database, Schema
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ledgers.book.config import BookConfig
from settlement.ledgers.book.core import Terms
from settlement.ledgers.book.desk import Desk, DeskLimits
from settlement.ledgers.book.feed import Feed
from settlement.ledgers.book.keys import Doorkeeper
from settlement.ledgers.book.office import Office
from settlement.ledgers.book.problems import problems
from settlement.ledgers.book.streams import Streams
from settlement.ledgers.book.tables import SCHEMA
from settlement.ledgers.book.teller import Teller
from settlement.quantities import Clock

_SHUTDOWN_SECONDS: Final = 2.0


def wall_clock() -> UnixMs:
    """Milliseconds since 1970, as this machine has them."""
    return UnixMs(time.time_ns() // 1_000_000)


class BookService:
    """A running book. Use as `async with`; `url` says where it listens."""

    def __init__(self, config: BookConfig, clock: Clock = wall_clock, schema: Schema = SCHEMA) -> None:
        self.config = config
        self._clock = clock
        self._schema = schema
        self._stack = AsyncExitStack()
        self.url = ""

    async def __aenter__(self) -> Self:
        """Open the database and listen.

        Raises:
            BadInput: a value of the configuration cannot be used.
            DatabaseUnavailable: the database does not answer.
        """
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, end the streams, and close the database."""
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        config = self.config
        tls = config.tls()
        database = await stack.enter_async_context(await Database.open(config.database, self._schema))
        feed = Feed(database)
        limits = DeskLimits(tick_ms=config.tick_ms)
        terms = Terms(config.hold_ms_max)
        desk = Desk(database, self._clock, terms, limits, feed.committed, feed.noticed)
        await stack.enter_async_context(desk)
        operators = {key_id: bytes.fromhex(digest) for key_id, digest in config.operators.items()}
        doors = Doorkeeper(database, operators, self._clock)
        streams = Streams(database, feed, doors, config.streams_max, config.heartbeat_seconds)
        app = web.Application(middlewares=[problems], client_max_size=config.body_bytes_max)
        app.add_routes(Teller(database, desk, doors).routes())
        app.add_routes(Office(config, database, doors, self._clock).routes())
        app.add_routes(streams.routes())
        app.on_shutdown.append(streams.end)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, config.host, config.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise BadInput("book.port", f"cannot listen on {config.host}:{config.port}: {error.strerror}") from error
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{port}"
