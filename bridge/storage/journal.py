"""The durable journal of this node's transactions, on the native chain and on others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, func, select, update

from adapters.evm.journal import SignedTx, TxStatus
from bridge.storage.tables_evm import evm_transactions
from foundation.database.repository import Repository, values
from foundation.quantities import UnixMs

if TYPE_CHECKING:
    from bridge.storage.database import Database

_C = evm_transactions.c
_VERSIONS = select(
    _C.key,
    _C.account,
    _C.nonce,
    _C.hash,
    _C.to,
    _C.data,
    _C.value,
    _C.gas,
    _C.max_fee,
    _C.tip,
    _C.raw,
    _C.label,
    _C.status,
).order_by(_C.nonce, _C.max_fee, _C.tip)


class EvmTransactions(Repository):
    """Signed versions of transactions, by chain, account and nonce; see `adapters.evm.journal.TxJournal`.

    `chain` is the CAIP-2 text; empty for the native chain.
    """

    async def record(self, chain: str, transaction: SignedTx, now: UnixMs) -> None:
        """Keep a new version. The same hash again changes nothing."""
        row = {**values(transaction), "chain": chain, "created_at_ms": now, "updated_at_ms": now}
        await self._write(self._insert(evm_transactions).on_conflict_do_nothing(), [row])

    async def by_key(self, chain: str, account: bytes, key: str) -> tuple[SignedTx, ...]:
        """All versions of the transaction `key`."""
        return await self._versions(*_of(chain, account), _C.key == key)

    async def by_nonce(self, chain: str, account: bytes, nonce: int) -> tuple[SignedTx, ...]:
        """All versions with this nonce."""
        return await self._versions(*_of(chain, account), _C.nonce == nonce)

    async def pending(self, chain: str, account: bytes) -> tuple[SignedTx, ...]:
        """All versions whose status is PENDING."""
        return await self._versions(*_of(chain, account), _C.status == TxStatus.PENDING)

    async def next_nonce(self, chain: str, account: bytes) -> int:
        """One more than the highest nonce that was recorded; 0 where none was."""
        highest = await self._connection.scalar(select(func.max(_C.nonce)).where(*_of(chain, account)))
        return 0 if highest is None else highest + 1

    async def finish(
        self, chain: str, account: bytes, nonce: int, final: bytes | None, status: TxStatus, now: UnixMs
    ) -> None:
        """Settle a nonce: the version `final` (all, where None) gets `status`, the others REPLACED."""
        mine = update(evm_transactions).where(*_of(chain, account), _C.nonce == nonce)
        if final is not None:
            others = mine.where(_C.hash != final)
            await self._connection.execute(others.values(status=TxStatus.REPLACED, updated_at_ms=now))
            mine = mine.where(_C.hash == final)
        await self._connection.execute(mine.values(status=status, updated_at_ms=now))

    async def _versions(self, *where: ColumnElement[bool]) -> tuple[SignedTx, ...]:
        return await self._rows(SignedTx, _VERSIONS.where(*where))


def _of(chain: str, account: bytes) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _C.chain == chain, _C.account == account


class DatabaseJournal:
    """`adapters.evm.journal.TxJournal` on a node's database, for one chain: each call is a unit of work of its own.

    Args:
        chain: its CAIP-2 text; empty for the native chain, as databases from before there were others have it.
    """

    def __init__(self, database: Database, now: Callable[[], UnixMs], chain: str = "") -> None:
        self._database = database
        self._now = now
        self._chain = chain

    async def record(self, transaction: SignedTx) -> None:
        """See `TxJournal`."""
        async with self._database.unit() as unit:
            await unit.evm_transactions.record(self._chain, transaction, self._now())
            await unit.commit()

    async def by_key(self, account: bytes, key: str) -> tuple[SignedTx, ...]:
        """See `TxJournal`."""
        async with self._database.view() as view:
            return await view.evm_transactions.by_key(self._chain, account, key)

    async def by_nonce(self, account: bytes, nonce: int) -> tuple[SignedTx, ...]:
        """See `TxJournal`."""
        async with self._database.view() as view:
            return await view.evm_transactions.by_nonce(self._chain, account, nonce)

    async def pending(self, account: bytes) -> tuple[SignedTx, ...]:
        """See `TxJournal`."""
        async with self._database.view() as view:
            return await view.evm_transactions.pending(self._chain, account)

    async def next_nonce(self, account: bytes) -> int:
        """See `TxJournal`."""
        async with self._database.view() as view:
            return await view.evm_transactions.next_nonce(self._chain, account)

    async def finish(self, account: bytes, nonce: int, final: bytes | None, status: TxStatus) -> None:
        """See `TxJournal`."""
        async with self._database.unit() as unit:
            await unit.evm_transactions.finish(self._chain, account, nonce, final, status, self._now())
            await unit.commit()
