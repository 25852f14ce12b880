"""The parts of a connector as its configuration asks for them: links, servers, rates, settlement."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from adapters.evm.endpoints import Endpoints
from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.balances.book import Book
from settlement.connector.balances.model import Durability
from settlement.connector.balances.postgres import PostgresBalances
from settlement.connector.balances.sqlite import SqliteBalances
from settlement.connector.config import ConnectorConfig, RatesConfig, RatesFrom
from settlement.connector.config_accounts import PeerConfig
from settlement.connector.config_local import Listen
from settlement.connector.rates.backend import RateBackend, StaticRates
from settlement.connector.rates.file import FileRates
from settlement.connector.rates.http import HttpRates
from settlement.connector.rates.oracle import EvmPriceFeed, OracleRates
from settlement.connector.settle.messages import EngineMessages
from settlement.connector.settle.outgoing import SettleRule
from settlement.connector.settle.rfc38 import Rfc38Client
from settlement.connector.settle.server import accounting_api
from settlement.connector.settle.settler import Settler
from settlement.ilp.btp import BtpClient, BtpLimits, BtpLink, BtpServer
from settlement.ilp.http.link import HttpLink
from settlement.ilp.http.server import HttpServer
from settlement.ilp.link import Link, PacketHandler, Reply
from settlement.quantities import Clock

Balances = SqliteBalances | PostgresBalances


async def open_balances(url: str, book: Book, clock: Clock, durability: Durability) -> Balances:
    """The balances at a database's URL, whose tables are there. Raises `BadInput` and `BalancesUnavailable`."""
    if url.startswith("sqlite"):
        return await SqliteBalances.open(Path(url.partition(":///")[2]), book, clock, durability)
    return await PostgresBalances.open(url, book, clock, durability)


def make_rates(config: RatesConfig, clock: Clock) -> RateBackend:
    """The configured source of rates. Raises `BadInput`."""
    match config.backend:
        case RatesFrom.STATIC:
            return StaticRates(config.prices)
        case RatesFrom.FILE:
            assert config.file is not None, "checked by the configuration"
            return FileRates(config.file, clock)
        case RatesFrom.HTTP:
            return HttpRates(config.url, clock, refresh_ms=config.refresh_ms, max_age_ms=config.max_age_ms)
        case RatesFrom.ORACLE:
            feeds = {
                each.asset: (EvmPriceFeed(Endpoints.at(each.urls, each.chain), each.contract), each.max_age_ms)
                for each in config.feeds
            }
            return OracleRates(feeds, clock, fixed=config.prices, refresh_ms=config.refresh_ms)


@dataclass
class Transports:
    """The ways to all peers. Fields: links (by account); btp, http (servers, None where nobody needs them); clients."""

    links: dict[str, Link] = field(default_factory=dict)
    btp: BtpServer | None = None
    http: HttpServer | None = None
    clients: dict[str, BtpClient] = field(default_factory=dict)
    http_links: list[HttpLink] = field(default_factory=list)

    async def start(self) -> None:
        """Listen and connect. Raises OSError where a port cannot be bound."""
        if self.btp is not None:
            await self.btp.start()
        if self.http is not None:
            await self.http.start()
        for client in self.clients.values():
            client.start()

    async def stop(self) -> None:
        """Close everything."""
        for client in self.clients.values():
            await client.stop()
        if self.btp is not None:
            await self.btp.stop()
        if self.http is not None:
            await self.http.stop()
        for link in self.http_links:
            await link.close()


def make_transports(
    config: ConnectorConfig, handler: PacketHandler, changed: Callable[[str, bool], None], clock: Clock
) -> Transports:
    """Links to all peers of the configuration; nothing is opened yet.

    Args:
        config: the peers, and where we listen.
        handler: takes their packets.
        changed: told when a BTP link goes up or down.
        clock: the time.

    Raises:
        BadInput: two peers share a token, or the certificate cannot be loaded.
    """
    tls = server_tls(config)
    transports = Transports()
    if config.btp is not None:
        transports.btp = BtpServer(config.btp.host, config.btp.port, tls=tls, clock=clock)
    if config.http is not None:
        transports.http = HttpServer(config.http.host, config.http.port, tls=tls)
    for peer in config.peers:
        if peer.btp is not None:
            _add_btp(transports, peer, handler, changed, clock)
        elif peer.http is not None:
            link = HttpLink(peer.account.id, handler, peer.http.outgoing)
            transports.links[peer.account.id] = link
            transports.http_links.append(link)
            if peer.http.token is not None:
                assert transports.http is not None, "checked by the configuration"
                transports.http.add(link, peer.http.token)
    return transports


async def check_parts(config: ConnectorConfig) -> None:
    """Make what the configuration asks for, without starting any of it.

    Raises:
        BadInput: two peers share a token, a price is no number, or the certificate cannot be loaded.
    """
    transports = make_transports(config, _refuse, lambda _account, _is_up: None, lambda: UnixMs(0))
    make_rates(config.rates, lambda: UnixMs(0))
    await transports.stop()


def _refuse(account: str, prepare: bytes, reply: Reply) -> None:
    raise AssertionError("nothing is connected")


def _add_btp(
    transports: Transports,
    peer: PeerConfig,
    handler: PacketHandler,
    changed: Callable[[str, bool], None],
    clock: Clock,
) -> None:
    assert peer.btp is not None
    name = peer.account.id
    link = BtpLink(name, handler, BtpLimits(), on_change=lambda is_up: changed(name, is_up), clock=clock)
    transports.links[name] = link
    if peer.btp.endpoint is not None:
        transports.clients[name] = BtpClient(link, peer.btp.endpoint)
    else:
        assert transports.btp is not None, "checked by the configuration"
        assert peer.btp.token is not None, "checked by the configuration"
        transports.btp.add(link, peer.btp.token)


def server_tls(config: ConnectorConfig) -> ssl.SSLContext | None:
    """What our servers show; None where no certificate is configured. Raises `BadInput`: it cannot be loaded."""
    if config.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            "listen.tls_certificate", f"cannot be loaded: {error}", "PEM files that belong together"
        ) from error
    return context


class Settlements:
    """The settling of accounts that have an engine: what asks the engines, and what they tell."""

    def __init__(
        self, config: ConnectorConfig, database: Database, balances: Balances, links: dict[str, Link], clock: Clock
    ) -> None:
        """Describe it; `start` opens the engines' way in."""
        settled = [peer for peer in config.peers if peer.settlement is not None]
        self.engines = {
            peer.account.id: Rfc38Client(peer.settlement.url, token=peer.settlement.token)
            for peer in settled
            if peer.settlement is not None
        }
        rules = {
            peer.account.id: SettleRule(
                peer.account.id,
                peer.account.asset.scale,
                peer.account.settle_threshold or 0,
                peer.account.settle_to,
            )
            for peer in settled
        }
        self.settler = Settler(database, balances, rules, self.engines, clock)
        self.messages = EngineMessages(links, self.engines, clock)
        self.port = 0
        self._listen = config.settlement
        self._tokens = {each.account.id: each.settlement.token for each in settled if each.settlement is not None}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Let engines in. Raises OSError where the port cannot be bound."""
        if self._listen is not None:
            app = accounting_api(self.settler, self.messages, tokens=self._tokens)
            self._runner = web.AppRunner(app, access_log=None)
            await self._runner.setup()
            await _site(self._runner, self._listen).start()
            self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Let nobody in any more."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self.messages.close()
        for engine in self.engines.values():
            await engine.close()


def _site(runner: web.AppRunner, listen: Listen) -> web.TCPSite:
    return web.TCPSite(runner, listen.host, listen.port)
