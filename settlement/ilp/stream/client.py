"""Paying over STREAM, and opening connections. Source: RFC 29."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from foundation.errors import BadInput
from settlement.ilp.addresses import Address, child_of, tail_of
from settlement.ilp.errors import BadPacket, Code
from settlement.ilp.link import Link, Reply
from settlement.ilp.packets import Fulfill, Prepare, Reject, decode_prepare, encode
from settlement.ilp.stream.changes import CloseConnection, Effect, OpenStream, ReceiptArrived, StreamEnded
from settlement.ilp.stream.connection import is_drained
from settlement.ilp.stream.crypto import Keys, Randomness
from settlement.ilp.stream.errors import PaymentTimedOut, PeerBroke, PeerClosed, StreamError
from settlement.ilp.stream.frames import ErrorCode
from settlement.ilp.stream.rates import Rate
from settlement.ilp.stream.session import Acceptor, Observer, Session
from settlement.ilp.stream.states import Connection, Role, Settings
from settlement.quantities import MAX_UNITS, Asset, Clock, Units

FAREWELL_SECONDS = 1.0

Watcher: TypeAlias = Callable[[Connection], None]
"""Told of a payment's state as it goes on; never raises."""


@dataclass(frozen=True, slots=True)
class Payment:
    """What a payment achieved.

    Fields: sent (our base units, fulfilled); delivered (the receiver's, as it confirmed encrypted; a packet whose
    confirmation was lost counts with the least that the receiver could take); unproved (how many such packets);
    left (our base units that were not sent); rate (last seen); peer_asset (None: it was not told); packets (fulfilled);
    receipt (the receiver's newest, empty where it makes none).
    """

    sent: Units
    delivered: int
    unproved: int
    left: int
    rate: Rate | None
    peer_asset: Asset | None
    packets: int
    receipt: bytes = field(repr=False)


