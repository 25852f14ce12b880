"""Serves the REST interface of a running gateway, in the gateway's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.app import make_app
from api.desk import CERTIFICATE
from api.gateway_port import RunningGateway
from api.tables import SCHEMA
from foundation.database import Database
from foundation.errors import BadInput
from settlement.gateway.process import Running

_SHUTDOWN_SECONDS: Final = 3
_BACKLOG: Final = 1_024


@dataclass(frozen=True, slots=True)
class Serving:
    """The interface at work. Fields: url (where it listens); gateway."""

    url: str
    gateway: RunningGateway


@dataclass(frozen=True, slots=True)
class Tls:
    """Fields: certificate, key (PEM files); client_ca (PEM; empty: no certificates are asked of clients)."""

    certificate: str
    key: str
    client_ca: str = ""

    def context(self) -> ssl.SSLContext:
        """For a server; TLS 1.2 at least.

        Raises:
            BadInput: a file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.client_ca:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ssl.SSLError) as error:
            raise BadInput(
                "api.tls", f"cannot be used: {error}", "name PEM files of a certificate and its key"
            ) from error
        return context


@asynccontextmanager
async def serve_api(running: Running, host: str, port: int, tls: Tls | None = None) -> AsyncIterator[Serving]:
    """Serve until the block ends.

    Args:
        running: the gateway.
        host, port: where to listen; port 0 takes a free one. Without TLS, loopback alone.
        tls: None: none.

    Raises:
        BadInput: it cannot listen there, or not without TLS.
    """
    gateway = RunningGateway(running.gateway, running.parts)
    await make_tables(gateway.database)
    app = make_app(gateway, gateway.database, running.parts.secrets.api_key)
    context = None if tls is None else tls.context()
    if context is None and not _is_loopback(host):
        raise BadInput("gateway.api", f"{host} can be reached from elsewhere", "configure TLS, or listen on 127.0.0.1")
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
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await _first(serving, server.ready.wait())
            name, number = listener.getsockname()[:2]
            shown = f"[{name}]" if ":" in name else name
            yield Serving(f"{'http' if context is None else 'https'}://{shown}:{number}", gateway)
        finally:
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
