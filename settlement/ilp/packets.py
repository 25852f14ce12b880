"""ILPv4's three packets as bytes. Source: RFC 27 (draft 4), asn1/InterledgerProtocol.asn; RFC 30.

This is the connector's hot path: fixed fields go through one `struct`, nothing is read byte by byte, and a Prepare is
forwarded by replacing its amount and expiry in the bytes that came.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address, address_of
from settlement.ilp.errors import BadPacket, IlpReject
from settlement.ilp.oer import length_prefix, read_length, var_octets
from settlement.ilp.times import interledger_time, parse_interledger_time
from settlement.quantities import MAX_UNITS, Condition, Preimage, Units

PREPARE: Final = 12
FULFILL: Final = 13
REJECT: Final = 14

MAX_DATA_BYTES: Final = 32_767
MAX_MESSAGE_BYTES: Final = 8_191
MAX_PACKET_BYTES: Final = 1 + 4 + 57 + 3 + 1_023 + 3 + MAX_MESSAGE_BYTES + 3 + MAX_DATA_BYTES
"""No packet of this protocol is longer: what a transport may refuse unread."""

_FIXED = struct.Struct(">Q17s32s")
_CODE = re.compile(r"[!-~]{3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Prepare:
    """An offer to pay `amount` for the preimage of `condition`, until `expires_at`.

    Fields: amount (base units of the account that it travels over); expires_at; condition (32 bytes); destination;
    data (end to end, at most 32,767 bytes).
    """

    amount: Units
    expires_at: UnixMs
    condition: Condition
    destination: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Fulfill:
    """The preimage: the money is owed. Fields: fulfillment (32 bytes); data (end to end, at most 32,767 bytes)."""

    fulfillment: Preimage
    data: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """No money moves.

    Fields: code (3 printable characters, `settlement.ilp.errors.Code` or a peer's own); triggered_by (an address, or
    empty); message (for people; bytes that are no UTF-8 are replaced); data (end to end, at most 32,767 bytes).
    """

    code: str
    triggered_by: str
    message: str
    data: bytes


Reply: TypeAlias = Fulfill | Reject
Packet: TypeAlias = Prepare | Fulfill | Reject


def encode(packet: Packet) -> bytes:
    """A packet's bytes.

    Raises:
        BadInput: a field is outside what the packet can carry.
    """
    match packet:
        case Prepare():
            return encode_prepare(packet)
        case Fulfill():
            return encode_fulfill(packet)
        case Reject():
            return encode_reject(packet)


def encode_prepare(packet: Prepare) -> bytes:
    """A Prepare's bytes. Raises as `encode`."""
    if not 0 <= packet.amount <= MAX_UNITS:
        raise BadInput("amount", f"{packet.amount} is not between 0 and 2^64−1")
    destination = packet.destination.encode("ascii", "replace")
    if address_of(destination) is None:
        raise BadInput("destination", f"{packet.destination[:80]!r} is no ILP address")
    fixed = _FIXED.pack(packet.amount, interledger_time(packet.expires_at), _hash("condition", packet.condition))
    content = b"".join((fixed, var_octets(destination), _data(packet.data)))
    return b"\x0c" + length_prefix(len(content)) + content


def encode_fulfill(packet: Fulfill) -> bytes:
    """A Fulfill's bytes. Raises as `encode`."""
    content = _hash("fulfillment", packet.fulfillment) + _data(packet.data)
    return b"\x0d" + length_prefix(len(content)) + content


def encode_reject(packet: Reject) -> bytes:
    """A Reject's bytes; a message that is too long is cut. Raises as `encode`."""
    if not _CODE.fullmatch(packet.code):
        raise BadInput("code", f"{packet.code[:8]!r} is no error code", "3 characters, such as F02")
    triggered_by = packet.triggered_by.encode("ascii", "replace")
    if triggered_by and address_of(triggered_by) is None:
        raise BadInput("triggered_by", f"{packet.triggered_by[:80]!r} is no ILP address")
    message = packet.message.encode("utf-8", "replace")
    if len(message) > MAX_MESSAGE_BYTES:
        message = message[:MAX_MESSAGE_BYTES].decode("utf-8", "ignore").encode()
    content = b"".join((packet.code.encode(), var_octets(triggered_by), var_octets(message), _data(packet.data)))
    return b"\x0e" + length_prefix(len(content)) + content


def decode(raw: bytes | memoryview) -> Packet:
    """The packet that bytes hold. Bytes after it are ignored, as RFC 30 asks.

    Raises:
        BadPacket: no ILPv4 packet, cut off, not canonical, or a field out of its bounds.
    """
    return decode_prepare(raw) if len(raw) and raw[0] == PREPARE else decode_reply(raw)


