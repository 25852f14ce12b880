"""A running connector, put together from its configuration."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from foundation.database import Database, Schema
from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs
from foundation.signals import heed
from settlement.connector.accounts import Account, AccountConfig, ReceiverLink
from settlement.connector.admin import Admin
from settlement.connector.balances.book import Book
from settlement.connector.balances.model import Incident
from settlement.connector.config import ConnectorConfig
from settlement.connector.local import LocalPayee
from settlement.connector.metrics import ConnectorMetrics
from settlement.connector.neighbours import Configurator, ask_parent
from settlement.connector.pipeline import Pipeline
from settlement.connector.ports import Receiver
from settlement.connector.rates.backend import Spread
from settlement.connector.routing.speaker import RouteSpeaker
from settlement.connector.settle import tables as settle_tables
from settlement.connector.statements import SettlementView, settlements_of
from settlement.connector.tables import METADATA
from settlement.connector.views import AccountView, RateView, account_view
from settlement.connector.wiring import (
    Settlements,
    Transports,
    make_rates,
    make_transports,
    open_balances,
    server_tls,
)
from settlement.ilp.addresses import Address
from settlement.ilp.errors import ConnectorBusy
from settlement.ilp.link import Reply
from settlement.ilp.packets import encode_reject, rejection
from settlement.quantities import Clock

SCHEMA: Final = Schema((METADATA, settle_tables.METADATA), Path(__file__).parent / "migrations")
_ENDING_SECONDS: Final = 5.0
_ASK_PARENT_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


def wall_clock() -> UnixMs:
    """Now, by this machine's clock."""
    return UnixMs(time.time_ns() // 1_000_000)


@dataclass(frozen=True, slots=True)
class LocalAccount:
    """An account of this process's own: what is received here, and sent from here. Fields: config (relation local);
    receiver (takes packets to our own address).
    """

    config: AccountConfig
    receiver: Receiver


class Connector:
    """A connector. `start` one, `stop` it at the end. All views are of this process; balances are of all processes."""

    def __init__(self, config: ConnectorConfig, local: LocalAccount | None, clock: Clock) -> None:
        self.config = config
        self.payee: LocalPayee | None = None
        self.admin: Admin | None = None
        self.settlements: Settlements | None = None
        if local is None and config.local is not None:
            self.payee = LocalPayee(config.local, clock, server_tls(config))
            local = LocalAccount(config.local.account, self.payee)
        self._local = local
        self._clock = clock
        self._stack = contextlib.AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pipeline: Pipeline | None = None
        self._speaker: RouteSpeaker | None = None
        self._is_ending = False
        self._changed = asyncio.Event()

    @classmethod
    async def start(
        cls,
        config: ConnectorConfig,
        *,
        local: LocalAccount | None = None,
        clock: Clock = wall_clock,
        schema: Schema = SCHEMA,
    ) -> Connector:
        """Open the balances, find our address, listen, connect, and forward packets from then on.

        Args:
            config: the configuration, checked.
            local: the account that receives here, in place of the configuration's.
            clock: the time.
            schema: of the database, where it holds more than the connector's tables.

        Raises:
            BadInput: the configuration cannot work, or another process has the balances.
            BalancesUnavailable, DatabaseUnavailable: the database does not answer.
            OSError: a port cannot be bound.
        """
        self = cls(config, local, clock)
        try:
            await self._start(schema)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def stop(self) -> None:
        """Refuse new packets, wait a little for those in flight, write what is left and close everything."""
        self._is_ending = True
        deadline = asyncio.get_running_loop().time() + _ENDING_SECONDS
        # An event would cost each packet; this is waited for once.
        while self._is_busy and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await self._stack.aclose()

    async def __aenter__(self) -> Connector:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.stop()

    @property
    def _is_busy(self) -> bool:
        """Packets are in flight, or fulfilled and not written yet: their senders are still to be told."""
        return len(self.pipeline.timers) > 0 or not self.book.is_idle

    @property
    def pipeline(self) -> Pipeline:
        """What forwards packets."""
        assert self._pipeline is not None, "started"
        return self._pipeline

    @property
    def address(self) -> Address:
        """Our own."""
        return self.pipeline.address

    def send(self, prepare: bytes, reply: Reply) -> None:
        """A packet of the local account: what a STREAM sender in this process calls. See `Link.send`."""
        assert self._local is not None, "there is a local account"
        self._take(self._local.config.id, prepare, reply)

    # What operators see.

    async def account_views(self) -> tuple[AccountView, ...]:
        """All accounts. Raises `BalancesUnavailable`."""
        return tuple([account_view(each, await self.balances.balance(name)) for name, each in self.accounts.items()])

    def routes(self) -> dict[str, str]:
        """The routing table: account ids by prefix, empty for ourselves."""
        assert self._speaker is not None, "started"
        return dict(self._speaker.table.accounts)

    def rates(self) -> tuple[RateView, ...]:
        """All prices that are known."""
        now = self._clock()
        return tuple(RateView(asset, price, price.expires_at > now) for asset, price in self._rates.prices().items())

    async def incidents(self, after: int = 0, limit: int = 1000) -> list[tuple[int, Incident]]:
        """What operators must look at, with numbers, those above `after`. Raises `BalancesUnavailable`."""
        return await self.balances.incidents(after, limit)

    async def settlements_of(
        self, account: str, after: tuple[UnixMs, str] = (UnixMs(0), ""), limit: int = 1000
    ) -> tuple[SettlementView, ...]:
        """An account's settlements by all processes; see `statements`. Raises `DatabaseUnavailable`."""
        async with self._database.view() as view:
            return await settlements_of(view.connection, account, after=after, limit=limit)

    def ports(self) -> dict[str, int]:
        """Where we listen, by what for: the ports that are bound."""
        parts = {
            "btp": self.transports.btp,
            "http": self.transports.http,
            "settlement": self.settlements,
            "spsp": self.payee,
            "admin": self.admin,
        }
        return {name: part.port for name, part in parts.items() if part is not None and part.port}

    def metrics(self) -> ConnectorMetrics:
        """A collector for a registry of prometheus_client."""
        return ConnectorMetrics(self.accounts, self.book, None if self.payee is None else self.payee.received)

    # Starting.

    async def _start(self, schema: Schema) -> None:
        config, clock = self.config, self._clock
        self._database = await self._stack.enter_async_context(await Database.open(config.database, schema))
        configs = [peer.account for peer in config.peers]
        if self._local is not None:
            configs.append(self._local.config)
        self.book = Book(each.terms for each in configs)
        self.balances = await open_balances(config.database, self.book, clock, config.durability)
        self._stack.push_async_callback(self.balances.close)
        self.transports: Transports = make_transports(config, self._take, self._link_changed, clock)
        self.accounts = {
            each.id: Account(each, self.book.positions[each.id], clock(), self.transports.links.get(each.id))
            for each in configs
        }
        if self._local is not None:
            self.accounts[self._local.config.id].link = ReceiverLink(self._local.receiver)
        self._rates = make_rates(config.rates, clock)
        await self._rates.start()
        self._stack.push_async_callback(self._rates.close)
        self._stack.push_async_callback(self.transports.stop)
        address = config.address or await self._ask_parent()
        self._begin(address)
        await self.transports.start()
        if self.settlements is not None:
            await self.settlements.start()
        await self._serve_people()

    async def _serve_people(self) -> None:
        """Payers that look for us, and operators."""
        if self.payee is not None:
            self._stack.push_async_callback(self.payee.stop)
            await self.payee.start()
        if self.config.admin is not None:
            self.admin = Admin(self.config.admin, self)
            self._stack.push_async_callback(self.admin.stop)
            await self.admin.start()

    def _begin(self, address: Address) -> None:
        """From here on packets are forwarded."""
        config, links = self.config, self.transports.links
        speaker = RouteSpeaker(config.routing(address, secrets.token_bytes(32)), links, self._clock)
        self._speaker = speaker
        pipeline = Pipeline(
            address,
            self.accounts,
            self.book,
            speaker.table,
            Spread(self._rates, config.rates.spread_bp),
            self._clock,
            window=config.window,
            local=None if self._local is None else self._local.config.id,
            is_journaling=config.is_journaling,
        )
        pipeline.peers["config"] = Configurator(address, self.accounts)
        pipeline.peers["route"] = speaker
        self._stack.callback(pipeline.timers.close)
        if any(peer.settlement is not None for peer in config.peers):
            self.settlements = Settlements(config, self._database, self.balances, links, self._clock)
            self._stack.push_async_callback(self.settlements.stop)
            pipeline.peers["settle"] = self.settlements.messages
            for peer in config.peers:
                if peer.settlement is not None and peer.account.settle_threshold is not None:
                    self.book.watch(peer.account.id, peer.account.settle_threshold, self.settlements.settler)
            self._run(self.settlements.settler.run())
        self._run(speaker.run())
        self._stack.push_async_callback(self._end_tasks)
        if self.payee is not None:
            self.payee.begin(address)
        self._pipeline = pipeline

    async def _ask_parent(self) -> Address:
        """Our address, from our parent: asked until it answers."""
        name = self.config.parent
        assert name is not None, "checked by the configuration"
        client = self.transports.clients.get(name)
        if client is not None:
            client.start()
        while True:
            try:
                found = await ask_parent(self.transports.links[name], self._clock)
            except Retryable as error:
                _log.info("connector.waits_for_parent", account=name, problem=str(error))
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ASK_PARENT_SECONDS):
                        await self._changed.wait()
                continue
            if found.asset != self.accounts[name].config.asset:
                problem = f"the parent keeps it in {found.asset.code} with scale {found.asset.scale}"
                raise BadInput(f"accounts.{name}.asset", problem, "write what the parent has")
            return found.address

    def _take(self, account: str, prepare: bytes, reply: Reply) -> None:
        """A packet of a peer; see `PacketHandler`."""
        if self._pipeline is None or self._is_ending:
            address = "" if self._pipeline is None else self._pipeline.address
            reply(encode_reject(rejection(ConnectorBusy("starting or ending"), address)))
        else:
            self._pipeline(account, prepare, reply)

    def _link_changed(self, account: str, is_up: bool) -> None:
        _log.info("connector.link", account=account, is_up=is_up)
        self._changed.set()
        if self._speaker is not None:
            (self._speaker.link_up if is_up else self._speaker.link_down)(account)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("connector.task_failed", exc_info=task.exception())

    async def _end_tasks(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(config: ConnectorConfig) -> None:
    """Run a connector until this process is told to end (SIGTERM, SIGINT). Raises as `Connector.start`."""
    ended = asyncio.Event()
    heed(ended.set, signal.SIGTERM, signal.SIGINT)
    starting, ending = asyncio.create_task(Connector.start(config)), asyncio.create_task(ended.wait())
    await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # it may wait for its parent for long
        starting.cancel()
        await asyncio.wait((starting,))
    if starting.cancelled():
        return
    try:
        async with await starting as connector:
            _log.info("connector.started", address=connector.address, **connector.ports())
            await ending
    finally:
        ending.cancel()
