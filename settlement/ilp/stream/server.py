"""Receiving over STREAM, remembering connections only while they are in use. Source: RFC 29, 4.1 and 4.2.

Address and secret of a connection are derived from the server's secret, so that giving them out stores nothing. A
connection begins with the first packet that only its client can have encrypted.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeAlias

from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address
from settlement.ilp.errors import BadPacket, Code
from settlement.ilp.link import Link, Reply
from settlement.ilp.packets import Fulfill, Prepare, Reject, decode_prepare, encode
from settlement.ilp.stream.changes import Effect, MoneyArrived
from settlement.ilp.stream.crypto import Keys, Randomness
from settlement.ilp.stream.receipts import ReceiptKey
from settlement.ilp.stream.session import Session
from settlement.ilp.stream.states import Connection, Role, Settings
from settlement.ilp.stream.tokens import Credentials, Inviter
from settlement.quantities import Asset, Clock

Accept: TypeAlias = Callable[[str, tuple[MoneyArrived, ...]], bool]
"""Asked, with the connection's tag, before money is taken; False refuses it."""

Watch: TypeAlias = Callable[[str, Session, Effect], None]
"""Told, with the connection's tag, of what arrives, opens and ends. Never raises."""

Policy: TypeAlias = Callable[[str], Settings]
"""The settings of a connection with this tag, such as how much an invoice still takes."""


_LOOKED_AT: Final = 64
"""Connections that are looked at to find one that can be dropped."""


@dataclass(frozen=True, slots=True)
class Patience:
    """What a server keeps. Fields: sessions_max (connections in memory); idle_ms (after which one may be dropped)."""

    sessions_max: int = 10_000
    idle_ms: int = 60_000


@dataclass(slots=True)
class _Guest:
    session: Session
    seen_at: UnixMs


class StreamServer:
    """Receives on an address and everything below it; its own address without more is refused.

    A dropped connection that goes on begins anew, with totals of zero: a limit that has to outlive it belongs into
    `policy` and `accept`, which know the connection by its tag.

    Args:
        address: where packets arrive that are handed to `handle`.
        server_secret: 32 bytes; invitations are good as long as it stays the same.
        clock: tells the time.
        asset: what the account is denominated in, told to clients that ask by telling their address.
        link: carries packets to clients that told their address, None: we only receive.
    """

    def __init__(
        self,
        address: Address,
        server_secret: bytes,
        clock: Clock,
        *,
        asset: Asset | None = None,
        link: Link | None = None,
        policy: Policy | None = None,
        accept: Accept | None = None,
        watch: Watch | None = None,
        patience: Patience | None = None,
        randomness: Randomness = os.urandom,
    ) -> None:
        self._address = address
        self._inviter = Inviter(address, server_secret, randomness)
        self._clock = clock
        self._asset = asset
        self._link = link
        self._policy = policy or (lambda _tag: Settings())
        self._accept = accept
        self._watch = watch
        self._patience = patience or Patience()
        self._randomness = randomness
        self._guests: OrderedDict[str, _Guest] = OrderedDict()

    @property
    def address(self) -> Address:
        """The address below which its connections lie."""
        return self._address

    @property
    def asset(self) -> Asset | None:
        """What it receives in."""
        return self._asset

    @property
    def connections(self) -> int:
        """How many connections are in memory."""
        return len(self._guests)

    def invite(self, tag: str = "", receipts: ReceiptKey | None = None) -> Credentials:
        """Address and secret for one new client. Raises as `Inviter.invite`."""
        return self._inviter.invite(tag, receipts)

    def handle(self, account: str, prepare: bytes, reply: Reply) -> None:
        """Take one encoded Prepare; a `PacketHandler`."""
        try:
            packet = decode_prepare(prepare)
        except BadPacket as bad:
            reply(encode(Reject(Code.INVALID_PACKET, self._address, str(bad), b"")))
            return
        reply(encode(self.take(packet)))

    def take(self, prepare: Prepare) -> Fulfill | Reject:
        """Answer one Prepare."""
        token = self._inviter.token_in(prepare.destination)
        if token is None:
            return Reject(Code.UNREACHABLE, self._address, "no connection is named", b"")
        now = self._clock()
        guest = self._guests.get(token)
        if guest is not None:
            guest.seen_at = now
            self._guests.move_to_end(token)
            return guest.session.take(prepare)
        return self._begin(token, prepare, now)

    def close(self) -> None:
        """Drop all connections."""
        for guest in self._guests.values():
            guest.session.stop()
        self._guests.clear()

    def _begin(self, token: str, prepare: Prepare, now: UnixMs) -> Fulfill | Reject:
        """Begin a connection with its first packet, if that is authentic and there is room."""
        try:
            invitation, shared_secret = self._inviter.read(token)
        except BadPacket:
            return Reject(Code.UNREACHABLE, self._address, "no such connection", b"")
        keys = Keys(shared_secret, self._randomness)
        try:
            keys.open(prepare.data)
        except BadPacket:
            return Reject(Code.UNEXPECTED_PAYMENT, self._address, "", b"")
        self._sweep(now)
        if len(self._guests) >= self._patience.sessions_max and not self._has_made_room():
            return Reject(Code.CONNECTOR_BUSY, self._address, "too many connections", b"")
        session = self._session(invitation.tag, invitation.receipts, token, keys)
        self._guests[token] = _Guest(session, now)
        return session.take(prepare)

    def _session(self, tag: str, receipts: ReceiptKey | None, token: str, keys: Keys) -> Session:
        settings = self._policy(tag)
        connection = Connection(
            Role.SERVER,
            settings,
            # The client knows the address already: it is never announced.
            address=Address(f"{self._address}.{token}"),
            announced=True,
            asset=self._asset,
            receipts=receipts,
            next_stream=2,
        )
        connection = replace(connection, pace=replace(connection.pace, window_max=settings.max_in_flight))
        watch, accept = self._watch, self._accept

        def observe(effect: Effect) -> None:
            if watch is not None:
                watch(tag, session, effect)

        def accepted(money: tuple[MoneyArrived, ...]) -> bool:
            return accept is None or accept(tag, money)

        session = Session(
            connection,
            keys,
            self._link,
            self._clock,
            observe=observe,
            accept=accepted,
            randomness=self._randomness,
        )
        return session

    def _has_made_room(self) -> bool:
        """Drop one of the connections that were silent for longest and have paid nothing: nobody loses by it.

        To open connections costs nothing, so whoever opens them all would keep those out who want to pay.
        """
        for token, guest in islice(self._guests.items(), _LOOKED_AT):
            if not guest.session.connection.received:
                guest.session.stop()
                del self._guests[token]
                return True
        return False

    def _sweep(self, now: UnixMs) -> None:
        """Drop the connections that were silent for long: the front of the queue."""
        while self._guests:
            token, guest = next(iter(self._guests.items()))
            if now - guest.seen_at < self._patience.idle_ms:
                return
            guest.session.stop()
            del self._guests[token]
