"""Requests and messages between registered peers over ZeroMQ with CURVE.

Each node has one server socket (ROUTER) and one client socket (DEALER) a peer. The server admits registered transport
keys only, the client accepts only the key that is registered for the peer, and every message is signed by the host
key of the same peer. ZeroMQ reconnects by itself; queues are bounded. Whatever arrives, the loops go on.
"""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeAlias

import structlog
import zmq
import zmq.asyncio
from zmq.utils import z85

from foundation.errors import CausewayError
from foundation.quantities import UnixMs
from mpc import messages, zap
from mpc.cluster_errors import (
    CannotListen,
    MalformedMessage,
    NetworkClosed,
    PeerRefused,
    PeerSilent,
    PeerUnknown,
    StaleMessage,
    TooManyRequests,
    UnauthenticMessage,
)
from mpc.identity import Identity
from mpc.messages import REFUSAL, REPLY, Envelope, Refusal
from mpc.ports import Clock, Peer, PeerDirectory
from mpc.rates import Rates
from mpc.replay import ReplayGuard

_LOG: Final = structlog.get_logger("mpc.transport")
MESSAGE_UNIT_BYTES: Final = 16 << 10
_DROPPED: Final = (MalformedMessage, UnauthenticMessage, StaleMessage, TooManyRequests, PeerUnknown)


