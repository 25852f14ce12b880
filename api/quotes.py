"""The quotes that were asked for, as long as a payment may name them, and a day longer."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import delete, select

from api.ports import QuoteShown, Unknown
from api.tables import quotes
from foundation.database import Repository
from foundation.quantities import UnixMs

_KEPT_MS: Final = 24 * 3_600_000


class QuoteStore(Repository):
    """Quotes on one connection."""

    async def put(self, number: bytes, principal: str, quote: QuoteShown, now: UnixMs) -> QuoteShown:
        """Keep a quote; the first one of a number stays, and is answered."""
        await self._connection.execute(delete(quotes).where(quotes.c.expires_at < now - _KEPT_MS))
        row = {"quote_id": number, "principal": principal, "quote": msgspec.msgpack.encode(quote)}
        statement = self._insert(quotes).on_conflict_do_nothing(index_elements=["quote_id"])
        await self._write(statement, [{**row, "expires_at": quote.expires_at}])
        return await self.get(number, principal)

    async def get(self, number: bytes, principal: str) -> QuoteShown:
        """A principal's quote. Raises Unknown."""
        query = select(quotes.c.quote).where(quotes.c.quote_id == number, quotes.c.principal == principal)
        raw = await self._connection.scalar(query)
        if raw is None:
            raise Unknown("quote")
        return msgspec.msgpack.decode(raw, type=QuoteShown)
