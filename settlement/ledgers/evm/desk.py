"""What holding, fulfilling and cancelling share: the locks as they are kept, and waiting for what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database.database import Database
from settlement.ledgers.evm.errands import Errands
from settlement.ledgers.evm.feed import EvmFeed
from settlement.ledgers.evm.store import EvmLedgerStore
from settlement.ledgers.evm.types import EvmLedgerConfig, Lock
from settlement.ledgers.protocol import Done, HoldState, HoldView, Refusal, Refused, TransferId
from settlement.quantities import Clock

_RANKS: Final = {HoldState.FULFILLED: 0, HoldState.HELD: 1}
"""A copy that somebody made under another's id, and took back, stands in nobody's way."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One account's place on the ledger. Fields: own (the account, 20 bytes); the others as their types say."""

    config: EvmLedgerConfig
    feed: EvmFeed
    errands: Errands
    database: Database
    clock: Clock
    own: bytes

    def view(self, lock: Lock) -> HoldView:
        """As the protocol shows it."""
        return lock.view(self.config.factor)

    def done(self, lock: Lock) -> Done:
        """It is so."""
        return Done(self.view(lock))

    def refused(self, transfer_id: bytes, reason: Refusal, detail: str, lock: Lock | None = None) -> Refused:
        """It is not so, and stays so."""
        return Refused(TransferId(transfer_id), reason, detail, None if lock is None else self.view(lock))

    def store(self, connection: AsyncConnection) -> EvmLedgerStore:
        """The store on a connection."""
        return EvmLedgerStore(connection, self.config.ledger_id, self.config.sealer)

    async def named(self, transfer_ids: Sequence[bytes]) -> tuple[Lock | None, ...]:
        """The lock under each id: our own one, or else the largest for us that was paid, or is open."""
        first: dict[bytes, Lock] = {}
        for lock in await self._all(transfer_ids):
            if lock.terms.payer == self.own:
                first[lock.terms.id] = lock
            else:
                first.setdefault(lock.terms.id, lock)
        return tuple(first.get(transfer_id) for transfer_id in transfer_ids)

    async def incoming(self, transfer_ids: Sequence[bytes]) -> dict[bytes, tuple[Lock, ...]]:
        """All locks for us under each id, paid and open and large ones first: a payer's id binds no other payer."""
        found = [lock for lock in await self._all(transfer_ids) if lock.terms.beneficiary == self.own]
        return {one: tuple(lock for lock in found if lock.terms.id == one) for one in transfer_ids}

    async def _all(self, transfer_ids: Sequence[bytes]) -> list[Lock]:
        async with self.database.view() as view:
            locks = await self.store(view.connection).locks_named(transfer_ids)
        return sorted(locks, key=lambda lock: (_RANKS.get(lock.state, len(_RANKS)), -lock.terms.amount))

    async def open_locks(self) -> tuple[Lock, ...]:
        """All that have not ended."""
        async with self.database.view() as view:
            return await self.store(view.connection).open_locks()

    async def kept(self, transfer_id: bytes) -> Lock:
        """Our own lock under this id, once it is final. Raises as `EvmFeed.until`."""

        async def ask() -> Lock | None:
            async with self.database.view() as view:
                store = self.store(view.connection)
                return (await store.locks([(self.own, transfer_id)])).get((self.own, transfer_id))

        return await self.feed.until(ask)

    async def kept_or_foreign(self, transfer_id: bytes) -> Lock | None:
        """Our own lock under a used id, once it is final; None where it is of another asset."""

        async def ask() -> tuple[Lock | None] | None:
            final = self.feed.final
            assert final is not None, "the feed has read a block"
            slot = await self.feed.contract.slot(self.own, transfer_id, final[0].number)
            async with self.database.view() as view:
                store = self.store(view.connection)
                found = (await store.locks([(self.own, transfer_id)])).get((self.own, transfer_id))
            return (found,) if found is not None or any(slot) else None

        return (await self.feed.until(ask))[0]

    async def ended(self, lock: Lock) -> Lock:
        """The lock, once its end is final. Raises as `EvmFeed.until`."""

        async def ask() -> Lock | None:
            now = await self.now(lock)
            return None if now.state is HoldState.HELD else now

        return await self.feed.until(ask)

    async def now(self, lock: Lock) -> Lock:
        """The lock as final blocks have it."""
        async with self.database.view() as view:
            return (await self.store(view.connection).locks([lock.key]))[lock.key]

    def is_over(self, lock: Lock) -> bool:
        """Whether no block to come can claim it: a final one has reached its time-out."""
        return self.feed.final is not None and self.feed.final[1] >= lock.terms.expires_at * 1_000