def wall_clock() -> UnixMs:
    """The machine's clock."""
    return UnixMs(time.time_ns() // 1_000_000)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may take of this node.

    Attributes:
        requests_per_s, burst: a token bucket, for requests and for answers; a message takes a token for each begun
        `MESSAGE_UNIT_BYTES`. at_once, bytes_at_once: requests being handled, and their size. queue: messages that wait
        to be sent; unread: messages that wait to be read, before TCP makes the peer wait.
    """

    requests_per_s: float = 500
    burst: int = 1000
    at_once: int = 128
    bytes_at_once: int = 4 << 20
    queue: int = 1000
    unread: int = 64


@dataclass(frozen=True, slots=True)
class Received:
    """A message that was checked.

    Attributes:
        sender: host key (33 bytes); kind: the request's kind; body; envelope: the whole signed frame, for evidence.
    """

    sender: bytes
    kind: str
    body: bytes
    envelope: bytes


Handler: TypeAlias = Callable[[Received], Awaitable[bytes | None]]
"""Answers a request with a body; for a message that is only told, the answer is dropped. May raise `CausewayError`."""


class PeerNetwork:
    """This node among its peers. Use as `async with`, or `start` and `close`."""

    def __init__(
        self,
        identity: Identity,
        network: bytes,
        directory: PeerDirectory,
        bind: str,
        *,
        clock: Clock = wall_clock,
        limits: Limits | None = None,
    ) -> None:
        """`network`: 32 bytes that separate networks; `bind`: `tcp://address:port`, port `*` for a free one."""
        self.identity = identity
        self.network = network
        self.directory = directory
        self._bind = bind
        self._clock = clock
        self._limits = limits or Limits()
        self._handlers: dict[str, Handler] = {}
        self._links: dict[bytes, _Link] = {}
        self._waiting: dict[bytes, tuple[bytes, str, asyncio.Future[Received]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._guard = ReplayGuard()
        self._rates = Rates(self._limits.requests_per_s, self._limits.burst)
        self._at_once: Counter[bytes] = Counter()
        self._bytes_at_once: Counter[bytes] = Counter()
        self._context: zmq.asyncio.Context | None = None
        self.dropped: Counter[str] = Counter()
        """How many messages were dropped, by the type of the error."""

    async def start(self) -> None:
        """Bind the server socket and listen.

        Raises:
            CannotListen: the address is taken, or none of this machine's.
        """
        self._context = zmq.asyncio.Context()
        self._gate = zap.Gatekeeper(self._context, self.directory.is_registered)
        try:
            self._server = self._context.socket(zmq.ROUTER)
            self._prepare(self._server, self._bind)
            self._server.curve_server = True
            self._server.zap_domain = zap.DOMAIN
            self._server.curve_secretkey = z85.encode(self.identity.transport_secret)
            self._server.bind(self._bind)
        except BaseException as error:
            await self._gate.close()
            self._context.destroy(linger=0)
            self._context = None
            if isinstance(error, zmq.ZMQError):
                raise CannotListen(self._bind, os.strerror(error.errno or 0)) from error
            raise
        self.endpoint = self._server.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self._listener = asyncio.create_task(self._listen(), name="peer server")

    async def close(self) -> None:
        """Stop: no task and no socket is left. Requests under way end with `NetworkClosed`."""
        if self._context is None:
            return
        context, self._context = self._context, None
        running = {self._listener, *self._tasks, *(link.task for link in self._links.values())}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for _, _, answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(NetworkClosed())
        await self._gate.close()
        for link in self._links.values():
            link.socket.close()
        self._links.clear()
        self._server.close()
        context.destroy(linger=0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def on(self, kind: str, handler: Handler) -> None:
        """Let `handler` answer requests of this kind."""
        self._handlers[kind] = handler

    async def request(self, peer: bytes, kind: str, body: bytes, timeout_s: float) -> bytes:
        """Ask a peer (host key, 33 bytes); the body of its answer.

        Raises:
            PeerUnknown: it is not registered. PeerSilent: it did not answer in time. PeerRefused: it refused.
            MalformedMessage: the body is too long. NetworkClosed: we are closing.
        """
        return (await self.exchange(peer, kind, body, timeout_s)).body

    async def exchange(self, peer: bytes, kind: str, body: bytes, timeout_s: float) -> Received:
        """Like `request`; the whole answer with its signed envelope."""
        request_id = os.urandom(16)
        answer: asyncio.Future[Received] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = (peer, kind, answer)
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(peer, kind, request_id, body)
                return await answer
        except (TimeoutError, zmq.Again) as error:
            link = self._links.get(peer)
            if link is not None and not link.heard:
                self._drop_link(peer)  # the handshake may wait for nothing; the next request begins a new one
            raise PeerSilent(peer, kind, timeout_s) from error
        finally:
            del self._waiting[request_id]

    async def tell(self, peer: bytes, kind: str, body: bytes) -> None:
        """Send a message that needs no answer. It may get lost.

        Raises:
            PeerUnknown: the peer is not registered. PeerSilent: its queue is full. NetworkClosed: we are closing.
            MalformedMessage: the body is too long.
        """
        try:
            await self._send(peer, kind, os.urandom(16), body)
        except zmq.Again as error:
            raise PeerSilent(peer, kind, 0) from error

    async def broadcast(self, kind: str, body: bytes, peers: Iterable[bytes] | None = None) -> None:
        """Tell several peers (host keys), or all that are registered; ourselves not. It may get lost."""
        chosen = [peer.host_key for peer in self.directory.peers()] if peers is None else peers
        for peer in chosen:
            if peer != self.identity.host_key:
                try:
                    await self.tell(peer, kind, body)
                except (PeerUnknown, PeerSilent, NetworkClosed) as error:
                    self.dropped[type(error).__name__] += 1

    async def _send(self, peer: bytes, kind: str, request_id: bytes, body: bytes) -> None:
        """Put a message into the peer's queue.

        Raises:
            zmq.Again: the queue is full, or ZeroMQ has given the connection up, as it does for good when the keys did
                not fit. The next message gets a new connection.
        """
        link = self._link(peer)
        try:
            await link.socket.send(self._seal(peer, kind, request_id, body), flags=zmq.NOBLOCK)
        except zmq.Again:
            self._drop_link(peer)
            raise

    def _seal(self, peer: bytes, kind: str, request_id: bytes, body: bytes) -> bytes:
        now = self._clock()
        return messages.seal(self.identity, self.network, peer, kind, request_id, now, body, os.urandom(32))

    def _link(self, host_key: bytes) -> _Link:
        """The connection to a peer, made anew when its registration has changed."""
        if self._context is None:
            raise NetworkClosed
        peer = self.directory.peer(host_key)
        link = self._links.get(host_key)
        if link is not None and link.peer != peer:
            self._drop_link(host_key)
            link = None
        if peer is None:
            raise PeerUnknown(host_key)
        if link is None:
            socket = self._context.socket(zmq.DEALER)
            self._prepare(socket, peer.endpoint)
            socket.curve_secretkey = z85.encode(self.identity.transport_secret)
            socket.curve_publickey = z85.encode(self.identity.transport_key)
            socket.curve_serverkey = z85.encode(peer.transport_key)
            socket.connect(peer.endpoint)
            task = asyncio.create_task(self._read_answers(host_key, socket), name="peer client")
            link = self._links[host_key] = _Link(peer, socket, task)
        return link

    def _drop_link(self, host_key: bytes) -> None:
        link = self._links.pop(host_key, None)
        if link is not None:
            link.task.cancel()
            link.socket.close()

    def _prepare(self, socket: zmq.asyncio.Socket, endpoint: str) -> None:
        """Options of both kinds of sockets. ZeroMQ sets TCP_NODELAY itself."""
        socket.linger = 0
        socket.sndhwm, socket.rcvhwm = self._limits.queue, self._limits.unread
        socket.maxmsgsize = messages.MAX_FRAME_BYTES
        socket.reconnect_ivl = 50
        socket.reconnect_ivl_max = 2000
        socket.heartbeat_ivl = 5000
        socket.heartbeat_timeout = 15000
        socket.handshake_ivl = 5000
        socket.ipv6 = "[" in endpoint

    async def _read_answers(self, peer: bytes, socket: zmq.asyncio.Socket) -> None:
        while True:
            frames = await socket.recv_multipart()
            if peer in self._links:
                self._links[peer].heard = True
            try:
                self._take_answer(peer, frames)
            except _DROPPED as error:
                self._drop(error)
            await asyncio.sleep(0)  # see `_listen`

    def _take_answer(self, peer: bytes, frames: list[bytes]) -> None:
        if len(frames) != 1:
            raise MalformedMessage("frames", f"are {len(frames)}, not 1")
        self._charge(peer, frames[0])
        envelope = messages.open_envelope(frames[0], self.network, self.identity.host_key)
        asked, kind, answer = self._waiting.get(envelope.request_id, (b"", "", None))
        if answer is None or answer.done():
            self.dropped["LateAnswer"] += 1  # nothing unusual: a session ends when enough members have answered
            return
        if envelope.sender != peer or asked != peer:
            raise UnauthenticMessage(envelope.sender, "it answers for another peer")
        if envelope.kind == REPLY + kind:
            answer.set_result(Received(peer, kind, envelope.body, frames[0]))
        elif envelope.kind == REFUSAL + kind:
            refusal = messages.decode(envelope.body, Refusal)
            answer.set_exception(PeerRefused(peer, kind, refusal.error, refusal.text))
        else:
            raise MalformedMessage("kind", "does not answer what was asked")

    async def _listen(self) -> None:
        while True:
            frames = await self._server.recv_multipart(copy=False)
            try:
                self._take_request(frames)
            except _DROPPED as error:
                self._drop(error)
            # A message that is there already is received without giving way: in a flood nothing else would ever run.
            await asyncio.sleep(0)

    def _charge(self, peer: bytes, frame: bytes) -> None:
        """Count a message against its sender's rate, before its signature is verified: that costs most of all."""
        self._rates.take(peer, time.monotonic(), 1 + len(frame) // MESSAGE_UNIT_BYTES)

    def _drop(self, error: CausewayError) -> None:
        """Count a message that is dropped; tell of the 1st, 10th, 100th… so that a flood does not fill the log."""
        name = type(error).__name__
        self.dropped[name] += 1
        if set(str(self.dropped[name])[1:]) <= {"0"} and str(self.dropped[name])[0] == "1":
            _LOG.warning("messages are dropped", error=name, text=str(error), count=self.dropped[name])

    def _take_request(self, frames: list[zmq.Frame]) -> None:
        if len(frames) != 2:
            raise MalformedMessage("frames", f"are {len(frames)}, not 2")
        frame, transport_key = frames[1].bytes, bytes.fromhex(str(frames[1].get("User-Id")))
        self._charge(transport_key, frame)
        envelope = messages.open_envelope(frame, self.network, self.identity.host_key)
        peer = self.directory.peer(envelope.sender)
        if peer is None:
            raise PeerUnknown(envelope.sender)
        if peer.transport_key != transport_key:
            raise UnauthenticMessage(envelope.sender, "it came over another peer's connection")
        self._guard.admit(envelope.sender, envelope.request_id, envelope.sent_at_ms, self._clock())
        if self._at_once[envelope.sender] >= self._limits.at_once:
            raise TooManyRequests(envelope.sender, "requests at once")
        if self._bytes_at_once[envelope.sender] + len(frame) > self._limits.bytes_at_once:
            raise TooManyRequests(envelope.sender, "bytes at once")
        self._at_once[envelope.sender] += 1
        self._bytes_at_once[envelope.sender] += len(frame)
        task = asyncio.create_task(self._handle(frames[0].bytes, envelope, frame), name=envelope.kind)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, route: bytes, envelope: Envelope, frame: bytes) -> None:
        received = Received(envelope.sender, envelope.kind, envelope.body, frame)
        try:
            kind, body = await self._answer(received)
            if body is not None:
                answer = self._seal(envelope.sender, kind, envelope.request_id, body)
                await self._server.send_multipart([route, answer], flags=zmq.NOBLOCK)
        except (zmq.ZMQError, MalformedMessage) as error:
            self.dropped[type(error).__name__] += 1
        finally:
            self._at_once[envelope.sender] -= 1
            self._bytes_at_once[envelope.sender] -= len(frame)

    async def _answer(self, received: Received) -> tuple[str, bytes | None]:
        """The kind and the body of the answer to a request."""
        handler = self._handlers.get(received.kind)
        if handler is None:
            refusal = Refusal("UnknownKind", f"nobody here answers {received.kind}")
            return REFUSAL + received.kind, messages.encode(refusal)
        try:
            return REPLY + received.kind, await handler(received)
        except CausewayError as error:
            return REFUSAL + received.kind, messages.encode(Refusal(type(error).__name__, str(error)[:1024]))
        except Exception as error:  # noqa: BLE001 - a bug in one handler must not stop the node; it is logged
            # As text: renderers that get the exception itself may show local variables, and those hold secrets.
            trace = "".join(traceback.format_exception(error))
            _LOG.error("a handler failed", kind=received.kind, peer=received.sender.hex(), trace=trace)
            return REFUSAL + received.kind, messages.encode(Refusal("InternalError", "see the log of the peer"))


@dataclass(slots=True)
class _Link:
    """A connection to a peer as it was registered then; `heard`: whether anything has ever come over it."""

    peer: Peer
    socket: zmq.asyncio.Socket
    task: asyncio.Task[None]
    heard: bool = False
