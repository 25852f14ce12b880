"""Prices from a file that the operator or another program rewrites; a broken one is refused and the last good kept.

max_age_ms = 60000        # optional: then the prices end, unless the file is rewritten
[prices]
EUR = "1.0843"
USD = "1"
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import structlog

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.conversion import NEVER, Rate, parse_rate
from settlement.connector.rates.backend import Priced, Prices
from settlement.connector.toml import Section, read_toml
from settlement.quantities import Clock

_LOOK_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


class FileRates(Priced):
    """Reads the file at the start, and again whenever it has changed."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(Prices())
        self._path = path
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the file. Raises `BadInput`: it is missing or broken."""
        self._seen = self._stamp()
        self._prices.set(self._read())
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def look(self) -> None:
        """Read the file if it has changed."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._prices.set(self._read())
        except BadInput as error:
            _log.warning("rates.file_refused", path=str(self._path), problem=str(error))
        else:
            _log.info("rates.file_read", path=str(self._path))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> dict[str, Rate]:
        section = Section(read_toml(self._path), "")
        max_age = section.optional_number("max_age_ms", least=100)
        prices = section.mapping("prices")
        section.end()
        if not prices:
            raise BadInput("prices", "missing", 'write [prices] and EUR = "1.0843"')
        expires_at = NEVER if max_age is None else UnixMs(self._clock() + max_age)
        return {asset: parse_rate(text, f"prices.{asset}", expires_at) for asset, text in prices.items()}
