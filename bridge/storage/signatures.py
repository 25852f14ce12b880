"""Signatures that others made, and what this node has promised by its own."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge.storage.errors import PromiseConflict
from bridge.storage.rows import PromiseRow, SignatureRow
from bridge.storage.tables import SignatureColumns, promises
from foundation.database.repository import Repository, chunks, values
from foundation.quantities import UnixMs


class Signatures(Repository):
    """Checked signatures by digest and signer: attestations in one table, co-signatures in another."""

    def __init__(self, connection: AsyncConnection, table: Table[SignatureColumns]) -> None:
        super().__init__(connection)
        self._table = table

    async def add(self, *rows: SignatureRow) -> None:
        """Keep signatures. The first by a signer over a digest stays; another one is passed over."""
        await self._write(self._insert(self._table).on_conflict_do_nothing(), [values(row) for row in rows])

    async def of_digest(self, digest: bytes) -> tuple[SignatureRow, ...]:
        """The signatures over `digest`, in ascending order of the signer, as contracts want them."""
        return (await self.of_digests([digest])).get(digest, ())

    async def of_digests(self, digests: Collection[bytes]) -> dict[bytes, tuple[SignatureRow, ...]]:
        """The signatures over each of `digests` that has one, in ascending order of the signer."""
        found: dict[bytes, tuple[SignatureRow, ...]] = {}
        c = self._table.c
        for chunk in chunks(digests):
            query = select(self._table).where(c.digest.in_(chunk)).order_by(c.digest, c.signer)
            for row in await self._rows(SignatureRow, query):
                found[row.digest] = (*found.get(row.digest, ()), row)
        return found

    async def of_subject(self, subject: bytes, kind: str | None = None) -> tuple[SignatureRow, ...]:
        """Every signature about `subject`, whatever it says, by digest and signer."""
        query = select(self._table).where(self._table.c.subject == subject)
        if kind is not None:
            query = query.where(self._table.c.kind == kind)
        return await self._rows(SignatureRow, query.order_by(self._table.c.digest, self._table.c.signer))


class Promises(Repository):
    """What this node itself has signed: at most one digest for each slot, for ever.

    A signature must not leave the node before the unit of work that keeps its promise is committed.
    """

    async def keep(self, kind: str, key: bytes, digest: bytes, body: bytes, now: UnixMs) -> PromiseRow:
        """Promise `digest` for the slot `(kind, key)`, and return the promise as it was first made.

        Raises:
            PromiseConflict: another digest was promised for this slot; the first promise stays.
        """
        row = PromiseRow(kind, key, digest, body, now)
        await self._write(self._insert(promises).on_conflict_do_nothing(), [values(row)])
        kept = await self.get(kind, key)
        assert kept is not None, "a promise was neither stored nor there"
        if kept.digest != digest:
            raise PromiseConflict(kind, key, kept.digest, digest)
        return kept

    async def get(self, kind: str, key: bytes) -> PromiseRow | None:
        """What was promised for the slot, or None."""
        return await self._row(PromiseRow, select(promises).where(promises.c.kind == kind, promises.c.key == key))
