"""A BTP client: one connection to a peer's server, made again whenever it is lost. Source: RFC 23."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from typing import Final

import structlog
from picows import WSCloseCode, WSError, ws_connect

from foundation.errors import Retryable
from settlement.ilp.btp.codec import Failure, Response, decode, encode
from settlement.ilp.btp.handshake import Endpoint, auth_message
from settlement.ilp.btp.limits import Backoff, BtpLimits
from settlement.ilp.btp.link import BtpLink
from settlement.ilp.btp.socket import BtpSocket
from settlement.ilp.errors import BadPacket

_AUTH_REQUEST_ID: Final = 1
_JITTER = random.SystemRandom()
log = structlog.get_logger(__name__)


class ConnectionRefused(Retryable):
    """The peer's server did not open the connection: caught by the client, which tries again later.

    Fields: account; reason.
    """

    def __init__(self, account: str, reason: str) -> None:
        self.account = account
        self.reason = reason
        super().__init__(f"{account}: {reason}")


class BtpClient:
    """Keeps a link connected to a peer's server. `async with` starts and stops it, or `start` and `stop` do.

    Fields: link; failures (in a row, so far).
    """

    def __init__(
        self,
        link: BtpLink,
        endpoint: Endpoint,
        *,
        limits: BtpLimits | None = None,
        backoff: Backoff | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.link = link
        self.failures = 0
        self._endpoint = endpoint
        self._limits = limits or BtpLimits()
        self._backoff = backoff or Backoff()
        self._tls = tls
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background; await `link.wait_up()` to see it done."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_connected(), name=f"btp {self.link.account}")

    async def stop(self) -> None:
        """Close the connection and make no other."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.link.close(WSCloseCode.OK.value, "")

    async def __aenter__(self) -> BtpClient:
        self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self._connection()
            except (OSError, WSError, TimeoutError, ConnectionRefused, BadPacket) as problem:
                log.info("btp connection failed", account=self.link.account, problem=str(problem)[:200])
            if loop.time() - started >= self._backoff.settled_ms / 1000:
                self.failures = 0
            self.failures += 1
            await asyncio.sleep(self._backoff.delay_ms(self.failures, _JITTER.random()) / 1000)

    async def _connection(self) -> None:
        """One connection, from its first packet to its end."""
        opening = _Opening(self.link, self._limits)
        try:
            async with asyncio.timeout(self._limits.auth_ms_max / 1000):
                await self._connect(opening.socket)
                opening.socket.write(encode(auth_message(_AUTH_REQUEST_ID, self._endpoint)))
                await opening.done
            log.info("btp connected", account=self.link.account)
            await opening.socket.closed.wait()
        finally:
            opening.done.cancel()
            self.link.detach(opening.socket)
            opening.socket.close(WSCloseCode.OK.value, "")

    async def _connect(self, socket: BtpSocket) -> None:
        await ws_connect(
            lambda *_: socket,
            self._endpoint.url,
            ssl_context=self._tls,
            websocket_handshake_timeout=self._limits.auth_ms_max / 1000,
            max_frame_size=self._limits.message_bytes_max,
            enable_auto_ping=True,
            auto_ping_idle_timeout=self._limits.idle_ms_max / 1000,
            auto_ping_reply_timeout=self._limits.pong_ms_max / 1000,
            max_redirects=0,  # or the token would go where the peer did not say
            use_aiofastnet=False,
        )


class _Opening:
    """A connection whose `auth` message is not answered yet.

    The answer is handled where it arrives, not by the task that waits for it: what the peer sends right behind it, such
    as a Fulfill that it kept for us, belongs to the link already.
    """

    def __init__(self, link: BtpLink, limits: BtpLimits) -> None:
        self._link = link
        self.socket = BtpSocket(limits, self._first, _nothing, self._closed, is_client=True)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _first(self, raw: bytes) -> None:
        if self.done.done():
            return
        try:
            answer = decode(raw)
        except BadPacket as bad:
            self.done.set_exception(bad)
            return
        if isinstance(answer, Response) and answer.request_id == _AUTH_REQUEST_ID:
            self._link.attach(self.socket)
            self.done.set_result(None)
        elif isinstance(answer, Failure):
            self._fail(f"{answer.code} {answer.name}"[:200])
        else:
            self._fail("the auth message was not answered")

    def _closed(self) -> None:
        if not self.done.done():
            self._fail("closed before the auth message was answered")

    def _fail(self, reason: str) -> None:
        self.done.set_exception(ConnectionRefused(self._link.account, reason))


def _nothing() -> None:
    """The client waits for the handshake itself."""
