"""Prices from a service: `GET url` answers `{"prices": {"EUR": "1.0843", "USD": "1"}}`, numbers as text.

Kept until `max_age_ms` after they were asked for; a service that fails or answers nonsense changes nothing, and when
the last good prices end, packets that need them are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import aiohttp
import msgspec
import structlog

from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.connector.conversion import parse_rate
from settlement.connector.rates.backend import Priced, Prices
from settlement.quantities import Clock

_ANSWER_BYTES_MAX: Final = 1 << 20
_TIMEOUT_SECONDS: Final = 10.0
_log = structlog.get_logger(__name__)


class RatesUnavailable(Retryable):
    """The service did not answer, or not as it should. Fields: problem."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"rates: {problem}")


class _Answer(msgspec.Struct):
    prices: dict[str, str]


class HttpRates(Priced):
    """Asks the service at the start and every `refresh_ms`."""

    def __init__(self, url: str, clock: Clock, *, refresh_ms: int = 10_000, max_age_ms: int = 60_000) -> None:
        super().__init__(Prices())
        self._url = url
        self._clock = clock
        self._refresh_seconds = refresh_ms / 1000
        self._max_age = max_age_ms
        self._session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask once, and then regularly. A service that is down now may come later: packets are refused until then."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_TIMEOUT_SECONDS))
        await self._try()
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def refresh(self) -> None:
        """Ask now. Raises `RatesUnavailable`; the prices stay as they were then."""
        asked_at = self._clock()
        raw = await self._fetch()
        try:
            answer = msgspec.json.decode(raw, type=_Answer)
            expires_at = UnixMs(asked_at + self._max_age)
            prices = {asset: parse_rate(text, f"prices.{asset}", expires_at) for asset, text in answer.prices.items()}
        except (*UNREADABLE, BadInput) as error:
            raise RatesUnavailable(str(error)) from error
        self._prices.set(prices)

    async def _fetch(self) -> bytes:
        assert self._session is not None, "started"
        try:
            async with self._session.get(self._url, allow_redirects=False) as response:
                if response.status != 200:
                    raise RatesUnavailable(f"the service answered {response.status}")
                raw = await response.content.read(_ANSWER_BYTES_MAX + 1)
                while not response.content.at_eof() and len(raw) <= _ANSWER_BYTES_MAX:
                    raw += await response.content.read(_ANSWER_BYTES_MAX + 1 - len(raw))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise RatesUnavailable(str(error) or type(error).__name__) from error
        if len(raw) > _ANSWER_BYTES_MAX:
            raise RatesUnavailable("the answer is larger than 1 MiB")
        return raw

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_seconds)
            await self._try()

    async def _try(self) -> None:
        try:
            await self.refresh()
        except RatesUnavailable as error:
            _log.warning("rates.unavailable", problem=error.problem)
