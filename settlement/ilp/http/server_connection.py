"""One connection to the HTTP server: requests in, answers out in their order, bounded in size and time. RFC 9112."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import httptools
import structlog

from settlement.ilp.http.limits import ServerLimits
from settlement.ilp.http.messages import ContentType, content_length, response_head

_SLICE: Final = 8_192
"""So much of what one peer sent is handled in one turn of the loop."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Request:
    """A whole request: what ILP-over-HTTP looks at of it. Header values are raw; empty where there is none."""

    method: bytes = b""
    path: bytes = b""
    authorization: bytes = b""
    content_type: bytes = b""
    request_id: bytes = b""
    callback_url: bytes = b""
    prefers_async: bool = False
    body: bytes = b""


Handler: TypeAlias = Callable[[Request, "Exchange"], None]


class Exchange:
    """The right to answer one request, once. Later answers, and those for a connection that is gone, are dropped.

    Fields: connection; on_over (called once, when it is answered or the connection is gone); answered; answered_with
    (the answer's bytes); keep_alive (whether the connection stays open after it).
    """

    __slots__ = ("answered", "answered_with", "connection", "keep_alive", "on_over")

    def __init__(self, connection: ServerConnection, keep_alive: bool) -> None:
        self.connection = connection
        self.on_over: Callable[[], None] | None = None
        self.answered = False
        self.answered_with: tuple[bytes, ...] = ()
        self.keep_alive = keep_alive

    def reply(self, packet: bytes) -> None:
        """Answer with a packet."""
        self._answer((self.connection.packet_head, content_length(len(packet)), packet))

    def answer_empty(self, status: int) -> None:
        """Answer without a body."""
        self._answer((response_head(status), content_length(0)))

    def refuse(self, status: int, headers: str = "") -> None:
        """Answer with an error. The connection stays open: a client that was wrong once may be right next."""
        self._answer((response_head(status, extra=headers), content_length(0)))

    def over(self) -> None:
        """It is answered, or cannot be any more."""
        self.answered = True
        on_over, self.on_over = self.on_over, None
        if on_over is not None:
            on_over()

    def _answer(self, parts: tuple[bytes, ...]) -> None:
        if self.answered:
            return
        self.answered_with = parts
        self.over()
        self.connection.answered()


