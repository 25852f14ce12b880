"""Amounts as settlement engines exchange them, in any scale, converted without losing or making a unit.

Source: RFC 38 (draft 3), "Units and quantities" and "Scale conversions".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from foundation.errors import BadInput
from foundation.unreadable import UNREADABLE

SCALE_MAX: Final = 255
_DIGITS_MAX: Final = 400
"""2^64−1 at scale 0, written at scale 255, has 275 digits. More would cost time and mean nothing."""
_AMOUNT = re.compile(r"(?:0|[1-9][0-9]*)", re.ASCII)


class _Json(msgspec.Struct):
    amount: str
    scale: int


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount in units of 10^−scale of the asset's standard unit. Fields: amount (not negative); scale (0 to 255)."""

    amount: int
    scale: int

    def __post_init__(self) -> None:
        """Raises `BadInput`."""
        if self.amount < 0:
            raise BadInput("amount", f"{self.amount} is negative", "0 or more")
        if not 0 <= self.scale <= SCALE_MAX:
            raise BadInput("scale", f"{self.scale} is no scale", "0 to 255")

    @classmethod
    def parse(cls, body: bytes) -> Quantity:
        """A request's body.

        Raises:
            BadInput: no JSON object with the amount as decimal text and the scale as a number.
        """
        try:
            found = msgspec.json.decode(body, type=_Json)
        except UNREADABLE as error:
            raise BadInput("quantity", str(error), '{"amount": "254", "scale": 2}') from error
        if len(found.amount) > _DIGITS_MAX or not _AMOUNT.fullmatch(found.amount):
            raise BadInput("amount", f"{found.amount[:80]!r} is no whole number", "decimal digits, as text")
        return cls(int(found.amount), found.scale)

    def json(self) -> bytes:
        """As a request's body."""
        return msgspec.json.encode(_Json(str(self.amount), self.scale))


NOTHING: Final = Quantity(0, 0)


def carry(left_over: Quantity, more: Quantity, scale: int) -> tuple[int, Quantity]:
    """Whole units at `scale` of two quantities together, and what is finer than that, to be kept for the next time.

    Nothing is rounded: the units and the new left-over are together worth exactly what came in.
    """
    finest = max(left_over.scale, more.scale, scale)
    total = sum(part.amount * 10 ** (finest - part.scale) for part in (left_over, more))
    units, rest = divmod(total, 10 ** (finest - scale))
    return units, normal(Quantity(rest, finest))


def normal(quantity: Quantity) -> Quantity:
    """The same amount at the smallest scale that holds it."""
    amount, scale = quantity.amount, quantity.scale
    if not amount:
        return NOTHING
    while scale and amount % 10 == 0:
        amount, scale = amount // 10, scale - 1
    return Quantity(amount, scale)
