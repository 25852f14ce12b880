"""The configuration of a bank's channels, and that of a book's adjudicator: TOML, checked before anything starts.

docs/channels.md explains each field. Paths are relative to the file's folder; secrets are in files of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from adapters.evm.lockbox.types import NATIVE_COIN
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from registry.caip import ChainId
from registry.chains import OWN_FINALITY, Chain
from settlement.channels.chain_feed import ChainConfig
from settlement.channels.routing import Margins
from settlement.channels.state import Policy
from settlement.channels.terms import Account, Side
from settlement.connector.toml import Section, read_toml
from settlement.ledgers.book.client import BookAccess
from settlement.ledgers.protocol import LedgerAccount, LedgerId
from settlement.quantities import Asset, PartyId, Scale, Units, party_id, tagged_hash

_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class BookPlace:
    """A book with an adjudicator. Fields: access (to our account there); court (URL of the adjudicator's service);
    operator (the adjudicator's account)."""

    access: BookAccess
    court: str
    operator: LedgerAccount

    @property
    def asset(self) -> Asset:
        """What is counted there."""
        return self.access.asset


@dataclass(frozen=True, slots=True)
class ChainPlace:
    """A Channels contract. Fields: config; urls (of nodes); asset; token (20 bytes, zero for the chain's coin)."""

    config: ChainConfig
    urls: tuple[str, ...]
    asset: Asset
    token: bytes = NATIVE_COIN


Place: TypeAlias = BookPlace | ChainPlace


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """One channel, as both banks agreed. Fields: peer_account (signs the other's sheets); ours, theirs (deposits, base
    units); nonce (32 bytes: a text that both wrote); peer_book (the other's account at the book)."""

    name: str
    ledger: str
    peer: PartyId
    side: Side
    peer_account: Account
    ours: Units
    theirs: Units
    challenge_ms: int
    one_way: bool
    nonce: bytes
    peer_book: LedgerAccount


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """A proxy that we pay over. Fields: channel (with it); credential (file); margins (its terms)."""

    channel: str
    credential: Path
    margins: Margins


@dataclass(frozen=True, slots=True)
class BankConfig:
    """The whole file of a bank. Fields: secret (of its channel account, 32 bytes); urls (where each peer's channels
    listen); relaying (this bank's own terms as a proxy; None: it is none); authority (who vouches for proxies)."""

    party: PartyId
    database: str
    listen: tuple[str, int]
    key_file: Path
    cards: Path
    secret: bytes = field(repr=False)
    ledgers: dict[str, Place]
    channels: dict[str, ChannelConfig]
    urls: dict[str, str]
    policy: Policy
    tick_seconds: float
    relaying: Margins | None
    proxies: dict[str, ProxyConfig]
    authority: Account | None


@dataclass(frozen=True, slots=True)
class CourtConfig:
    """The whole file of an adjudicator. Fields: access (to its account at the book); members (the banks: the account
    that signs, and the one at the book)."""

    database: str
    listen: tuple[str, int]
    access: BookAccess
    members: dict[Account, LedgerAccount]


def load_bank(path: Path) -> BankConfig:
    """Read and check a bank's configuration.

    Raises:
        BadInput: names the field, what is wrong with it, and what to write instead.
    """
    folder = path.parent.absolute()
    top = Section(read_toml(path), "")
    own = top.section("bank")
    ledgers = {name: _place(name, each, folder) for name, each in top.named_sections("ledgers")}
    urls: dict[str, str] = {}
    channels = {name: _channel(name, each, ledgers, urls) for name, each in top.named_sections("channels")}
    relaying = top.optional_section("proxy")
    authority = own.optional_text("authority")
    config = BankConfig(
        party=party_id(own.text("party"), "bank.party"),
        database=_database(own.text("database", "sqlite:///channels.db"), folder),
        listen=_endpoint(own, "listen", "127.0.0.1:8600"),
        key_file=folder / own.text("key_file", "seed.key"),
        cards=folder / own.text("cards", "cards"),
        secret=_secret(own, folder),
        ledgers=ledgers,
        channels=channels,
        urls=urls,
        policy=_policy(top.section("policy")),
        tick_seconds=own.number("tick_ms", 500, least=20, most=60_000) / _MS,
        relaying=None if relaying is None else _margins(relaying),
        proxies={name: _proxy(each, channels, folder) for name, each in top.named_sections("proxies")},
        authority=None if authority is None else Account(_address(authority, "bank.authority")),
    )
    own.end()
    top.end()
    if config.relaying is not None:
        _check_relaying(config)
    if not channels:
        raise BadInput("channels", "there are none", "write [channels.NAME] for each channel with another bank")
    return config


def _check_relaying(config: BankConfig) -> None:
    """A proxy passes base units on one for one, knows a payee by its one channel, and needs time between the hops."""
    assert config.relaying is not None, "only a proxy is checked"
    chains = [place.config.settle_ms for place in config.ledgers.values() if isinstance(place, ChainPlace)]
    least = max(chains, default=0) + config.policy.reveal_ms
    if config.relaying.hop_ms < least:
        # A preimage that was shown to a ledger counts downstream at once, and is seen here when it is final.
        cure = f"at least {-(-least // _MS)}: a ledger's settle_seconds and policy.reveal_seconds"
        raise BadInput("proxy.hop_seconds", f"{config.relaying.hop_ms // _MS} is too short", cure)
    if len({config.ledgers[each.ledger].asset for each in config.channels.values()}) > 1:
        raise BadInput("proxy", "its channels are in different assets", "a proxy for each asset")
    if len({each.peer for each in config.channels.values()}) < len(config.channels):
        raise BadInput("proxy", "has two channels with one bank", "one channel with each")


def load_court(path: Path) -> CourtConfig:
    """Read and check an adjudicator's configuration. Raises as `load_bank`."""
    folder = path.parent.absolute()
    top = Section(read_toml(path), "")
    own = top.section("adjudicator")
    members = {Account(_address(key, "members")): LedgerAccount(name) for name, key in top.mapping("members").items()}
    book = top.section("book")
    config = CourtConfig(
        database=_database(own.text("database", "sqlite:///adjudicator.db"), folder),
        listen=_endpoint(own, "listen", "127.0.0.1:8610"),
        access=_access(LedgerId(book.text("ledger")), book, folder),
        members=members,
    )
    for section in (own, book, top):
        section.end()
    if not members:
        raise BadInput("members", "there are none", 'write [members] with bank-a = "0x…" for each bank')
    return config


def _place(name: str, section: Section, folder: Path) -> Place:
    kind = section.text("kind")
    made: Place
    if kind == "book":
        court, operator = section.text("adjudicator"), LedgerAccount(section.text("operator"))
        made = BookPlace(_access(LedgerId(name), section, folder), court, operator)
    elif kind == "evm":
        token = section.optional_text("token")
        config = ChainConfig(
            ledger_id=LedgerId(name),
            chain=_chain(section),
            contract=_address(section.text("contract"), section.name("contract")),
            start_block=BlockHeight(section.number("start_block", 0)),
            settle_ms=section.number("settle_seconds", 900, least=1) * _MS,
            poll_seconds=section.number("poll_ms", 1_000, least=10) / _MS,
        )
        asset = Asset(section.text("asset"), Scale(section.number("scale", most=255)))
        at = NATIVE_COIN if token is None else _address(token, section.name("token"))
        made = ChainPlace(config, section.texts("urls"), asset, at)
        if not made.urls:
            raise BadInput(section.name("urls"), "there are none", "the nodes' URLs")
    else:
        raise BadInput(section.name("kind"), f"{kind!r} is not known", "book or evm")
    section.end()
    return made


def _access(ledger: LedgerId, section: Section, folder: Path) -> BookAccess:
    key = section.secret("api_key", folder)
    if key is None:
        raise BadInput(section.name("api_key_file"), "missing", "the file of the account's API key")
    asset = Asset(section.text("asset"), Scale(section.number("scale", most=255)))
    return BookAccess(ledger, asset, section.text("url"), LedgerAccount(section.text("account")), key)


def _channel(name: str, section: Section, ledgers: dict[str, Place], urls: dict[str, str]) -> ChannelConfig:
    ledger = section.text("ledger")
    if ledger not in ledgers:
        raise BadInput(section.name("ledger"), f"{ledger!r} is no ledger of [ledgers]", "name one of them")
    asset = ledgers[ledger].asset
    side = {"a": Side.A, "b": Side.B}.get(section.text("side"))
    if side is None:
        raise BadInput(section.name("side"), "neither a nor b", "a for the bank that opens, b for the other")
    peer = party_id(section.text("peer"), section.name("peer"))
    urls[peer] = section.text("peer_url").rstrip("/")
    made = ChannelConfig(
        name=name,
        ledger=ledger,
        peer=peer,
        side=side,
        peer_account=Account(_address(section.text("peer_account"), section.name("peer_account"))),
        ours=Units(section.amount("deposit", asset, 0) or 0),
        theirs=Units(section.amount("peer_deposit", asset, 0) or 0),
        challenge_ms=section.number("challenge_seconds", least=1) * _MS,
        one_way=section.flag("one_way", False),
        nonce=tagged_hash("channels/nonce", section.text("nonce").encode()),
        peer_book=LedgerAccount(section.text("peer_book_account", "")),
    )
    section.end()
    return made


def _proxy(section: Section, channels: dict[str, ChannelConfig], folder: Path) -> ProxyConfig:
    channel = section.text("channel")
    if channel not in channels:
        raise BadInput(section.name("channel"), f"{channel!r} is no channel of [channels]", "name one of them")
    return ProxyConfig(channel, folder / section.text("credential"), _margins(section))


def _margins(section: Section) -> Margins:
    # Base units: a proxy's channels may be in assets of different scales, of which it takes them one for one.
    made = Margins(
        fee=Units(section.number("fee_units", 0)),
        hop_ms=section.number("hop_seconds", least=1) * _MS,
        least_ms=section.number("least_seconds", least=1) * _MS,
    )
    section.end()
    return made


def _policy(section: Section) -> Policy:
    usual = Policy()
    values = {
        f"{name}_ms": section.number(f"{name}_seconds", getattr(usual, f"{name}_ms") // _MS, least=1) * _MS
        for name in ("resend", "accept", "reveal", "patience")
    }
    section.end()
    return Policy(**values)


def _chain(section: Section) -> Chain:
    try:
        first = bytes.fromhex(section.text("genesis").removeprefix("0x"))
    except ValueError:
        raise BadInput(section.name("genesis"), "no hash", "the first block's hash, 64 hex digits") from None
    number = section.number("confirmations", OWN_FINALITY)
    return Chain.named(ChainId.parse(section.text("chain"), section.name("chain")), first, number)


def _secret(section: Section, folder: Path) -> bytes:
    text = section.secret("account_key", folder)
    try:
        secret = bytes.fromhex((text or "").removeprefix("0x"))
    except ValueError:
        secret = b""
    if len(secret) != 32:
        cure = "the file of the channel account's key, 64 hex digits"
        raise BadInput(section.name("account_key_file"), "missing, or it holds no key", cure)
    return secret


def _address(text: str, field_name: str) -> bytes:
    try:
        address = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        address = b""
    if len(address) != 20:
        raise BadInput(field_name, "no account", "0x and 40 hex digits")
    return address


def _endpoint(section: Section, name: str, default: str) -> tuple[str, int]:
    host, colon, port = section.text(name, default).rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise BadInput(section.name(name), "no host and port", f"such as {default}")
    return host, int(port)


def _database(url: str, folder: Path) -> str:
    start = "sqlite:///"
    if url.startswith(start) and not url.startswith(start + "/"):
        return f"{start}{folder / url.removeprefix(start)}"
    return url
