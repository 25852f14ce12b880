"""The shell of one STREAM connection: encrypts, sends, keeps the timer, and hands on what arrives. Source: RFC 29, 5.1.

All of it happens on the event loop's thread. What a link answers at once is taken up after the step that sent it, so
that links may be synchronous.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from settlement.ilp.errors import BadPacket, Code
from settlement.ilp.link import Link, LinkDown
from settlement.ilp.packets import FULFILL, PREPARE, REJECT, Fulfill, Prepare, Reject, decode_reply, encode_prepare
from settlement.ilp.stream.changes import (
    Answer,
    Change,
    ConnectionEnded,
    Effect,
    MoneyArrived,
    ReceivePacket,
    ReceiveReply,
    SendPacket,
    Tick,
)
from settlement.ilp.stream.connection import step
from settlement.ilp.stream.crypto import Keys, Randomness
from settlement.ilp.stream.errors import StreamError
from settlement.ilp.stream.packet import StreamPacket, decode_packet
from settlement.ilp.stream.sender import wakes_at
from settlement.ilp.stream.states import Connection
from settlement.quantities import Clock, Condition, Preimage, Units, condition_of, fulfils

Observer: TypeAlias = Callable[[Effect], None]
"""Told of what arrives, opens and ends; never raises."""

Acceptor: TypeAlias = Callable[[tuple[MoneyArrived, ...]], bool]
"""Asked before money is taken; what is not accepted is refused, and the sender keeps it."""


class Session:
    """One endpoint of a connection, running.

    Args:
        connection: the state to begin with.
        keys: of the connection's shared secret.
        link: carries what we send, None where we only receive.
        observe: told of effects that are not the shell's own business.
        accept: asked before money is taken, None: all that the limits allow.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        link: Link | None,
        clock: Clock,
        *,
        observe: Observer | None = None,
        accept: Acceptor | None = None,
        randomness: Randomness = os.urandom,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._link = link
        self._clock = clock
        self._observe = observe
        self._accept = accept
        self._randomness = randomness
        self._waiting: deque[Change] = deque()
        self._is_draining = False
        self._hopes: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._error: StreamError | None = None

    @property
    def connection(self) -> Connection:
        """The state as it is now."""
        return self._connection

    @property
    def error(self) -> StreamError | None:
        """What ended the connection, None where it is open or ended in order."""
        return self._error

    def perform(self, change: Change) -> None:
        """Let something happen, now or after what happens already.

        Raises:
            BadInput, Retryable: the change is one of ours that cannot be made now; nothing changed.
        """
        if self._is_draining:
            self._waiting.append(change)
            return
        self._is_draining = True
        try:
            self._step(change)
            while self._waiting:
                self._step(self._waiting.popleft())
        finally:
            self._is_draining = False
        self._schedule()
        self._fulfil_hopes()

    def take(self, prepare: Prepare) -> Fulfill | Reject:
        """Answer a Prepare that is addressed to this connection."""
        try:
            packet = decode_packet(self._keys.open(prepare.data))
        except BadPacket:
            return Reject(Code.UNEXPECTED_PAYMENT, self._connection.address or "", "", b"")
        if packet.kind != PREPARE:  # a swapped packet of another kind is no Prepare
            return Reject(Code.UNEXPECTED_PAYMENT, self._connection.address or "", "", b"")
        if prepare.expires_at <= self._clock():
            return Reject(Code.TRANSFER_TIMED_OUT, self._connection.address or "", "", b"")
        fulfillment = self._keys.fulfillment(prepare.data)
        fulfillable = fulfils(fulfillment, prepare.condition)
        answer = self._received(ReceivePacket(packet, prepare.amount, fulfillable))
        data = self._keys.seal(answer.packet.encode(self._connection.settings.pad_to))
        if not self._is_draining:
            self._take_up()
        if answer.fulfil:
            return Fulfill(fulfillment, data)
        return Reject(Code.FINAL_APPLICATION_ERROR, self._connection.address or "", "", data)

    async def until(self, hope: Callable[[], bool]) -> None:
        """Wait until `hope` holds; it is looked at after each step."""
        if hope():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (hope, future)
        self._hopes.append(entry)
        try:
            await future
        finally:
            if entry in self._hopes:
                self._hopes.remove(entry)

    def stop(self) -> None:
        """Keep no timer any more: the session is dropped."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take_up(self) -> None:
        """Go on with what was answered meanwhile, set the timer and wake who waits."""
        if self._waiting:
            self.perform(self._waiting.popleft())
        else:
            self._schedule()
            self._fulfil_hopes()

    def _received(self, change: ReceivePacket) -> Answer:
        """Step with a peer's packet at once, asking first whether its money is welcome."""
        now = self._clock()
        after, effects = step(self._connection, change, now)
        money = tuple(effect for effect in effects if isinstance(effect, MoneyArrived))
        if money and self._accept is not None and not self._accept(money):
            after, effects = step(self._connection, replace(change, fulfillable=False), now)
        self._connection = after
        found: Answer | None = None
        for effect in effects:
            if isinstance(effect, Answer):
                found = effect
            else:
                self._do(effect)
        assert found is not None, "every packet is answered"
        return found

    def _step(self, change: Change) -> None:
        self._connection, effects = step(self._connection, change, self._clock())
        for effect in effects:
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, SendPacket):
            self._send(effect)
            return
        if isinstance(effect, ConnectionEnded):
            self._error = effect.error
        if self._observe is not None:
            self._observe(effect)

    def _send(self, effect: SendPacket) -> None:
        connection, sequence = self._connection, effect.packet.sequence
        if self._link is None or connection.peer_address is None:
            self._waiting.append(ReceiveReply(sequence, False, code=Code.UNREACHABLE, message="there is no link"))
            return
        data = self._keys.seal(effect.packet.encode(connection.settings.pad_to))
        expected: Preimage | None = None
        if effect.fulfillable:
            expected = self._keys.fulfillment(data)
            condition = condition_of(expected)
        else:
            condition = Condition(self._randomness(32))
        prepare = Prepare(
            Units(effect.amount),
            effect.expires_at,
            condition,
            connection.peer_address,
            data,
        )
        try:
            self._link.send(encode_prepare(prepare), partial(self._replied, sequence, expected))
        except LinkDown as down:
            reply = ReceiveReply(sequence, False, code=Code.PEER_UNREACHABLE, message=down.reason)
            self._waiting.append(reply)

    def _replied(self, sequence: int, expected: Preimage | None, raw: bytes) -> None:
        """Take an answer up; what a link or a connector makes of it is never believed unless it is proved."""
        try:
            reply = decode_reply(raw)
        except BadPacket as bad:
            self.perform(ReceiveReply(sequence, False, code=Code.INTERNAL_ERROR, message=str(bad)))
            return
        if isinstance(reply, Reject):
            packet = self._opened(sequence, REJECT, reply.data)
            self.perform(
                ReceiveReply(sequence, False, packet, reply.code, reply.triggered_by, reply.message, reply.data)
            )
        elif expected is None or not hmac.compare_digest(reply.fulfillment, expected):
            message = "the next hop fulfilled with a wrong preimage"
            self.perform(ReceiveReply(sequence, False, code=Code.WRONG_CONDITION, message=message))
        else:
            self.perform(ReceiveReply(sequence, True, self._opened(sequence, FULFILL, reply.data)))

    def _opened(self, sequence: int, kind: int, data: bytes) -> StreamPacket | None:
        """The receiver's own words, None where there are none of this packet and kind."""
        if not data:
            return None
        try:
            packet = decode_packet(self._keys.open(data))
        except BadPacket:
            return None
        return packet if packet.kind == kind and packet.sequence == sequence else None

    def _schedule(self) -> None:
        now = self._clock()
        wake = wakes_at(self._connection, now)
        if wake is None:
            self.stop()
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0, wake - now) / 1000
        if self._timer is not None:
            if self._timer.when() <= at + 0.001:
                return  # it looks again when it fires
            self._timer.cancel()
        self._timer = loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.perform(Tick())

    def _fulfil_hopes(self) -> None:
        if not self._hopes:
            return
        for entry in tuple(self._hopes):
            hope, future = entry
            if not future.done() and hope():
                self._hopes.remove(entry)
                future.set_result(None)
