"""An ILP-over-HTTP server: Prepares in, and the asynchronous replies to ours. Source: RFC 35."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from foundation.errors import BadInput
from settlement.ilp.btp.handshake import MAX_TOKEN_BYTES, same, token_digest
from settlement.ilp.errors import ConnectorBusy
from settlement.ilp.http.limits import ServerLimits
from settlement.ilp.http.link import HttpLink
from settlement.ilp.http.messages import ACCEPTED_TYPES, OCTET_STREAM, ContentType, is_request_id, parse_target
from settlement.ilp.http.server_connection import Exchange, Request, ServerConnection
from settlement.ilp.packets import FULFILL, PREPARE, REJECT, encode_reject, rejection

_SWEEP_SECONDS_MOST: Final = 0.5
_BEARER: Final = b"bearer "
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a request shows of who sends it.

    Fields: token (as in the Authorization header, without `Bearer`; empty: none); certificate (DER, of TLS; empty:
    none).
    """

    token: bytes
    certificate: bytes


Authenticator = Callable[[Shown], str | None]
"""Answers the account that a request is from, or None; for JWTs and the like. Asked after the fixed tokens."""


@dataclass(slots=True)
class _Peer:
    """Fields: link; digest (of its token; empty: none needed); fingerprint (SHA-256 of its certificate; empty: none
    needed); in_flight (packets that wait for our answer)."""

    link: HttpLink
    digest: bytes
    fingerprint: bytes
    in_flight: int = 0


