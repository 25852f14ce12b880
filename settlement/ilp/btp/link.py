"""One account over BTP: its requests and answers, whatever connection carries them. Source: RFC 23, Flow.

A link outlives its connections. A peer that connects again may still answer what it was asked before, and is answered
what it asked: a Fulfill that is lost with a connection is money lost, so it is sent over the next one.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from foundation.quantities import UnixMs
from settlement.ilp.btp.codec import (
    MAX_REQUEST_ID,
    MESSAGE,
    NOT_ACCEPTED,
    OCTETS,
    RESPONSE,
    UNREACHABLE,
    Answer,
    Entries,
    Failure,
    Message,
    Response,
    Transfer,
    decode,
    encode,
    failure,
    ilp_payload,
)
from settlement.ilp.btp.in_flight import InFlight
from settlement.ilp.btp.limits import BtpLimits
from settlement.ilp.btp.socket import REPLACED, BtpSocket
from settlement.ilp.errors import BadPacket, ConnectorBusy, InternalError, PeerUnreachable
from settlement.ilp.link import LinkDown, PacketHandler, Reply
from settlement.ilp.packets import FULFILL, REJECT, encode_reject, rejection
from settlement.quantities import Clock, Units

RequestHook: TypeAlias = Callable[[str, Message | Transfer, Callable[[Answer], None]], None]
"""Called with (account, request, answer) for what is no ILP packet; answers once at most, with the request's id."""

AnswerTo: TypeAlias = Callable[[Answer], None]
"""Called once at most with the peer's Response or Failure."""

_MESSAGE_KIND: Final = bytes([MESSAGE])
_RESPONSE_KIND: Final = bytes([RESPONSE])
_REPLIES: Final = frozenset({bytes([FULFILL]), bytes([REJECT])})
log = structlog.get_logger(__name__)


