"""BTP 2.0 packets: what they hold, and their bytes. Source: RFC 23 (draft 8), asn1/BilateralTransferProtocol.asn.

Two ways lead through this module. `encode` and `decode` know every packet. `ilp_head` and `ilp_payload` know the one
shape that nearly all of a connector's traffic has, a single `ilp` entry, and build no objects for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeAlias

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ilp.errors import BadPacket
from settlement.ilp.oer import Reader, length_prefix, uint32, uint64, var_octets, var_uint
from settlement.quantities import MAX_UNITS, Units

RESPONSE: Final = 1
ERROR: Final = 2
MESSAGE: Final = 6
TRANSFER: Final = 7

OCTETS: Final = 0
"""Content type application/octet-stream."""
TEXT: Final = 1
"""Content type text/plain, UTF-8."""
JSON: Final = 2
"""Content type application/json."""

MAX_ERROR_DATA_BYTES: Final = 8192
MAX_ENTRIES: Final = 64
"""More sub-protocols than that, in one packet, are refused: none of the protocols in use needs more than a few."""

MAX_REQUEST_ID: Final = 2**32 - 1

_ILP_ENTRY: Final = b"\x01\x01\x03ilp\x00"
"""One sub-protocol; its name; its content type."""
_SHORT: Final = 0x80
_CODE = re.compile(r"[!-~]{3}", re.ASCII)
_TIME = re.compile(r"(\d{14})(?:\.(\d{1,9}))?Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One sub-protocol's data. Fields: name (ASCII); data; content_type (`OCTETS`, `TEXT`, `JSON` or another byte)."""

    name: str
    data: bytes
    content_type: int = OCTETS

    @classmethod
    def text(cls, name: str, text: str) -> Entry:
        """A UTF-8 entry."""
        return cls(name, text.encode(), TEXT)


Entries: TypeAlias = tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A request. Fields: request_id (0 to 2^32−1); entries (the first one says what is asked)."""

    request_id: int
    entries: Entries = ()


@dataclass(frozen=True, slots=True)
class Transfer:
    """A request that carries proof of a settlement. Fields: as `Message`; amount (in a unit agreed out of band)."""

    request_id: int
    amount: Units
    entries: Entries = ()


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request that was taken. Fields: as `Message`."""

    request_id: int
    entries: Entries = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """BTP's `Error`: the answer to a request that was not taken.

    Fields: request_id; code (3 characters) and name (RFC 23, Error Codes); triggered_at; data (at most 8,192 bytes, for
    people); entries.
    """

    request_id: int
    code: str
    name: str
    triggered_at: UnixMs
    data: bytes = b""
    entries: Entries = ()


Packet: TypeAlias = Message | Transfer | Response | Failure
Answer: TypeAlias = Response | Failure

UNREACHABLE: Final = ("T00", "UnreachableError")
"""Code and name: cannot be processed at the moment."""
NOT_ACCEPTED: Final = ("F00", "NotAcceptedError")
"""Code and name: semantically invalid, such as a wrong token."""
INVALID_FIELDS: Final = ("F01", "InvalidFieldsError")
"""Code and name: a field is structurally invalid."""


def failure(request_id: int, kind: tuple[str, str], reason: str, now: UnixMs) -> Failure:
    """An `Error` with a reason for people. Args: kind: code and name, such as `NOT_ACCEPTED`."""
    return Failure(request_id, *kind, now, reason.encode()[:MAX_ERROR_DATA_BYTES])


def encode(packet: Packet) -> bytes:
    """A packet's bytes.

    Raises:
        BadInput: a field is outside its range, or a name is not ASCII.
    """
    if not 0 <= packet.request_id <= MAX_REQUEST_ID:
        raise BadInput("request_id", f"{packet.request_id} is not between 0 and 2^32−1")
    match packet:
        case Message():
            kind, content = MESSAGE, b""
        case Response():
            kind, content = RESPONSE, b""
        case Transfer():
            if not 0 <= packet.amount <= MAX_UNITS:
                raise BadInput("amount", f"{packet.amount} is not between 0 and 2^64−1")
            kind, content = TRANSFER, uint64(packet.amount)
        case Failure():
            kind, content = ERROR, _encode_failure(packet)
    return bytes([kind]) + uint32(packet.request_id) + var_octets(content + _encode_entries(packet.entries))


def decode(raw: bytes) -> Packet:
    """The packet that bytes hold. Bytes after it are ignored (RFC 30).

    Raises:
        BadPacket: cut off, of an unknown type, with two entries of one name or with more than `MAX_ENTRIES`.
    """
    envelope = Reader(raw)
    kind, request_id = envelope.uint8(), envelope.uint32()
    content = Reader(envelope.var_octets())
    if kind == MESSAGE:
        return Message(request_id, _decode_entries(content))
    if kind == RESPONSE:
        return Response(request_id, _decode_entries(content))
    if kind == TRANSFER:
        return Transfer(request_id, Units(content.uint64()), _decode_entries(content))
    if kind == ERROR:
        return _decode_failure(request_id, content)
    raise BadPacket("type", f"{kind} is none of BTP 2.0")