class HttpServer:
    """Serves the peers that `add` names. `async with` starts and stops it, or `start` and `stop` do.

    Fields: port (the one that is bound, once it is started); path; limits.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        path: str = "/ilp",
        limits: ServerLimits | None = None,
        tls: ssl.SSLContext | None = None,
        content_type: ContentType = OCTET_STREAM,
        authenticator: Authenticator | None = None,
    ) -> None:
        self.port = port
        self.path = path.encode()
        self.limits = limits or ServerLimits()
        self.content_type = content_type
        self._host = host
        self._tls = tls
        self._authenticator = authenticator
        self._peers: dict[str, _Peer] = {}
        self._server: asyncio.Server | None = None
        self._connections: dict[ServerConnection, None] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        times = self.limits.request_ms_max, self.limits.idle_ms_max, self.limits.stalled_ms_max
        self._sweep_seconds = min(_SWEEP_SECONDS_MOST, min(times) / 4000)

    def add(self, link: HttpLink, token: str = "", certificate: bytes = b"") -> None:
        """Serve a peer.

        Args:
            token: what it has to send as a bearer token; empty where the certificate suffices.
            certificate: SHA-256, 32 bytes, of the certificate (DER) that it has to show over TLS; empty for any.

        Raises:
            BadInput: the account is served already, another one has this token and certificate, or neither is given
                and there is no authenticator.
        """
        if link.account in self._peers:
            raise BadInput("http.account", f"{link.account} is served already")
        if len(token.encode()) > MAX_TOKEN_BYTES or len(certificate) not in {0, 32}:
            raise BadInput("http.token", f"longer than {MAX_TOKEN_BYTES} bytes, or a fingerprint that is not 32 bytes")
        if not token and not certificate and self._authenticator is None:
            raise BadInput("http.token", f"{link.account} has no token and no certificate", "32 random bytes in base64")
        digest = token_digest(token.encode()) if token else b""
        if any(same(peer.digest, digest) and same(peer.fingerprint, certificate) for peer in self._known()):
            raise BadInput(
                "http.token", f"{link.account} shares its token with another account", "one token an account"
            )
        self._peers[link.account] = _Peer(link, digest, certificate)

    def remove(self, account: str) -> None:
        """Serve this account no more. Harmless where it is not served."""
        self._peers.pop(account, None)

    async def start(self) -> None:
        """Listen. Raises OSError where the port cannot be bound."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, self._host, self.port, ssl=self._tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = loop.call_later(self._sweep_seconds, self._sweep)

    async def stop(self) -> None:
        """Listen no more, and close all connections."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        gone = [connection.gone.wait() for connection in self._connections]
        for connection in list(self._connections):
            connection.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*gone), 2)

    async def __aenter__(self) -> HttpServer:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    # What follows is for the connections.

    def handle(self, request: Request, exchange: Exchange) -> None:
        """Answer a whole request, now or later."""
        if request.path != self.path:
            exchange.refuse(404)
        elif request.method != b"POST":
            exchange.refuse(405, "Allow: POST\r\n")
        else:
            peer = self._peer_of(request, exchange.connection)
            if peer is None:
                exchange.refuse(401, "WWW-Authenticate: Bearer\r\n")
            elif request.content_type.split(b";")[0].strip().lower() not in ACCEPTED_TYPES:
                exchange.refuse(415)
            else:
                self._packet(request, exchange, peer)

    def opened(self, connection: ServerConnection) -> bool:
        """A new connection; False where there are too many of those that have shown who they are.

        Where strangers have taken all the room, the one that has said nothing good for longest makes way: peers, who
        show at once who they are, still get in.
        """
        if self._server is None:
            return False
        if len(self._connections) >= self.limits.connections_max:
            stranger = next((one for one in self._connections if one.remembered is None), None)
            if stranger is None:
                return False
            del self._connections[stranger]
            stranger.cut()
        self._connections[connection] = None
        return True

    def closed(self, connection: ServerConnection) -> None:
        """A connection is gone."""
        self._connections.pop(connection, None)

    def _packet(self, request: Request, exchange: Exchange, peer: _Peer) -> None:
        kind = request.body[0] if request.body else 0
        if kind == PREPARE:
            if request.prefers_async and self._prepare_async(request, exchange, peer):
                return
            self._prepare(request.body, exchange, peer)
        elif kind in {FULFILL, REJECT} and is_request_id(request.request_id):
            known = peer.link.take_reply(uuid.UUID(request.request_id.decode()), request.body)
            exchange.answer_empty(200 if known else 400)
        else:
            exchange.refuse(400)

    def _prepare(self, packet: bytes, exchange: Exchange, peer: _Peer) -> None:
        """Synchronous: the answer to the request is the reply to the packet."""
        link = peer.link
        link.statistics.received += 1
        if peer.in_flight >= self.limits.in_flight_max:
            busy = ConnectorBusy("too many packets wait for an answer")
            exchange.reply(encode_reject(rejection(busy, link.ilp_address)))
            return
        peer.in_flight += 1
        exchange.on_over = self._release(peer)
        link.handler(link.account, packet, exchange.reply)

    def _prepare_async(self, request: Request, exchange: Exchange, peer: _Peer) -> bool:
        """Asynchronous; False where nobody said where to send the reply: it is the answer to the request then."""
        named = None
        if request.callback_url:
            try:
                named = parse_target(request.callback_url.decode("latin-1"), "Callback-Url", insecure=True)
            except BadInput:
                exchange.refuse(400)
                return True
        target = peer.link.callback_target(named)
        if target is None and named is None:
            return False
        if target is None or not is_request_id(request.request_id):
            exchange.refuse(400)
            return True
        if peer.link.is_full:
            exchange.refuse(503)
        else:
            exchange.answer_empty(202)
            peer.link.take_async(uuid.UUID(request.request_id.decode()), request.body, target)
        return True

    @staticmethod
    def _release(peer: _Peer) -> Callable[[], None]:
        def release() -> None:
            peer.in_flight -= 1

        return release

    def _peer_of(self, request: Request, connection: ServerConnection) -> _Peer | None:
        """Who sends a request. What a connection showed last is remembered: it seldom changes."""
        remembered = connection.remembered
        if remembered is not None and remembered[0] == request.authorization:
            peer = self._peers.get(remembered[1])
            if peer is not None:
                return peer
        shown = Shown(_token(request.authorization), connection.certificate())
        peer = self._find(shown)
        if peer is not None:
            connection.remembered = request.authorization, peer.link.account
        elif self._authenticator is not None:
            # Not remembered: what it accepts may be for a short time only.
            peer = self._peers.get(self._authenticator(shown) or "")
        if peer is None:
            log.warning("ilp over http request refused", peer=connection.peer)
        return peer

    def _find(self, shown: Shown) -> _Peer | None:
        """The peer that these credentials name. Looks at all peers, so that the time tells nothing."""
        digest = token_digest(shown.token) if shown.token else b""
        fingerprint = hashlib.sha256(shown.certificate).digest() if shown.certificate else b""
        found: _Peer | None = None
        for peer in self._known():
            token_fits = not peer.digest or same(peer.digest, digest)
            certificate_fits = not peer.fingerprint or same(peer.fingerprint, fingerprint)
            if token_fits and certificate_fits:
                found = peer
        return found

    def _known(self) -> list[_Peer]:
        """Those that have credentials of their own, and do not rely on the authenticator."""
        return [peer for peer in self._peers.values() if peer.digest or peer.fingerprint]

    def _accept(self) -> ServerConnection:
        return ServerConnection(self.limits, self.handle, self.opened, self.closed, self.content_type)

    def _sweep(self) -> None:
        """Close what takes too long: one timer for all connections."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._connections):
            connection.check(now)
        self._sweeper = loop.call_later(self._sweep_seconds, self._sweep)


def _token(authorization: bytes) -> bytes:
    """The token of an Authorization header. ilp-plugin-http may send it without `Bearer` before it."""
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return authorization
