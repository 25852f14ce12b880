"""The two messages of CCP, as bytes in the data of a packet to the peer.

Source: `ilp-protocol-ccp` 1.2 (there is no RFC): octet encoding rules of RFC 30; both messages travel as a Prepare of
amount 0 under a condition whose preimage everyone knows, 32 zero bytes, and are acknowledged by a Fulfill with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from foundation.quantities import UnixMs
from settlement.connector.routing.routes import AUTH_BYTES
from settlement.ilp.addresses import Address, is_address
from settlement.ilp.errors import BadPacket
from settlement.ilp.oer import Reader, uint8, uint16, uint32, var_octets, var_uint
from settlement.ilp.packets import MAX_DATA_BYTES, Fulfill, Prepare, encode
from settlement.quantities import Preimage, Units, condition_of

CONTROL_ADDRESS: Final = Address("peer.route.control")
UPDATE_ADDRESS: Final = Address("peer.route.update")
PEER_FULFILLMENT: Final = Preimage(bytes(32))
PEER_CONDITION: Final = condition_of(PEER_FULFILLMENT)

ID_BYTES: Final = 16
NO_TABLE: Final = bytes(ID_BYTES)
"""What a receiver names that knows no routing table yet."""
EPOCH_MAX: Final = 2**32 - 1

_ROUTES_MAX: Final = 2_000
_PATH_MAX: Final = 128
_PROPS_MAX: Final = 64
_FEATURES_MAX: Final = 64
"""A peer's counts are believed no further: each costs memory before the bytes for it have come."""


class Mode(IntEnum):
    """Whether a receiver wants route updates."""

    IDLE = 0
    SYNC = 1


@dataclass(frozen=True, slots=True)
class RouteControl:
    """A receiver's request for routes.

    Fields: mode; table_id (16 bytes, of the routing table that it knows; `NO_TABLE`); epoch (up to which it knows it);
    features (names of extensions that it understands).
    """

    mode: Mode
    table_id: bytes = NO_TABLE
    epoch: int = 0
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Property:
    """An extension's value on a route, carried unread. Fields: id (16 bits); flags (the upper 4 bits); value."""

    id: int
    flags: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Announced:
    """One route of an update. Fields: prefix; path (addresses, the speaker's first); auth (32 bytes); properties."""

    prefix: str
    path: tuple[str, ...]
    auth: bytes
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteUpdate:
    """What changed in the speaker's routes between two epochs.

    Fields: table_id (16 bytes); current_epoch (of the speaker's table); from_epoch, to_epoch (what this update covers);
    hold_down_ms (how long the routes hold unless the speaker is heard again); speaker (its address); announced;
    withdrawn (prefixes).
    """

    table_id: bytes
    current_epoch: int
    from_epoch: int
    to_epoch: int
    hold_down_ms: int
    speaker: str
    announced: tuple[Announced, ...] = ()
    withdrawn: tuple[str, ...] = ()


def encode_control(control: RouteControl) -> bytes:
    """The data of a control message."""
    features = [var_octets(feature.encode()) for feature in control.features]
    head = uint8(control.mode) + control.table_id + uint32(control.epoch) + var_uint(len(features))
    return head + b"".join(features)


def decode_control(data: bytes) -> RouteControl:
    """The inverse of `encode_control`; what follows it is ignored, as extensions may need. Raises `BadPacket`."""
    reader = Reader(data)
    mode = reader.uint8()
    if mode not in (Mode.IDLE, Mode.SYNC):
        raise BadPacket("mode", f"{mode} is neither idle (0) nor sync (1)")
    table_id, epoch = reader.octets(ID_BYTES), reader.uint32()
    count = _count(reader, "features", _FEATURES_MAX)
    features = tuple(reader.var_octets().decode(errors="replace") for _ in range(count))
    return RouteControl(Mode(mode), table_id, epoch, features)


def encode_update(update: RouteUpdate) -> bytes:
    """The data of an update message."""
    epochs = (update.current_epoch, update.from_epoch, update.to_epoch, update.hold_down_ms)
    parts = [update.table_id, *map(uint32, epochs), var_octets(update.speaker.encode("ascii"))]
    parts.append(var_uint(len(update.announced)))
    parts += [encode_route(route) for route in update.announced]
    parts.append(var_uint(len(update.withdrawn)))
    parts += [var_octets(prefix.encode("ascii")) for prefix in update.withdrawn]
    return b"".join(parts)


def encode_route(route: Announced) -> bytes:
    """One route within an update."""
    parts = [var_octets(route.prefix.encode("ascii")), var_uint(len(route.path))]
    parts += [var_octets(hop.encode("ascii")) for hop in route.path]
    parts += [route.auth, var_uint(len(route.properties))]
    parts += [uint8(one.flags) + uint16(one.id) + var_octets(one.value) for one in route.properties]
    return b"".join(parts)


def decode_update(data: bytes) -> RouteUpdate:
    """The inverse of `encode_update`.

    Raises:
        BadPacket: cut off, counts above what fits a packet, epochs that go back, or text that is no address.
    """
    reader = Reader(data)
    table_id = reader.octets(ID_BYTES)
    current, start, end, hold_down_ms = (reader.uint32() for _ in range(4))
    if not start <= end <= current:
        raise BadPacket("epochs", f"{start}, {end}, {current} do not rise")
    speaker = _address(reader, "speaker")
    announced = tuple(_route(reader) for _ in range(_count(reader, "routes", _ROUTES_MAX)))
    withdrawn = tuple(_prefix(reader) for _ in range(_count(reader, "withdrawn", _ROUTES_MAX)))
    return RouteUpdate(table_id, current, start, end, hold_down_ms, speaker, announced, withdrawn)


def peer_request(destination: Address, data: bytes, expires_at: UnixMs) -> bytes:
    """The Prepare that carries a message to the peer itself. Raises `BadInput`: more data than a packet holds."""
    return encode(Prepare(Units(0), expires_at, PEER_CONDITION, destination, data))


def acknowledgement() -> bytes:
    """The Fulfill that acknowledges a message."""
    return encode(Fulfill(PEER_FULFILLMENT, b""))


def room_for_routes(speaker: str) -> int:
    """Bytes that announced and withdrawn routes may take in one update of `speaker`."""
    return MAX_DATA_BYTES - ID_BYTES - 4 * 4 - len(var_octets(speaker.encode("ascii"))) - 2 * 9


def _route(reader: Reader) -> Announced:
    prefix = _prefix(reader)
    path = tuple(_address(reader, "path") for _ in range(_count(reader, "path", _PATH_MAX)))
    auth = reader.octets(AUTH_BYTES)
    properties = []
    for _ in range(_count(reader, "properties", _PROPS_MAX)):
        flags, number = reader.uint8(), reader.uint16()
        properties.append(Property(number, flags & 0xF0, reader.var_octets()))
    return Announced(prefix, path, auth, tuple(properties))


def _count(reader: Reader, field: str, most: int) -> int:
    count = reader.var_uint()
    if count > min(most, reader.remaining):
        raise BadPacket(field, f"{count} are announced, at most {min(most, reader.remaining)} can be there")
    return count


def _address(reader: Reader, field: str) -> str:
    text = reader.var_octets().decode("ascii", errors="replace")
    if not is_address(text):
        raise BadPacket(field, f"{text[:80]!r} is no ILP address")
    return text


def _prefix(reader: Reader) -> str:
    """A prefix as it was sent. One that is no address is no reason to drop the rest: whoever takes routes judges it."""
    return reader.var_octets().decode("ascii", errors="replace")
