"""The ledgers of a gateway's configuration: books, tokens in an Escrow, holds on bitcoin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from coincurve import PublicKeyXOnly
from eth_utils.address import to_checksum_address

from adapters.bitcoin.addresses import MAINNET, address_text, network_named
from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.scripts import vault_script
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.signing import AccountSigner
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB
from registry.caip import ChainId
from registry.chains import OWN_FINALITY, Chain
from settlement.connector.toml import Section
from settlement.ledgers.bitcoin.types import USUAL_FEES, BitcoinLedgerConfig
from settlement.ledgers.bitcoin.types import account_text as bitcoin_account
from settlement.ledgers.bitcoin.waiting import INCLUSION_BLOCKS, settle_seconds, settle_seconds_least
from settlement.ledgers.evm.types import EvmLedgerConfig, account_text
from settlement.ledgers.protocol import LedgerAccount, LedgerId
from settlement.quantities import Asset, Scale

MS: Final = 1_000
DUST_HOLD: Final = 20_000
"""Satoshi; of less the claim's fee would leave too little."""


@dataclass(frozen=True, slots=True)
class BookLedgerConfig:
    """A book over REST. Fields: ledger_id; asset; url; account; api_key (secret); certificate (PEM, empty: the
    system's).
    """

    ledger_id: LedgerId
    asset: Asset
    url: str
    account: LedgerAccount
    api_key: str = field(repr=False)
    certificate: str = ""

    @property
    def settle_ms(self) -> int:
        """How long an accepted call may take to be final: it is, at once."""
        return 0


@dataclass(frozen=True, slots=True)
class ChainLedgerConfig:
    """An Escrow on an EVM chain. Fields: config; urls (nodes; all that answer have to agree); secret (the account's
    key).
    """

    config: EvmLedgerConfig
    urls: tuple[str, ...]
    secret: bytes = field(repr=False)

    @property
    def ledger_id(self) -> LedgerId:
        """The ledger's name."""
        return self.config.ledger_id

    @property
    def account(self) -> LedgerAccount:
        """Ours on it: the address of the key. Raises `BadInput`: there is no such key."""
        return account_text(AccountSigner(self.secret, int(self.config.chain.chain_id.reference)).address)

    @property
    def asset(self) -> Asset:
        """What it is denominated in."""
        return self.config.asset

    @property
    def settle_ms(self) -> int:
        """How long an accepted call may take to be final."""
        return self.config.settle_ms


@dataclass(frozen=True, slots=True)
class BitcoinNodeConfig:
    """A node's RPC. Fields: url; user and password, or cookie (the node's own file, read again at each start of it)."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    cookie: Path | None = None


@dataclass(frozen=True, slots=True)
class BitcoinHoldsConfig:
    """HTLC outputs on bitcoin. Fields: config; nodes (all have to agree, and all are sent to); secret (the account's
    key).
    """

    config: BitcoinLedgerConfig
    nodes: tuple[BitcoinNodeConfig, ...]
    secret: bytes = field(repr=False)

    @property
    def ledger_id(self) -> LedgerId:
        """The ledger's name."""
        return self.config.ledger_id

    @property
    def asset(self) -> Asset:
        """What it is denominated in."""
        return self.config.asset

    @property
    def settle_ms(self) -> int:
        """How long an accepted call may take to be final."""
        return self.config.settle_ms

    @property
    def account(self) -> LedgerAccount:
        """Ours on it: the x-only key of the secret one, in hex."""
        return bitcoin_account(self._key)

    @property
    def address(self) -> str:
        """Where the account is funded."""
        return address_text(vault_script(self._key), self.config.network)

    @property
    def _key(self) -> bytes:
        return bytes(PublicKeyXOnly.from_secret(self.secret).format())


LedgerConfig: TypeAlias = BookLedgerConfig | ChainLedgerConfig | BitcoinHoldsConfig
Reader: TypeAlias = Callable[[str, Section, Asset, Path], LedgerConfig]


def read_ledger(name: str, section: Section, folder: Path) -> LedgerConfig:
    """A ledger's table. Raises `BadInput` naming the field."""
    kind = section.text("kind")
    asset = Asset(section.text("asset"), Scale(section.number("scale", most=255)))
    readers: dict[str, Reader] = {"book": _book, "evm": _chain_ledger, "bitcoin": _bitcoin}
    if kind not in readers:
        raise BadInput(section.name("kind"), f"{kind!r} is not known", ", ".join(readers))
    made = readers[kind](name, section, asset, folder)
    section.end()
    return made


def _book(name: str, section: Section, asset: Asset, folder: Path) -> BookLedgerConfig:
    key = section.secret("api_key", folder)
    if key is None:
        raise BadInput(section.name("api_key_file"), "missing", "the file of the account's API key")
    certificate = section.optional_text("certificate")
    return BookLedgerConfig(
        LedgerId(name),
        asset,
        section.text("url"),
        LedgerAccount(section.text("account")),
        key,
        "" if certificate is None else str(folder / certificate),
    )


