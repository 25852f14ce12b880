"""The forms that bodies and answers share. Amounts are decimal strings in whole units of a currency, never numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from foundation.errors import BadInput
from foundation.quantities import UnixMs

AMOUNT = r"^(0|[1-9][0-9]{0,77})(\.[0-9]{1,255})?$"
Amount = Annotated[
    str,
    StringConstraints(strict=True, pattern=AMOUNT, max_length=340),
    Field(description="A decimal number in whole units, as a string", examples=["2000.00"]),
]
Currency = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9._-]{1,20}$"), Field(examples=["EUR"])]
Party = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"),
    Field(description="A party's short name", examples=["bank-b"]),
]
LedgerName = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9._-]{1,128}$"), Field(examples=["digital-euro"])
]
AccountName = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[\x20-\x7e]{1,128}$", strip_whitespace=True, min_length=1),
    Field(description="A customer's account at its bank", examples=["DE02120300000000202051"]),
]
HexId = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{64}$"), Field(description="32 bytes, hex", examples=["5f" * 32])
]
Country = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Z]{2}$"), Field(examples=["SG"])]
Text = Annotated[str, StringConstraints(strict=True, max_length=140, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Model(BaseModel):
    """Unknown fields are refused: a misspelt limit must not pass for no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def time_text(at: UnixMs) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str, field: str) -> UnixMs:
    """A time of RFC 3339, with its zone.

    Raises:
        BadInput: it is none, or lies before 1970.
    """
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError
        milliseconds = round(found.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadInput(field, "it is no time with a zone", "RFC 3339, such as 2026-11-21T15:00:00Z") from None
    if milliseconds < 0:
        raise BadInput(field, "it is before 1970", "a later time")
    return UnixMs(milliseconds)
