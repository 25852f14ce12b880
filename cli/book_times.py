"""Moments on command lines: read as ISO 8601, shown in UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

from foundation.errors import BadInput
from foundation.quantities import UnixMs

EARLIEST: Final = UnixMs(0)
LATEST: Final = UnixMs(253_402_300_799_999)
"""The last millisecond that ISO 8601's four digits of a year can write."""


def now() -> UnixMs:
    """Milliseconds since 1970, as this machine has them."""
    return UnixMs(time.time_ns() // 1_000_000)


def moment(text: str | None, option: str, usual: UnixMs) -> UnixMs:
    """A day or a time such as `2026-11-21` or `2026-11-21T15:00:00+01:00`; without a zone it is in UTC.

    Raises:
        BadInput: it is none, or is before 1970.
    """
    if text is None:
        return usual
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadInput(option, f"{text[:40]!r} is no time", "such as 2026-11-21 or 2026-11-21T15:00:00Z") from None
    elapsed = (read if read.tzinfo else read.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = elapsed.days * 86_400_000 + elapsed.seconds * 1000 + elapsed.microseconds // 1000
    if milliseconds < 0:
        raise BadInput(option, f"{text[:40]!r} is before 1970", "name a later day")
    return UnixMs(milliseconds)


def shown(at: int | None, *, finely: bool = False) -> str:
    """A moment in UTC, to the second or finely to the millisecond; a dash for None."""
    if at is None:
        return "–"
    text = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{at % 1000:03d}Z" if finely else f"{text}Z"


def iso(at: int | None) -> Any:
    """A moment for JSON, ISO 8601 in UTC with milliseconds; None stays None."""
    return None if at is None else shown(at, finely=True).replace(" ", "T")