def _chain_ledger(name: str, section: Section, asset: Asset, folder: Path) -> ChainLedgerConfig:
    token = section.optional_text("token")
    payers = tuple(to_checksum_address(address_of(text, section.name("payers"))) for text in section.texts("payers"))
    evm = EvmLedgerConfig(
        ledger_id=LedgerId(name),
        asset=asset,
        chain=chain_of(section),
        escrow=address_of(section.text("escrow"), section.name("escrow")),
        start_block=BlockHeight(section.number("start_block", 0)),
        token=NATIVE_COIN if token is None else address_of(token, section.name("token")),
        decimals=section.number("decimals", 18, most=255),
        settle_ms=section.number("settle_seconds", 900, least=1) * MS,
        skew_ms=section.number("skew_seconds", 15) * MS,
        answer_ms=section.number("answer_seconds", 1_800, least=1) * MS,
        poll_seconds=section.number("poll_ms", 1_000, least=10) / MS,
        payers=frozenset(LedgerAccount(payer) for payer in payers) if payers else None,
    )
    return ChainLedgerConfig(evm, section.texts("urls"), secret_of(section, folder))


def _bitcoin(name: str, section: Section, asset: Asset, folder: Path) -> BitcoinHoldsConfig:
    network = network_named(section.text("network"), section.name("network"))
    confirmations = section.number("confirmations", 3, least=1, most=100)
    settle = section.number("settle_seconds", settle_seconds(confirmations), least=1)
    if network is MAINNET and settle < (least := settle_seconds_least(confirmations)):
        problem = f"{settle} seconds are too few for {confirmations} confirmations and a refund"
        raise BadInput(section.name("settle_seconds"), problem, f"{least} at the least; without it, enough")
    config = BitcoinLedgerConfig(
        ledger_id=LedgerId(name),
        asset=asset,
        network=network,
        start_height=BlockHeight(section.number("start_height", most=2**31 - 1)),
        confirmations=confirmations,
        settle_ms=settle * MS,
        skew_ms=section.number("skew_seconds", 60) * MS,
        hold_min=Satoshi(section.amount("minimum", asset, DUST_HOLD) or DUST_HOLD),
        fees=FeePolicy(
            floor=SatPerKvB(section.number("fee_floor", USUAL_FEES.floor)),
            cap=SatPerKvB(section.number("fee_cap", USUAL_FEES.cap)),
            fallback=SatPerKvB(section.number("fee_fallback", USUAL_FEES.fallback)),
            target_blocks=section.number("fee_target_blocks", INCLUSION_BLOCKS),
        ),
        bump_blocks=section.number("bump_blocks", 2, least=1, most=100),
        answer_ms=section.number("answer_seconds", 2 * settle, least=1) * MS,
        poll_seconds=section.number("poll_ms", 1_000, least=10) / MS,
        spends_known_until=BlockHeight(section.number("spends_known_until", 0)),
    )
    nodes = tuple(_node(each, folder) for each in section.sections("nodes", "url"))
    if not nodes:
        raise BadInput(section.name("nodes"), "there are none", f"write [[{section.name('nodes')}]] with a url")
    secret = secret_of(section, folder)
    if not is_secret_key(secret):
        raise BadInput(section.name("key_file"), "it holds no key", "64 hex digits, below the group's order")
    return BitcoinHoldsConfig(config, nodes, secret)


def _node(section: Section, folder: Path) -> BitcoinNodeConfig:
    url, cookie = section.text("url"), section.optional_text("cookie_file")
    user, password = section.text("user", ""), section.secret("password", folder)
    section.end()
    if (cookie is None) == (not user or password is None):
        cure = "user and password_file, or cookie_file"
        raise BadInput(section.name("user"), "it is not clear how to log in", cure)
    return BitcoinNodeConfig(url, user, password or "", None if cookie is None else folder / cookie)


def chain_of(section: Section) -> Chain:
    """The EVM chain that a table names. Raises `BadInput`."""
    genesis = section.text("genesis").removeprefix("0x")
    try:
        first = bytes.fromhex(genesis)
    except ValueError:
        raise BadInput(section.name("genesis"), "no hash", "the first block's hash, 64 hex digits") from None
    number = section.number("confirmations", OWN_FINALITY)
    return Chain.named(ChainId.parse(section.text("chain"), section.name("chain")), first, number)


def address_of(text: str, field_name: str) -> bytes:
    """20 bytes. Raises `BadInput` naming `field_name`."""
    try:
        address = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        address = b""
    if len(address) != 20:
        raise BadInput(field_name, "no address", "0x and 40 hex digits")
    return address


def secret_of(section: Section, folder: Path) -> bytes:
    """An account's key, 32 bytes. Raises `BadInput`, never with what is in the file."""
    text = section.secret("key", folder)
    if text is None:
        raise BadInput(section.name("key_file"), "missing", "the file of the account's key, 64 hex digits")
    try:
        secret = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise BadInput(section.name("key_file"), "it holds no key", "64 hex digits")
    return secret


def is_secret_key(secret: bytes) -> bool:
    """Whether 32 bytes are a key of secp256k1: neither zero nor above the group's order."""
    try:
        PublicKeyXOnly.from_secret(secret)
    except ValueError:
        return False
    return True
