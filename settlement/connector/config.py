"""A connector's configuration: one TOML file, checked before anything starts. Paths are relative to its folder.

Amounts are decimal text in the account's asset ("-100.00"), times are milliseconds, secrets may be in files of their
own (`token_file`). The tables: `[connector]`, `[listen]`, `[rates]`, `[[accounts]]` (with `btp` or `http`, `routing`,
`settlement`), `[[routes]]` and `[local]`; the classes say what is in each, docs/connector.md explains them.

    [connector]
    address = "g.clearing"
    database = "postgresql://causeway@db/connector"
    [listen]
    btp = "0.0.0.0:7768"
    [rates]
    prices = { EUR = "1.0843", USD = "1" }
    spread_bp = 20
    [[accounts]]
    id = "bank-a"
    asset = "EUR"
    scale = 2
    relation = "child"
    floor = "-10000.00"
    btp = { token_file = "bank-a.token" }
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from foundation.errors import BadInput
from registry.caip import evm_chain
from registry.chains import OWN_FINALITY, Chain
from settlement.connector.balances.model import Durability
from settlement.connector.config_accounts import PeerConfig, read_peer
from settlement.connector.config_local import (
    AdminConfig,
    Listen,
    LocalConfig,
    read_admin,
    read_listen,
    read_local,
    read_secret,
)
from settlement.connector.limits import Window
from settlement.connector.routing.routes import PeerRules, Relation, RoutingConfig
from settlement.connector.toml import Section, read_toml
from settlement.ilp.addresses import Address, child_of, parse_address
from settlement.quantities import HASH_BYTES


class RatesFrom(StrEnum):
    """Where rates come from."""

    STATIC = "static"
    FILE = "file"
    HTTP = "http"
    ORACLE = "oracle"


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """An on-chain price. Fields: asset; urls (JSON-RPC endpoints, which have to agree); chain (with its rule of what is
    final); contract (20 bytes); max_age_ms (of the answer).
    """

    asset: str
    urls: tuple[str, ...] = field(repr=False)
    chain: Chain
    contract: bytes
    max_age_ms: int


@dataclass(frozen=True, slots=True)
class RatesConfig:
    """`[rates]`: backend; spread_bp (basis points that we keep); prices (static, and for assets that feeds lack); file;
    url; refresh_ms (between two looks); max_age_ms (then a rate is not used any more); feeds.
    """

    backend: RatesFrom = RatesFrom.STATIC
    spread_bp: int = 0
    prices: dict[str, str] = field(default_factory=dict)
    file: Path | None = None
    url: str = field(default="", repr=False)
    refresh_ms: int = 10_000
    max_age_ms: int = 60_000
    feeds: tuple[FeedConfig, ...] = ()


@dataclass(frozen=True, slots=True)
class ConnectorConfig:
    """The whole file.

    Fields: address (ours; None: our parent gives it, RFC 31); database (URL); durability; is_journaling; window; rates;
    btp, http, settlement (where we listen: for peers, and for settlement engines); tls_certificate, tls_key; peers;
    static_routes; routing_secret (32 bytes; None: a new one at each start); admin (where operators ask); local (our own
    account, which receives).
    """

    address: Address | None
    database: str
    durability: Durability
    is_journaling: bool
    window: Window
    rates: RatesConfig
    btp: Listen | None
    http: Listen | None
    settlement: Listen | None
    tls_certificate: Path | None
    tls_key: Path | None
    peers: tuple[PeerConfig, ...]
    static_routes: tuple[tuple[str, str], ...]
    routing_secret: bytes | None = field(repr=False)
    admin: AdminConfig | None = None
    local: LocalConfig | None = None

    @property
    def parent(self) -> str | None:
        """The parent's account."""
        return next((p.account.id for p in self.peers if p.account.relation is Relation.PARENT), None)

    def routing(self, address: Address, secret: bytes) -> RoutingConfig:
        """What the routing needs, once our address is known."""
        children = tuple(
            (child_of(address, peer.account.id), peer.account.id)
            for peer in self.peers
            if peer.account.relation is Relation.CHILD
        )
        given = {prefix for prefix, _ in self.static_routes}
        static = (*self.static_routes, *(route for route in children if route[0] not in given))
        rules = tuple(peer.routes for peer in self.peers if peer.routes is not None)
        addressed = tuple(_addressed(each, address) for each in rules)
        return RoutingConfig(address, addressed, static, self.parent, self.routing_secret or secret)


def load_config(path: Path) -> ConnectorConfig:
    """Read and check a configuration.

    Raises:
        BadInput: naming the field, what is wrong with it, and what to write instead.
    """
    return parse_config(read_toml(path), path.parent)


