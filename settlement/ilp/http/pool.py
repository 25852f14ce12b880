"""Connections to one HTTP server, kept alive and used one request at a time. Source: RFC 9112.

One request a connection, no pipelining: a packet never waits behind another one's answer. A request is written once at
most, because a Prepare that was sent twice would be paid twice: when a connection breaks, what became of its request is
unknown, and the caller is told so.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections import deque
from enum import Enum, auto
from typing import Final, Protocol, cast

import httptools
import structlog

from settlement.ilp.errors import BadPacket
from settlement.ilp.http.limits import ClientLimits
from settlement.ilp.http.messages import Target
from settlement.ilp.oer import read_length
from settlement.ilp.times import TIME_BYTES, parse_interledger_time

_SWEEP_SECONDS_MOST: Final = 0.5
_AMOUNT_BYTES: Final = 8
_RETRY_SECONDS: Final = 0.25
"""After a connection could not be made, no other is tried for so long."""

log = structlog.get_logger(__name__)


class Trouble(Enum):
    """Why there is no answer."""

    NOT_SENT = auto()
    """No connection could be made, or none was free before the packet expired: nothing was sent."""
    LOST = auto()
    """The connection broke, or what came was no HTTP: the server may have had the request, or not."""
    TIMED_OUT = auto()
    """The server had the request, as far as we know, and did not answer in time."""


class Caller(Protocol):
    """Told once about each request that the pool took."""

    def __call__(self, status: int, body: bytes, trouble: Trouble | None) -> None:
        """Args: status and body: of the answer, where `trouble` is None."""
        ...


class Pool:
    """Up to `connections_max` connections to one server. Not thread-safe: everything on the loop's thread."""

    def __init__(self, target: Target, limits: ClientLimits, tls: ssl.SSLContext | None) -> None:
        self._target = target
        self._limits = limits
        self._tls = (tls or ssl.create_default_context()) if target.is_tls else None
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._waiting: deque[tuple[bytes, Caller, float, float]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._failed_at: float | None = None
        self._closed = False
        self._sweep_seconds = min(_SWEEP_SECONDS_MOST, limits.answer_ms_max / 4000)

    @property
    def is_up(self) -> bool:
        """Whether a connection is likely to be made: none failed a moment ago. Who never tries again would never know
        that the server is back.
        """
        if self._closed:
            return False
        return self._failed_at is None or self._time() - self._failed_at >= _RETRY_SECONDS

    @property
    def takes_more(self) -> bool:
        """Whether a request would be taken: there is room, and the server was not found dead a moment ago."""
        if self._closed or len(self._waiting) >= self._limits.waiting_max:
            return False
        return self._failed_at is None or bool(self._opening) or self._time() - self._failed_at >= _RETRY_SECONDS

    def request(self, raw: bytes, caller: Caller, prepare: bytes = b"") -> None:
        """Send a whole request as soon as a connection is free. The caller has looked at `takes_more`.

        `prepare`: the packet that is in it; once it has expired, a request that still waits is not sent any more.
        """
        now = self._time()
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._sweep_seconds, self._sweep)
        while self._idle:
            connection = self._idle.pop()
            if now - connection.since < self._limits.idle_ms_max / 1000:
                self._use(connection, raw, caller, now)
                return
            connection.close()
        self._waiting.append((raw, caller, now, now + _life_seconds(prepare)))
        if len(self._busy) + len(self._opening) < self._limits.connections_max:
            self._open()

    async def close(self) -> None:
        """Close all connections; requests without an answer end as lost."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        while self._waiting:
            self._waiting.popleft()[1](0, b"", Trouble.NOT_SENT)
        for connection in [*self._idle, *self._busy]:
            connection.fail(Trouble.LOST)
        self._idle.clear()

    # What follows is for the connections.

    def free(self, connection: _Connection) -> None:
        """A connection may be used for another request."""
        self._busy.discard(connection)
        if self._closed:
            connection.close()
            return
        now = self._time()
        while self._waiting:
            raw, caller, _, until = self._waiting.popleft()
            if now < until:
                self._use(connection, raw, caller, now)
                return
            caller(0, b"", Trouble.NOT_SENT)
        connection.since = now
        self._idle.append(connection)

    def gone(self, connection: _Connection) -> None:
        """A connection is closed."""
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting and not self._closed and len(self._opening) < len(self._waiting):
            self._open()

    def _use(self, connection: _Connection, raw: bytes, caller: Caller, now: float) -> None:
        self._busy.add(connection)
        connection.ask(raw, caller, now)

    def _open(self) -> None:
        self._opening.add(asyncio.get_running_loop().create_task(self._connect()))

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(self._limits.connect_ms_max / 1000):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, self._limits), self._target.host, self._target.port, ssl=self._tls
                )
        except (OSError, TimeoutError, ssl.SSLError) as problem:
            self._opening.discard(task)
            self._unreachable(str(problem) or "no answer")
            return
        finally:
            self._opening.discard(task)
        self._failed_at = None
        self.free(connection)

    def _unreachable(self, problem: str) -> None:
        if self._failed_at is None:
            log.warning("http peer cannot be reached", authority=self._target.authority, problem=problem[:200])
        self._failed_at = self._time()
        # The others would fail as well; those for which connections are being made wait for these.
        while len(self._waiting) > len(self._opening):
            self._waiting.popleft()[1](0, b"", Trouble.NOT_SENT)

    def _sweep(self) -> None:
        """End what took too long, and close what is idle for long. One timer for all requests."""
        now, limits = self._time(), self._limits
        for connection in [one for one in self._busy if now - one.since >= limits.answer_ms_max / 1000]:
            connection.fail(Trouble.TIMED_OUT)
        while self._waiting and now - self._waiting[0][2] >= limits.answer_ms_max / 1000:
            self._waiting.popleft()[1](0, b"", Trouble.NOT_SENT)
        # The longest idle ones come first: the last one used is the first one taken.
        while self._idle and now - self._idle[0].since >= limits.idle_ms_max / 1000:
            self._idle.pop(0).close()
        self._sweeper = None
        if self._busy or self._idle or self._waiting:
            self._sweeper = asyncio.get_running_loop().call_later(self._sweep_seconds, self._sweep)

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()


def _life_seconds(prepare: bytes) -> float:
    """How long a Prepare has still to live; for ever where there is none."""
    try:
        _, start = read_length(prepare, 1)
        expiry = prepare[start + _AMOUNT_BYTES : start + _AMOUNT_BYTES + TIME_BYTES]
        return parse_interledger_time(expiry) / 1000 - time.time()
    except BadPacket:
        return math.inf


class _Connection(asyncio.Protocol):
    """One connection. Fields: since (loop time at which its request was sent, or it became idle)."""

    __slots__ = (
        "_answer",
        "_body",
        "_body_bytes",
        "_caller",
        "_fed",
        "_in_body",
        "_limits",
        "_parser",
        "_pool",
        "_surplus",
        "_tcp",
        "since",
    )

    def __init__(self, pool: Pool, limits: ClientLimits) -> None:
        self.since = 0.0
        self._pool = pool
        self._limits = limits
        self._parser = httptools.HttpResponseParser(self)
        self._caller: Caller | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._fed = 0
        self._in_body = False
        self._answer: tuple[int, bytes, bool] | None = None
        self._surplus = False
        self._tcp: asyncio.Transport

    def ask(self, raw: bytes, caller: Caller, now: float) -> None:
        """Send a request; one at a time."""
        assert self._caller is None
        self._caller, self.since = caller, now
        self._tcp.write(raw)

    def close(self) -> None:
        """Close an idle connection."""
        self._tcp.close()

    def fail(self, trouble: Trouble) -> None:
        """Cut the connection; its request ends so."""
        caller, self._caller = self._caller, None
        self._tcp.abort()
        if caller is not None:
            caller(0, b"", trouble)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        caller, self._caller = self._caller, None
        if caller is not None:
            caller(0, b"", Trouble.LOST)
        self._pool.gone(self)

    def data_received(self, data: bytes) -> None:
        if self._caller is None:
            # An answer to nothing: what follows could be taken for the answer to the next packet.
            self._tcp.abort()
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(Trouble.LOST)
            return
        too_long = self._body_bytes > self._limits.body_bytes_max
        if too_long or (not self._in_body and self._answer is None and self._fed > self._limits.head_bytes_max):
            self.fail(Trouble.LOST)
        elif self._answer is not None:
            self._finish(*self._answer)

    def _finish(self, status: int, body: bytes, keep_alive: bool) -> None:
        """Hand the answer over, after all that came with it was looked at."""
        caller, self._caller = self._caller, None
        self._answer = None
        self._body.clear()
        self._body_bytes = self._fed = 0
        # Free first: the caller may send the next packet at once.
        if keep_alive and not self._surplus and not self._tcp.is_closing():
            self._pool.free(self)
        else:
            self._tcp.abort()
        if caller is not None:
            caller(status, body, None)

    # Called by the parser.

    def on_message_begin(self) -> None:
        # A second answer to one request: it would be taken for the answer to the next packet.
        self._surplus = self._answer is not None

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes <= self._limits.body_bytes_max and not self._surplus:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        status = self._parser.get_status_code()
        if status >= 200 and self._answer is None:  # an interim answer is followed by the real one
            self._answer = status, b"".join(self._body), self._parser.should_keep_alive()
