"""Three banks at work in one process: gateways, two books, and a post between them that can fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Column, LargeBinary, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import CommitHook, Database, Schema
from foundation.quantities import UnixMs
from settlement.connect.policy import decode_policy
from settlement.connector.conversion import Rate
from settlement.cosign.cosignatures import CoSignature
from settlement.custody import changes as c
from settlement.custody import payer
from settlement.custody.engine import EngineStopped
from settlement.custody.margins import Margins
from settlement.custody.sealing import Sealer
from settlement.custody.states import State, is_open, stage_of
from settlement.custody.store import Due, PaymentStore
from settlement.custody.terms import Particulars, PaymentId
from settlement.gateway.customers import Customer
from settlement.gateway.dossiers import Dossier
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.peer_courier import PeerUnavailable
from settlement.gateway.pricing import Corridor, CorridorPricing, Standing
from settlement.gateway.runtime import SCHEMA, Gateway, Parts
from settlement.ledgers.book.client import BookAccess, BookClient
from settlement.ledgers.book.operator import BookOperator
from settlement.ledgers.book.service import BookService, wall_clock
from settlement.ledgers.book.types import AccountKind, Payment
from settlement.ledgers.protocol import (
    LedgerAccount,
    LedgerFacts,
    LedgerId,
)
from settlement.quantities import Asset, Clock, PartyId, Scale, Units
from settlement.rules.approvals import LoggedIn
from settlement.rules.facts import Approval
from settlement.rules.model import Verdict
from settlement.rules.parse import parse_rules
from tests.support.fragile_ledger import Fragile
from tests.support.patience import PATIENCE_S
from tests.support.settlement_book import BOOK_SCHEMA, ISSUER, OPERATOR_KEY, Time, book_config, transfer_id
from tests.support.settlement_connect import MARIA, SHOP

EURO: Final = Asset("EUR", Scale(2))
YUAN: Final = Asset("CNY", Scale(2))
EURO_LEDGER, YUAN_LEDGER = LedgerId("digital-euro"), LedgerId("digital-yuan")
FUNDS: Final = 1_000_000_00
A, B, C = PartyId("bank-a"), PartyId("bank-b"), PartyId("clearing")
BUYER: Final = Customer("DE02120300000000202051", "DE", MARIA)
SELLER: Final = Customer("SG-0042-1717", "SG", SHOP)
GOODS: Final = Particulars("GDDS", "DE", "SG", "natural", "legal")
_ALL = '["name", "address", "national-id", "customer-id", "birth", "country", "account"]'
POLICY: Final = f"""{{
  "version": "1", "requires": [{{"subject": "originator", "data": ["name", "address"]}}, {{"subject": "beneficiary",
  "data": ["name"]}}], "discloses": [{{"subject": "originator", "data": {_ALL}}}, {{"subject": "beneficiary", "data":
  {_ALL}}}]
}}""".encode()
RULES: Final = b"""
format = 1
name = "test"
zone = "Europe/Berlin"

[assets]
EUR = 2
CNY = 2

[[limit]]
id = "one-payment"
window = "each"
asset = "EUR"
amount_max = "1000000.00"

[pairs]
allowed = ["EUR->CNY"]
"""


class OneRate:
    """Two whole yuan for one euro."""

    def rate(self, source: str, destination: str) -> Rate | None:
        return Rate(2, 1) if (source, destination) == ("EUR", "CNY") else None


class People:
    """A bank's customers."""

    def __init__(self, *customers: Customer) -> None:
        self._customers = {customer.account: customer for customer in customers}

    def find(self, account: str) -> Customer | None:
        return self._customers.get(account)


class Account:
    """Where a bank is paid."""

    def __init__(self, ledger: str, account: str) -> None:
        self._place = (ledger, account)

    def account(self, payer: PartyId) -> tuple[str, str] | None:
        return self._place


