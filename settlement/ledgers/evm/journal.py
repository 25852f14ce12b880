"""The durable journal of an account's transactions on one chain, in the gateway's database."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.evm.journal import SignedTx, TxStatus
from foundation.database.database import Database
from foundation.database.repository import Repository, values
from foundation.quantities import Wei
from settlement.ledgers.evm.tables import transactions
from settlement.ledgers.sealing import OPEN, RowSealer

_DATA: Final = "transaction's data"
_RAW: Final = "signed transaction"
_C = transactions.c
_COLUMNS = (
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
)


class EvmTransactions(Repository):
    """Signed versions of transactions, by chain (CAIP-2 text), account and nonce. A claim shows its preimage, so what
    is signed is sealed.
    """

    def __init__(self, connection: AsyncConnection, sealer: RowSealer = OPEN) -> None:
        super().__init__(connection)
        self._sealer = sealer

    async def record(self, chain: str, transaction: SignedTx) -> None:
        """Keep a new version. The same hash again changes nothing."""
        row = {
            **values(transaction),
            "chain": chain,
            "value": str(transaction.value),
            "max_fee": str(transaction.max_fee),
            "tip": str(transaction.tip),
            "status": transaction.status.value,
            "data": self._sealer.seal(_DATA, transaction.hash, transaction.data),
            "raw": self._sealer.seal(_RAW, transaction.hash, transaction.raw),
        }
        await self._write(self._insert(transactions).on_conflict_do_nothing(), [row])

    async def versions(self, *where: ColumnElement[bool]) -> tuple[SignedTx, ...]:
        """Versions by nonce, and within a nonce in the order of signing."""
        rows = await self._connection.execute(select(*_COLUMNS).where(*where))
        return tuple(sorted((self._opened(tuple(row)) for row in rows), key=lambda tx: (tx.nonce, tx.max_fee, tx.tip)))

    def _opened(self, row: tuple[Any, ...]) -> SignedTx:
        key, account, nonce, hash_, to, data, value, gas, fee, tip, raw, label, status = row
        bid = (Wei(int(fee)), Wei(int(tip)))
        data, raw = self._sealer.open(_DATA, hash_, data), self._sealer.open(_RAW, hash_, raw)
        return SignedTx(key, account, nonce, hash_, to, data, Wei(int(value)), gas, *bid, raw, label, TxStatus(status))

    async def next_nonce(self, chain: str, account: bytes) -> int:
        """One more than the highest nonce that was recorded; 0 where none was."""
        highest = await self._connection.scalar(select(func.max(_C.nonce)).where(*_of(chain, account)))
        return 0 if highest is None else int(highest) + 1

    async def finish(self, chain: str, account: bytes, nonce: int, final: bytes | None, status: TxStatus) -> None:
        """Settle a nonce: the version `final` (all, where None) gets `status`, the others REPLACED."""
        mine = update(transactions).where(*_of(chain, account), _C.nonce == nonce)
        if final is not None:
            await self._connection.execute(mine.where(_C.hash != final).values(status=TxStatus.REPLACED.value))
            mine = mine.where(_C.hash == final)
        await self._connection.execute(mine.values(status=status.value))


class DatabaseJournal:
    """`adapters.evm.journal.TxJournal` on a database, for one chain: each call is a unit of work of its own."""

    def __init__(self, database: Database, chain: str, sealer: RowSealer = OPEN) -> None:
        """For the chain with this CAIP-2 text; `sealer`: of what is signed."""
        self._database = database
        self._chain = chain
        self._sealer = sealer

    async def record(self, transaction: SignedTx) -> None:
        """See `TxJournal`."""
        async with self._database.unit() as unit:
            await EvmTransactions(unit.connection, self._sealer).record(self._chain, transaction)
            await unit.commit()

    async def by_key(self, account: bytes, key: str) -> tuple[SignedTx, ...]:
        """See `TxJournal`."""
        return await self._versions(account, _C.key == key)

    async def by_nonce(self, account: bytes, nonce: int) -> tuple[SignedTx, ...]:
        """See `TxJournal`."""
        return await self._versions(account, _C.nonce == nonce)

    async def pending(self, account: bytes) -> tuple[SignedTx, ...]:
        """See `TxJournal`."""
        return await self._versions(account, _C.status == TxStatus.PENDING.value)

    async def next_nonce(self, account: bytes) -> int:
        """See `TxJournal`."""
        async with self._database.view() as view:
            return await EvmTransactions(view.connection, self._sealer).next_nonce(self._chain, account)

    async def finish(self, account: bytes, nonce: int, final: bytes | None, status: TxStatus) -> None:
        """See `TxJournal`."""
        async with self._database.unit() as unit:
            await EvmTransactions(unit.connection, self._sealer).finish(self._chain, account, nonce, final, status)
            await unit.commit()

    async def _versions(self, account: bytes, where: ColumnElement[bool]) -> tuple[SignedTx, ...]:
        async with self._database.view() as view:
            return await EvmTransactions(view.connection, self._sealer).versions(*_of(self._chain, account), where)


def _of(chain: str, account: bytes) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _C.chain == chain, _C.account == account
