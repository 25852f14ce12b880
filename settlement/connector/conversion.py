"""Exact conversion between the assets of two accounts: integers only, rounded so that no value comes into being.

What is forwarded is rounded down, what is asked for is rounded up, and the fraction itself is never rounded: scales,
spread and rate are multiplied into one fraction. So whoever converts back and forth at reciprocal rates never gains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import gcd
from typing import Final

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.quantities import MAX_UNITS, Asset

BASIS_POINTS: Final = 10_000
_DECIMAL = re.compile(r"([0-9]{1,40})(?:\.([0-9]{1,40}))?", re.ASCII)
NEVER: Final = UnixMs(2**62)
"""The expiry of a rate that holds for good: that of an asset to itself, or one an operator set without a limit."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one whole unit of the source asset is worth in whole units of the destination asset.

    Fields: numerator, denominator (both positive); expires_at (from then on it must not be used).

    Raises:
        BadInput: not positive.
    """

    numerator: int
    denominator: int
    expires_at: UnixMs = NEVER

    def __post_init__(self) -> None:
        if self.numerator <= 0 or self.denominator <= 0:
            raise BadInput("rate", f"{self.numerator}/{self.denominator} is not above zero", "such as 1.0843")

    def over(self, other: Rate) -> Rate:
        """This price divided by another in the same money: the rate between the two assets. Good while both are."""
        return Rate(
            self.numerator * other.denominator,
            self.denominator * other.numerator,
            min(self.expires_at, other.expires_at),
        )


PARITY: Final = Rate(1, 1)


def parse_rate(text: str, field: str = "rate", expires_at: UnixMs = NEVER) -> Rate:
    """A rate from a decimal number, exactly.

    Raises:
        BadInput: no plain decimal number of at most 40 digits on each side, or zero.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise BadInput(field, f"{text[:100]!r} is no rate", "write a plain decimal number, such as 1.0843")
    whole, fraction = match.group(1), match.group(2) or ""
    numerator, denominator = int(whole + fraction), 10 ** len(fraction)
    if numerator == 0:
        raise BadInput(field, "a rate of zero gives everything away", "such as 1.0843")
    return Rate(numerator, denominator, expires_at)


@dataclass(frozen=True, slots=True)
class Conversion:
    """Base units of one account into base units of another, after the spread and a fixed fee.

    Fields: numerator, denominator (destination base units for one source base unit, in lowest terms); fee (source base
    units, kept from each packet that carries money); expires_at (of the rate).
    """

    numerator: int
    denominator: int
    fee: int
    expires_at: UnixMs

    def deliver(self, amount: int) -> int:
        """What is forwarded for `amount` source base units, rounded down; it may exceed 2^64−1."""
        return (amount - self.fee) * self.numerator // self.denominator if amount > self.fee else 0

    def cost(self, amount: int) -> int:
        """The least source base units for which at least `amount` destination base units are forwarded; 0 for 0."""
        if amount == 0:
            return 0
        return -(-amount * self.denominator // self.numerator) + self.fee

    def most(self, amount: int) -> int:
        """The most source base units for which no more than `amount` destination base units are forwarded."""
        return ((amount + 1) * self.denominator - 1) // self.numerator + self.fee


def conversion(source: Asset, destination: Asset, rate: Rate, *, spread_bp: int = 0, fee: int = 0) -> Conversion:
    """How amounts of `source` become amounts of `destination`.

    Args:
        source: the asset and scale of the account that sends.
        destination: the asset and scale of the account that is paid.
        rate: whole units of destination for one of source.
        spread_bp: what we keep of each amount, in basis points (100 is 1 %), below 10,000.
        fee: what we keep of each packet that carries money, in source base units.

    Raises:
        BadInput: the spread or the fee is out of bounds.
    """
    if not 0 <= spread_bp < BASIS_POINTS:
        raise BadInput("spread_bp", f"{spread_bp} is not between 0 and 9,999", "100 is 1 %")
    if not 0 <= fee <= MAX_UNITS:
        raise BadInput("fee", f"{fee} is not between 0 and 2^64−1", "base units of the sending account")
    numerator = rate.numerator * 10**destination.scale * (BASIS_POINTS - spread_bp)
    denominator = rate.denominator * 10**source.scale * BASIS_POINTS
    divisor = gcd(numerator, denominator)
    return Conversion(numerator // divisor, denominator // divisor, fee, rate.expires_at)
