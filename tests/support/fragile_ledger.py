"""A ledger behind a line that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from settlement.ledgers.book.client import BookClient
from settlement.ledgers.protocol import (
    AccountView,
    Cursor,
    Fulfilment,
    Hold,
    HoldView,
    LedgerEvent,
    LedgerFacts,
    LedgerId,
    LedgerUnavailable,
    Outcome,
    TransferId,
)

Result = TypeVar("Result")


class Fragile:
    """A ledger that stops answering. Fields: silent (calls that are not answered); deaf (those that happen all the
    same, though their answers are lost)."""

    def __init__(self, ledger: BookClient) -> None:
        self.ledger = ledger
        self.own = ledger.own
        self.silent: set[str] = set()
        self.deaf: set[str] = set()
        self.calls: list[str] = []

    async def hold(self, holds: Sequence[Hold]) -> tuple[Outcome, ...]:
        return await self._call("hold", self.ledger.hold(holds))

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        return await self._call("fulfil", self.ledger.fulfil(fulfilments))

    async def cancel(self, transfer_ids: Sequence[TransferId]) -> tuple[Outcome, ...]:
        return await self._call("cancel", self.ledger.cancel(transfer_ids))

    async def transfers(self, transfer_ids: Sequence[TransferId]) -> tuple[HoldView | None, ...]:
        return await self._call("transfers", self.ledger.transfers(transfer_ids))

    async def facts(self) -> LedgerFacts:
        return await self.ledger.facts()

    async def account(self) -> AccountView:
        return await self.ledger.account()

    async def events(self, after: Cursor) -> AsyncIterator[tuple[LedgerEvent, ...]]:
        self._check("events")
        async for events in self.ledger.events(after):
            self._check("events")
            yield events

    def _check(self, name: str) -> None:
        if name in self.silent:
            raise LedgerUnavailable(LedgerId("fragile"), "it is silent")

    async def _call(self, name: str, doing: Coroutine[Any, Any, Result]) -> Result:
        self.calls.append(name)
        if name in self.silent:
            doing.close()
        self._check(name)
        answer = await doing
        if name in self.deaf:
            raise LedgerUnavailable(LedgerId("fragile"), "its answer was lost")
        return answer
