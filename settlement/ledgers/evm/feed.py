"""Follows the Escrow for as long as it is open, keeps what concerns us, and wakes those who wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from adapters.evm.endpoints import Endpoints
from adapters.evm.escrow.contract import EscrowContract
from adapters.evm.escrow.events import EscrowBatch, Owed
from adapters.evm.escrow.follower import EscrowFollower
from adapters.evm.escrow.provenance import check_created
from adapters.evm.escrow.types import Terms
from adapters.evm.lockbox.types import NATIVE_COIN, Position
from adapters.evm.types import BlockRef
from foundation.database.database import Database
from foundation.errors import CausewayError, Retryable
from foundation.quantities import BlockHeight, UnixMs
from settlement.ledgers.evm.projection import keys_of, project
from settlement.ledgers.evm.store import EvmLedgerStore
from settlement.ledgers.evm.types import MS, EvmLedgerConfig, account_text
from settlement.ledgers.protocol import LedgerMismatch, LedgerUnavailable

_BACK_OFF_FIRST: Final = 0.1
_BACK_OFF_MOST: Final = 5.0
_STALE_SECONDS: Final = 60.0
"""After so long without an answer of the chain, what is kept is not told as if it were the present."""

_log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")


class EvmFeed:
    """What final blocks say of one ledger, kept in the database. Start it; close it at the end."""

    def __init__(self, config: EvmLedgerConfig, endpoints: Endpoints, database: Database, own: bytes) -> None:
        """For the locks from and for the account `own` (20 bytes). Nothing is read yet."""
        self._config = config
        self._endpoints = endpoints
        self._database = database
        self._own = own
        self._payers = None if config.payers is None else {*config.payers, account_text(own)}
        self._follower = EscrowFollower(endpoints, config.escrow, config.start_block)
        self.contract = EscrowContract(endpoints, config.escrow)
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._is_caught_up = False
        self._answered_at = float("-inf")
        self._problem = "nothing was read yet"
        self._broken: LedgerMismatch | None = None
        self.final: tuple[BlockRef, UnixMs] | None = None
        """The last final block that was read, and its time."""
        self.on_moved: Callable[[], Awaitable[None]] | None = None
        """Told after each batch that was kept."""

    async def start(self) -> None:
        """Take up what is kept, and begin to follow. The chain may be down; one that is not ours is told of later."""
        async with self._database.view() as view:
            self.final = await EvmLedgerStore(view.connection, self._config.ledger_id, self._config.sealer).cursor()
        self._answered_at = time.monotonic()
        self._task = asyncio.create_task(self._run(), name=f"ledger {self._config.ledger_id}")

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check_health(self) -> None:
        """Refuse to speak for a chain that is not ours, or that has been silent.

        Raises:
            LedgerMismatch, LedgerUnavailable.
        """
        if self._broken is not None:
            raise self._broken
        if time.monotonic() - self._answered_at > _STALE_SECONDS:
            raise LedgerUnavailable(self._config.ledger_id, self._problem)

    async def current(self) -> None:
        """Wait until all that is final now has been read, once after a start. Raises as `until`."""

        async def caught_up() -> bool | None:
            return self._is_caught_up or None

        await self.until(caught_up)
        self.check_health()

    async def until(self, ask: Callable[[], Awaitable[Answer | None]]) -> Answer:
        """What `ask` answers once that is not None; asked again whenever something was read.

        Raises:
            LedgerUnavailable: not within the time that a call may take.
            LedgerMismatch: the chain is not ours, or broke its own rules.
        """
        try:
            async with asyncio.timeout(self._config.answer_ms / MS):
                while True:
                    moved = self._moved
                    answer = await ask()
                    if answer is not None:
                        return answer
                    if self._broken is not None:
                        raise self._broken
                    await moved.wait()
        except TimeoutError:
            problem = self._problem or "it is not final yet"
            raise LedgerUnavailable(self._config.ledger_id, problem) from None

    async def moved(self, seconds: float) -> None:
        """Wait until something was read, or for so long."""
        moved = self._moved
        try:
            async with asyncio.timeout(seconds):
                await moved.wait()
        except TimeoutError:
            return

    async def _run(self) -> None:
        back_off = _BACK_OFF_FIRST
        is_checked = False
        while True:
            try:
                is_checked = is_checked or await self._check()
                batch = await self._follower.read(self.final[0] if self.final else None) if is_checked else None
                if batch is not None:
                    await self._keep(batch)
            except Retryable as error:
                self._problem = str(error)
                _log.warning("ledger waits", ledger=self._config.ledger_id, problem=str(error))
                await asyncio.sleep(back_off)
                back_off = min(2 * back_off, _BACK_OFF_MOST)
                continue
            except Exception as error:
                self._break(error)
                raise
            back_off = _BACK_OFF_FIRST
            if is_checked:
                self._answered_at, self._problem = time.monotonic(), ""
            if batch is None:
                self._is_caught_up = is_checked
                self._wake()
                await asyncio.sleep(self._config.poll_seconds)
            elif self.on_moved is not None:
                await self.on_moved()

    async def _check(self) -> bool:
        """Whether chain, contract and token are those of the configuration; False before the first final block."""
        final = await self._endpoints.final()
        if final is None or final.number < self._config.start_block:
            return False
        await self.contract.check(final.number)
        await check_created(self._endpoints, self._config.escrow, self._config.start_block)
        if self._config.token != NATIVE_COIN:
            decimals = await self.contract.decimals(self._config.token, final.number)
            if decimals != self._config.decimals:
                expected = str(self._config.decimals)
                raise LedgerMismatch(self._config.ledger_id, "decimals", expected, str(decimals))
        return True

    async def _keep(self, batch: EscrowBatch) -> None:
        """Store what a batch says, and where it ends, at once."""
        touched = {event.at.block.number for event in batch.events}
        times = await self._times({*touched, batch.last.number})

        def time_of(at: Position) -> UnixMs:
            return times[at.block.number]

        async with self._database.unit() as unit:
            store = EvmLedgerStore(unit.connection, self._config.ledger_id, self._config.sealer)
            known = await store.locks(keys_of(batch.events))
            projection = project(known, batch.events, time_of, self._is_ours)
            final = (batch.last, times[batch.last.number])
            await store.keep(projection, *final)
            await unit.commit()
        self.final = final
        for event in batch.events:
            if isinstance(event, Owed) and event.owner == self._own:
                # The account, or the token, refused a claim: it is ours for ever, but somebody has to withdraw it.
                _log.warning("money is owed to us", ledger=self._config.ledger_id, amount=event.amount)
        self._wake()

    async def _times(self, numbers: set[BlockHeight]) -> dict[BlockHeight, UnixMs]:
        headers = await self._endpoints.headers(sorted(numbers))
        return {header.number: UnixMs(header.timestamp * MS) for header in headers}

    def _is_ours(self, terms: Terms) -> bool:
        """Whether a lock is of our asset, worth a base unit, and from us, or for us from a payer that counts."""
        if terms.asset != self._config.token or terms.amount < self._config.factor:
            return False
        if terms.payer == self._own:
            return True
        return terms.beneficiary == self._own and (self._payers is None or account_text(terms.payer) in self._payers)

    def _break(self, error: Exception) -> None:
        """The chain is not what it was configured to be, or a bug: nobody may go on as if nothing were."""
        if isinstance(error, LedgerMismatch):
            self._broken = error
        else:
            field = type(error).__name__
            self._broken = LedgerMismatch(self._config.ledger_id, field, "none", str(error))
        if not isinstance(error, CausewayError):
            _log.exception("the ledger's feed failed", ledger=self._config.ledger_id)
        _log.error("ledger is not usable", ledger=self._config.ledger_id, problem=str(error))
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