_METADATA = MetaData()
_posts = Table(
    "test_posts",
    _METADATA,
    Column("payment_id", LargeBinary(32), nullable=False),
    Column("event", String(32), nullable=False),
)
TOWN_SCHEMA: Final = Schema((*SCHEMA.metadata, _METADATA))


class NoBooks:
    """Books that only remember what was posted: in memory what was tried, in the database what took effect."""

    def __init__(self) -> None:
        self.posted: list[tuple[PaymentId, str]] = []
        self.closed: dict[PaymentId, CoSignature] = {}

    async def post(
        self, connection: AsyncConnection, payment: PaymentId, state: State, event: str, now: UnixMs
    ) -> None:
        self.posted.append((payment, event))
        await connection.execute(_posts.insert().values(payment_id=payment, event=event))

    async def close(
        self, connection: AsyncConnection, payment: PaymentId, state: State, signature: CoSignature, now: UnixMs
    ) -> None:
        self.closed[payment] = signature
        await connection.execute(_posts.insert().values(payment_id=payment, event="closed"))

    async def flush(self, connection: AsyncConnection, now: UnixMs) -> None:
        """Nothing is written."""

    def forget(self) -> None:
        """What was posted stays: tests look for repeats."""


class Post:
    """Letter boxes by party; a party that is not there does not answer.

    Fields: seen (all that was sent, with its recipient); change (what becomes of a request on its way).
    """

    def __init__(self) -> None:
        self.boxes: dict[PartyId, Gateway] = {}
        self.requests = 0
        self.seen: list[tuple[PartyId, bytes]] = []
        self.change: Callable[[PartyId, bytes], bytes] = lambda party, body: body

    async def put(self, party: PartyId, body: bytes) -> None:
        self.requests += 1
        gateway = self.boxes.get(party)
        if gateway is None:
            raise PeerUnavailable(party, "nobody is there")
        self.seen.append((party, body))
        try:
            await gateway.letter_box.take(self.change(party, body))
        except EngineStopped as stopped:
            raise PeerUnavailable(party, str(stopped)) from stopped


