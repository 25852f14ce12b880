"""Interledger time: 17 digits, YYYYMMDDHHmmSSfff in UTC. Source: RFC 30, fixed-length timestamps.

Connectors read and write one for each packet, and most fall into the same few seconds: these are remembered.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ilp.errors import BadPacket

TIME_BYTES: Final = 17
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLIS: Final = tuple(b"%03d" % number for number in range(1000))
_OF_MILLIS: Final = {text: number for number, text in enumerate(_MILLIS)}


def interledger_time(at: UnixMs) -> bytes:
    """The 17 bytes of a moment.

    Raises:
        BadInput: outside the years 1 to 9999.
    """
    return _second(at // 1000) + _MILLIS[at % 1000]


def parse_interledger_time(raw: bytes) -> UnixMs:
    """The moment that 17 bytes name.

    Raises:
        BadPacket: not 17 digits, or no moment of the calendar (month 13, hour 24, an unsmeared leap second).
    """
    millis = _OF_MILLIS.get(raw[14:])
    if millis is None:
        raise BadPacket("expires_at", "not 17 digits")
    return UnixMs(_seconds(raw[:14]) + millis)


@lru_cache(maxsize=1024)
def _second(seconds: int) -> bytes:
    try:
        at = _EPOCH + timedelta(seconds=seconds)
    except OverflowError as overflow:
        raise BadInput("expires_at", f"{seconds} s since 1970 is outside the years 1 to 9999") from overflow
    return b"%04d%02d%02d%02d%02d%02d" % (at.year, at.month, at.day, at.hour, at.minute, at.second)


@lru_cache(maxsize=1024)
def _seconds(raw: bytes) -> int:
    """Milliseconds since 1970 at the start of the second that 14 digits name."""
    if len(raw) != 14 or not raw.isdigit():
        raise BadPacket("expires_at", "not 17 digits")
    year, rest = int(raw[:4]), [int(raw[start : start + 2]) for start in range(4, 14, 2)]
    month, day, hour, minute, second = rest
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as wrong:
        raise BadPacket("expires_at", f"{raw.decode()} is no moment of the calendar") from wrong
    return int((at - _EPOCH).total_seconds()) * 1000
