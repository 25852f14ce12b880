"""A BTP server: peers connect, show their token, and are one account each from then on. Source: RFC 23."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import Final

import structlog
from picows import WSCloseCode, WSListener, WSUpgradeRequest, WSUpgradeResponse, ws_create_server
from picows import WSUpgradeResponseWithListener as WithListener

from foundation.errors import BadInput
from settlement.ilp.btp.codec import NOT_ACCEPTED, Response, decode, encode, failure
from settlement.ilp.btp.handshake import MAX_TOKEN_BYTES, Credentials, NotAuthenticated, credentials, same, token_digest
from settlement.ilp.btp.limits import BtpLimits
from settlement.ilp.btp.link import BtpLink, wall_clock
from settlement.ilp.btp.socket import BtpSocket
from settlement.ilp.errors import BadPacket
from settlement.quantities import Clock

_STOPPING_SECONDS: Final = 2.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Peer:
    """Fields: link; username (empty: any is taken); digest (of its token)."""

    link: BtpLink
    username: str
    digest: bytes


class BtpServer:
    """Serves the peers that `add` names. `async with` starts and stops it, or `start` and `stop` do.

    Fields: port (the one that is bound, once it is started); limits; clock.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        limits: BtpLimits | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        self.port = port
        self._host = host
        self.limits = limits or BtpLimits()
        self._tls = tls
        self.clock = clock
        self._peers: dict[str, _Peer] = {}
        self._server: asyncio.Server | None = None
        self._sockets: set[BtpSocket] = set()
        self._waiting: dict[_Door, None] = {}

    def add(self, link: BtpLink, token: str, username: str = "") -> None:
        """Serve a peer. Args: token: its secret; username: what it must call itself; anything where empty.

        Raises:
            BadInput: the account is served already, or another one has this token; the token is empty or too long.
        """
        raw = token.encode()
        if not 0 < len(raw) <= MAX_TOKEN_BYTES:
            raise BadInput("btp.token", f"empty, or longer than {MAX_TOKEN_BYTES} bytes", "32 random bytes in base64")
        digest = token_digest(raw)
        if link.account in self._peers:
            raise BadInput("btp.account", f"{link.account} is served already")
        if any(same(peer.digest, digest) for peer in self._peers.values()):
            raise BadInput("btp.token", f"{link.account} shares its token with another account", "one token an account")
        self._peers[link.account] = _Peer(link, username, digest)

    def remove(self, account: str) -> None:
        """Serve this account no more. Harmless where it is not served."""
        peer = self._peers.pop(account, None)
        if peer is not None:
            peer.link.close(WSCloseCode.POLICY_VIOLATION.value, "no longer served")

    async def start(self) -> None:
        """Listen. Raises OSError where the port cannot be bound."""
        limits = self.limits
        self._server = await ws_create_server(
            self._accept,
            self._host,
            self.port,
            ssl=self._tls,
            websocket_handshake_timeout=limits.auth_ms_max / 1000,
            max_frame_size=limits.message_bytes_max,
            enable_auto_ping=True,
            auto_ping_idle_timeout=limits.idle_ms_max / 1000,
            auto_ping_reply_timeout=limits.pong_ms_max / 1000,
            use_aiofastnet=False,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and close all connections."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for peer in self._peers.values():
            peer.link.close(WSCloseCode.GOING_AWAY.value, "the server stops")
        for socket in list(self._sockets):
            socket.close(WSCloseCode.GOING_AWAY.value, "the server stops")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOPPING_SECONDS):
                for socket in list(self._sockets):
                    await socket.closed.wait()

    async def __aenter__(self) -> BtpServer:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _accept(self, request: WSUpgradeRequest) -> WSListener | WithListener:
        if self._server is None:
            return WithListener(WSUpgradeResponse.create_error_response(503), None)
        return _Door(self).socket

    # What follows is for `_Door`.

    def opened(self, door: _Door) -> None:
        """A connection stands, and waits for its auth message.

        Where too many wait, the one that has waited longest makes way: peers, who send theirs at once, still get in.
        """
        self._sockets.add(door.socket)
        if len(self._waiting) >= self.limits.unauthenticated_max:
            next(iter(self._waiting)).make_way()
        self._waiting[door] = None

    def decided(self, door: _Door) -> None:
        """A connection waits no more: it is a peer's, or refused."""
        self._waiting.pop(door, None)

    def closed(self, socket: BtpSocket) -> None:
        """A connection is gone."""
        self._sockets.discard(socket)

    def peer_of(self, shown: Credentials) -> BtpLink:
        """The link of the peer that these credentials name. Looks at all peers, so that the time tells nothing.

        Raises:
            NotAuthenticated: they are nobody's.
        """
        found: BtpLink | None = None
        for peer in self._peers.values():
            if same(peer.digest, shown.digest) and peer.username in {"", shown.username}:
                found = peer.link
        if found is None:
            raise NotAuthenticated("unknown name or token")
        return found


class _Door:
    """A connection of nobody yet: its first message has to open it, in time."""

    def __init__(self, server: BtpServer) -> None:
        self._server = server
        self._link: BtpLink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.socket = BtpSocket(server.limits, self._first, self._opened, self._closed, is_client=False)

    def _opened(self) -> None:
        self._server.opened(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._server.limits.auth_ms_max / 1000, self._too_late)

    def _first(self, raw: bytes) -> None:
        self._decided()
        request_id = 0
        try:
            packet = decode(raw)
            request_id = packet.request_id
            link = self._server.peer_of(credentials(packet))
        except BadPacket as bad:
            # Not even an Error: there is no telling to what request (RFC 23, Flow).
            self._refuse(None, f"unreadable: {bad.problem}")
        except NotAuthenticated as refusal:
            self._refuse(request_id, refusal.reason)
        else:
            self._link = link
            self.socket.write(encode(Response(request_id)))
            link.attach(self.socket)
            log.info("btp peer connected", account=link.account, peer=self.socket.peer)

    def _refuse(self, request_id: int | None, reason: str) -> None:
        log.warning("btp connection refused", reason=reason, peer=self.socket.peer)
        if request_id is not None:
            self.socket.write(encode(failure(request_id, NOT_ACCEPTED, "not authenticated", self._server.clock())))
        self.socket.close(WSCloseCode.POLICY_VIOLATION.value, "not authenticated")

    def make_way(self) -> None:
        """Cut the connection: others want in."""
        self._decided()
        self.socket.abort("too many connections of nobody")

    def _too_late(self) -> None:
        self._decided()
        self._refuse(None, "no auth message in time")

    def _decided(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._server.decided(self)

    def _closed(self) -> None:
        self._decided()
        self._server.closed(self.socket)
        if self._link is not None:
            self._link.detach(self.socket)
            log.info("btp peer disconnected", account=self._link.account)
