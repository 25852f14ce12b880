"""One account over ILP-over-HTTP: its packets both ways, by synchronous or asynchronous replies. Source: RFC 35.

Synchronous, as deployed: the answer to the POST of a Prepare is the Fulfill or Reject. Asynchronous, as draft 3 asks:
the answer is 202, and the Fulfill or Reject comes in a POST of its own, told apart by its Request-Id.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import structlog

from settlement.ilp.btp.in_flight import InFlight
from settlement.ilp.errors import IlpReject, InternalError, PeerUnreachable, TransferTimedOut
from settlement.ilp.http.limits import ClientLimits
from settlement.ilp.http.messages import (
    OCTET_STREAM,
    ContentType,
    Target,
    content_length,
    reject_for_status,
    request_head,
)
from settlement.ilp.http.pool import Pool, Trouble
from settlement.ilp.link import LinkDown, PacketHandler, Reply
from settlement.ilp.packets import FULFILL, REJECT, encode_reject, rejection

_REPLIES: Final = frozenset({bytes([FULFILL]), bytes([REJECT])})
_RETRY_FIRST_SECONDS: Final = 0.1
_RETRY_MOST_SECONDS: Final = 2.0
_TURN_SECONDS: Final = 60.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """How we send to a peer.

    Fields: target; token (for `Authorization: Bearer`; empty with mTLS alone); mode (`sync`, as deployed, or `async`,
    as draft 3 asks); content_type (what we send; either is accepted); callback_url (ours, told to the peer in `async`
    mode; empty where both know it); reply_target (where the peer takes asynchronous replies when its request names no
    Callback-Url; None: it is answered synchronously then); name (our ILP-Peer-Name, for ilp-plugin-http; empty: none).
    """

    target: Target
    token: str = ""
    mode: Literal["sync", "async"] = "sync"
    content_type: ContentType = OCTET_STREAM
    callback_url: str = ""
    reply_target: Target | None = None
    name: str = ""


@dataclass(slots=True)
class HttpStatistics:
    """Fields: sent, received (Prepares); repeated (requests under an id that was there already); unexpected (replies to
    nothing, or that came twice); undelivered (asynchronous replies that were given up); failed (requests of ours that
    no packet answered)."""

    sent: int = 0
    received: int = 0
    repeated: int = 0
    unexpected: int = 0
    undelivered: int = 0
    failed: int = 0


class HttpLink:
    """A peer's account over HTTP. Implements `settlement.ilp.link.Link`; an `HttpServer` serves its other direction.

    Fields: account; outgoing (None: the peer is only served); handler; statistics; ilp_address (as of `BtpLink`).
    """

    def __init__(
        self,
        account: str,
        handler: PacketHandler,
        outgoing: Outgoing | None = None,
        *,
        limits: ClientLimits | None = None,
        tls: ssl.SSLContext | None = None,
        ilp_address: str = "",
    ) -> None:
        self.account = account
        self.handler = handler
        self.outgoing = outgoing
        self.ilp_address = ilp_address
        self.statistics = HttpStatistics()
        self._limits = limits or ClientLimits()
        self._asked: InFlight[Reply] = InFlight(self._limits.waiting_max)
        self._seen: InFlight[bool] = InFlight(self._limits.waiting_max)
        self._turning: asyncio.TimerHandle | None = None
        self._retries: set[asyncio.TimerHandle] = set()
        self._tls = tls
        self._pools: dict[tuple[str, int, bool], Pool] = {}
        self._pool: Pool | None = None
        self._head = b""
        if outgoing is not None:
            self._pool = self._pool_of(outgoing.target)
            extra = f"ILP-Peer-Name: {outgoing.name}\r\n" if outgoing.name else ""
            if outgoing.mode == "async":
                callback = f"Callback-Url: {outgoing.callback_url}\r\n" if outgoing.callback_url else ""
                extra += f"Prefer: respond-async\r\n{callback}Request-Id: "
            self._head = request_head(outgoing.target, outgoing.token, outgoing.content_type, extra)

    @property
    def is_up(self) -> bool:
        """Whether there is somewhere to send to, and no connection to it failed a moment ago."""
        return self._pool is not None and self._pool.is_up

    def send(self, prepare: bytes, reply: Reply) -> None:
        """Send an encoded Prepare; see `Link.send`.

        Raises:
            LinkDown: the peer is only served, cannot be reached, or too many packets wait.
        """
        pool = self._pool
        if pool is None or not pool.takes_more:
            raise LinkDown(self.account, "no way to send" if pool is None else "unreachable, or too many packets wait")
        assert self.outgoing is not None
        if self.outgoing.mode == "sync":
            self.statistics.sent += 1
            raw = b"".join((self._head, content_length(len(prepare)), prepare))
            pool.request(raw, partial(self._answered, reply), prepare)
            return
        if self._asked.full:
            raise LinkDown(self.account, "too many packets wait for an answer")
        self.statistics.sent += 1
        request_id = uuid.uuid4()
        self._asked.add(request_id.int, reply)
        self._start_turning()
        raw = b"".join((self._head, str(request_id).encode(), b"\r\n", content_length(len(prepare)), prepare))
        pool.request(raw, partial(self._accepted, request_id.int), prepare)

    async def close(self) -> None:
        """Close all connections; what waits for an answer over them is rejected."""
        for timer in self._retries:
            timer.cancel()
        if self._turning is not None:
            self._turning.cancel()
            self._turning = None
        for pool in self._pools.values():
            await pool.close()

    # What follows is for `HttpServer`.

    def callback_target(self, callback: Target | None) -> Target | None:
        """Where to send an asynchronous reply; None where that is nowhere we may.

        A peer names only its own server, as configured: with any other, it could have us post to machines that it
        cannot reach itself, and show them the token that we share with it.
        """
        if self.outgoing is None:
            return None
        if callback is None:
            return self.outgoing.reply_target
        known = [self.outgoing.target, *([self.outgoing.reply_target] if self.outgoing.reply_target else [])]
        return callback if any(callback.origin == target.origin for target in known) else None

    @property
    def is_full(self) -> bool:
        """Whether `take_async` must not be called now: too many packets are being answered."""
        return self._seen.full

    def take_async(self, request_id: uuid.UUID, prepare: bytes, target: Target) -> None:
        """Take a Prepare that is to be answered by a request of ours.

        A repeated Request-Id is the same packet, sent again because our 202 was lost: it is not handled twice.
        """
        if request_id.int in self._seen:
            self.statistics.repeated += 1
            return
        self._seen.add(request_id.int, True)
        self._start_turning()
        self.statistics.received += 1
        self.handler(self.account, prepare, _once(partial(self._deliver, request_id, target)))

    def take_reply(self, request_id: uuid.UUID, packet: bytes) -> bool:
        """Take an asynchronous reply; False where there is no such request, or it was answered."""
        reply = self._asked.pop(request_id.int)
        if reply is None:
            self.statistics.unexpected += 1
            return False
        reply(packet)
        return True

    def _answered(self, reply: Reply, status: int, body: bytes, trouble: Trouble | None) -> None:
        """A synchronous answer, or none."""
        if trouble is None and status == 200 and body[:1] in _REPLIES:
            reply(body)
            return
        self.statistics.failed += 1
        reply(encode_reject(rejection(_error_of(status, trouble), self.ilp_address)))

    def _accepted(self, request_id: int, status: int, body: bytes, trouble: Trouble | None) -> None:
        """The answer to a Prepare that is to be replied to asynchronously."""
        unknown = trouble is Trouble.LOST or trouble is Trouble.TIMED_OUT
        if unknown or (trouble is None and status == 202):
            # The peer has it, or may have it: its Fulfill may still come, so it is not rejected.
            return
        reply = self._asked.pop(request_id)
        if reply is not None:
            self._answered(reply, status, body, trouble)

    def _deliver(self, request_id: uuid.UUID, target: Target, packet: bytes) -> None:
        assert self.outgoing is not None
        head = request_head(target, self.outgoing.token, self.outgoing.content_type, f"Request-Id: {request_id}\r\n")
        raw = b"".join((head, content_length(len(packet)), packet))
        until = asyncio.get_running_loop().time() + self._limits.reply_ms_max / 1000
        self._try_reply(target, raw, until, _RETRY_FIRST_SECONDS)

    def _try_reply(self, target: Target, raw: bytes, until: float, wait: float) -> None:
        """Send a reply, and again after a while where it did not arrive: the peer takes the first one only."""

        def done(status: int, body: bytes, trouble: Trouble | None) -> None:
            if trouble is None and 200 <= status < 500:
                if status >= 300:
                    self.statistics.undelivered += 1
                return
            self._retry(partial(self._try_reply, target, raw, until, min(2 * wait, _RETRY_MOST_SECONDS)), until, wait)

        pool = self._pool_of(target)
        if pool.takes_more:
            pool.request(raw, done)
        else:
            done(0, b"", Trouble.NOT_SENT)

    def _retry(self, again: Callable[[], None], until: float, wait: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() + wait > until:
            self.statistics.undelivered += 1
            log.warning("ilp reply given up", account=self.account)
            return

        def run() -> None:
            self._retries.discard(timer)
            again()

        timer = loop.call_later(wait, run)
        self._retries.add(timer)

    def _pool_of(self, target: Target) -> Pool:
        pool = self._pools.get(target.origin)
        if pool is None:
            pool = self._pools[target.origin] = Pool(target, self._limits, self._tls)
        return pool

    def _start_turning(self) -> None:
        if self._turning is None:
            self._turning = asyncio.get_running_loop().call_later(_TURN_SECONDS, self._turn)

    def _turn(self) -> None:
        self._asked.turn()
        self._seen.turn()
        busy = len(self._asked) or len(self._seen)
        self._turning = asyncio.get_running_loop().call_later(_TURN_SECONDS, self._turn) if busy else None


def _error_of(status: int, trouble: Trouble | None) -> IlpReject:
    match trouble:
        case None if status == 200:
            return InternalError("the peer answered without a packet")
        case None:
            return reject_for_status(status)
        case Trouble.NOT_SENT:
            return PeerUnreachable("no connection to the peer")
        case Trouble.TIMED_OUT:
            return TransferTimedOut("the peer did not answer in time")
        case Trouble.LOST:
            return InternalError("the connection to the peer broke")


def _once(reply: Reply) -> Reply:
    """The same reply, taken once."""
    replies = [reply]
    return lambda packet: replies.pop()(packet) if replies else None
