"""Prices from contracts on EVM chains that answer as Chainlink's AggregatorV3 does.

A price holds for `max_age_ms` from the time that the contract itself gives it, not from our asking: an oracle that has
stopped is not believed because its node still answers. Source: Chainlink's AggregatorV3Interface.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from adapters.evm.abi import Function
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import NodeUnavailable
from adapters.evm.types import Call
from foundation.errors import CausewayError, Retryable
from foundation.quantities import UnixMs
from settlement.connector.conversion import Rate
from settlement.connector.rates.backend import Priced, Prices, parse_prices
from settlement.quantities import Clock

LATEST_ROUND: Final = Function(
    "AggregatorV3", "latestRoundData", (), ("uint80", "int256", "uint256", "uint256", "uint80")
)
DECIMALS: Final = Function("AggregatorV3", "decimals", (), ("uint8",))
_AHEAD_MS: Final = 60_000
"""A price from further in the future than this is none: clocks of chains may be ahead by less."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Quote:
    """What an oracle says. Fields: answer (price times 10^decimals); decimals; updated_at (the oracle's time)."""

    answer: int
    decimals: int
    updated_at: UnixMs


class UnusablePrice(Retryable):
    """The oracle's answer cannot be a price now. Fields: asset; problem."""

    def __init__(self, asset: str, problem: str) -> None:
        self.asset = asset
        self.problem = problem
        super().__init__(f"{asset}: {problem}")


class PriceFeed(Protocol):
    """Something that knows one asset's price."""

    async def latest(self) -> Quote:
        """The newest price. Raises a `CausewayError` where there is none to be had."""

    async def close(self) -> None:
        """Let go of connections."""


class EvmPriceFeed:
    """A contract on a chain, read after a final block, as all endpoints have it: a price that one makes up is none.

    How old a price can be at best is the chain's finality: where that is too old, the chain is configured with so many
    confirmations instead.
    """

    def __init__(self, endpoints: Endpoints, contract: bytes) -> None:
        """`contract`: 20 bytes."""
        self._endpoints = endpoints
        self._contract = contract
        self._decimals: int | None = None

    async def latest(self) -> Quote:
        """See `PriceFeed`.

        Raises:
            EndpointsDisagree: one of them says another price. Nobody is outvoted.
            TooFewEndpoints, NodeUnavailable, WrongChain, Reverted: see `adapters.evm.endpoints`.
            BadAnswer: the contract is no aggregator.
        """
        final = await self._endpoints.final()
        if final is None:
            raise NodeUnavailable("eth_getBlockByNumber", "no block is final yet")
        if self._decimals is None:
            (self._decimals,) = DECIMALS.decode(await self._endpoints.call(self._call(DECIMALS), final.number))
        told = await self._endpoints.call(self._call(LATEST_ROUND), final.number)
        _, answer, _, updated_at, _ = LATEST_ROUND.decode(told)
        return Quote(answer, self._decimals, UnixMs(updated_at * 1000))

    async def close(self) -> None:
        """See `PriceFeed`."""
        await self._endpoints.close()

    def _call(self, function: Function) -> Call:
        return Call(self._contract, function.encode(), function.label)


class OracleRates(Priced):
    """Asks each feed at the start and every `refresh_ms`; assets without a feed have the operator's price."""

    def __init__(
        self,
        feeds: Mapping[str, tuple[PriceFeed, int]],
        clock: Clock,
        *,
        fixed: Mapping[str, str] | None = None,
        refresh_ms: int = 10_000,
    ) -> None:
        """`feeds`: by asset code, each with its greatest age in milliseconds; all in the same money as `fixed`.

        Raises:
            BadInput: a fixed price is none.
        """
        super().__init__(Prices(parse_prices(fixed or {})))
        self._feeds = dict(feeds)
        self._clock = clock
        self._refresh_seconds = refresh_ms / 1000
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask all feeds once, and then regularly."""
        await self.refresh()
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for feed, _ in self._feeds.values():
            await feed.close()

    async def refresh(self) -> None:
        """Ask all feeds. One that fails keeps its last price until that ends."""
        for asset, (feed, max_age) in self._feeds.items():
            try:
                quote = await feed.latest()
                self._prices.update(asset, price_of(asset, quote, max_age, self._clock()))
            except CausewayError as error:
                _log.warning("rates.feed_failed", asset=asset, problem=str(error))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_seconds)
            await self.refresh()


def price_of(asset: str, quote: Quote, max_age_ms: int, now: UnixMs) -> Rate:
    """The price that a feed's answer stands for.

    Raises:
        UnusablePrice: it is not above zero, too old, or from the future.
    """
    if quote.answer <= 0:
        raise UnusablePrice(asset, f"the price {quote.answer} is not above zero")
    if quote.updated_at > now + _AHEAD_MS:
        raise UnusablePrice(asset, "the price is from the future")
    expires_at = UnixMs(quote.updated_at + max_age_ms)
    if expires_at <= now:
        raise UnusablePrice(asset, f"the price is {now - quote.updated_at} ms old, of at most {max_age_ms}")
    return Rate(quote.answer, 10**quote.decimals, expires_at)
