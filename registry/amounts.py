"""Amounts as people write them, to and from base units. Integers and text only: a float never holds money."""

from __future__ import annotations

import re
from typing import Final

from foundation.errors import BadInput

MAX_DECIMALS: Final = 77
"""10**77 is the highest power of ten in a uint256."""
_AMOUNT: Final = re.compile(r"(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]+))?", re.ASCII)
_MAX_UNITS: Final = 2**256 - 1


def parse_amount(text: str, decimals: int, field: str = "amount") -> int:
    """Base units of an amount like `0.5` or `1250.75`, for an asset with `decimals` decimals.

    Commas are refused: `1,250` means different amounts in different countries.

    Raises:
        BadInput: not a plain decimal number without a sign, more decimals than the asset has, or too large for a
            uint256.
    """
    _check_decimals(decimals)
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise BadInput(field, f"{text!r} is not an amount", "write digits and a point, like 0.5")
    part = match["part"] or ""
    if len(part) > decimals:
        raise BadInput(field, f"{text!r} has {len(part)} decimals", f"at most {decimals}")
    digits = match["whole"] + part.ljust(decimals, "0")
    # Bounded before the conversion: int() of a huge text is slow, and refused beyond 4,300 digits.
    if len(digits.lstrip("0")) > len(str(_MAX_UNITS)) or int(digits) > _MAX_UNITS:
        raise BadInput(field, "is too large", "at most 2**256 - 1 base units")
    return int(digits)


def format_amount(units: int, decimals: int, *, symbol: str = "") -> str:
    """An amount of base units as text, without needless zeros: `0.5`, `1250.75 BTC`. `units` may be negative."""
    _check_decimals(decimals)
    whole, part = divmod(abs(units), 10**decimals)
    text = f"{'-' if units < 0 else ''}{whole}"
    if part:
        text += "." + str(part).rjust(decimals, "0").rstrip("0")
    return f"{text} {symbol}" if symbol else text


def _check_decimals(decimals: int) -> None:
    if not 0 <= decimals <= MAX_DECIMALS:
        raise BadInput("decimals", f"{decimals} is not possible", f"0 to {MAX_DECIMALS}")