def parse_config(content: dict[str, object], folder: Path) -> ConnectorConfig:
    """Check a configuration that was read. Raises as `load_config`."""
    top = Section(content, "")
    connector = top.section("connector")
    listen = top.section("listen")
    address = connector.optional_text("address")
    peers = tuple(read_peer(section, folder) for section in top.sections("accounts", "id"))
    local = top.optional_section("local")
    config = ConnectorConfig(
        address=None if address is None else parse_address(address, "connector.address"),
        database=_database(connector.text("database", "sqlite:///connector.db"), folder),
        durability=connector.choice("durability", Durability, Durability.PROCESS),
        is_journaling=connector.flag("journal", False),
        window=Window(
            connector.number("margin_ms", 1000, least=1, most=60_000),
            connector.number("least_ms", 1000, least=1, most=60_000),
            connector.number("hold_max_ms", 30_000, least=1, most=3_600_000),
        ),
        rates=read_rates(top.section("rates"), folder),
        btp=read_listen(listen, "btp"),
        http=read_listen(listen, "http"),
        settlement=read_listen(listen, "settlement"),
        tls_certificate=_path(listen, "tls_certificate", folder),
        tls_key=_path(listen, "tls_key", folder),
        peers=peers,
        static_routes=tuple(_route(section) for section in top.sections("routes", "prefix")),
        routing_secret=read_secret(connector, "routing_secret", folder),
        admin=read_admin(listen, folder),
        local=read_local(local, listen, folder),
    )
    for section in (connector, listen, top):
        section.end()
    _check(config)
    return config


def _check(config: ConnectorConfig) -> None:
    """What no section can tell by itself."""
    names = [peer.account.id for peer in config.peers]
    if config.local is not None and config.local.account.id in names:
        raise BadInput("local.id", "one of [[accounts]] has this name", "rename one")
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"accounts.{name}.id", "there are two accounts of this name", "rename one")
    parents = [peer.account.id for peer in config.peers if peer.account.relation is Relation.PARENT]
    if len(parents) > 1:
        raise BadInput(f"accounts.{parents[1]}.relation", "there is a parent already", "one parent, the others peers")
    if config.address is None and not parents:
        raise BadInput("connector.address", "missing", "write our ILP address, or have a parent account that gives it")
    for prefix, account in config.static_routes:
        if account not in names:
            raise BadInput(f"routes.{prefix}.account", f"{account!r} is no account", "name one of [[accounts]]")
    for peer in config.peers:
        name = peer.account.id
        if peer.btp is not None and peer.btp.token is not None and config.btp is None:
            raise BadInput(f"accounts.{name}.btp.token", "nobody listens for it", "write listen.btp = …")
        if peer.http is not None and peer.http.token is not None and config.http is None:
            raise BadInput(f"accounts.{name}.http.token", "nobody listens for it", "write listen.http = …")
        if peer.settlement is not None and config.settlement is None:
            raise BadInput("listen.settlement", "missing", "where the settlement engines tell us what was paid")
    if (config.tls_certificate is None) != (config.tls_key is None):
        raise BadInput("listen.tls_key", "certificate and key belong together", "give both or none")


def _addressed(rules: PeerRules, address: Address) -> PeerRules:
    return replace(rules, address=child_of(address, rules.account)) if rules.relation is Relation.CHILD else rules


def read_rates(section: Section, folder: Path) -> RatesConfig:
    file = section.optional_text("file")
    rates = RatesConfig(
        backend=section.choice("backend", RatesFrom, RatesFrom.STATIC),
        spread_bp=section.number("spread_bp", 0, most=9_999),
        prices=section.mapping("prices"),
        file=None if file is None else folder / file,
        url=section.text("url", ""),
        refresh_ms=section.number("refresh_ms", 10_000, least=100),
        max_age_ms=section.number("max_age_ms", 60_000, least=100),
        feeds=tuple(_feed(asset, each) for asset, each in section.named_sections("feeds")),
    )
    section.end()
    needed = {RatesFrom.FILE: ("file", rates.file), RatesFrom.HTTP: ("url", rates.url)}
    name, value = needed.get(rates.backend, ("", True))
    if not value:
        raise BadInput(f"rates.{name}", "missing", f"the backend {rates.backend} needs it")
    if rates.backend is RatesFrom.ORACLE and not rates.feeds:
        raise BadInput("rates.feeds", "missing", "write [rates.feeds.ETH] with urls, chain_id, genesis and contract")
    return rates


def _feed(asset: str, section: Section) -> FeedConfig:
    text = section.text("contract")
    try:
        contract = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        contract = b""
    if len(contract) != 20:
        raise BadInput(section.name("contract"), f"{text[:80]!r} is no address", "0x and 40 hex digits")
    urls = section.texts("urls")
    if not urls:
        raise BadInput(section.name("urls"), "there are none", "the chain's RPC endpoints, which have to agree")
    feed = FeedConfig(
        asset,
        urls,
        _chain(section),
        contract,
        section.number("max_age_ms", 3_600_000, least=1_000),
    )
    section.end()
    return feed


def _chain(section: Section) -> Chain:
    number, genesis = section.number("chain_id", least=1), section.text("genesis")
    try:
        first = bytes.fromhex(genesis.removeprefix("0x"))
    except ValueError:
        first = b""
    if len(first) != HASH_BYTES:
        raise BadInput(section.name("genesis"), "no hash", "the first block's hash, 64 hex digits")
    return Chain.named(evm_chain(number), first, section.number("confirmations", OWN_FINALITY))


def _route(section: Section) -> tuple[str, str]:
    route = section.text("prefix"), section.text("account")
    section.end()
    return route


def _database(url: str, folder: Path) -> str:
    scheme, separator, path = url.partition(":///")
    return f"{scheme}:///{folder.absolute() / path}" if separator and scheme == "sqlite" else url


def _path(section: Section, name: str, folder: Path) -> Path | None:
    text = section.optional_text(name)
    return None if text is None else folder / text
