"""The Lockboxes on EVM chains: what they paid, what they were told, and what they hold."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select, update

from bridge.storage.rows import ReleaseOutcome, ReleaseRow, VaultAssetRow, VaultSignatureRow
from bridge.storage.tables_evm import releases, vault_assets, vault_signatures
from foundation.database.repository import Repository, chunks, values
from foundation.quantities import UnixMs


class Releases(Repository):
    """What became of each number at a Lockbox. Only what is final is told here, so nothing is ever taken back."""

    async def get(self, chain: bytes, number: int) -> ReleaseRow | None:
        """What became of the number, None while it is not consumed."""
        return (await self.get_many(chain, [number])).get(number)

    async def get_many(self, chain: bytes, numbers: Collection[int]) -> dict[int, ReleaseRow]:
        """What became of those of `numbers` that are consumed."""
        found: dict[int, ReleaseRow] = {}
        for chunk in chunks(numbers):
            query = select(releases).where(releases.c.chain == chain, releases.c.number.in_(chunk))
            found.update((row.number, row) for row in await self._rows(ReleaseRow, query))
        return found

    async def put(self, *rows: ReleaseRow) -> None:
        """Keep outcomes; what was known of the same numbers is replaced."""
        insert = self._insert(releases)
        key = ("chain", "number")
        changes = {column.name: insert.excluded[column.name] for column in releases.c if column.name not in key}
        statement = insert.on_conflict_do_update(index_elements=key, set_=changes)
        await self._write(statement, [values(row) for row in rows])

    async def by_outcome(self, chain: bytes, outcome: ReleaseOutcome) -> tuple[ReleaseRow, ...]:
        """All numbers with this outcome, in ascending order."""
        query = select(releases).where(releases.c.chain == chain, releases.c.outcome == outcome)
        return await self._rows(ReleaseRow, query.order_by(releases.c.number))


class VaultSignatures(Repository):
    """What groups signed for Lockboxes, by the message."""

    async def get(self, message: bytes) -> VaultSignatureRow | None:
        """The signed message, or None."""
        return await self._row(VaultSignatureRow, select(vault_signatures).where(vault_signatures.c.message == message))

    async def add(self, row: VaultSignatureRow) -> None:
        """Keep a signature. The first over a message stays: any other one does the same."""
        await self._write(self._insert(vault_signatures).on_conflict_do_nothing(), [values(row)])

    async def open(self, chain: bytes) -> tuple[VaultSignatureRow, ...]:
        """What is left to be carried to the chain's Lockbox, oldest first."""
        c = vault_signatures.c
        query = select(vault_signatures).where(c.chain == chain, c.done_at_ms.is_(None))
        return await self._rows(VaultSignatureRow, query.order_by(c.created_at_ms, c.message))

    async def of_subject(self, subject: bytes) -> tuple[VaultSignatureRow, ...]:
        """Everything that was signed about `subject`, oldest first."""
        c = vault_signatures.c
        query = select(vault_signatures).where(c.subject == subject)
        return await self._rows(VaultSignatureRow, query.order_by(c.created_at_ms, c.message))

    async def published(self, message: bytes, now: UnixMs) -> None:
        """The native chain has it. The first time stays."""
        c = vault_signatures.c
        statement = update(vault_signatures).where(c.message == message, c.published_at_ms.is_(None))
        await self._connection.execute(statement.values(published_at_ms=now))

    async def done(self, messages: Collection[bytes], now: UnixMs) -> None:
        """Nothing of them is left to carry. The first time stays."""
        c = vault_signatures.c
        for chunk in chunks(messages):
            statement = update(vault_signatures).where(c.message.in_(chunk), c.done_at_ms.is_(None))
            await self._connection.execute(statement.values(done_at_ms=now))


class VaultAssets(Repository):
    """What each Lockbox holds of each asset and how it is configured."""

    async def get(self, chain: bytes, asset: bytes) -> VaultAssetRow | None:
        """The asset at the chain's Lockbox, None while no event has named it."""
        c = vault_assets.c
        return await self._row(VaultAssetRow, select(vault_assets).where(c.chain == chain, c.asset == asset))

    async def all(self, chain: bytes) -> tuple[VaultAssetRow, ...]:
        """Every asset of the chain's Lockbox, by address."""
        query = select(vault_assets).where(vault_assets.c.chain == chain)
        return await self._rows(VaultAssetRow, query.order_by(vault_assets.c.asset))

    async def put(self, row: VaultAssetRow) -> None:
        """Keep what is known of an asset now, in place of what was known before."""
        insert = self._insert(vault_assets)
        key = ("chain", "asset")
        changes = {column.name: insert.excluded[column.name] for column in vault_assets.c if column.name not in key}
        await self._write(insert.on_conflict_do_update(index_elements=key, set_=changes), [values(row)])