class StreamClient:
    """Opens connections over one link.

    Args:
        link: carries our packets.
        clock: tells the time.
        address: where packets for us arrive, to be handed to `handle`; None: we only send.
        asset: what the link's account is denominated in, told to receivers.
        settings: for all connections, unless one is given others.
    """

    def __init__(
        self,
        link: Link,
        clock: Clock,
        *,
        address: Address | None = None,
        asset: Asset | None = None,
        settings: Settings | None = None,
        randomness: Randomness = os.urandom,
    ) -> None:
        self._link = link
        self._clock = clock
        self._address = address
        self._asset = asset
        self._settings = settings or Settings()
        self._randomness = randomness
        self._sessions: dict[str, Session] = {}

    def connect(
        self,
        destination: Address,
        shared_secret: bytes,
        *,
        settings: Settings | None = None,
        observe: Observer | None = None,
        accept: Acceptor | None = None,
    ) -> Session:
        """A connection to a server that gave us its address and secret. Nothing is sent yet.

        Raises:
            BadInput: the secret has not 32 bytes.
        """
        keys = Keys(shared_secret, self._randomness)
        name = secrets.token_urlsafe(12)
        settings = settings or self._settings
        connection = Connection(
            Role.CLIENT,
            settings,
            address=child_of(self._address, name) if self._address is not None else None,
            asset=self._asset,
            peer_address=destination,
        )
        connection = replace(connection, pace=replace(connection.pace, window_max=settings.max_in_flight))
        session = Session(
            connection, keys, self._link, self._clock, observe=observe, accept=accept, randomness=self._randomness
        )
        if self._address is not None:
            self._sessions[name] = session
        return session

    def open(self, session: Session, *, receive_max: int = 0) -> int:
        """Open a stream of ours; its number.

        Raises:
            TooManyStreams: the peer does not let us open another one now.
        """
        number = session.connection.next_stream
        session.perform(OpenStream(receive_max=receive_max))
        return number

    async def close(self, session: Session) -> None:
        """End a connection: nothing new is sent, what is under way is counted, and the peer is told."""
        session.perform(CloseConnection())
        await self._settle(session)

    def forget(self, session: Session) -> None:
        """Drop a connection: its timer ends, and packets for it are refused."""
        session.stop()
        self._sessions = {name: other for name, other in self._sessions.items() if other is not session}

    async def pay(
        self,
        destination: Address,
        shared_secret: bytes,
        amount: Units,
        *,
        deliver: int | None = None,
        timeout_ms: int = 60_000,
        settings: Settings | None = None,
        watch: Watcher | None = None,
    ) -> Payment:
        """Send `amount` of our base units, or as much of it as delivers `deliver` of the receiver's.

        Ends in order when all is sent, or what is left is too little to deliver anything. `watch` is told of each
        change on the way.

        Raises:
            BadInput: the amount is zero or out of bounds, or the secret has not 32 bytes.
            StreamError: it stopped before; the error's `payment` says what was sent and delivered until then.
        """
        if not 0 < amount <= MAX_UNITS or (deliver is not None and not 0 < deliver <= MAX_UNITS):
            raise BadInput("amount", "between 1 and 2^64−1 can be paid")
        journal = _Journal()
        session = self.connect(destination, shared_secret, settings=settings, observe=journal)
        session.perform(OpenStream(send_max=amount, aim=deliver))
        error: StreamError | None = None
        try:
            await asyncio.wait_for(session.until(lambda: _is_over(session, watch)), timeout_ms / 1000)
        except TimeoutError:
            error = PaymentTimedOut(f"not all was sent in {timeout_ms} ms")
        except asyncio.CancelledError:
            session.perform(CloseConnection())
            self.forget(session)
            raise
        # Nothing new is sent any more, and what is under way is counted before it is told.
        await self.close(session)
        payment = _payment(session, amount, journal.receipt)
        if isinstance(session.error, PeerBroke) or not _is_complete(session.connection, amount, deliver):
            error = session.error or error or journal.closed
        else:
            error = None  # whoever closed it then, all was sent
        if error is not None:
            error.payment = payment
            raise error
        return payment

    def handle(self, account: str, prepare: bytes, reply: Reply) -> None:
        """Take a Prepare for one of our connections; a `PacketHandler`."""
        try:
            packet = decode_prepare(prepare)
        except BadPacket as bad:
            reply(encode(Reject(Code.INVALID_PACKET, self._address or "", str(bad), b"")))
            return
        reply(encode(self.take(packet)))

    def take(self, prepare: Prepare) -> Fulfill | Reject:
        """Answer a Prepare for one of our connections."""
        tail = tail_of(self._address, prepare.destination) if self._address is not None else None
        session = self._sessions.get(tail.partition(".")[0]) if tail is not None else None
        if session is None:
            return Reject(Code.UNREACHABLE, self._address or "", "no such connection", b"")
        return session.take(prepare)

    async def _settle(self, session: Session) -> None:
        """Wait for the answers to all money under way, and a moment for the one to our farewell."""
        try:
            await session.until(lambda: not any(flight.amount for flight in session.connection.in_flight.values()))
            await asyncio.wait_for(session.until(lambda: not session.connection.in_flight), FAREWELL_SECONDS)
        except TimeoutError:
            pass
        finally:
            self.forget(session)


class _Journal:
    """Keeps what a payment's events tell: the newest receipt, and with what words the peer closed the stream."""

    def __init__(self) -> None:
        self.receipt = b""
        self.closed = PeerClosed(ErrorCode.NO_ERROR, "before all was sent")

    def __call__(self, effect: Effect) -> None:
        if isinstance(effect, ReceiptArrived):
            # Answers may overtake each other; a receipt's total is its bytes 18 to 25 (RFC 39).
            if effect.receipt[18:26] >= self.receipt[18:26]:
                self.receipt = effect.receipt
        elif isinstance(effect, StreamEnded) and effect.by_peer:
            self.closed = PeerClosed(effect.error_code, effect.message)


def _is_over(session: Session, watch: Watcher | None) -> bool:
    connection = session.connection
    if watch is not None:
        watch(connection)
    if connection.ended:
        return True
    return all(is_drained(connection, stream) for stream in connection.streams.values())


def _is_complete(connection: Connection, amount: int, deliver: int | None) -> bool:
    """Whether all was sent that was to be: the amount, what delivers enough, or all but what delivers nothing."""
    if deliver is not None and connection.delivered >= deliver:
        return True
    left = amount - connection.sent
    return left == 0 or (connection.rate is not None and connection.rate.delivers(left) == 0)


def _payment(session: Session, amount: Units, receipt: bytes) -> Payment:
    connection = session.connection
    return Payment(
        sent=Units(connection.sent),
        delivered=connection.delivered,
        unproved=connection.unproved,
        left=amount - connection.sent,
        rate=connection.rate,
        peer_asset=connection.peer_asset,
        packets=connection.packets,
        receipt=receipt,
    )
