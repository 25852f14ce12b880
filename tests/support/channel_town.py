"""Three banks and the operator of a book, each with a database, on a wire that tests hold in their hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from foundation.database import CommitHook, Database
from foundation.quantities import UnixMs
from settlement.channels import tables
from settlement.channels.agent import ChannelAgent
from settlement.channels.book import BookAdjudicator, book_salt, deposit_hold
from settlement.channels.errors import BadStep
from settlement.channels.judge import Join
from settlement.channels.messages import Message, encode
from settlement.channels.port import Gateway, Notice
from settlement.channels.signing import KeySigner, book_domain
from settlement.channels.state import Change, Channel
from settlement.channels.store import ChannelStore
from settlement.channels.terms import ChannelId, Side, Terms
from settlement.ledgers.book.types import Paid, Payment
from settlement.ledgers.protocol import (
    Done,
    Fulfilment,
    Hold,
    HoldState,
    HoldView,
    LedgerAccount,
    Outcome,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import Units, fulfils
from tests.support.channels import CHALLENGE_MS, POLICY, START

OPERATOR = LedgerAccount("operator")
DOMAIN = book_domain("town")


class Money:
    """The operator's account at a book, in memory."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = {OPERATOR: 0}
        self.holds: dict[TransferId, HoldView] = {}
        self.payments: dict[TransferId, Payment] = {}

    @property
    def own(self) -> LedgerAccount:
        """The account."""
        return OPERATOR

    def hold(self, hold: Hold) -> None:
        """A bank sets its deposit aside."""
        self.balances[hold.payer] -= hold.amount
        self.holds[hold.transfer_id] = HoldView(hold, HoldState.HELD, None, START, None)

    async def transfers(self, transfer_ids: Sequence[TransferId]) -> tuple[HoldView | None, ...]:
        """Holds as they stand."""
        return tuple(self.holds.get(identity) for identity in transfer_ids)

    async def fulfil(self, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
        """Take deposits."""
        outcomes: list[Outcome] = []
        for asked in fulfilments:
            view = self.holds[asked.transfer_id]
            if not fulfils(asked.preimage, view.hold.condition):
                outcomes.append(Refused(asked.transfer_id, Refusal.WRONG_PREIMAGE, ""))
                continue
            if view.state is HoldState.HELD:
                view = replace(view, state=HoldState.FULFILLED, preimage=asked.preimage)
                self.holds[asked.transfer_id] = view
                self.balances[OPERATOR] += view.hold.amount
            outcomes.append(Done(view))
        return tuple(outcomes)

    async def pay(self, payments: Sequence[Payment]) -> tuple[Paid | Refused, ...]:
        """Pay out, once for each id."""
        for payment in payments:
            known = payment.transfer_id in self.payments
            assert self.payments.setdefault(payment.transfer_id, payment) == payment
            if not known:
                self.balances[OPERATOR] -= payment.amount
                self.balances[payment.payee] += payment.amount
                assert self.balances[OPERATOR] >= 0
        return tuple(Paid(payment, START) for payment in payments)


class Listener:
    """A gateway that remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[Notice] = []

    async def tell(self, channel: ChannelId, number: int, notice: Notice) -> tuple[tuple[ChannelId, Change], ...]:
        """Remember."""
        self.heard.append(notice)
        return ()


@dataclass
class Bank:
    """A bank, its key and its files."""

    name: str
    path: Path
    signer: KeySigner
    listener: Listener = field(default_factory=Listener)
    database: Database | None = None
    agent: ChannelAgent | None = None
    gateway: Gateway | None = None

    @property
    def runs(self) -> ChannelAgent:
        """Its agent."""
        assert self.agent is not None
        return self.agent


class Town:
    """All of them. `now` moves by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START
        self.money = Money()
        self.banks: dict[str, Bank] = {}
        self.peers: dict[tuple[str, bytes], str] = {}
        self.wire: list[tuple[str, ChannelId, bytes]] = []
        self.away: set[str] = set()

    def clock(self) -> UnixMs:
        """The town's time."""
        return self.now

    async def start(self, *names: str) -> Town:
        """Banks with 10,000 each, and the operator."""
        self.court_database = await Database.open(f"sqlite:///{self.folder}/operator.db", tables.SCHEMA)
        self.court = BookAdjudicator(self.court_database, self.money, DOMAIN, self.clock)
        for name in names:
            signer = KeySigner(name.encode().ljust(32, b"."))
            self.banks[name] = Bank(name, self.folder / f"{name}.db", signer)
            self.money.balances[name] = 10_000
            await self.run(name)
        return self

    async def run(self, name: str, hook: CommitHook | None = None) -> None:
        """Start a bank, or start it again."""
        bank = self.banks[name]
        if bank.database is not None:
            await bank.database.close()
        bank.database = await Database.open(f"sqlite:///{bank.path}", tables.SCHEMA, commit_hook=hook)
        bank.agent = ChannelAgent(
            bank.database,
            bank.signer,
            lambda _: self.court,
            _Link(self, name),
            bank.gateway or bank.listener,
            self.clock,
        )

    async def channel(self, a: str, b: str, deposit_a: int = 1_000, deposit_b: int = 1_000) -> ChannelId:
        """Open a channel between two banks, both deposits in."""
        one, other = LedgerAccount(a), LedgerAccount(b)
        keys = self.banks[a].signer, self.banks[b].signer
        nonce = (a + b).encode().ljust(32, b".")
        terms = Terms(
            DOMAIN, keys[0].account, keys[1].account, Units(deposit_a), Units(deposit_b), CHALLENGE_MS, False,
            book_salt(one, other, nonce),
        )  # fmt: skip
        end = UnixMs(self.now + 60_000)
        self.money.hold(deposit_hold(terms, Side.A, one, OPERATOR, end))
        self.money.hold(deposit_hold(terms, Side.B, other, OPERATOR, end))
        channel = await self.court.open(terms, one, other, nonce)
        await self.court.submit(channel, Join(terms.b))
        self.peers |= {(a, channel): b, (b, channel): a}
        for name in (a, b):
            await self.banks[name].runs.begin(terms, POLICY)
            await self.banks[name].runs.tick()
        return channel

    async def pump(self) -> None:
        """Deliver all messages."""
        for _ in range(500):
            if not self.wire:
                return
            to, channel, raw = self.wire.pop(0)
            if to in self.away:
                continue
            try:
                await self.banks[to].runs.receive(channel, raw)
            except BadStep:
                continue
        raise AssertionError("the banks never come to rest")

    async def tick(self, ms: int = 1_000, *without: str) -> None:
        """Time passes for all banks but some."""
        self.now = UnixMs(self.now + ms)
        for name, bank in self.banks.items():
            if name not in without:
                await bank.runs.tick()
        self.away = set(without)
        await self.pump()
        for name, bank in self.banks.items():
            if name not in without:
                await bank.runs.tick()
        await self.pump()

    async def side(self, name: str, channel: ChannelId) -> Channel:
        """A bank's side as it is stored."""
        database = self.banks[name].database
        assert database is not None
        async with database.view() as view:
            return await ChannelStore(view.connection).get(channel)

    async def stop(self) -> None:
        """Close all databases."""
        for bank in self.banks.values():
            assert bank.database is not None
            await bank.database.close()
        await self.court_database.close()


class _Link:
    def __init__(self, town: Town, name: str) -> None:
        self._town = town
        self._name = name

    async def send(self, channel: ChannelId, message: Message) -> None:
        self._town.wire.append((self._town.peers[self._name, channel], channel, encode(message)))
