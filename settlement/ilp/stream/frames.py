"""STREAM's frames: what one endpoint tells the other inside a packet. Source: RFC 29, 5.3; asn1/Stream.asn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final, TypeAlias

from settlement.ilp.addresses import Address, address_of
from settlement.ilp.errors import BadPacket
from settlement.ilp.oer import Reader, length_prefix, uint8, var_octets, var_uint


class ErrorCode(IntEnum):
    """Why a stream or a connection was closed (RFC 29, 5.4). A peer may send others: they are plain numbers."""

    NO_ERROR = 1
    INTERNAL_ERROR = 2
    ENDPOINT_BUSY = 3
    FLOW_CONTROL_ERROR = 4
    STREAM_ID_ERROR = 5
    STREAM_STATE_ERROR = 6
    FRAME_FORMAT_ERROR = 7
    PROTOCOL_VIOLATION = 8
    APPLICATION_ERROR = 9


@dataclass(frozen=True, slots=True)
class ConnectionClose:
    """The connection ends. Fields: error_code (`ErrorCode`, 0 to 255); error_message (for people)."""

    TYPE: ClassVar[int] = 0x01
    LAYOUT: ClassVar[str] = "bs"
    error_code: int
    error_message: str


@dataclass(frozen=True, slots=True)
class ConnectionNewAddress:
    """Where the sender of this frame can be reached. Fields: source_address."""

    TYPE: ClassVar[int] = 0x02
    LAYOUT: ClassVar[str] = "a"
    source_address: Address


@dataclass(frozen=True, slots=True)
class ConnectionMaxData:
    """How many bytes may be sent over all streams. Fields: max_offset (bytes since the beginning)."""

    TYPE: ClassVar[int] = 0x03
    LAYOUT: ClassVar[str] = "v"
    max_offset: int


@dataclass(frozen=True, slots=True)
class ConnectionDataBlocked:
    """More bytes wait than the connection may send. Fields: max_offset (what it would reach)."""

    TYPE: ClassVar[int] = 0x04
    LAYOUT: ClassVar[str] = "v"
    max_offset: int


@dataclass(frozen=True, slots=True)
class ConnectionMaxStreamId:
    """The highest stream that may be opened. Fields: max_stream_id."""

    TYPE: ClassVar[int] = 0x05
    LAYOUT: ClassVar[str] = "v"
    max_stream_id: int


@dataclass(frozen=True, slots=True)
class ConnectionStreamIdBlocked:
    """More streams are wanted than may be opened. Fields: max_stream_id (the wanted one)."""

    TYPE: ClassVar[int] = 0x06
    LAYOUT: ClassVar[str] = "v"
    max_stream_id: int


@dataclass(frozen=True, slots=True)
class ConnectionAssetDetails:
    """What the sender of this frame counts in. Never changes in a connection. Fields: asset_code; asset_scale."""

    TYPE: ClassVar[int] = 0x07
    LAYOUT: ClassVar[str] = "sb"
    asset_code: str
    asset_scale: int


@dataclass(frozen=True, slots=True)
class StreamClose:
    """A stream ends. Fields: stream_id; error_code (`ErrorCode`, 0 to 255); error_message (for people)."""

    TYPE: ClassVar[int] = 0x10
    LAYOUT: ClassVar[str] = "vbs"
    stream_id: int
    error_code: int
    error_message: str


@dataclass(frozen=True, slots=True)
class StreamMoney:
    """A part of the Prepare's amount belongs to this stream. Fields: stream_id; shares (of all in the packet)."""

    TYPE: ClassVar[int] = 0x11
    LAYOUT: ClassVar[str] = "vv"
    stream_id: int
    shares: int


@dataclass(frozen=True, slots=True)
class StreamMaxMoney:
    """What a stream may receive. Fields, in base units of who sends it: stream_id; receive_max; total_received."""

    TYPE: ClassVar[int] = 0x12
    LAYOUT: ClassVar[str] = "vmv"
    stream_id: int
    receive_max: int
    total_received: int


@dataclass(frozen=True, slots=True)
class StreamMoneyBlocked:
    """More money waits than may be sent. Fields, in base units of who sends it: stream_id; send_max; total_sent."""

    TYPE: ClassVar[int] = 0x13
    LAYOUT: ClassVar[str] = "vmv"
    stream_id: int
    send_max: int
    total_sent: int


