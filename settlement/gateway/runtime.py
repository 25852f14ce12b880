"""A party at work: engine, couriers, feeds and letter box, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Database, Schema
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.books import tables as books_tables
from settlement.connect import tables as connect_tables
from settlement.connect.handshake import Asked
from settlement.connect.policy import Policy
from settlement.custody import changes as c
from settlement.custody import payer
from settlement.custody import tables as custody_tables
from settlement.custody.engine import Engine
from settlement.custody.margins import Margins, place_ms, reveal_ms
from settlement.custody.news import Act, Acted, Begin, News
from settlement.custody.sealing import Sealer
from settlement.custody.states import State, Times
from settlement.custody.store import Due, Moment, PaymentStore, Stored
from settlement.custody.terms import PaymentId
from settlement.gateway import messages as m
from settlement.gateway import tables as gateway_tables
from settlement.gateway.customers import Customers
from settlement.gateway.dossiers import Dossier
from settlement.gateway.enquiries import Answer, Enquiries
from settlement.gateway.exchange_desk import ExchangeDesk
from settlement.gateway.feeds import follow
from settlement.gateway.files import Files
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.ledger_courier import LedgerCourier
from settlement.gateway.letter_box import LetterBoxDesk, Pricing, Receiving
from settlement.gateway.office import DeskOffice, Ledgers
from settlement.gateway.peer_courier import LetterBox, PeerCourier
from settlement.gateway.screener import Screener
from settlement.ledgers.bitcoin import tables as bitcoin_tables
from settlement.ledgers.evm import tables as evm_tables
from settlement.ledgers.protocol import Ledger, LedgerFacts, LedgerId
from settlement.quantities import Clock, PartyId
from settlement.rules import tables as rules_tables
from settlement.rules.buffer import RulesBuffer
from settlement.rules.model import Rules
from settlement.rules.validator import Validator

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a gateway is made of.

    Fields: secrets; directory; database; ledgers (by name, with their facts); rules and policy (those in force);
    margins; customers; books; receiving (where it is paid); pricing (None: no clearing bank); box (how to reach the
    others); peers (who they are); address (its Interledger address); clock.
    """

    secrets: Secrets
    directory: Directory
    database: Database
    ledgers: Mapping[LedgerId, Ledger]
    facts: Mapping[LedgerId, LedgerFacts]
    rules: Callable[[], Rules]
    policy: Callable[[], Policy]
    margins: Margins
    customers: Customers
    books: Ledgers
    receiving: Receiving
    pricing: Pricing | None
    box: LetterBox
    peers: Sequence[PartyId]
    address: str
    clock: Clock
    _questions: dict[PaymentId, Asked] = field(default_factory=dict)


