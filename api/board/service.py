"""A board in this process: for a maker that lets takers write to it directly, and for tests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import uvicorn

from api.board.app import Quoter, make_board_app
from api.board.board import Board, BoardRules, make_tables
from api.listening import is_loopback, listening, place_of, served
from foundation.database import Database
from foundation.errors import BadInput

_SHUTDOWN_SECONDS: Final = 2


def now_seconds() -> int:
    """Seconds since 1970."""
    return int(time.time())


@asynccontextmanager
async def serve_board(
    database: Database,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    names: frozenset[str] = frozenset(),
    clock: Callable[[], int] = now_seconds,
    rules: BoardRules | None = None,
    quoter: Quoter | None = None,
) -> AsyncIterator[str]:
    """Serve a board until the block ends; gives its URL.

    Args:
        database: where letters and offers wait; its tables are made where they are missing.
        host, port: where to listen; port 0 takes a free one. Loopback alone: a proxy with TLS stands before it.
        names: `host:port`s under which others reach it, besides where it listens.
        clock: seconds since 1970.
        rules: what it takes.
        quoter: of a maker that answers takers by itself.

    Raises:
        BadInput: it cannot listen there.
    """
    if not is_loopback(host):
        problem = f"{host} can be reached from elsewhere without TLS"
        raise BadInput("listen", problem, "listen on 127.0.0.1, and let a proxy with TLS pass letters on")
    await make_tables(database)
    board = Board(database, clock, rules)
    with listening(host, port, "listen") as listener:
        place = place_of(listener)
        app = make_board_app(board, names | {place, f"localhost:{listener.getsockname()[1]}"}, quoter)
        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        async with served(config, listener, board.closing):
            yield f"http://{place}"
