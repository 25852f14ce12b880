"""A STREAM sender with a rate, and the answers that it may get."""

from __future__ import annotations

from dataclasses import replace

from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address
from settlement.ilp.packets import FULFILL, REJECT
from settlement.ilp.stream.changes import (
    ConnectionEnded,
    Effect,
    OpenStream,
    ReceiveReply,
    SendPacket,
)
from settlement.ilp.stream.connection import step
from settlement.ilp.stream.errors import (
    StreamError,
)
from settlement.ilp.stream.frames import Frame
from settlement.ilp.stream.packet import StreamPacket
from settlement.ilp.stream.rates import Rate
from settlement.ilp.stream.states import Connection, Role, Settings

NOW = UnixMs(1_000_000)
CLIENT = Connection(Role.CLIENT, Settings(max_packet=100), peer_address=Address("test.them"))
READY = replace(CLIENT, rate=Rate(2, 1), floor=Rate(2, 1).lowered(100))
"""A sender that knows its rate: two for one, at least 1.98."""


def sends(effects: tuple[Effect, ...]) -> list[SendPacket]:
    """The packets among effects."""
    return [effect for effect in effects if isinstance(effect, SendPacket)]


def error(effects: tuple[Effect, ...]) -> StreamError | None:
    """What ended the connection."""
    (ended,) = [effect for effect in effects if isinstance(effect, ConnectionEnded)]
    return ended.error


def fulfil(sent: SendPacket, got: int, *frames: Frame) -> ReceiveReply:
    """A fulfil with the receiver's words."""
    return ReceiveReply(sent.packet.sequence, True, StreamPacket(FULFILL, sent.packet.sequence, got, frames))


def refuse(sent: SendPacket, got: int, *frames: Frame) -> ReceiveReply:
    """A refusal of the receiver itself."""
    packet = StreamPacket(REJECT, sent.packet.sequence, got, frames)
    return ReceiveReply(sent.packet.sequence, False, packet, "F99")


def reject(sent: SendPacket, code: str, data: bytes = b"") -> ReceiveReply:
    """A refusal of a connector."""
    return ReceiveReply(sent.packet.sequence, False, code=code, triggered_by="test.hop", message="no", data=data)


def paying(amount: int, connection: Connection = READY) -> tuple[Connection, list[SendPacket]]:
    """A connection that pays, and its first packets."""
    connection, effects = step(connection, OpenStream(send_max=amount), NOW)
    return connection, sends(effects)
