"""The quotes that were asked for, as long as a payment may name them, and a day longer. Each serves one payment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import delete, or_, select, update

from api.ports import QuoteShown, Unknown
from api.problems import Problem
from api.tables import quotes
from foundation.database import Repository
from foundation.quantities import UnixMs

_KEPT_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A quote that was asked for. Fields: shown; used_by (the request that pays by it; None: nobody does yet)."""

    shown: QuoteShown
    used_by: bytes | None


class QuoteStore(Repository):
    """Quotes on one connection."""

    async def put(self, number: bytes, principal: str, quote: QuoteShown, now: UnixMs) -> Kept:
        """Keep a quote; the first one of a number stays, and is answered."""
        await self._connection.execute(delete(quotes).where(quotes.c.expires_at < now - _KEPT_MS))
        row = {"quote_id": number, "principal": principal, "quote": msgspec.msgpack.encode(quote)}
        statement = self._insert(quotes).on_conflict_do_nothing(index_elements=["quote_id"])
        await self._write(statement, [{**row, "expires_at": quote.expires_at}])
        return await self.get(number, principal)

    async def get(self, number: bytes, principal: str) -> Kept:
        """A principal's quote. Raises Unknown."""
        query = select(quotes.c.quote, quotes.c.used_by)
        row = (
            await self._connection.execute(query.where(quotes.c.quote_id == number, quotes.c.principal == principal))
        ).one_or_none()
        if row is None:
            raise Unknown("quote")
        return Kept(msgspec.msgpack.decode(row.quote, type=QuoteShown), row.used_by and bytes(row.used_by))

    async def take(self, number: bytes, work: bytes) -> None:
        """Use a quote for the payment of a request (its `work_id`); the same request may do so again.

        Raises:
            Problem: another request has used it.
        """
        c = quotes.c
        free = or_(c.used_by.is_(None), c.used_by == work)
        taken = await self._connection.execute(update(quotes).where(c.quote_id == number, free).values(used_by=work))
        if not taken.rowcount:
            raise Problem("quote-used", "another payment goes by it already", "quote_id", "ask for a new quote")

    async def leave(self, number: bytes, work: bytes) -> None:
        """Nothing began by it: another request may use it."""
        c = quotes.c
        statement = update(quotes).where(c.quote_id == number, c.used_by == work).values(used_by=None)
        await self._connection.execute(statement)
