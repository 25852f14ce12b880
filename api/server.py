"""Serves the REST interface of a running gateway, in the gateway's own event loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.app import make_app
from api.board.app import make_board_app
from api.board.board import Board
from api.board.board import make_tables as make_board_tables
from api.desk import CERTIFICATE, Desk
from api.gateway_port import RunningGateway
from api.listening import is_loopback, listening, place_of, served
from api.retention import keep_forgetting
from api.settings import ApiSettings
from api.tables import SCHEMA
from api.webhooks.deliverer import Deliverer
from foundation.database import Database
from foundation.errors import BadInput
from settlement.gateway.process import Running

_SHUTDOWN_SECONDS: Final = 3
_BOARD: Final = "/board"
_USUAL: Final = ApiSettings()


@dataclass(frozen=True, slots=True)
class Serving:
    """The interface at work. Fields: url (where it listens); gateway; desk."""

    url: str
    gateway: RunningGateway
    desk: Desk


@asynccontextmanager
async def serve_api(running: Running, host: str, port: int, settings: ApiSettings = _USUAL) -> AsyncIterator[Serving]:
    """Serve until the block ends.

    Args:
        running: the gateway.
        host, port: where to listen; port 0 takes a free one. Without TLS, loopback alone.
        settings: the operator's.

    Raises:
        BadInput: it cannot listen there, or not without TLS.
    """
    gateway = RunningGateway(running.gateway, running.parts)
    await make_tables(gateway.database)
    app = make_app(gateway, gateway.database, running.parts.secrets.api_key, settings)
    desk: Desk = app.state.desk
    context = None if settings.tls is None else settings.tls.context()
    if context is None and not is_loopback(host):
        raise BadInput("gateway.api", f"{host} can be reached from elsewhere", "configure TLS, or listen on 127.0.0.1")
    deliverer = Deliverer(gateway, gateway.database, desk.signing, settings.deliveries)
    desk.woken = deliverer.wake
    desk.metrics.count_deliveries(deliverer.counts)
    with listening(host, port, "gateway.api") as listener:
        if settings.board is not None:
            await make_board_tables(gateway.database)
            board = Board(gateway.database, lambda: gateway.now() // 1000, closing=desk.closing)
            app.mount(_BOARD, make_board_app(board, settings.board.names | {place_of(listener)}))
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            ssl_context_factory=None if context is None else lambda *_: context,
        )
        forgetting = keep_forgetting(gateway.database, settings.acts_days, gateway.now)
        async with deliverer, forgetting, served(config, listener, desk.closing):
            yield Serving(f"{'http' if context is None else 'https'}://{place_of(listener)}", gateway, desk)


async def make_tables(database: Database) -> None:
    """Make the interface's tables in a gateway's database, where they are not there yet."""
    async with database.unit() as unit:
        if not await unit.connection.run_sync(SCHEMA.is_current):
            await unit.connection.run_sync(SCHEMA.upgrade)
            await unit.commit()


class _Protocol(HttpToolsProtocol):
    """Tells the application which certificate the client has shown."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        certificate = None if connection is None else connection.getpeercert(binary_form=True)
        if certificate is not None:
            self.app_state = {**self.app_state, CERTIFICATE: hashlib.sha256(certificate).digest()}