def wall_clock() -> UnixMs:
    """Now, by this machine's clock."""
    return UnixMs(time.time_ns() // 1_000_000)


@dataclass(slots=True)
class LinkStatistics:
    """What passed over a link, and what was wrong with it.

    Fields: sent, received (ILP packets that were requests); unreadable (BTP packets that were none: ignored);
    unexpected (answers to nothing, and answers that came twice: ignored); duplicates (requests under an id that is in
    flight: ignored); refused (requests above the limit); unanswered (requests that were forgotten); connections.
    """

    sent: int = 0
    received: int = 0
    unreadable: int = 0
    unexpected: int = 0
    duplicates: int = 0
    refused: int = 0
    unanswered: int = 0
    connections: int = 0


class _ReplyTo:
    """Answers one request of the peer, once."""

    __slots__ = ("_link", "connection", "request_id")

    def __init__(self, link: BtpLink, request_id: int, connection: int) -> None:
        self._link = link
        self.request_id = request_id
        self.connection = connection

    def __call__(self, packet: bytes) -> None:
        self._link.reply_ilp(self, packet)

    def answer(self, answer: Answer) -> None:
        self._link.reply_other(self, answer)


class _Asked:
    """Waits for the answer to a request that carries no ILP packet."""

    __slots__ = ("on_answer",)

    def __init__(self, on_answer: AnswerTo) -> None:
        self.on_answer = on_answer


class BtpLink:
    """A peer's account over BTP. Implements `settlement.ilp.link.Link`.

    Fields: account; statistics; ilp_address (ours, named in Rejects that the link makes; empty where not known yet);
    on_change (called with whether the link is up, each time that changes).
    """

    def __init__(
        self,
        account: str,
        handler: PacketHandler,
        limits: BtpLimits,
        *,
        on_request: RequestHook | None = None,
        on_change: Callable[[bool], None] | None = None,
        ilp_address: str = "",
        clock: Clock = wall_clock,
    ) -> None:
        self.account = account
        self.on_change = on_change
        self.ilp_address = ilp_address
        self.statistics = LinkStatistics()
        self._handler = handler
        self._limits = limits
        self._on_request = on_request
        self._clock = clock
        self._socket: BtpSocket | None = None
        self._next_id = secrets.randbelow(MAX_REQUEST_ID)
        self._asked: InFlight[Reply | _Asked] = InFlight(limits.in_flight_max)
        self._asking: InFlight[_ReplyTo] = InFlight(limits.in_flight_max)
        self._kept: InFlight[bytes] = InFlight(limits.in_flight_max)
        self._kept_bytes = 0
        self._up = asyncio.Event()
        self._turning: asyncio.TimerHandle | None = None

    @property
    def is_up(self) -> bool:
        """Whether an authenticated connection is there."""
        return self._socket is not None

    async def wait_up(self) -> None:
        """Return when the link is up."""
        await self._up.wait()

    def send(self, prepare: bytes, reply: Reply) -> None:
        """Send an encoded Prepare; see `Link.send`.

        Raises:
            LinkDown: there is no connection, or too many requests wait for an answer.
        """
        socket = self._ready()
        request_id = self._fresh_id()
        self._asked.add(request_id, reply)
        self.statistics.sent += 1
        socket.write_ilp(_MESSAGE_KIND, request_id.to_bytes(4, "big"), prepare)

    def request(self, entries: Entries, on_answer: AnswerTo, amount: Units | None = None) -> None:
        """Send a Message of other sub-protocols, or a Transfer where there is an amount.

        Raises:
            LinkDown: as `send`.
            BadInput: the entries cannot be encoded; nothing was sent.
        """
        socket = self._ready()
        request_id = self._fresh_id()
        packet = Message(request_id, entries) if amount is None else Transfer(request_id, amount, entries)
        raw = encode(packet)
        self._asked.add(request_id, _Asked(on_answer))
        socket.write(raw)

    def attach(self, socket: BtpSocket) -> None:
        """Carry on over this authenticated connection. An older one is closed: the newer wins."""
        older, self._socket = self._socket, socket
        socket.on_message = self._receive
        self.statistics.connections += 1
        if self._turning is None:
            self._schedule_turn()
        if older is not None:
            older.close(REPLACED, "a newer connection took over")
        self._kept_bytes = 0
        for request_id, packet in self._kept.drain():
            self._write_ilp(request_id, packet)
        self._up.set()
        if older is None and self.on_change is not None:
            self.on_change(True)

    def detach(self, socket: BtpSocket) -> None:
        """Forget this connection, where it is still the link's."""
        if self._socket is not socket:
            return
        self._socket = None
        self._up.clear()
        if self.on_change is not None:
            self.on_change(False)

    def close(self, code: int, reason: str) -> None:
        """Close the connection, and forget all that waits for an answer."""
        if self._turning is not None:
            self._turning.cancel()
            self._turning = None
        if self._socket is not None:
            socket = self._socket
            self.detach(socket)
            socket.close(code, reason)

    def reply_ilp(self, ticket: _ReplyTo, packet: bytes) -> None:
        """Answer a request with an ILP packet; it is kept while the peer is away. Dropped where the request was
        answered before, or its id was asked anew."""
        if not self._claim(ticket):
            return
        if self._socket is not None and not self._socket.is_closing:
            self._write_ilp(ticket.request_id, packet)
        elif self._kept_bytes + len(packet) <= self._limits.backlog_bytes_max:
            self._kept_bytes += len(packet)
            self._kept.add(ticket.request_id, packet)

    def reply_other(self, ticket: _ReplyTo, answer: Answer) -> None:
        """Answer a request with any other BTP packet. Dropped as in `reply_ilp`, and where the peer is away."""
        if self._claim(ticket):
            self._write(answer)

    def _write_ilp(self, request_id: int, packet: bytes) -> None:
        if self._socket is not None:
            self._socket.write_ilp(_RESPONSE_KIND, request_id.to_bytes(4, "big"), packet)

    def _write(self, answer: Answer) -> None:
        if self._socket is not None:
            self._socket.write(encode(answer))

    def _ready(self) -> BtpSocket:
        if self._socket is None or self._socket.is_closing:
            raise LinkDown(self.account, "not connected")
        if self._asked.full:
            raise LinkDown(self.account, "too many packets wait for an answer")
        return self._socket

    def _fresh_id(self) -> int:
        # Sequential from a random start: no id is in flight twice, not even across connections.
        request_id = self._next_id
        while request_id in self._asked:
            request_id = (request_id + 1) & MAX_REQUEST_ID
        self._next_id = (request_id + 1) & MAX_REQUEST_ID
        return request_id

    def _claim(self, ticket: _ReplyTo) -> bool:
        if self._asking.get(ticket.request_id) is not ticket:
            return False
        self._asking.pop(ticket.request_id)
        return True

    def _receive(self, raw: bytes) -> None:
        packet = ilp_payload(raw)
        if packet is None:
            self._receive_other(raw)
            return
        request_id = int.from_bytes(raw[1:5], "big")
        kind = raw[0]
        if kind == MESSAGE:
            self._receive_ilp(request_id, packet)
        elif kind == RESPONSE:
            held = self._asked.pop(request_id)
            if held is None:
                self.statistics.unexpected += 1
            elif isinstance(held, _Asked):
                self._answered(held, raw)
            elif packet[:1] in _REPLIES:
                held(packet)
            else:
                held(self._as_packet(Response(request_id)))
        else:
            self._receive_other(raw)

    def _receive_ilp(self, request_id: int, packet: bytes) -> None:
        ticket = self._ticket(request_id)
        if ticket is None:
            return
        self.statistics.received += 1
        if self._asking.full:
            # A Reject and no BTP Error: the sender of the packet, not our peer, is to learn why.
            self.statistics.refused += 1
            busy = ConnectorBusy("too many packets wait for an answer")
            self._write_ilp(request_id, encode_reject(rejection(busy, self.ilp_address)))
            return
        self._asking.add(request_id, ticket)
        self._handler(self.account, packet, ticket)

    def _ticket(self, request_id: int) -> _ReplyTo | None:
        """The right to answer a request once; None where one under this id waits for its answer already."""
        connection = self.statistics.connections
        earlier = self._asking.get(request_id)
        if earlier is not None and earlier.connection == connection:
            self.statistics.duplicates += 1
            return None
        # A ticket of an earlier connection loses its place: the peer began anew, and would take an answer to what it
        # asked before for one to this.
        return _ReplyTo(self, request_id, connection)

    def _receive_other(self, raw: bytes) -> None:
        try:
            packet = decode(raw)
        except BadPacket as bad:
            # RFC 23: no response to what cannot be read, or two programs could answer each other for ever.
            self.statistics.unreadable += 1
            log.debug("unreadable btp packet", account=self.account, field=bad.field, problem=bad.problem)
            return
        if isinstance(packet, Response | Failure):
            self._receive_answer(packet)
        elif isinstance(packet, Message) and packet.entries and packet.entries[0].name == "ilp":
            self._receive_ilp(packet.request_id, packet.entries[0].data)
        else:
            self._receive_request(packet)

    def _receive_request(self, packet: Message | Transfer) -> None:
        ticket = self._ticket(packet.request_id)
        if ticket is None:
            return
        if self._on_request is None:
            self._write(failure(packet.request_id, NOT_ACCEPTED, "no such sub-protocol here", self._clock()))
        elif self._asking.full:
            self.statistics.refused += 1
            self._write(failure(packet.request_id, UNREACHABLE, "too many requests", self._clock()))
        else:
            self._asking.add(packet.request_id, ticket)
            self._on_request(self.account, packet, ticket.answer)

    def _receive_answer(self, answer: Answer) -> None:
        held = self._asked.pop(answer.request_id)
        if held is None:
            self.statistics.unexpected += 1
        elif isinstance(held, _Asked):
            held.on_answer(answer)
        else:
            held(self._as_packet(answer))

    def _answered(self, held: _Asked, raw: bytes) -> None:
        answer = decode(raw)
        assert isinstance(answer, Response), raw[0]
        held.on_answer(answer)

    def _as_packet(self, answer: Answer) -> bytes:
        """The ILP packet of an answer; a Reject of our own where it holds none."""
        if isinstance(answer, Failure):
            why = f"the peer answered {answer.code} {answer.name}"[:200]
            error = PeerUnreachable(why) if answer.code == UNREACHABLE[0] else InternalError(why)
            return encode_reject(rejection(error, self.ilp_address))
        for entry in answer.entries:
            if entry.name == "ilp" and entry.content_type == OCTETS and entry.data[:1] in _REPLIES:
                return entry.data
        return encode_reject(rejection(InternalError("the peer answered without a packet"), self.ilp_address))

    def _schedule_turn(self) -> None:
        seconds = self._limits.answer_ms_max / 1000
        self._turning = asyncio.get_running_loop().call_later(seconds, self._turn)

    def _turn(self) -> None:
        self.statistics.unanswered += self._asked.turn()
        self._asking.turn()
        self._kept.turn()
        if not len(self._kept):
            self._kept_bytes = 0
        self._schedule_turn()