class Gateway:
    """One party's gateway. Use as `async with`: it recovers, works, and stops."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        secrets, directory = parts.secrets, parts.directory
        self._sealer = Sealer(secrets.state_key)
        self._files = Files(secrets)
        rules = RulesBuffer(secrets.facts_key)
        self.validator = Validator(parts.rules, secrets.facts_key, rules)
        screener = Screener(self.validator, parts.customers, secrets.facts_key)
        desk = ExchangeDesk(secrets.party, secrets, directory, parts.policy, screener, self._files)
        self._office = DeskOffice(
            secrets,
            directory,
            desk,
            self._files,
            screener,
            self.validator,
            rules,
            parts.books,
            {str(name): facts.asset for name, facts in parts.facts.items()},
            self._deliver,
            self._ended,
        )
        self._engine = Engine(parts.database, self._office, _times(parts), parts.clock, self._sealer)
        self._ledger_couriers = {
            f"ledger:{name}": LedgerCourier(name, ledger, self._engine.submit, parts.clock)
            for name, ledger in parts.ledgers.items()
        }
        self._peer_couriers = {f"party:{party}": self._peer_courier(party) for party in parts.peers}
        self._enquiries = Enquiries(secrets, directory, parts.box, parts.receiving, parts.clock)
        self._listeners: list[Callable[[], None]] = []
        self.letter_box = LetterBoxDesk(
            secrets,
            directory,
            self._office,
            parts.database,
            self._heard,
            self._engine.state,
            parts.pricing,
            parts.receiving,
            parts.customers,
            self._files,
            self._sealer,
            parts.address,
            parts._questions,
            self._enquiries.told,
            parts.clock,
            parts.margins.hold_ms_max,
        )
        self._recovering = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Gateway:
        """Go on where it was left, and work."""
        self._recovering = True
        await self._engine.recover()
        self._recovering = False
        runs = [self._engine.run(), *(courier.run() for courier in self._ledger_couriers.values())]
        runs += [courier.run() for courier in self._peer_couriers.values()]
        runs += [
            follow(name, ledger, partial(self._cursor, name), self._engine.submit, tuple(self._parts.ledgers))
            for name, ledger in self._parts.ledgers.items()
        ]
        self._tasks = [asyncio.create_task(run) for run in runs]
        self._tasks[0].add_done_callback(self._engine_ended)
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Stop; what is under way goes on at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._enquiries.close()

    def _engine_ended(self, task: asyncio.Task[None]) -> None:
        """Without its engine a gateway does nothing: nothing is carried out any more, and nothing is taken."""
        if not task.cancelled():
            _log.critical("the gateway has stopped", problem=str(task.exception()))
        for other in self._tasks:
            other.cancel()

    async def pay(self, order: payer.Order, dossier: Dossier) -> None:
        """Begin a payment; returns when it is committed. The same id again changes nothing.

        Raises:
            BadInput: a party, a ledger or the customer's account is not known here.
        """
        self._check(order, dossier)
        payment = PaymentId(order.payment_id)
        longest = min(order.hold_ms_max, self._parts.margins.hold_ms_max)
        order = msgspec.structs.replace(order, hold_ms_max=longest)

        async def run(connection: AsyncConnection, state: State | None, now: UnixMs) -> Acted:
            await self._files.put_dossier(connection, payment, dossier)
            return Acted()

        await self._engine.submit(News(acts=(Act(payment, run),), begins=(Begin(payment, payer.begin(order)),)))

    async def change(self, payment: PaymentId, change: c.AnyChange) -> None:
        """Tell a payment that something happened, such as a person's `Cancel`; returns when it is committed."""
        await self._engine.submit(News(changes=((payment, change),)))

    async def recheck(self, payment: PaymentId) -> None:
        """Put a payment that waits for a person before the rules again."""

        async def run(connection: AsyncConnection, state: State | None, now: UnixMs) -> Acted:
            return Acted() if state is None else await self._office.recheck(connection, payment, state, now)

        await self._engine.submit(News(acts=(Act(payment, run),)))

    async def state(self, payment: PaymentId) -> State | None:
        """Where a payment stands."""
        found = (await self.stored([payment])).get(payment)
        return None if found is None else found.state

    async def stored(self, payments: Sequence[PaymentId]) -> dict[PaymentId, Stored]:
        """Payments as they are stored: where each stands, and since when; those that are there."""
        async with self._parts.database.view() as view:
            return await PaymentStore(view.connection, self._sealer).load(payments)

    async def history(self, payment: PaymentId) -> tuple[Moment, ...]:
        """What happened to a payment, in order."""
        async with self._parts.database.view() as view:
            return await PaymentStore(view.connection, self._sealer).history(payment)

    async def ask_quote(
        self, clearer: PartyId, asked: c.AskQuote, payment: PaymentId, timeout_seconds: float = 10.0
    ) -> Answer:
        """What a payment would cost now; nothing is held for it. See `Enquiries.ask`."""
        return await self._enquiries.ask(clearer, asked, payment, timeout_seconds)

    async def ask_place(self, payee: PartyId, timeout_seconds: float = 10.0) -> m.Place | c.QuoteRefused:
        """Where another bank is paid. See `Enquiries.ask_place`."""
        return await self._enquiries.ask_place(payee, timeout_seconds)

    def open_state(self, payment: PaymentId) -> State | None:
        """Where an open payment stands, out of memory; None once it has ended, or where it is not there."""
        return self._engine.state(payment)

    def payments(self, connection: AsyncConnection) -> PaymentStore:
        """All payments, on the connection of a view."""
        return PaymentStore(connection, self._sealer)

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each commit of payments; the answer ends that. It must not raise or wait."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def _cursor(self, ledger: LedgerId) -> str:
        async with self._parts.database.view() as view:
            return await PaymentStore(view.connection, self._sealer).cursor(ledger)

    async def _heard(self, news: News) -> None:
        self._enquiries.heard(news)
        await self._engine.submit(news)

    def _check(self, order: payer.Order, dossier: Dossier) -> None:
        for name, party in (("payee", order.payee), ("clearer", order.clearer)):
            if f"party:{party}" not in self._peer_couriers:
                raise BadInput(name, f"{party} is no party that we know", "exchange cards first")
        if f"ledger:{order.source_ledger}" not in self._ledger_couriers:
            raise BadInput("source_ledger", f"we have no account on {order.source_ledger}", "name one of our ledgers")
        if self._parts.customers.find(dossier.own) is None:
            raise BadInput("account", "no customer of ours has it", "name the account that pays")

    def _deliver(self, due: Sequence[Due]) -> None:
        for listener in self._listeners:
            listener()
        by_destination: dict[str, list[Due]] = {}
        for one in due:
            by_destination.setdefault(one.destination, []).append(one)
        for destination, batch in by_destination.items():
            if destination in self._ledger_couriers:
                self._ledger_couriers[destination].add(batch, recovered=self._recovering)
            elif destination in self._peer_couriers:
                self._peer_couriers[destination].add(batch)
            else:  # it stays in the outbox, for a configuration that knows it again
                _log.error("nobody carries effects out", destination=destination, effects=len(batch))

    def _ended(self, payments: Sequence[PaymentId]) -> None:
        for payment in payments:
            self._parts._questions.pop(payment, None)

    def _peer_courier(self, party: PartyId) -> PeerCourier:
        parts = self._parts
        keys = parts.directory.keys(party)
        assert keys is not None, "a peer is in the directory"
        return PeerCourier(
            party,
            keys,
            parts.secrets.letters,
            parts.box,
            self._engine.submit,
            parts.clock,
            parts._questions,
        )


def _times(parts: Parts) -> Times:
    """What the machines have to know of the margins, by ledger."""
    reveal = {str(name): reveal_ms(facts, parts.margins) for name, facts in parts.facts.items()}
    place = {str(name): place_ms(facts, parts.margins) for name, facts in parts.facts.items()}
    # What an earlier process asked of a ledger is final, and shown, when this one has been up for so long.
    now, skew = parts.clock(), parts.margins.skew_ms
    known_from = {str(name): now + facts.settle_ms + skew for name, facts in parts.facts.items()}
    return Times(reveal, place, known_from)


SCHEMA = Schema(
    (
        evm_tables.METADATA,
        bitcoin_tables.METADATA,
        custody_tables.METADATA,
        connect_tables.METADATA,
        rules_tables.METADATA,
        gateway_tables.METADATA,
        books_tables.METADATA,
    ),
    Path(__file__).parent / "migrations",
)
