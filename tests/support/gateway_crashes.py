"""Gateways that crash at their commits, and somebody who starts them again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

import pytest

from foundation.database import DatabaseUnavailable
from foundation.database.database import Moment
from settlement.custody import engine
from settlement.gateway import feeds, ledger_courier, peer_courier
from settlement.quantities import PartyId
from tests.support.settlement_gateway import Town


class Crash(BaseException):
    """The end of a gateway. No handler of `Exception` holds it up."""


class Way(StrEnum):
    """What becomes of a commit."""

    UNDONE = "undone"  # the gateway crashes before it
    LAST = "last"  # it takes effect, and the gateway crashes after it
    UNSURE = "unsure"  # it takes effect, and the gateway is told that the database did not answer


@dataclass(frozen=True)
class Plan:
    """What happens to whom, and at which of its commits from now on (from 0)."""

    party: PartyId
    commit: int
    way: Way


class Crashes:
    """The commit hooks of a town's gateways. `plans`: the crashes that have not happened yet, one of a party."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self.plans: dict[PartyId, Plan] = {}
        self._counts: dict[PartyId, int] = {}
        self._dead: set[PartyId] = set()
        self._died: asyncio.Queue[PartyId] = asyncio.Queue()

    def arm(self, *plans: Plan) -> None:
        """Let these happen."""
        self.plans = {plan.party: plan for plan in plans}
        self._counts = dict.fromkeys(self.plans, 0)

    def watch(self, party: PartyId) -> None:
        """Hook a party, from its next start on."""

        async def on_commit(moment: Moment) -> None:
            if party in self._dead:
                raise Crash  # nothing that it still does before its end takes effect
            plan = self.plans.get(party)
            if plan is None or (moment is Moment.BEFORE) is not (plan.way is Way.UNDONE):
                return
            self._counts[party] += 1
            if self._counts[party] <= plan.commit:
                return
            del self.plans[party]
            if plan.way is Way.UNSURE:
                raise DatabaseUnavailable("its answer was lost")
            self._dead.add(party)
            self._died.put_nowait(party)
            raise Crash

        self._town.hooks[party] = on_commit

    @contextlib.asynccontextmanager
    async def kept_running(self) -> AsyncIterator[None]:
        """Start each gateway again whenever it has crashed."""
        keeper = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            party = await self._died.get()
            await self._town.stop(party)
            self._dead.discard(party)
            await self._town.start(party)


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has failed tries again at once."""
    for module in (peer_courier, ledger_courier, feeds):
        monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
        monkeypatch.setattr(module, "_PAUSE_SECONDS_MAX", 0.02)
    monkeypatch.setattr(engine, "_RETRY_SECONDS", 0.01)