def ilp_head(length: int) -> bytes:
    """What stands between the request id and an ILP packet of `length` bytes, its only entry."""
    return _ilp_head(length)


@lru_cache(maxsize=4096)
def _ilp_head(length: int) -> bytes:
    entry = _ILP_ENTRY + length_prefix(length)
    return length_prefix(len(entry) + length) + entry


def ilp_payload(raw: bytes) -> bytes | None:
    """The ILP packet of a Message or Response whose only entry it is; None for any other shape: `decode` it then.

    The result is checked as `decode` would: None is also the answer for bytes that are cut off.
    """
    try:
        start = 6 if raw[5] < _SHORT else 6 + (raw[5] & 0x7F)
        content = raw[5] if start == 6 else int.from_bytes(raw[6:start], "big")
        if raw[start : start + 7] != _ILP_ENTRY:
            return None
        first = raw[start + 7]
        data = start + 8 if first < _SHORT else start + 8 + (first & 0x7F)
        length = first if first < _SHORT else int.from_bytes(raw[start + 8 : data], "big")
    except IndexError:
        return None
    # The framing is rebuilt from the lengths: equal bytes prove them canonical, and that the two agree.
    if data + length > len(raw) or start + content != data + length or raw[5:data] != _ilp_head(length):
        return None
    return raw[data : data + length]


def _encode_entries(entries: Entries) -> bytes:
    if len(entries) > MAX_ENTRIES:
        raise BadInput("protocol_data", f"{len(entries)} entries, of at most {MAX_ENTRIES}")
    return var_uint(len(entries)) + b"".join(_encode_entry(entry) for entry in entries)


def _encode_entry(entry: Entry) -> bytes:
    if not entry.name.isascii() or not 0 <= entry.content_type <= 255:
        raise BadInput("protocol_data", f"{entry.name!r} is not ASCII, or {entry.content_type} no byte")
    return var_octets(entry.name.encode()) + bytes([entry.content_type]) + var_octets(entry.data)


def _decode_entries(content: Reader) -> Entries:
    count = content.var_uint()
    if count > MAX_ENTRIES:
        raise BadPacket("protocol_data", f"{count} entries, of at most {MAX_ENTRIES}")
    entries = tuple(_decode_entry(content) for _ in range(count))
    _check_names(entry.name for entry in entries)
    return entries


def _decode_entry(content: Reader) -> Entry:
    name = _ascii("protocol_name", content.var_octets())
    content_type = content.uint8()
    return Entry(name, content.var_octets(), content_type)


def _check_names(names: Iterable[str]) -> None:
    seen = set[str]()
    for name in names:
        if name in seen:
            raise BadPacket("protocol_data", f"two entries are named {name[:40]!r}")
        seen.add(name)


def _encode_failure(packet: Failure) -> bytes:
    if not _CODE.fullmatch(packet.code) or not packet.name.isascii():
        raise BadInput("error", f"{packet.code[:8]!r} is no code, or {packet.name[:40]!r} not ASCII")
    if len(packet.data) > MAX_ERROR_DATA_BYTES:
        raise BadInput("error.data", f"{len(packet.data)} bytes, of at most {MAX_ERROR_DATA_BYTES}")
    at = datetime.fromtimestamp(packet.triggered_at // 1000, UTC)
    time = f"{at:%Y%m%d%H%M%S}.{packet.triggered_at % 1000:03d}Z"
    return packet.code.encode() + b"".join(
        var_octets(field) for field in (packet.name.encode(), time.encode(), packet.data)
    )


def _decode_failure(request_id: int, content: Reader) -> Failure:
    code = _ascii("error.code", content.octets(3))
    name = _ascii("error.name", content.var_octets())
    at = _moment(_ascii("error.triggered_at", content.var_octets()))
    data = content.var_octets()
    if len(data) > MAX_ERROR_DATA_BYTES:
        raise BadPacket("error.data", f"{len(data)} bytes, of at most {MAX_ERROR_DATA_BYTES}")
    return Failure(request_id, code, name, at, data, _decode_entries(content))


def _moment(text: str) -> UnixMs:
    match = _TIME.fullmatch(text)
    if match is None:
        raise BadPacket("error.triggered_at", "no generalized time in UTC")
    try:
        at = datetime.strptime(match.group(1), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as wrong:
        raise BadPacket("error.triggered_at", "no moment of the calendar") from wrong
    return UnixMs(int(at.timestamp()) * 1000 + int((match.group(2) or "0").ljust(3, "0")[:3]))


def _ascii(field: str, raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError as wrong:
        raise BadPacket(field, "not ASCII") from wrong