@dataclass(frozen=True, slots=True)
class StreamData:
    """Bytes of a stream. Fields: stream_id; offset (of the first byte in the stream); data."""

    TYPE: ClassVar[int] = 0x14
    LAYOUT: ClassVar[str] = "vvo"
    stream_id: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamMaxData:
    """How many bytes a stream may send. Fields: stream_id; max_offset (bytes since the beginning)."""

    TYPE: ClassVar[int] = 0x15
    LAYOUT: ClassVar[str] = "vv"
    stream_id: int
    max_offset: int


@dataclass(frozen=True, slots=True)
class StreamDataBlocked:
    """More bytes wait than the stream may send. Fields: stream_id; max_offset (what it would reach)."""

    TYPE: ClassVar[int] = 0x16
    LAYOUT: ClassVar[str] = "vv"
    stream_id: int
    max_offset: int


@dataclass(frozen=True, slots=True)
class StreamReceipt:
    """The receiver's proof of what a stream received (RFC 39). Fields: stream_id; receipt (opaque to the sender)."""

    TYPE: ClassVar[int] = 0x17
    LAYOUT: ClassVar[str] = "vo"
    stream_id: int
    receipt: bytes


Frame: TypeAlias = (
    ConnectionClose
    | ConnectionNewAddress
    | ConnectionMaxData
    | ConnectionDataBlocked
    | ConnectionMaxStreamId
    | ConnectionStreamIdBlocked
    | ConnectionAssetDetails
    | StreamClose
    | StreamMoney
    | StreamMaxMoney
    | StreamMoneyBlocked
    | StreamData
    | StreamMaxData
    | StreamDataBlocked
    | StreamReceipt
)


def encode_frame(frame: Frame) -> bytes:
    """The frame's type, length and contents."""
    write = _WRITERS[frame.TYPE]
    content = b"".join([put(getattr(frame, name)) for name, put in write])
    return _TYPES[frame.TYPE] + length_prefix(len(content)) + content


def decode_frame(kind: int, content: bytes) -> Frame | None:
    """The frame of a type and its contents, None where the type is unknown. Bytes after its last field are ignored.

    Raises:
        BadPacket: the contents are not what the type asks for.
    """
    known = _READERS.get(kind)
    if known is None:
        return None
    build, fields = known
    reader = Reader(content)
    return build(*[take(reader) for take in fields])


def _text(reader: Reader) -> str:
    try:
        return reader.var_octets().decode()
    except UnicodeDecodeError as wrong:
        raise BadPacket("frame", "text is no UTF-8") from wrong


def _address(reader: Reader) -> Address:
    address = address_of(reader.var_octets())
    if address is None:
        raise BadPacket("frame.source_address", "no ILP address")
    return address


def _octets_of_text(text: str) -> bytes:
    return var_octets(text.encode())


_PUT: Final[Mapping[str, Callable[[Any], bytes]]] = {
    "v": var_uint,
    "m": var_uint,
    "b": uint8,
    "s": _octets_of_text,
    "a": _octets_of_text,
    "o": var_octets,
}
_TAKE: Final[Mapping[str, Callable[[Reader], Any]]] = {
    "v": Reader.var_uint,
    "m": Reader.saturating_var_uint,
    "b": Reader.uint8,
    "s": _text,
    "a": _address,
    "o": Reader.var_octets,
}
_FRAMES: Final[tuple[type[Any], ...]] = (
    ConnectionClose,
    ConnectionNewAddress,
    ConnectionMaxData,
    ConnectionDataBlocked,
    ConnectionMaxStreamId,
    ConnectionStreamIdBlocked,
    ConnectionAssetDetails,
    StreamClose,
    StreamMoney,
    StreamMaxMoney,
    StreamMoneyBlocked,
    StreamData,
    StreamMaxData,
    StreamDataBlocked,
    StreamReceipt,
)
_TYPES: Final = {frame.TYPE: bytes([frame.TYPE]) for frame in _FRAMES}
_WRITERS: Final = {
    frame.TYPE: tuple((name, _PUT[kind]) for name, kind in zip(frame.__slots__, frame.LAYOUT, strict=True))
    for frame in _FRAMES
}
_READERS: Final[Mapping[int, tuple[Callable[..., Frame], tuple[Callable[[Reader], Any], ...]]]] = {
    frame.TYPE: (frame, tuple(_TAKE[kind] for kind in frame.LAYOUT)) for frame in _FRAMES
}
