"""A connector's core with loop-back links: packets go in, a scripted next hop answers, replies are collected."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from foundation.database import Database, Schema
from foundation.quantities import UnixMs
from settlement.connector.accounts import Account, AccountConfig
from settlement.connector.balances.book import Book
from settlement.connector.balances.model import Durability
from settlement.connector.balances.postgres import PostgresBalances
from settlement.connector.balances.sqlite import SqliteBalances
from settlement.connector.limits import Window
from settlement.connector.pipeline import Pipeline
from settlement.connector.ports import PeerHandler
from settlement.connector.rates.backend import RateBackend, Spread, StaticRates
from settlement.connector.routing.routes import Relation
from settlement.connector.routing.table import RoutingTable
from settlement.connector.tables import METADATA
from settlement.ilp.addresses import Address
from settlement.ilp.errors import Code
from settlement.ilp.link import LinkDown, Reply
from settlement.ilp.packets import Fulfill, Prepare, Reject, decode_prepare, decode_reply, encode
from settlement.quantities import Asset, Condition, Preimage, Scale, Units

SCHEMA = Schema(metadata=(METADATA,))
EUR = Asset("EUR", Scale(2))
USD = Asset("USD", Scale(4))
OURS = Address("test.clearing")
START = UnixMs(1_790_000_000_000)
_SEEDS = itertools.count()


class ManualClock:
    """A clock that stands until it is moved."""

    def __init__(self, now: UnixMs = START) -> None:
        self.now = now

    def __call__(self) -> UnixMs:
        return self.now

    def forward(self, ms: int) -> None:
        """Let time pass."""
        self.now = UnixMs(self.now + ms)


@dataclass
class LoopbackLink:
    """A next hop in the test's hand: keeps what it is sent, and answers when told."""

    is_up: bool = True
    sent: list[tuple[Prepare, Reply]] = field(default_factory=list)
    respond: Callable[[Prepare], Fulfill | Reject | None] | None = None

    def send(self, prepare: bytes, reply: Reply) -> None:
        """Keep it, or answer at once as scripted."""
        if not self.is_up:
            raise LinkDown("test", "switched off")
        packet = decode_prepare(prepare)
        self.sent.append((packet, reply))
        answer = self.respond(packet) if self.respond is not None else None
        if answer is not None:
            reply(encode(answer))


@dataclass
class Replies:
    """Collects what senders are told."""

    all: list[Fulfill | Reject] = field(default_factory=list)

    def __call__(self, reply: bytes) -> None:
        self.all.append(decode_reply(reply))

    @property
    def only(self) -> Fulfill | Reject:
        """The one reply."""
        (reply,) = self.all
        return reply

    @property
    def code(self) -> str:
        """The code of the one Reject."""
        reply = self.only
        assert isinstance(reply, Reject), reply
        return reply.code


def preimage_of(seed: int) -> Preimage:
    """A preimage for the number."""
    return Preimage(hashlib.sha256(b"%d" % seed).digest())


def condition_for(seed: int) -> Condition:
    """Its condition."""
    return Condition(hashlib.sha256(preimage_of(seed)).digest())


def make_prepare(
    amount: int = 100,
    destination: str = "test.clearing.bob",
    *,
    seed: int | None = None,
    expires_at: int = START + 10_000,
    data: bytes = b"end to end",
) -> Prepare:
    """A packet for the scripted next hop."""
    seed = next(_SEEDS) if seed is None else seed
    return Prepare(Units(amount), UnixMs(expires_at), condition_for(seed), Address(destination), data)


def fulfilment(seed: int, data: bytes = b"") -> Fulfill:
    """What fulfils `make_prepare(seed=seed)`."""
    return Fulfill(preimage_of(seed), data)


def rejection(code: Code = Code.UNEXPECTED_PAYMENT) -> Reject:
    """A Reject of the next hop."""
    return Reject(code.value, "test.clearing.bob", "no", b"")


ALICE = AccountConfig("alice", EUR, Relation.CHILD, floor=-1_000)
BOB = AccountConfig("bob", EUR, Relation.CHILD, floor=-1_000, ceiling=100_000)
CAROL = AccountConfig("carol", USD, Relation.CHILD, floor=-1_000_000)


@dataclass
class Core:
    """A running core: its parts, and a link for each account."""

    clock: ManualClock
    book: Book
    balances: SqliteBalances | PostgresBalances
    accounts: dict[str, Account]
    links: dict[str, LoopbackLink]
    routes: RoutingTable
    pipeline: Pipeline

    def take(self, sender: str, packet: Prepare | bytes) -> Replies:
        """Give the connector a packet of an account."""
        replies = Replies()
        self.pipeline(sender, packet if isinstance(packet, bytes) else encode(packet), replies)
        return replies

    def balance(self, account: str) -> int:
        """As this process knows it."""
        return self.book.positions[account].balance

    def kill(self) -> None:
        """End as a process that was killed: nothing more is written, nothing is marked as ended."""
        self.pipeline.timers.close()
        assert isinstance(self.balances, SqliteBalances)
        self.balances._is_due = True
        self.balances._connection.close()
        os.close(self.balances._lock)

    async def close(self) -> None:
        """End in order."""
        self.pipeline.timers.close()
        await self.balances.close()


async def make_core(
    place: Path | str,
    configs: Sequence[AccountConfig] = (ALICE, BOB, CAROL),
    *,
    clock: ManualClock | None = None,
    prices: Mapping[str, str] | None = None,
    backend: RateBackend | None = None,
    spread_bp: int = 0,
    window: Window | None = None,
    peers: Mapping[str, PeerHandler] | None = None,
    is_journaling: bool = False,
    durability: Durability = Durability.PROCESS,
) -> Core:
    """A core on a SQLite file in the folder `place`, or on PostgreSQL: account `x` is reached at `test.clearing.x`."""
    clock = clock or ManualClock()
    book = Book([config.terms for config in configs])
    balances: SqliteBalances | PostgresBalances
    if isinstance(place, Path):
        path = place / "connector.db"
        await (await Database.open(f"sqlite:///{path}", SCHEMA)).close()
        balances = await SqliteBalances.open(path, book, clock, durability)
    else:
        await (await Database.open(place.replace("+asyncpg", ""), SCHEMA)).close()
        balances = await PostgresBalances.open(place, book, clock, durability)
    links = {config.id: LoopbackLink() for config in configs}
    accounts = {config.id: Account(config, book.positions[config.id], clock(), links[config.id]) for config in configs}
    routes = RoutingTable()
    for config in configs:
        routes.set(f"{OURS}.{config.id}", config.id)
    converter = Spread(backend or StaticRates(prices or {"EUR": "1.10", "USD": "1"}), spread_bp)
    pipeline = Pipeline(
        OURS, accounts, book, routes, converter, clock, window=window, peers=peers, is_journaling=is_journaling
    )
    return Core(clock, book, balances, accounts, links, routes, pipeline)


def renamed(config: AccountConfig, name: str) -> AccountConfig:
    """The same terms for another account."""
    return replace(config, id=name)
