"""What happens to a packet: checked, converted, held, forwarded, and answered once the balances are durable.

Source: RFC 27. All of it is synchronous on the event loop: callbacks in, callbacks out, no task and no timer a packet.
A Prepare is not decoded and encoded: its amount and expiry, which lie at fixed offsets, are replaced in the bytes that
came. What costs time comes after what refuses cheaply: a peer above its packet limit is refused before its packet is
looked at, so a flood from one peer costs the others next to nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, Protocol

import structlog

from foundation.quantities import UnixMs
from settlement.connector.accounts import Account
from settlement.connector.balances.book import Book
from settlement.connector.balances.model import Flight, Position
from settlement.connector.conversion import Conversion
from settlement.connector.flight import InFlight
from settlement.connector.limits import Window
from settlement.connector.ports import LOCAL, PeerHandler, Router
from settlement.connector.timers import Timers
from settlement.ilp.addresses import Address, address_of
from settlement.ilp.errors import (
    AmountTooLarge,
    BadPacket,
    BadRequest,
    ConnectorBusy,
    IlpReject,
    InsufficientLiquidity,
    InsufficientSourceAmount,
    InternalError,
    InvalidPacket,
    PeerUnreachable,
    RateLimited,
    TransferTimedOut,
    Unreachable,
)
from settlement.ilp.link import Reply
from settlement.ilp.oer import read_length
from settlement.ilp.packets import MAX_DATA_BYTES, PREPARE, encode_reject, rejection
from settlement.ilp.times import interledger_time, parse_interledger_time
from settlement.quantities import MAX_UNITS, Clock, Condition

_FIXED: Final = struct.Struct(">Q17s32s")
_AMOUNT: Final = struct.Struct(">Q")
_CHANGED_BYTES: Final = 8 + 17
_HOPS_MAX: Final = 65_536
_PEER: Final = b"peer."
_log = structlog.get_logger(__name__)


class Converter(Protocol):
    """Rates between accounts."""

    @property
    def version(self) -> int:
        """Grows with each change of any rate."""

    def conversion(self, source: Account, destination: Account, now: UnixMs) -> Conversion | None:
        """How amounts of `source` are forwarded to `destination`; None where there is no current rate."""


class _Short(Exception):
    """A position has too little room in this process. Args: position; debit; credit (what was to be held)."""

    def __init__(self, refusal: InsufficientLiquidity, position: Position, debit: int, credit: int) -> None:
        self.refusal = refusal
        super().__init__(position, debit, credit)


class Pipeline:
    """Forwards packets. A `PacketHandler` for transports."""

    def __init__(
        self,
        address: Address,
        accounts: Mapping[str, Account],
        book: Book,
        router: Router,
        converter: Converter,
        clock: Clock,
        *,
        window: Window | None = None,
        peers: Mapping[str, PeerHandler] | None = None,
        local: str | None = None,
        is_journaling: bool = False,
    ) -> None:
        """Describe it; nothing runs until packets come.

        Args:
            address: our own.
            accounts: by id; links are set in them as peers connect.
            book: has their positions.
            router, converter: where packets go, and at which rate.
            clock: the time.
            window: margins of expiries.
            peers: who deals with packets to `peer.*`: by the first segment after `peer`.
            local: the account of the receiver in this process, None where there is none.
            is_journaling: write each packet down before it is sent.
        """
        self.address = address
        self.book = book
        self.clock = clock
        self.window = window or Window()
        self.timers = Timers(clock)
        self.peers = dict(peers or {})
        self._accounts = accounts
        self._router = router
        self._converter = converter
        self._local = local
        self._is_journaling = is_journaling
        self._flights = 0
        self._hops: dict[bytes, Account] = {}
        self._routes_version = -1
        self._rates_version = -1
        self._rate_limited = encode_reject(rejection(RateLimited("too many packets a second"), address))

    def __call__(self, account: str, prepare: bytes, reply: Reply) -> None:
        """Take a packet of `account`; see `PacketHandler`."""
        sender = self._accounts.get(account)
        if sender is None:
            reply(encode_reject(rejection(Unreachable("no such account"), self.address)))
            return
        now = self.clock()
        sender.received += 1
        if sender.bucket is not None and not sender.bucket.take(now):
            sender.refused["T05"] += 1
            reply(self._rate_limited)
            return
        self._try(sender, prepare, reply, now)

    def _try(self, sender: Account, prepare: bytes, reply: Reply, now: UnixMs) -> None:
        try:
            self._take(sender, prepare, reply, now)
        except _Short as short:
            self._ask(short, sender, prepare, reply)
        except IlpReject as refusal:
            self.refuse(sender, refusal, reply)
        except (BadPacket, IndexError, struct.error) as wrong:
            self.refuse(sender, InvalidPacket(str(wrong)), reply)
        except Exception:  # noqa: BLE001  a mistake of ours must not take the link down with it
            _log.exception("packet.failed", account=sender.id)
            self.refuse(sender, InternalError(), reply)

    def refuse(self, sender: Account, refusal: IlpReject, reply: Reply) -> None:
        """Answer with our own Reject."""
        sender.refused[refusal.code] += 1
        reply(encode_reject(rejection(refusal, self.address)))

    def _ask(self, short: _Short, sender: Account, prepare: bytes, reply: Reply) -> None:
        """Ask for more of the room that all processes share, then try once more; refuse where there is none."""
        position, debit, credit = short.args
        lender = self.book.lender
        refusal = short.refusal

        def answered(is_granted: bool) -> None:
            if is_granted:
                self._try(sender, prepare, reply, self.clock())
            else:
                self.refuse(sender, refusal, reply)

        if lender is None:
            self.refuse(sender, refusal, reply)
        else:
            lender(position, debit, credit, answered)

    def _take(self, sender: Account, prepare: bytes, reply: Reply, now: UnixMs) -> None:
        """Check, hold and forward. Raises what is answered with a Reject; then nothing is held."""
        if prepare[0] != PREPARE:
            raise BadPacket("type", "no Prepare")
        length, start = read_length(prepare, 1)
        end = start + length
        amount, expiry, condition = _FIXED.unpack_from(prepare, start)
        destination = _destination(prepare, start + _FIXED.size, end)
        expires_at = parse_interledger_time(expiry)
        receiver = self._hops.get(destination)
        if receiver is None or self._router.version != self._routes_version:
            if destination.startswith(_PEER):
                self._to_peer(sender, amount, expires_at, destination, prepare, reply)
                return
            receiver = self._next_hop(destination)
        if amount > sender.max_packet:
            raise AmountTooLarge(amount, sender.max_packet)
        forwarded_expiry = self.window.forward(expires_at, now)
        given = self._converted(sender, receiver, amount, now)
        if not receiver.link.is_up:
            raise PeerUnreachable(f"{receiver.id} is not connected")
        self._hold(sender, amount, receiver, given, now)
        deadline = UnixMs(forwarded_expiry + self.window.grace)
        flight = InFlight(self, sender, amount, receiver, given, Condition(condition), expires_at, deadline, reply)
        forwarded = b"".join(
            (
                prepare[:start],
                _AMOUNT.pack(given),
                interledger_time(forwarded_expiry),
                prepare[start + _CHANGED_BYTES : end],
            )
        )
        self.timers.add(flight)
        if self._is_journaling and amount:
            self._write_down(flight, forwarded, forwarded_expiry)
        else:
            flight.send(forwarded)

    def _next_hop(self, destination: bytes) -> Account:
        version = self._router.version
        if version != self._routes_version or len(self._hops) >= _HOPS_MAX:
            self._hops.clear()
            self._routes_version = version
        address = address_of(destination)
        if address is None:
            raise BadPacket("destination", "no ILP address")
        hop = self._router.next_hop(address)
        receiver = self._accounts.get(self._local or "" if hop == LOCAL else hop) if hop is not None else None
        if receiver is None:
            raise Unreachable(f"no route leads to {address}")
        self._hops[destination] = receiver
        return receiver

    def _converted(self, sender: Account, receiver: Account, amount: int, now: UnixMs) -> int:
        """What the receiver is sent for `amount`."""
        if self._converter.version != self._rates_version:
            self._rates_version = self._converter.version
            for account in self._accounts.values():
                account.conversions.clear()
        conversion = sender.conversions.get(receiver.id)
        if conversion is None or conversion.expires_at <= now:
            conversion = self._converter.conversion(sender, receiver, now)
            if conversion is None or conversion.expires_at <= now:
                assets = f"{sender.config.asset.code} to {receiver.config.asset.code}"
                raise InternalError(f"there is no current rate from {assets}")
            sender.conversions[receiver.id] = conversion
        given = conversion.deliver(amount)
        if given == 0 and amount:
            raise InsufficientSourceAmount("nothing is left of the amount after rate and fee")
        if given > receiver.max_packet or given > MAX_UNITS:
            raise AmountTooLarge(amount, min(conversion.most(min(receiver.max_packet, MAX_UNITS)), sender.max_packet))
        return given

    def _hold(self, sender: Account, amount: int, receiver: Account, given: int, now: UnixMs) -> None:
        """Set money aside on both sides. Raises if either has too little; then nothing is set aside."""
        if not (amount or given):
            return
        if not self.book.is_available:
            raise ConnectorBusy("the balances cannot be written now")
        if sender.bandwidth_in is not None and not sender.bandwidth_in.take(now, amount):
            raise InsufficientLiquidity("the account's bandwidth is used up")
        if receiver.bandwidth_out is not None and not receiver.bandwidth_out.take(now, given):
            self._give_bandwidth(sender, amount)
            raise InsufficientLiquidity("the next hop's bandwidth is used up")
        if not sender.position.hold_debit(amount):
            self._give_bandwidth(sender, amount, receiver, given)
            raise _Short(InsufficientLiquidity("the account's balance is too low"), sender.position, amount, 0)
        if not receiver.position.hold_credit(given):
            sender.position.debits -= amount
            self._give_bandwidth(sender, amount, receiver, given)
            refusal = InsufficientLiquidity("the next hop is owed as much as we may owe it")
            raise _Short(refusal, receiver.position, 0, given)

    def _give_bandwidth(self, sender: Account, amount: int, receiver: Account | None = None, given: int = 0) -> None:
        if sender.bandwidth_in is not None:
            sender.bandwidth_in.give(amount)
        if receiver is not None and receiver.bandwidth_out is not None:
            receiver.bandwidth_out.give(given)

    def _write_down(self, flight: InFlight, forwarded: bytes, expires_at: UnixMs) -> None:
        self._flights += 1
        flight.number = self._flights
        flight.send_later(forwarded)
        row = Flight(
            flight.number,
            flight.debtor.id,
            flight.taken,
            flight.creditor.id,
            flight.given,
            flight.condition,
            expires_at,
        )
        self.book.open_flight(row, flight)

    def _to_peer(
        self, sender: Account, amount: int, expires_at: UnixMs, destination: bytes, prepare: bytes, reply: Reply
    ) -> None:
        """Packets between neighbours (RFC 15, `peer.`): never forwarded, and no money is taken for them."""
        address = address_of(destination)
        if address is None:
            raise BadPacket("destination", "no ILP address")
        if expires_at <= self.clock():
            raise TransferTimedOut("the packet has expired")
        if amount:
            raise BadRequest("packets to peer. carry no money here")
        handler = self.peers.get(address.split(".")[1])
        if handler is None:
            raise Unreachable(f"nobody here deals with {address}")
        handler(sender.id, address, prepare, reply)


def _destination(prepare: bytes, position: int, end: int) -> bytes:
    """The destination's bytes. Raises `BadPacket` also where what follows it is no packet's end."""
    size, at = read_length(prepare, position)
    after = at + size
    length, data = read_length(prepare, after)
    if data + length > end or end > len(prepare):
        raise BadPacket("length", "the packet is cut off")
    if length > MAX_DATA_BYTES:
        raise BadPacket("data", f"{length} bytes, of at most {MAX_DATA_BYTES}")
    return prepare[at:after]
