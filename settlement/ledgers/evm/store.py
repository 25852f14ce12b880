"""Locks, news and the cursor of one EVM ledger, in whatever transaction the connection is in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.evm.escrow.types import Terms
from adapters.evm.types import BlockRef
from foundation.database.repository import Repository, chunks
from foundation.quantities import BlockHeight, UnixMs
from settlement.ledgers.evm.projection import Projection
from settlement.ledgers.evm.tables import cursors, events, holds
from settlement.ledgers.evm.types import Lock, LockKey
from settlement.ledgers.protocol import HoldState, LedgerId
from settlement.ledgers.sealing import OPEN, RowSealer
from settlement.quantities import tagged_hash

Place = tuple[int, int]
"""Block and log index: where news stands, and how far a reader came."""

_PREIMAGE: Final = "preimage"
_H = holds.c
_LOCK = (
    _H.transfer_id,
    _H.payer,
    _H.payee,
    _H.refund_to,
    _H.asset,
    _H.amount,
    _H.condition,
    _H.expires_at_s,
    _H.memo,
    _H.state,
    _H.preimage,
    _H.held_at_ms,
    _H.decided_at_ms,
)


class EvmLedgerStore(Repository):
    """What one ledger keeps."""

    def __init__(self, connection: AsyncConnection, ledger: LedgerId, sealer: RowSealer = OPEN) -> None:
        """`sealer`: of preimages that no final block has shown."""
        super().__init__(connection)
        self._ledger = ledger
        self._sealer = sealer

    async def cursor(self) -> tuple[BlockRef, UnixMs] | None:
        """The last final block that was read, and its time."""
        query = select(cursors.c.block, cursors.c.hash, cursors.c.time_ms).where(cursors.c.ledger == self._ledger)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else (BlockRef(BlockHeight(row[0]), row[1]), UnixMs(row[2]))

    async def keep(self, projection: Projection, cursor: BlockRef, time_ms: UnixMs) -> None:
        """Store what a batch changed, and how far it goes. Storing it again changes nothing."""
        rows = [self._as_row(lock) for lock in projection.locks]
        put = self._insert(holds)
        changes = {name: put.excluded[name] for name in ("memo", "state", "preimage", "decided_at_ms")}
        keys = [_H.ledger, _H.payer, _H.transfer_id]
        await self._write(put.on_conflict_do_update(index_elements=keys, set_=changes), rows)
        news = [
            {
                "ledger": self._ledger,
                "block": one.block,
                "log": one.index,
                "payer": one.key[0],
                "transfer_id": one.key[1],
                "state": one.state.value,
            }
            for one in projection.news
        ]
        await self._write(self._insert(events).on_conflict_do_nothing(), news)
        moved = self._insert(cursors)
        values = {"ledger": self._ledger, "block": cursor.number, "hash": cursor.hash, "time_ms": time_ms}
        newer = {name: moved.excluded[name] for name in ("block", "hash", "time_ms")}
        await self._write(moved.on_conflict_do_update(index_elements=[cursors.c.ledger], set_=newer), [values])

    async def reveal(self, key: LockKey, preimage: bytes) -> None:
        """Note that we begin to claim an open lock, before anybody can see the preimage."""
        mine = and_(_H.ledger == self._ledger, _H.payer == key[0], _H.transfer_id == key[1])
        open_ = and_(mine, _H.state == HoldState.HELD.value)
        sealed = self._sealer.seal(_PREIMAGE, self._place(key), preimage)
        await self._connection.execute(update(holds).where(open_).values(preimage=sealed))

    async def locks(self, keys: Iterable[LockKey]) -> dict[LockKey, Lock]:
        """The locks among these that are kept."""
        found: dict[LockKey, Lock] = {}
        for part in chunks(keys):
            found |= {lock.key: lock for lock in await self._locks(tuple_(_H.payer, _H.transfer_id).in_(part))}
        return found

    async def locks_named(self, transfer_ids: Sequence[bytes]) -> tuple[Lock, ...]:
        """All locks under these ids, of whichever payer, the oldest first."""
        found: list[Lock] = []
        for part in chunks(transfer_ids):
            found += await self._locks(_H.transfer_id.in_(part))
        return tuple(found)

    async def open_locks(self) -> tuple[Lock, ...]:
        """All that have not ended."""
        return await self._locks(_H.state == HoldState.HELD.value)

    async def news_after(self, place: Place, limit: int) -> list[tuple[Place, Lock, HoldState]]:
        """What happened after `place`, in order, at most `limit`: the lock as it is now, and its state then."""
        later = or_(events.c.block > place[0], and_(events.c.block == place[0], events.c.log > place[1]))
        joined = and_(_H.ledger == events.c.ledger, _H.payer == events.c.payer, _H.transfer_id == events.c.transfer_id)
        query = (
            select(events.c.block, events.c.log, events.c.state, *_LOCK)
            .join(holds, joined)
            .where(events.c.ledger == self._ledger, later)
            .order_by(events.c.block, events.c.log)
            .limit(limit)
        )
        rows = await self._connection.execute(query)
        return [((row[0], row[1]), self._lock(tuple(row)[3:]), HoldState(row[2])) for row in rows]

    async def _locks(self, where: ColumnElement[bool]) -> tuple[Lock, ...]:
        query = select(*_LOCK).where(_H.ledger == self._ledger, where).order_by(_H.held_at_ms, _H.payer)
        return tuple(self._lock(tuple(row)) for row in await self._connection.execute(query))

    def _as_row(self, lock: Lock) -> dict[str, object]:
        terms, preimage = lock.terms, lock.preimage
        if preimage is not None and lock.state is not HoldState.FULFILLED:
            preimage = self._sealer.seal(_PREIMAGE, self._place(lock.key), preimage)
        return {
            "ledger": self._ledger,
            "payer": terms.payer,
            "transfer_id": terms.id,
            "payee": terms.beneficiary,
            "refund_to": terms.refund_to,
            "asset": terms.asset,
            "amount": str(terms.amount),
            "condition": terms.condition,
            "expires_at_s": terms.expires_at,
            "memo": lock.memo,
            "state": lock.state.value,
            "preimage": preimage,
            "held_at_ms": lock.held_at,
            "decided_at_ms": lock.decided_at,
        }

    def _lock(self, row: tuple[Any, ...]) -> Lock:
        lock_id, payer, payee, refund_to, asset, amount, condition, expires_at, *rest = row
        memo, state, preimage, held, decided = rest
        if preimage is not None:
            preimage = self._sealer.open(_PREIMAGE, self._place((payer, lock_id)), preimage)
        terms = Terms(lock_id, payer, payee, refund_to, asset, int(amount), condition, expires_at)
        ended = None if decided is None else UnixMs(decided)
        return Lock(terms, memo, HoldState(state), preimage, UnixMs(held), ended)

    def _place(self, key: LockKey) -> bytes:
        return tagged_hash("ledger-evm", self._ledger.encode(), *key)