def decode_prepare(raw: bytes | memoryview) -> Prepare:
    """The Prepare that bytes hold. Raises as `decode`."""
    raw = bytes(raw)
    start, end = _envelope(raw, PREPARE)
    if end - start < _FIXED.size:
        raise BadPacket("prepare", "ends inside its fixed fields")
    amount, expires_at, condition = _FIXED.unpack_from(raw, start)
    text, position = _octets(raw, start + _FIXED.size, end, "destination")
    destination = address_of(text)
    if destination is None:
        raise BadPacket("destination", "no ILP address")
    data, _ = _octets(raw, position, end, "data")
    if len(data) > MAX_DATA_BYTES:
        raise BadPacket("data", f"{len(data)} bytes, of at most {MAX_DATA_BYTES}")
    return Prepare(Units(amount), parse_interledger_time(expires_at), Condition(condition), destination, data)


def decode_reply(raw: bytes | memoryview) -> Reply:
    """The Fulfill or Reject that bytes hold. Raises as `decode`."""
    raw = bytes(raw)
    if raw[:1] == b"\x0e":
        return _decode_reject(raw)
    start, end = _envelope(raw, FULFILL)
    if end - start < 32:
        raise BadPacket("fulfillment", "not 32 bytes")
    data, _ = _octets(raw, start + 32, end, "data")
    if len(data) > MAX_DATA_BYTES:
        raise BadPacket("data", f"{len(data)} bytes, of at most {MAX_DATA_BYTES}")
    return Fulfill(Preimage(raw[start : start + 32]), data)


def forwarded(raw: bytes, amount: Units, expires_at: UnixMs) -> bytes:
    """A Prepare that was decoded before, with another amount and expiry: all that a connector may change.

    Raises:
        BadPacket: not a Prepare.
        BadInput: the amount or the time is outside what a packet can carry.
    """
    if not 0 <= amount <= MAX_UNITS:
        raise BadInput("amount", f"{amount} is not between 0 and 2^64−1")
    start, end = _envelope(raw, PREPARE)
    fixed = amount.to_bytes(8, "big") + interledger_time(expires_at)
    return raw[:start] + fixed + raw[start + len(fixed) : end]


def rejection(error: IlpReject, triggered_by: Address | str) -> Reject:
    """The Reject packet that answers with this error. `triggered_by`: our own address, empty where we have none."""
    return Reject(error.code.value, triggered_by, error.message, error.data)


def _decode_reject(raw: bytes) -> Reject:
    start, end = _envelope(raw, REJECT)
    code = raw[start : start + 3].decode("ascii", "replace")
    if end - start < 3 or not _CODE.fullmatch(code):
        raise BadPacket("code", "not 3 printable characters")
    text, position = _octets(raw, start + 3, end, "triggered_by")
    triggered_by = address_of(text) if text else ""
    if triggered_by is None:
        raise BadPacket("triggered_by", "no ILP address")
    message, position = _octets(raw, position, end, "message")
    if len(message) > MAX_MESSAGE_BYTES:
        raise BadPacket("message", f"{len(message)} bytes, of at most {MAX_MESSAGE_BYTES}")
    data, _ = _octets(raw, position, end, "data")
    if len(data) > MAX_DATA_BYTES:
        raise BadPacket("data", f"{len(data)} bytes, of at most {MAX_DATA_BYTES}")
    return Reject(code, triggered_by, message.decode("utf-8", "replace"), data)


def _envelope(raw: bytes, kind: int) -> tuple[int, int]:
    """Where the content of a packet of this kind starts and ends."""
    if not raw or raw[0] != kind:
        raise BadPacket("type", f"{raw[0] if raw else 'nothing'} where {kind} belongs")
    length, start = read_length(raw, 1)
    end = start + length
    if end > len(raw):
        raise BadPacket("length", f"{length} bytes are announced, {len(raw) - start} are there")
    return start, end


def _octets(raw: bytes, position: int, end: int, field: str) -> tuple[bytes, int]:
    """The octet string at `position`, which lies before `end`, and the position after it."""
    if position >= end:
        raise BadPacket(field, "missing")
    length = raw[position]
    if length < 0x80:
        position += 1
    else:
        length, position = read_length(raw, position)
    after = position + length
    if after > end:
        raise BadPacket(field, f"{length} bytes are announced, {max(0, end - position)} are there")
    return raw[position:after], after


def _hash(field: str, content: bytes) -> bytes:
    if len(content) != 32:
        raise BadInput(field, f"{len(content)} bytes, not 32")
    return content


def _data(content: bytes) -> bytes:
    if len(content) > MAX_DATA_BYTES:
        raise BadInput("data", f"{len(content)} bytes, of at most {MAX_DATA_BYTES}")
    return var_octets(content)
