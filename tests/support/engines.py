"""Two settlement engines that talk to each other as through their connectors, and ledgers in memory for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from foundation.database import Database, Schema
from foundation.quantities import UnixMs
from settlement.connector.settle.engines.core import Payment, request_id
from settlement.connector.settle.engines.engine import Engine
from settlement.connector.settle.engines.rail import Rail
from settlement.connector.settle.engines.store import EngineStore
from settlement.connector.settle.engines.tables import METADATA
from settlement.connector.settle.quantity import Quantity
from settlement.connector.settle.rfc38 import OtherSideFailed, Rfc38Client
from settlement.ledgers.evm.tables import METADATA as EVM_METADATA
from settlement.ledgers.protocol import (
    AccountView,
    Cursor,
    Done,
    Fulfilment,
    Hold,
    HoldState,
    HoldView,
    LedgerAccount,
    LedgerEvent,
    LedgerFacts,
    LedgerId,
    LedgerUnavailable,
    Outcome,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import Asset, Scale, Units, fulfils
from tests.support.settling import Death

Item = TypeVar("Item")

SCHEMA = Schema((METADATA, EVM_METADATA))


@dataclass
class Office:
    """What an engine's connector is to it: hears of settlements, each key once, and carries messages to the peer."""

    name: str
    peer: Office | None = None
    engine: Engine | None = None
    heard: dict[str, tuple[str, Quantity]] = field(default_factory=dict)
    is_down: bool = False
    death: Death = field(default_factory=Death)

    async def settle(self, account: str, quantity: Quantity, key: str) -> None:
        """See `Rfc38Client`."""
        self.death.event()
        if self.is_down:
            raise OtherSideFailed("settle", 0, "down")
        assert self.heard.setdefault(key, (account, quantity)) == (account, quantity)
        self.death.event()

    async def message(self, account: str, message: bytes) -> bytes:
        """See `Rfc38Client`; each knows the other under its name."""
        self.death.event()
        if self.is_down or self.peer is None or self.peer.engine is None:
            raise OtherSideFailed("message", 0, "down")
        assert account == self.peer.name
        return await self.peer.engine.message(self.name, message)

    @property
    def total(self) -> int:
        """All that was credited."""
        return sum(quantity.amount for _, quantity in self.heard.values())


def offices() -> tuple[Office, Office]:
    """Two that know each other."""
    one, other = Office("one"), Office("other")
    one.peer, other.peer = other, one
    return one, other


async def engine_of(
    office: Office, url: str, rail: Callable[[Database], Rail], clock: Callable[[], UnixMs], death: Death | None = None
) -> tuple[Engine, Database]:
    """An engine on the database at `url`, which dies by `death`, serving the peer's account."""
    death = death or Death()
    office.death = death
    database = await Database.open(url, SCHEMA, commit_hook=death.on_commit)
    engine = Engine(database, rail(database), cast("Rfc38Client", office), clock, chance=lambda: 1.0, underway_ms=10)
    office.engine = engine
    assert office.peer is not None
    await engine.open_account(office.peer.name)
    return engine, database


async def payment_of(database: Database, account: str, key: str) -> Payment | None:
    """The payment of a request."""
    async with database.view() as view:
        return await EngineStore(view.connection).payment(request_id(account, key))


async def is_done(database: Database) -> bool:
    """Whether nothing is open."""
    async with database.view() as view:
        store = EngineStore(view.connection)
        return not await store.open_payments() and not await store.unreported()


@dataclass
class MemoryLedger:
    """A ledger's books, and its clients. `now`: its clock, ms. `is_down`: nothing is answered, nothing happens."""

    now: int = 1_000_000
    balances: dict[str, int] = field(default_factory=dict)
    holds: dict[TransferId, HoldView] = field(default_factory=dict)
    log: list[HoldView] = field(default_factory=list)
    is_down: bool = False
    lost_answers: int = 0
    waiting: int = 0  # readers of events that have read all
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    def client(self, account: str) -> MemoryClient:
        """The ledger as one account's holder sees it."""
        return MemoryClient(self, LedgerAccount(account))

    def expire(self) -> None:
        """Give back what was not fulfilled in time."""
        for view in list(self.holds.values()):
            if view.state is HoldState.HELD and self.now >= view.hold.expires_at:
                self.balances[view.hold.payer] += view.hold.amount
                self.put(replace(view, state=HoldState.EXPIRED, decided_at=UnixMs(self.now)))

    def put(self, view: HoldView) -> None:
        """A hold came to stand so."""
        self.holds[view.hold.transfer_id] = view
        self.log.append(view)
        self.grown.set()


