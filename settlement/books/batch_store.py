"""Batches in the party's database."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import insert, select, update

from foundation.database import Repository
from foundation.quantities import UnixMs
from settlement.books.batches import Anchored, Batch, BatchText, Place
from settlement.books.tables import batches
from settlement.cosign.cosignatures import CoSignature


class BatchStore(Repository):
    """Batches on the connection of a unit or a view."""

    async def add(self, batch: Batch) -> None:
        """Keep a new batch; it comes after all others."""
        text = batch.text
        row = {
            "number": text.number,
            "first": text.first,
            "last": text.last,
            "root": text.root,
            "previous": text.previous,
            "place": msgspec.json.encode(text.place),
            "signature": batch.signature.encode(),
            "made_at": text.made_at,
        }
        await self._connection.execute(insert(batches).values(**row))

    async def anchored(self, number: int, where: Anchored, now: UnixMs) -> None:
        """A batch's root stands on the chain, finally. Told again, nothing changes."""
        mine = update(batches).where(batches.c.number == number, batches.c.anchor.is_(None))
        await self._connection.execute(mine.values(anchor=msgspec.json.encode(where), anchored_at=now))

    async def newest(self) -> Batch | None:
        """The last batch."""
        return await self._one(select(batches).order_by(batches.c.number.desc()).limit(1))

    async def waiting(self) -> Batch | None:
        """The first batch that is not anchored."""
        return await self._one(select(batches).where(batches.c.anchor.is_(None)).order_by(batches.c.number).limit(1))

    async def covering(self, sequence: int) -> Batch | None:
        """The batch that a receipt is in."""
        return await self._one(select(batches).where(batches.c.first <= sequence, batches.c.last >= sequence))

    async def all(self, after: int = 0, limit: int = 500) -> tuple[Batch, ...]:
        """Batches with numbers above `after`, in order."""
        query = select(batches).where(batches.c.number > after).order_by(batches.c.number).limit(limit)
        return tuple(_batch(row) for row in await self._connection.execute(query))

    async def _one(self, query: Any) -> Batch | None:
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _batch(row)


def _batch(row: Any) -> Batch:
    place = msgspec.json.decode(bytes(row.place), type=Place)
    text = BatchText(place, row.number, row.first, row.last, bytes(row.root), bytes(row.previous), UnixMs(row.made_at))
    anchored = None if row.anchor is None else msgspec.json.decode(bytes(row.anchor), type=Anchored)
    return Batch(text, CoSignature.decode(bytes(row.signature)), anchored)
