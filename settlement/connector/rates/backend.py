"""What a source of rates is, and how accounts get their conversion from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from foundation.quantities import UnixMs
from settlement.connector.accounts import Account
from settlement.connector.conversion import PARITY, Conversion, Rate, conversion, parse_rate


class RateBackend(Protocol):
    """Knows what assets are worth. Answers from memory; what fetches runs between `start` and `close`."""

    @property
    def version(self) -> int:
        """Grows with each change, so that whoever remembers a rate asks again."""

    def rate(self, source: str, destination: str) -> Rate | None:
        """Whole units of the asset `destination` for one of `source` (codes); None where it is not known."""

    async def start(self) -> None:
        """Fetch what is needed and keep it fresh.

        Raises:
            BadInput: what is configured can never work.
        """

    async def close(self) -> None:
        """Stop fetching."""

    def prices(self) -> Mapping[str, Rate]:
        """What each asset is worth in the backend's own money, for people."""


class Prices:
    """Prices of assets in one common money: the rate between two is the quotient, good while both are."""

    def __init__(self, prices: Mapping[str, Rate] | None = None) -> None:
        self._prices: dict[str, Rate] = dict(prices or {})
        self.version = 0

    def set(self, prices: Mapping[str, Rate]) -> None:
        """Replace all prices."""
        if prices != self._prices:
            self._prices = dict(prices)
            self.version += 1

    def update(self, asset: str, price: Rate) -> None:
        """Replace one price."""
        self.set({**self._prices, asset: price})

    def rate(self, source: str, destination: str) -> Rate | None:
        """See `RateBackend`."""
        given, taken = self._prices.get(source), self._prices.get(destination)
        return None if given is None or taken is None else given.over(taken)

    def all(self) -> Mapping[str, Rate]:
        """Each asset's price."""
        return dict(self._prices)


def parse_prices(prices: Mapping[str, str]) -> dict[str, Rate]:
    """Prices that an operator wrote. Raises `BadInput` naming the asset."""
    return {asset: parse_rate(text, f"rates.prices.{asset}") for asset, text in prices.items()}


class Priced:
    """What backends have in common that know prices."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices

    @property
    def version(self) -> int:
        """See `RateBackend`."""
        return self._prices.version

    def rate(self, source: str, destination: str) -> Rate | None:
        """See `RateBackend`."""
        return self._prices.rate(source, destination)

    def prices(self) -> Mapping[str, Rate]:
        """See `RateBackend`."""
        return self._prices.all()


class StaticRates(Priced):
    """Prices that the operator wrote into the configuration; they hold until it is changed."""

    def __init__(self, prices: Mapping[str, str]) -> None:
        """`prices`: decimal numbers by asset code, all in the same money. Raises `BadInput`."""
        super().__init__(Prices(parse_prices(prices)))

    async def start(self) -> None:
        """Nothing to fetch."""

    async def close(self) -> None:
        """Nothing to stop."""


class Spread:
    """The conversions of the pipeline: the backend's rate less our spread, and the sending account's fee.

    An asset is worth itself; packets between accounts of one asset pay the spread too, where `spread_bp` says so.
    """

    def __init__(self, backend: RateBackend, spread_bp: int = 0) -> None:
        self._backend = backend
        self._spread_bp = spread_bp

    @property
    def version(self) -> int:
        """The backend's."""
        return self._backend.version

    def conversion(self, source: Account, destination: Account, now: UnixMs) -> Conversion | None:
        """See `settlement.connector.pipeline.Converter`."""
        given, taken = source.config.asset, destination.config.asset
        rate = PARITY if given.code == taken.code else self._backend.rate(given.code, taken.code)
        if rate is None or rate.expires_at <= now:
            return None
        return conversion(given, taken, rate, spread_bp=self._spread_bp, fee=source.config.fee)