class Town:
    """Two books, three banks. Use as `async with`; `database` makes the URL of a database by a name."""

    def __init__(
        self, folder: Path, margins: Margins | None = None, rules: bytes = RULES, clock: Clock = wall_clock, **urls: str
    ) -> None:
        self.folder = folder
        self.margins = margins or Margins()
        self.clock = clock
        self.rules = dict.fromkeys((A, B, C), rules)
        self.policies = dict.fromkeys((A, B, C), POLICY)
        self.post = Post()
        self.books: dict[PartyId, NoBooks] = {party: NoBooks() for party in (A, B, C)}
        self.gateways: dict[PartyId, Gateway] = {}
        self.services: dict[LedgerId, BookService] = {}
        self.operators: dict[LedgerId, BookOperator] = {}
        self.ledgers: dict[tuple[PartyId, LedgerId], Fragile] = {}
        self.databases: dict[PartyId, Database] = {}
        self.hooks: dict[PartyId, CommitHook] = {}
        self._keys: dict[tuple[LedgerId, str], str] = {}
        self._urls = urls
        self._stack = AsyncExitStack()
        self._stacks: dict[PartyId, AsyncExitStack] = {}
        self.secrets = {party: Secrets.derive(party, secrets.token_bytes(32)) for party in (A, B, C)}
        self._born = UnixMs(clock() - 1_000)

    def url(self, name: str) -> str:
        return self._urls.get(name.replace("-", "_"), f"sqlite:///{self.folder / f'{name}.db'}")

    async def __aenter__(self) -> Self:
        await self._open_book(EURO_LEDGER, EURO, A, C)
        await self._open_book(YUAN_LEDGER, YUAN, C, B)
        for party in (A, B, C):
            await self.start(party)
        return self

    async def __aexit__(self, *exception: object) -> None:
        for party in tuple(self._stacks):
            await self.stop(party)
        await self._stack.aclose()

    async def _open_book(self, ledger: LedgerId, asset: Asset, *holders: str) -> None:
        config = book_config(self.url(str(ledger)), ledger_id=ledger)
        service = await self._stack.enter_async_context(BookService(config, self.clock, BOOK_SCHEMA))
        operator = await self._stack.enter_async_context(BookOperator(ledger, service.url, OPERATOR_KEY))
        self.services[ledger], self.operators[ledger] = service, operator
        await operator.open_account(ISSUER, asset, "operator", AccountKind.ISSUER)
        for holder in holders:
            await operator.open_account(holder, asset, holder)
            self._keys[ledger, holder] = await operator.make_key(f"{holder}-key", holder)
            await operator.pay([Payment(transfer_id(), ISSUER, LedgerAccount(holder), Units(FUNDS))])

    async def start(self, party: PartyId) -> Gateway:
        """Start a bank's gateway, anew or again; `hooks` may hold its commit hook."""
        stack = self._stacks[party] = AsyncExitStack()
        database = self.databases[party] = await stack.enter_async_context(
            await Database.open(self.url(str(party)), TOWN_SCHEMA, commit_hook=self.hooks.get(party))
        )
        ledgers: dict[LedgerId, Fragile] = {}
        facts: dict[LedgerId, LedgerFacts] = {}
        for ledger, asset in ((EURO_LEDGER, EURO), (YUAN_LEDGER, YUAN)):
            key = self._keys.get((ledger, party))
            if key is not None:
                access = BookAccess(ledger, asset, self.services[ledger].url, LedgerAccount(party), key)
                known = self.ledgers.get((party, ledger))
                made = Fragile(await stack.enter_async_context(BookClient(access)))
                if known is not None:
                    made.silent, made.deaf, made.calls = known.silent, known.deaf, known.calls
                ledgers[ledger] = self.ledgers[party, ledger] = made
                facts[ledger] = await ledgers[ledger].facts()
        cards = {name: secret.card(f"memory:{name}", self._born) for name, secret in self.secrets.items()}
        directory = Directory(cards, self.clock())
        rules, policy = parse_rules(self.rules[party]), decode_policy(self.policies[party])
        parts = Parts(
            secrets=self.secrets[party],
            directory=directory,
            database=database,
            ledgers=ledgers,
            facts=facts,
            rules=lambda: rules,
            policy=lambda: policy,
            margins=self.margins,
            customers={A: People(BUYER), B: People(SELLER), C: People()}[party],
            books=self.books[party],
            receiving=Account(str(YUAN_LEDGER), str(B)),
            pricing=self._pricing(directory, ledgers, facts) if party == C else None,
            box=self.post,
            peers=[name for name in (A, B, C) if name != party],
            address=f"g.{party}",
            clock=self.clock,
        )
        gateway = self.gateways[party] = await stack.enter_async_context(Gateway(parts))
        self.post.boxes[party] = gateway
        return gateway

    def leave_running(self, party: PartyId) -> AsyncExitStack:
        """Forget a bank's gateway, which goes on; close what this returns to stop it."""
        return self._stacks.pop(party)

    async def stop(self, party: PartyId) -> None:
        """Stop a bank's gateway; its database stays."""
        self.post.boxes.pop(party, None)
        await self._stacks.pop(party).aclose()

    def _pricing(self, directory: Directory, ledgers: Any, facts: dict[LedgerId, LedgerFacts]) -> CorridorPricing:
        standings = {str(ledger): Standing(facts[ledger], ledgers[ledger].own) for ledger in ledgers}
        corridor = Corridor(str(EURO_LEDGER), str(YUAN_LEDGER), fee=100)
        corridors = {(corridor.source, corridor.target): corridor}
        return CorridorPricing(self.secrets[C], directory, standings, corridors, OneRate(), self.margins)

    async def pay(self, amount: int = 2_000_00, most: int | None = None, **changes: Any) -> PaymentId:
        """Bank A pays bank B."""
        payment = PaymentId(os.urandom(32))
        order = payer.Order(
            payment_id=payment,
            payer=A,
            clearer=C,
            payee=B,
            target_ledger=str(YUAN_LEDGER),
            target_amount=amount,
            source_ledger=str(EURO_LEDGER),
            source_account=str(A),
            source_max=most if most is not None else amount // 2 + 101,
            particulars=GOODS,
            answer_by=self.clock() + self.margins.answer_ms,
        )
        dossier = Dossier(own=BUYER.account, other=changes.get("creditor", SELLER.account))
        async with asyncio.timeout(PATIENCE_S):
            while True:  # as a client does that does not know whether it was heard
                try:
                    await self.gateways[A].pay(order, dossier)
                    return payment
                except EngineStopped:
                    await asyncio.sleep(0.01)

    async def outbox(self, party: PartyId) -> list[Due]:
        """What a bank has still to carry out."""
        async with self.databases[party].view() as view:
            return list(await PaymentStore(view.connection, Sealer(self.secrets[party].state_key)).due())

    async def posts(self, party: PartyId) -> list[tuple[PaymentId, str]]:
        """What took effect in a bank's books, in order."""
        async with self.databases[party].view() as view:
            rows = await view.connection.execute(select(_posts.c.payment_id, _posts.c.event))
            return [(PaymentId(payment), event) for payment, event in rows]

    async def stage(self, party: PartyId, payment: PaymentId, *stages: str) -> State:
        """Wait until a payment has come to one of these stages at a party."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                state = await self.state(party, payment)
                if state is not None and stage_of(state) in stages:
                    return state
                await asyncio.sleep(0.01)

    async def referred(self, party: PartyId, payment: PaymentId) -> bytes:
        """Wait until a bank's rules want a person; the digest of what the person has to look at."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with self.databases[party].view() as view:
                    entry = await self.gateways[party].validator.store(view.connection).latest(payment)
                if entry is not None and entry.decision.verdict is Verdict.REFER:
                    return entry.decision.facts_digest
                await asyncio.sleep(0.01)

    async def approve(self, party: PartyId, payment: PaymentId, person: str) -> None:
        """A person of the bank approves a payment that waits."""
        now = self.clock()
        approval = Approval(await self.referred(party, payment), person, (), now)
        async with self.databases[party].unit() as unit:
            await self.gateways[party].validator.approve(unit.connection, approval, LoggedIn(person), now)
            await unit.commit()

    async def pass_time(self, ms: int) -> None:
        """Time passes, and whoever has set an alarm clock hears it; for towns with a clock of their own."""
        assert isinstance(self.clock, Time), "the clock is the machine's"
        self.clock.now += ms
        for gateway in self.gateways.values():
            with contextlib.suppress(EngineStopped):
                await gateway.change(PaymentId(bytes(32)), c.Tick())

    async def nothing_moved(self) -> None:
        """All money is where it was, and nothing is held."""
        for ledger, holders in ((EURO_LEDGER, (A, C)), (YUAN_LEDGER, (C, B))):
            for holder in holders:
                view = await self.operators[ledger].account(holder)
                assert (view.balance, view.held, view.incoming) == (FUNDS, 0, 0), f"{holder} on {ledger}"

    async def state(self, party: PartyId, payment: PaymentId) -> State | None:
        async with self.databases[party].view() as view:
            store = PaymentStore(view.connection, Sealer(self.secrets[party].state_key))
            found = (await store.load([payment])).get(payment)
        return None if found is None else found.state

    async def ended(self, payment: PaymentId, *parties: PartyId) -> dict[PartyId, State]:
        """The states at the end, of these parties."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                states = {party: await self.state(party, payment) for party in parties or (A, B, C)}
                if all(state is not None and not is_open(state) for state in states.values()):
                    return {party: state for party, state in states.items() if state is not None}
                await asyncio.sleep(0.02)

    async def balance(self, ledger: LedgerId, account: str) -> int:
        return (await self.operators[ledger].account(account)).balance


def stages(states: dict[PartyId, State]) -> dict[str, str]:
    return {party: stage_of(state) for party, state in states.items()}
