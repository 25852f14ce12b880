"""The ledger protocol over one asset in an Escrow.

A call is done when the chain's final blocks say so. Expiries are whole seconds, rounded down: chains count in those.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

import structlog

from adapters.evm.endpoints import Endpoints
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from foundation.database.database import Database
from foundation.errors import BadInput, Fatal, Retryable
from settlement.ledgers.evm.cancelling import cancel_all
from settlement.ledgers.evm.desk import Desk
from settlement.ledgers.evm.errands import Errands
from settlement.ledgers.evm.feed import EvmFeed
from settlement.ledgers.evm.fulfilling import fulfil_all
from settlement.ledgers.evm.holding import hold_all
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.ledgers.evm.store import EvmLedgerStore, Place
from settlement.ledgers.evm.types import EvmLedgerConfig, Lock, account_text
from settlement.ledgers.protocol import (
    AccountView,
    Cursor,
    Fulfilment,
    Hold,
    HoldView,
    LedgerAccount,
    LedgerEvent,
    LedgerFacts,
    LedgerMismatch,
    LedgerUnavailable,
    Outcome,
    TransferId,
)
from settlement.quantities import Clock, Units

_EVENTS: Final = 256
"""Events in one batch."""
_WAIT_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


class EvmLedger:
    """One account on one asset of a chain; an asynchronous context manager. Implements `protocol.Ledger`."""

    def __init__(
        self,
        config: EvmLedgerConfig,
        endpoints: Endpoints,
        rpc: EvmRpc,
        sender: TxSender,
        database: Database,
        clock: Clock,
    ) -> None:
        """Describe the ledger; nothing is read or sent yet.

        Args:
            config: which asset on which chain.
            endpoints: the chain's nodes, to be read and not believed.
            rpc: a node that simulates, made with `reverted=adapters.evm.escrow.errors.typed_revert`.
            sender: sends for the account; started, with a `DatabaseJournal`. One for an account, however many ledgers.
            database: has this package's tables.
            clock: ours.
        """
        self._config = config
        self._rpc = rpc
        self._database = database
        self._own = sender.account
        self._feed = EvmFeed(config, endpoints, database, self._own)
        errands = Errands(config, rpc, sender, DatabaseJournal(database, config.chain.caip2, config.sealer))
        self._desk = Desk(config, self._feed, errands, database, clock, self._own)
        self._refunds: dict[bytes, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        """Begin to follow the chain. It may be down."""
        if self._config.is_refunding:
            self._feed.on_moved = self._take_back
        await self._feed.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Stop following. What is on its way goes on with the sender."""
        await self._feed.close()
        refunds = list(self._refunds.values())
        for task in refunds:
            task.cancel()
        await asyncio.gather(*refunds, return_exceptions=True)

    @property
    def own(self) -> LedgerAccount:
        """See `Ledger`."""
        return account_text(self._own)

    async def facts(self) -> LedgerFacts:
        """See `Ledger`."""
        async with self._answering():
            await self._feed.current()
        return self._config.facts

    async def hold(self, holds: Sequence[Hold]) -> tuple[Outcome, ...]:
        """See `Ledger`."""
        async with self._answering():
            await self._feed.current()
            return await hold_all(self._desk, holds)

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """See `Ledger`. Where too little time is left to be paid for sure, the preimage is not shown: EXPIRED."""
        async with self._answering():
            await self._feed.current()
            return await fulfil_all(self._desk, fulfilments)

    async def cancel(self, transfer_ids: Sequence[TransferId]) -> tuple[Outcome, ...]:
        """See `Ledger`."""
        async with self._answering():
            await self._feed.current()
            return await cancel_all(self._desk, transfer_ids)

    async def transfers(self, transfer_ids: Sequence[TransferId]) -> tuple[HoldView | None, ...]:
        """See `Ledger`. Where a payer used the id of an own hold for one to us, the own hold is shown."""
        async with self._answering():
            await self._feed.current()
            found = await self._desk.named(transfer_ids)
            return tuple(None if lock is None else self._desk.view(lock) for lock in found)

    async def account(self) -> AccountView:
        """See `Ledger`. As of the last final block that was read; `balance` counts what is locked by us."""
        async with self._answering():
            await self._feed.current()
            async with self._database.view() as view:
                store = EvmLedgerStore(view.connection, self._config.ledger_id, self._config.sealer)
                cursor, locks = await store.cursor(), await store.open_locks()
            assert cursor is not None, "the feed has read a block"
            free = await self._feed.contract.balance(self._own, self._config.token, cursor[0].number)
        factor = self._config.factor
        held = sum(-(-lock.terms.amount // factor) for lock in locks if lock.terms.payer == self._own)
        incoming = sum(lock.terms.amount // factor for lock in locks if lock.terms.beneficiary == self._own)
        return AccountView(self.own, self._config.asset, free // factor + held, Units(held), Units(incoming), floor=0)

    async def events(self, after: Cursor) -> AsyncIterator[tuple[LedgerEvent, ...]]:
        """See `Ledger`."""
        place = _place(after)
        async with self._answering():
            await self._feed.current()
        while True:
            async with self._answering():
                self._feed.check_health()
                async with self._database.view() as view:
                    store = EvmLedgerStore(view.connection, self._config.ledger_id, self._config.sealer)
                    news = await store.news_after(place, _EVENTS)
            if not news:
                await self._feed.moved(_WAIT_SECONDS)
                continue
            place = news[-1][0]
            yield tuple(LedgerEvent(_cursor(at), lock.view(self._config.factor, state)) for at, lock, state in news)

    async def _take_back(self) -> None:
        """Have own locks sent back whose time-out has passed by the chain's clock."""
        final = self._feed.final
        assert final is not None, "called after a batch"
        for lock in await self._desk.open_locks():
            due = lock.terms.payer == self._own and lock.terms.expires_at * 1_000 <= final[1]
            if due and lock.terms.id not in self._refunds:
                task = asyncio.create_task(self._refund(lock), name=f"refund {lock.terms.id.hex()}")
                self._refunds[lock.terms.id] = task

    async def _refund(self, lock: Lock) -> None:
        try:
            await self._desk.errands.refund(lock)
            await self._desk.ended(lock)
        except (Retryable, Fatal) as error:  # tried again after the next block
            _log.warning("refund waits", ledger=self._config.ledger_id, id=lock.terms.id.hex(), problem=str(error))
        finally:
            self._refunds.pop(lock.terms.id, None)

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """What is not the protocol's own error becomes one."""
        try:
            yield
        except (LedgerUnavailable, LedgerMismatch, BadInput):
            raise
        except Retryable as error:
            raise LedgerUnavailable(self._config.ledger_id, str(error)) from error
        except Fatal as error:
            raise LedgerMismatch(self._config.ledger_id, type(error).__name__, "none", str(error)) from error


def _cursor(place: Place) -> Cursor:
    return Cursor(f"{place[0]}:{place[1]}")


def _place(cursor: Cursor) -> Place:
    """The inverse of `_cursor`; the beginning where it is empty. Raises `BadInput`."""
    if not cursor:
        return -1, -1
    block, _, index = cursor.partition(":")
    if not (block.isascii() and block.isdigit() and index.isascii() and index.isdigit()) or len(cursor) > 40:
        raise BadInput("cursor", f"{cursor[:80]!r} is none of this ledger's", "one that an event told, or empty")
    return int(block), int(index)