@dataclass
class MemoryClient:
    """See `Ledger`."""

    ledger: MemoryLedger
    own: LedgerAccount

    async def facts(self) -> LedgerFacts:
        """See `Ledger`."""
        return LedgerFacts(LedgerId("memory"), Asset("EUR", Scale(2)), 0, 1_000)

    async def hold(self, holds: Sequence[Hold]) -> tuple[Outcome, ...]:
        """See `Ledger`."""
        return self._served(tuple(self._hold(one) for one in self._asked(holds)))

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """See `Ledger`."""
        return self._served(tuple(self._fulfil(one) for one in self._asked(fulfilments)))

    async def cancel(self, transfer_ids: Sequence[TransferId]) -> tuple[Outcome, ...]:
        """See `Ledger`."""
        raise NotImplementedError("this ledger gives back by itself")

    async def transfers(self, transfer_ids: Sequence[TransferId]) -> tuple[HoldView | None, ...]:
        """See `Ledger`."""
        return tuple(self.ledger.holds.get(one) for one in self._asked(transfer_ids))

    async def account(self) -> AccountView:
        """See `Ledger`."""
        raise NotImplementedError("no rail asks for it")

    async def events(self, after: Cursor) -> AsyncIterator[tuple[LedgerEvent, ...]]:
        """See `Ledger`."""
        position = int(after or "0")
        while True:
            self._asked(())
            found = self.ledger.log[position:]
            if found:
                yield tuple(
                    LedgerEvent(Cursor(str(position + index + 1)), view)
                    for index, view in enumerate(found)
                    if self.own in (view.hold.payer, view.hold.payee)
                )
                position += len(found)
                continue
            self.ledger.grown.clear()
            self.ledger.waiting += 1
            try:
                await self.ledger.grown.wait()
            finally:
                self.ledger.waiting -= 1

    def _asked(self, batch: Sequence[Item]) -> Sequence[Item]:
        if self.ledger.is_down:
            raise LedgerUnavailable(LedgerId("memory"), "is down")
        self.ledger.expire()
        return batch

    def _served(self, outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        if self.ledger.lost_answers:
            self.ledger.lost_answers -= 1
            raise LedgerUnavailable(LedgerId("memory"), "the answer was lost")
        return outcomes

    def _hold(self, hold: Hold) -> Outcome:
        known = self.ledger.holds.get(hold.transfer_id)
        if known is not None:
            if known.hold == hold:
                return Done(known)
            return Refused(hold.transfer_id, Refusal.SAME_ID_OTHER_TRANSFER, "", known)
        if self.ledger.balances.get(hold.payer, 0) < hold.amount:
            return Refused(hold.transfer_id, Refusal.INSUFFICIENT_FUNDS, "too little")
        self.ledger.balances[hold.payer] -= hold.amount
        self.ledger.put(HoldView(hold, HoldState.HELD, None, UnixMs(self.ledger.now), None))
        return Done(self.ledger.holds[hold.transfer_id])

    def _fulfil(self, one: Fulfilment) -> Outcome:
        view = self.ledger.holds[one.transfer_id]
        if view.state is HoldState.FULFILLED:
            return Done(view)
        if view.state is not HoldState.HELD:
            return Refused(one.transfer_id, Refusal.ALREADY_RETURNED, "", view)
        assert fulfils(one.preimage, view.hold.condition)
        payee = view.hold.payee
        self.ledger.balances[payee] = self.ledger.balances.get(payee, 0) + Units(view.hold.amount)
        self.ledger.put(
            replace(view, state=HoldState.FULFILLED, preimage=one.preimage, decided_at=UnixMs(self.ledger.now))
        )
        return Done(self.ledger.holds[one.transfer_id])