class ServerConnection(asyncio.Protocol):
    """Parses requests and writes answers. `opened` may refuse the connection, `closed` is told when it is gone.

    Fields: remembered (what the server keeps about who this is: the Authorization header and the account); gone (set
    when it is); packet_head (status line and headers of an answer with a packet).
    """

    def __init__(
        self,
        limits: ServerLimits,
        handler: Handler,
        opened: Callable[[ServerConnection], bool],
        closed: Callable[[ServerConnection], None],
        content_type: ContentType,
    ) -> None:
        self.remembered: tuple[bytes, str] | None = None
        self.gone = asyncio.Event()
        self.packet_head = response_head(200, content_type)
        self._limits = limits
        self._handler = handler
        self._opened = opened
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._exchanges: deque[Exchange] = deque()
        self._unfed = b""
        self._scheduled = False
        self._headers = self._head_bytes = self._body_bytes = 0
        self._fed = 1
        """Bytes of the request that is not complete yet; a new connection owes one from the start."""
        self._body: list[bytes] = []
        self._in_head = True
        self._error = 0
        self._ending = False
        self._writable = True
        self._since = self._loop.time()
        """Since when it waits: for the first byte of a request, for its last, for our answer, or for the peer to
        read."""
        self._tcp: asyncio.Transport

    @property
    def peer(self) -> str:
        """Where the connection comes from, for logs."""
        return str(self._tcp.get_extra_info("peername"))

    def certificate(self) -> bytes:
        """The peer's certificate in DER, which TLS has verified; empty where there is none."""
        connection: ssl.SSLObject | None = self._tcp.get_extra_info("ssl_object")
        return (connection.getpeercert(binary_form=True) or b"") if connection is not None else b""

    def close(self) -> None:
        """Close after what was written."""
        self._ending = True
        self._tcp.close()

    def cut(self) -> None:
        """Close without a word."""
        self._ending = True
        self._tcp.abort()

    def check(self, now: float) -> None:
        """Cut the connection where it has waited too long for what it waits for."""
        waited_ms = (now - self._since) * 1000
        limits = self._limits
        if not self._writable:
            most = limits.stalled_ms_max
        elif self._exchanges:
            most = limits.answer_ms_max
        else:
            most = limits.request_ms_max if self._fed else limits.idle_ms_max
        if waited_ms < most:
            return
        if self._fed and not self._exchanges and self._writable:
            self._end(408)
        else:
            self._tcp.abort()

    def answered(self) -> None:
        """Write the answers that are there, up to the first request that waits for its own."""
        if self._ending:
            return
        exchanges = self._exchanges
        parts: list[bytes] = []
        while exchanges and exchanges[0].answered:
            exchange = exchanges.popleft()
            parts += exchange.answered_with
            if not exchange.keep_alive:
                parts.insert(len(parts) - len(exchange.answered_with) + 1, b"Connection: close\r\n")
                self._ending = True
                break
        if parts:
            self._since = self._loop.time()
            self._tcp.write(b"".join(parts))
        if self._ending:
            self._tcp.close()
        elif self._unfed:
            self._schedule()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        if not self._opened(self):
            self._ending = True
            self._tcp.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ending = True
        self._unfed = b""
        while self._exchanges:
            exchange = self._exchanges.popleft()
            if not exchange.answered:
                exchange.over()
        self.gone.set()
        self._closed(self)

    def pause_writing(self) -> None:
        self._writable = False
        self._since = self._loop.time()
        self._tcp.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._since = self._loop.time()
        if self._unfed:
            self._schedule()
        else:
            self._tcp.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        if len(data) <= _SLICE and not self._unfed and len(self._exchanges) < self._limits.pipelined_max:
            self._feed(data)
            return
        if not self._unfed:
            self._tcp.pause_reading()
            self._schedule()
        self._unfed += data

    def _schedule(self) -> None:
        # Once a turn, however many answers leave in it: or each of them would have another slice handled.
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._feed_more)

    def _feed_more(self) -> None:
        """Handle a slice of what has come; the rest in the loop's next turn, after everybody else."""
        self._scheduled = False
        # Who does not read its answers is not asked for more of them.
        held_up = not self._writable or len(self._exchanges) >= self._limits.pipelined_max
        if self._ending or not self._unfed or held_up:
            return
        data, self._unfed = self._unfed[:_SLICE], self._unfed[_SLICE:]
        self._feed(data)
        if self._ending:
            return
        if self._unfed:
            self._schedule()
        elif self._writable:
            self._tcp.resume_reading()

    def _feed(self, data: bytes) -> None:
        if not self._exchanges and not self._fed:
            self._since = self._loop.time()
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._error = self._error or 400
        # The count starts anew where a request does, so a head that has no end is cut within another slice.
        if self._in_head and self._fed > self._limits.head_bytes_max:
            self._error = self._error or 431
        if self._error:
            self._end(self._error)

    def _end(self, status: int) -> None:
        """Answer with an error and close. Where earlier requests wait for their answers, there is none: it would be
        taken for the answer to the first of them."""
        if self._ending:
            return
        self._ending = True
        self._unfed = b""
        log.warning("http request refused", status=status, peer=self.peer)
        if not self._exchanges:
            self._tcp.write(response_head(status, extra="Connection: close\r\n") + content_length(0))
        self._tcp.close()

    # Called by the parser.

    def on_message_begin(self) -> None:
        self._request = Request()
        self._fed = 1
        self._headers = self._head_bytes = self._body_bytes = 0
        self._body.clear()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self._request.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._head_bytes += len(name) + len(value)
        if self._headers > self._limits.headers_max or self._head_bytes > self._limits.head_bytes_max:
            self._error = 431
            return
        name = name.lower()
        request = self._request
        if name == b"authorization":
            request.authorization = value
        elif name == b"content-type":
            request.content_type = value
        elif name == b"content-length":
            if len(value) > 9 or (value.isdigit() and int(value) > self._limits.body_bytes_max):
                self._error = 413
        elif name == b"prefer":
            request.prefers_async = b"respond-async" in value.lower()
        elif name == b"request-id":
            request.request_id = value
        elif name == b"callback-url":
            request.callback_url = value
        elif name == b"expect" and not self._exchanges and not self._error:
            self._tcp.write(_CONTINUE)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._parser.should_upgrade():
            self._error = 400

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes_max:
            self._error = 413
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._fed = 0
        if self._error or self._ending:
            return
        request = self._request
        request.method = self._parser.get_method()
        request.body = b"".join(self._body)
        exchange = Exchange(self, self._parser.should_keep_alive())
        self._exchanges.append(exchange)
        self._handler(request, exchange)
