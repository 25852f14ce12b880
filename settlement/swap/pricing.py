"""What a maker that answers by itself asks for: a rate, a spread in its favour, and limits. Pure, integers only."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from foundation.errors import BadInput
from foundation.quantities import Satoshi, TokenUnits

SATOSHI_IN_BITCOIN: Final = 100_000_000
BASIS_POINTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class MakerLimits:
    """What a maker is ready for.

    Fields: least, most (satoshi in one swap); spread_bp (hundredths of a per cent, in the maker's favour); at_once
    (swaps that may be open together); valid_seconds (how long an answer holds); slack_bp (how far the price may move
    against the maker before an answer that still holds is refused).
    """

    least: Satoshi
    most: Satoshi
    spread_bp: int = 50
    at_once: int = 4
    valid_seconds: int = 60
    slack_bp: int = 100

    def __post_init__(self) -> None:
        """Raises `BadInput` naming the field."""
        if not 0 < self.least <= self.most:
            raise BadInput("--most", f"{self.most} satoshi is not above the least of {self.least}", "a larger amount")
        if not 0 <= self.spread_bp < BASIS_POINTS:
            raise BadInput("--spread", f"{self.spread_bp} basis points", "0 to 99.99 per cent")
        if self.at_once < 1:
            raise BadInput("--at-once", str(self.at_once), "at least 1")

    def check_amount(self, satoshi: Satoshi) -> None:
        """Raises `BadInput`: too little, or too much."""
        if not self.least <= satoshi <= self.most:
            problem = f"is {satoshi:,} satoshi of bitcoin"
            raise BadInput("amount", problem, f"{self.least:,} to {self.most:,} satoshi")


def amount_for(
    satoshi: Satoshi, price: Fraction, decimals: int, spread_bp: int, *, maker_gives_bitcoin: bool
) -> TokenUnits:
    """Base units of the EVM asset for an amount of bitcoin, rounded in the maker's favour.

    Args:
        satoshi: of the bitcoin leg.
        price: whole units of the EVM asset for one bitcoin.
        decimals: the asset's.
        spread_bp: in the maker's favour.
        maker_gives_bitcoin: then it asks for more, else it gives less.

    Raises:
        BadInput: nothing is left.
    """
    exact = price * satoshi * 10**decimals / SATOSHI_IN_BITCOIN
    if maker_gives_bitcoin:
        units = -(-exact * (BASIS_POINTS + spread_bp) // BASIS_POINTS)
    else:
        units = exact * (BASIS_POINTS - spread_bp) // BASIS_POINTS
    if units <= 0:
        raise BadInput("amount", "is worth nothing at this price", "a larger amount")
    return TokenUnits(int(units))


def bitcoin_for(
    units: TokenUnits, price: Fraction, decimals: int, spread_bp: int, *, maker_gives_bitcoin: bool
) -> Satoshi:
    """Satoshi for an amount of the EVM asset, rounded in the maker's favour. Arguments and errors as `amount_for`."""
    exact = Fraction(units, 10**decimals) * SATOSHI_IN_BITCOIN / price
    if maker_gives_bitcoin:
        satoshi = exact * BASIS_POINTS // (BASIS_POINTS + spread_bp)
    else:
        satoshi = -(-exact * BASIS_POINTS // (BASIS_POINTS - spread_bp))
    if satoshi <= 0:
        raise BadInput("amount", "is worth nothing at this price", "a larger amount")
    return Satoshi(int(satoshi))


def is_still_good(
    satoshi: Satoshi, amount: TokenUnits, price: Fraction, decimals: int, slack_bp: int, *, maker_gives_bitcoin: bool
) -> bool:
    """Whether an answer that was given is no worse for the maker than the price now, but for the slack."""
    fair = price * satoshi * 10**decimals / SATOSHI_IN_BITCOIN
    if maker_gives_bitcoin:
        return bool(amount * BASIS_POINTS >= fair * (BASIS_POINTS - slack_bp))
    return bool(amount * BASIS_POINTS <= fair * (BASIS_POINTS + slack_bp))
