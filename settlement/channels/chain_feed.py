"""Follows a Channels contract for as long as it is open, and keeps what concerns one bank."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from adapters.evm.channels.contract import ChannelsContract
from adapters.evm.channels.errors import NotOurChannels
from adapters.evm.channels.events import Closed, Closing, Joined, Revealed
from adapters.evm.channels.follower import ChannelsBatch, ChannelsFollower
from adapters.evm.endpoints import Endpoints
from adapters.evm.lockbox.types import check_address
from adapters.evm.provenance import not_created, was_created
from adapters.evm.types import BlockRef
from foundation.database import Database
from foundation.errors import BadInput, CausewayError, Retryable
from foundation.quantities import BlockHeight, UnixMs
from registry.chains import Chain
from settlement.channels.chain_cases import MS, project
from settlement.channels.chain_store import ChainStore
from settlement.channels.signing import contract_domain
from settlement.channels.terms import Account
from settlement.ledgers.protocol import LedgerId, LedgerMismatch, LedgerUnavailable

_BACK_OFF_FIRST: Final = 0.1
_BACK_OFF_MOST: Final = 5.0
_STALE_SECONDS: Final = 60.0
"""After so long without an answer of the chain, what is kept is not told as if it were the present."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """A Channels contract on a chain.

    Fields: ledger_id (its name here); chain (number, genesis and rule of finality, to which nodes are held); contract
    (20 bytes); start_block (in which it was deployed); settle_ms (the longest that a transaction usually takes to be
    final: a challenge period is at least three times that); poll_seconds (between two looks for new final blocks);
    patience_seconds (how long a command waits for its block before the bank goes on and asks again).

    Raises:
        BadInput: a value is out of its range.
    """

    ledger_id: LedgerId
    chain: Chain
    contract: bytes
    start_block: BlockHeight
    settle_ms: int = 15 * 60_000
    poll_seconds: float = 1.0
    patience_seconds: float = 2.0

    def __post_init__(self) -> None:
        check_address(self.contract, "channels.contract", zero_allowed=False)
        if self.settle_ms <= 0 or self.poll_seconds <= 0 or self.patience_seconds <= 0:
            raise BadInput("channels", "a time is nothing, or negative", "above 0")

    @property
    def domain(self) -> bytes:
        """What signatures for the contract are bound to, 32 bytes."""
        return contract_domain(int(self.chain.chain_id.reference), self.contract)


class ChainFeed:
    """What final blocks say of one bank's channels. Start it; close it at the end."""

    def __init__(self, config: ChainConfig, endpoints: Endpoints, database: Database, own: Account) -> None:
        """For the channels of the account `own`. Nothing is read yet."""
        self._config = config
        self._endpoints = endpoints
        self._database = database
        self._own = own
        self._follower = ChannelsFollower(endpoints, config.contract, config.start_block)
        self.contract = ChannelsContract(endpoints, config.contract)
        self._task: asyncio.Task[None] | None = None
        self._is_caught_up = False
        self._answered_at = float("-inf")
        self._problem = "nothing was read yet"
        self._broken: LedgerMismatch | None = None
        self.final: BlockRef | None = None
        """The last final block that was read."""
        self.on_quiet: Callable[[], Awaitable[None]] | None = None
        """Told after a start, and after each batch that was kept, once nothing more is to be read."""

    async def start(self) -> None:
        """Take up what is kept, and begin to follow. The chain may be down; one that is not ours is told of later."""
        async with self._database.view() as view:
            self.final = await ChainStore(view.connection, self._config.domain).cursor()
        self._answered_at = time.monotonic()
        self._task = asyncio.create_task(self._run(), name=f"channels {self._config.ledger_id}")

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check_health(self) -> None:
        """Refuse to speak for a chain that is not ours, that has been silent, or that was not read to its end yet.

        Raises:
            LedgerMismatch, LedgerUnavailable.
        """
        if self._broken is not None:
            raise self._broken
        if not self._is_caught_up or time.monotonic() - self._answered_at > _STALE_SECONDS:
            raise LedgerUnavailable(self._config.ledger_id, self._problem or "its blocks are being read")

    async def _run(self) -> None:
        back_off = _BACK_OFF_FIRST
        is_checked, is_news = False, True
        while True:
            try:
                is_checked = is_checked or await self._check()
                batch = await self._follower.read(self.final) if is_checked else None
                if batch is not None:
                    await self._keep(batch)
                elif is_checked and is_news and self.on_quiet is not None:
                    await self.on_quiet()
                    is_news = False
            except Retryable as error:
                self._problem = str(error)
                _log.warning("channels wait", ledger=self._config.ledger_id, problem=str(error))
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
                await asyncio.sleep(self._config.poll_seconds)
            else:
                is_news = True

    async def _check(self) -> bool:
        """Whether chain and contract are those of the configuration; False before the first final block."""
        final = await self._endpoints.final()
        if final is None or final.number < self._config.start_block:
            return False
        await self.contract.check(final.number)
        if not await was_created(self._endpoints, self._config.contract, self._config.start_block, "Channels"):
            raise NotOurChannels(self._config.contract, not_created(self._config.start_block))
        return True

    async def _keep(self, batch: ChannelsBatch) -> None:
        """Store what a batch says, and where it ends, at once."""
        shown = sorted({event.at.block.number for event in batch.events if isinstance(event, Revealed)})
        headers = await self._endpoints.headers(shown) if shown else []
        times = {header.number: UnixMs(header.timestamp * MS) for header in headers}
        named = [event.channel for event in batch.events if isinstance(event, Joined | Closing | Closed)]
        async with self._database.unit() as unit:
            store = ChainStore(unit.connection, self._config.domain)
            known = await store.cases(named) if named else {}
            made = project(
                known, batch.events, self._config.domain, self._own, lambda event: times[event.at.block.number]
            )
            await store.keep(made, batch.last)
            await unit.commit()
        self.final = batch.last

    def _break(self, error: Exception) -> None:
        """The chain is not what it was configured to be, or a bug: nobody may go on as if nothing were."""
        if isinstance(error, LedgerMismatch):
            self._broken = error
        else:
            self._broken = LedgerMismatch(self._config.ledger_id, type(error).__name__, "none", str(error))
        if not isinstance(error, CausewayError):
            _log.exception("following channels failed", ledger=self._config.ledger_id)
        _log.error("channels are not usable", ledger=self._config.ledger_id, problem=str(error))
