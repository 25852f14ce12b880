"""Finding the path's rate and its largest packet, with packets that nobody can fulfil. Source: RFC 29, 3.4 and 6.1.

A volley of amounts goes out under random conditions. The receiver's refusal tells, encrypted, what arrived; an F08 of
a connector tells what would have passed. No amount is above what will be sent. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from foundation.quantities import UnixMs
from settlement.ilp.errors import Code, amount_limits, is_final
from settlement.ilp.packets import PREPARE
from settlement.ilp.stream.changes import ConnectionEnded, Effect, ReceiveReply, SendPacket
from settlement.ilp.stream.control import end
from settlement.ilp.stream.errors import PathBusy, PathFailed, RateTooLow, StreamError
from settlement.ilp.stream.frames import Frame
from settlement.ilp.stream.pace import busy
from settlement.ilp.stream.packet import StreamPacket
from settlement.ilp.stream.rates import Rate
from settlement.ilp.stream.states import Connection, InFlight, Probe

AMOUNTS: Final = (1, 10**3, 10**6, 10**9, 10**12)
DIGITS: Final = 3
"""A rate is good enough when so many digits of what arrived are known, or when all that can be sent was tried."""
MAX_VOLLEYS: Final = 15


def wanted(connection: Connection) -> int:
    """What all streams still want to send, in our base units."""
    return sum(stream.send_max - stream.sent for stream in connection.streams.values())


def launch(
    connection: Connection, announcement: tuple[Frame, ...], now: UnixMs
) -> tuple[Connection, tuple[Effect, ...]]:
    """Send the next volley, if none is under way and it is time."""
    probe = connection.probe or Probe(volley=0)
    if probe.waiting or now < connection.pace.resume_at:
        return connection, ()
    most = min(wanted(connection), connection.settings.max_packet, connection.pace.maximum)
    ceilings = {min(amount, most) for amount in probe.ceilings if amount > 0}
    amounts = sorted(ceilings or {*(amount for amount in AMOUNTS if amount < most), min(most, AMOUNTS[-1])})
    flights, sends = dict(connection.in_flight), []
    sequence = connection.next_sequence
    expires_at = UnixMs(now + connection.settings.packet_ms)
    for amount in amounts:
        until = UnixMs(expires_at + connection.settings.grace_ms)
        flights[sequence] = InFlight(sequence, amount, 0, (), (), until, is_probe=True)
        packet = StreamPacket(PREPARE, sequence, 0, announcement)
        sends.append(SendPacket(packet, amount, fulfillable=False, expires_at=expires_at))
        sequence += 1
    probe = Probe(probe.volley + 1, probe.answered, (), None, len(amounts))
    return replace(connection, in_flight=flights, next_sequence=sequence, probe=probe), tuple(sends)


def answered(
    connection: Connection, flight: InFlight, reply: ReceiveReply, now: UnixMs
) -> tuple[Connection, tuple[Effect, ...]]:
    """Note what one packet of the volley told; with the last one, decide."""
    probe = connection.probe
    if probe is None:
        return connection, ()
    limits = amount_limits(reply.data) if reply.code == Code.AMOUNT_TOO_LARGE else None
    if reply.packet is not None:
        probe = replace(probe, answered=(*probe.answered, Rate(reply.packet.amount, flight.amount)))
    elif reply.code == Code.AMOUNT_TOO_LARGE:
        ceiling = flight.amount * limits[1] // limits[0] if limits else flight.amount // 2
        maximum = min(connection.pace.maximum, ceiling if limits else flight.amount - 1)
        pace = replace(connection.pace, maximum=maximum, amount=min(connection.pace.amount, maximum))
        connection = replace(connection, pace=pace)
        probe = replace(probe, ceilings=(*probe.ceilings, ceiling))
    elif is_final(reply.code):
        return _failed(connection, PathFailed(reply.code, reply.triggered_by, reply.message))
    else:
        smaller = flight.amount - flight.amount // 3
        trouble = (reply.code, reply.triggered_by, reply.message)
        probe = replace(probe, ceilings=(*probe.ceilings, smaller), trouble=trouble)
    probe = replace(probe, waiting=probe.waiting - 1)
    connection = replace(connection, probe=probe)
    return (connection, ()) if probe.waiting else _decided(connection, probe, flight, now)


def _decided(
    connection: Connection, probe: Probe, flight: InFlight, now: UnixMs
) -> tuple[Connection, tuple[Effect, ...]]:
    """Settle on a rate, send another volley, or give up."""
    best = max(probe.answered, key=lambda rate: (rate.delivered, rate.sent), default=None)
    most = min(wanted(connection), connection.settings.max_packet, connection.pace.maximum)
    if connection.pace.maximum == 0:
        return _failed(connection, PathFailed(Code.AMOUNT_TOO_LARGE, "", "no packet is small enough"))
    if best is not None and (len(str(best.delivered)) >= DIGITS or best.sent >= most):
        return _settled(connection, best)
    if probe.volley >= MAX_VOLLEYS:
        if best is not None and best.delivered:
            return _settled(connection, best)
        return _failed(connection, PathBusy(*probe.trouble) if probe.trouble else RateTooLow(best, None))
    if probe.trouble is not None:
        pace = connection.pace
        later = busy(pace, connection.next_sequence, connection.next_sequence, now)
        connection = replace(connection, pace=replace(later, window=pace.window, growing=pace.growing, cut_below=0))
    elif not probe.ceilings:
        # Everything arrived, and not in enough digits: larger amounts are not to be had.
        return _settled(connection, best) if best else _failed(connection, RateTooLow(None, None))
    return connection, ()


def _settled(connection: Connection, rate: Rate) -> tuple[Connection, tuple[Effect, ...]]:
    floor, minimum = rate.lowered(connection.settings.slippage_bps), connection.settings.minimum_rate
    if rate.delivered == 0 or (minimum is not None and rate.is_below(minimum)):
        return _failed(connection, RateTooLow(rate, minimum))
    largest = min(connection.pace.maximum, connection.settings.max_packet)
    if largest < rate.needs(1):
        return _failed(connection, PathFailed(Code.AMOUNT_TOO_LARGE, "", f"packets of {largest} deliver nothing"))
    if minimum is not None and floor.is_below(minimum):
        floor = minimum
    return replace(connection, rate=rate, floor=floor, probe=None), ()


def _failed(connection: Connection, error: StreamError) -> tuple[Connection, tuple[ConnectionEnded, ...]]:
    ended, _ = end(connection, error)
    return ended, (ConnectionEnded(error),)
