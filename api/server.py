"""Serves the REST interface of a running gateway, in the gateway's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.app import make_app
from api.desk import CERTIFICATE, Desk
from api.gateway_port import RunningGateway
from api.settings import ApiSettings
from api.tables import SCHEMA
from api.webhooks.deliverer import Deliverer
from foundation.database import Database
from foundation.errors import BadInput
from settlement.gateway.process import Running

_SHUTDOWN_SECONDS: Final = 3
_BACKLOG: Final = 1_024
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
    if context is None and not _is_loopback(host):
        raise BadInput("gateway.api", f"{host} can be reached from elsewhere", "configure TLS, or listen on 127.0.0.1")
    deliverer = Deliverer(gateway, gateway.database, desk.signing, settings.deliveries)
    desk.woken = deliverer.wake
    desk.metrics.count_deliveries(deliverer.counts)
    with _listening(host, port) as listener:
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
        server = _Server(config)
        name, number = listener.getsockname()[:2]
        shown = f"[{name}]" if ":" in name else name
        async with deliverer, _served(server, listener, desk.closing):
            yield Serving(f"{'http' if context is None else 'https'}://{shown}:{number}", gateway, desk)


@asynccontextmanager
async def _served(server: _Server, listener: socket.socket, closing: asyncio.Event) -> AsyncIterator[None]:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await _first(serving, server.ready.wait())
        yield
    finally:
        closing.set()  # streams end, so that the server need not wait for them
        server.should_exit = True
        await serving


async def make_tables(database: Database) -> None:
    """Make the interface's tables in a gateway's database, where they are not there yet."""
    async with database.unit() as unit:
        if not await unit.connection.run_sync(SCHEMA.is_current):
            await unit.connection.run_sync(SCHEMA.upgrade)
            await unit.commit()


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


class _Protocol(HttpToolsProtocol):
    """Tells the application which certificate the client has shown."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        certificate = None if connection is None else connection.getpeercert(binary_form=True)
        if certificate is not None:
            self.app_state = {**self.app_state, CERTIFICATE: hashlib.sha256(certificate).digest()}


@contextlib.contextmanager
def _listening(host: str, port: int) -> Generator[socket.socket, None, None]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise BadInput("gateway.api", f"cannot listen on {host}:{port}: {error.strerror}", "a free port") from error
    with listener:
        yield listener


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def _first(task: asyncio.Task[None], ready: Coroutine[Any, Any, bool]) -> None:
    """Wait until it is ready, or has ended instead. Raises what it ended with."""
    waiting = asyncio.create_task(ready)
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        await task
