"""A trader's configuration: `swap.toml` in the trader's folder, checked before anything starts. docs/swaps.md has all.

[bitcoin]
network = "regtest"                    # main, test, testnet4, signet or regtest
url = "http://127.0.0.1:18443"
wallet = "alice"                       # of the node: it pays and receives
cookie = "~/.bitcoin/regtest/.cookie"  # or user and password
zmq = "tcp://127.0.0.1:28332"          # zmqpubhashblock of the node; without it, the node is asked

[evm]
chain = "eip155:31337"
genesis = "0x…"
urls = ["http://127.0.0.1:8545"]       # all that answer have to agree
escrow = "0x…"
start = 4                              # the block in which the Escrow was deployed
symbol = "ETH"                         # of the chain's own coin

[[evm.tokens]]
symbol = "USDC"
address = "0x…"
decimals = 6

[letters]
listen = "127.0.0.1:8123"              # takers write to this machine
name = "http://maker.example:8123"     # how they reach it, where that differs
board = "https://gateway.example/board"

[watchtower]
folder = "~/watchtower"                # where the bundles of open swaps are kept up to date for a watchtower
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from adapters.bitcoin.addresses import REGTEST, Network, network_named
from adapters.bitcoin.fees import FeePolicy
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, SatPerKvB, Wei
from registry.caip import ChainId
from registry.chains import Chain
from settlement.quantities import tagged_hash
from settlement.swap.evm.site import EscrowSite
from settlement.swap.offers import check_place
from settlement.swap.planning.conditions import (
    BITCOIN_PROFILES,
    EVM_PROFILES,
    Conditions,
    Confirmations,
    EvmConditions,
    conditions_for,
    development,
)

FILE_NAME: Final = "swap.toml"
BITCOIN_SYMBOL: Final = "BTC"
_SYMBOL: Final = re.compile(r"[A-Za-z][A-Za-z0-9.+-]{0,19}", re.ASCII)
_FILE_BYTES_MAX: Final = 1 << 18
_Count = Annotated[int, Meta(ge=1)]
_Whole = Annotated[int, Meta(ge=0)]


class _Fees(Struct, forbid_unknown_fields=True):
    floor: _Count = 1_000
    cap: _Count = 500_000
    fallback: _Count = 5_000
    target_blocks: _Count = 3


class _Bitcoin(Struct, forbid_unknown_fields=True):
    network: str
    url: str
    wallet: str = ""
    cookie: str = ""
    user: str = ""
    password: str = ""
    zmq: str = ""
    fees: _Fees = msgspec.field(default_factory=_Fees)


class _Token(Struct, forbid_unknown_fields=True):
    symbol: Annotated[str, Meta(min_length=1, max_length=20)]
    address: str
    decimals: Annotated[int, Meta(ge=0, le=77)]


class _EvmConditions(Struct, forbid_unknown_fields=True):
    interval_s: _Count
    confirmations: _Whole
    ordinary_blocks: _Count = 5
    stress_blocks: _Count = 75
    final_s: _Whole = 0
    final_stress_s: _Whole = 0
    is_random: bool = True
    outage_s: _Whole = 0


class _Evm(Struct, forbid_unknown_fields=True):
    chain: str
    genesis: str
    urls: Annotated[list[str], Meta(min_length=1, max_length=16)]
    escrow: str
    start: _Whole = 0
    symbol: Annotated[str, Meta(min_length=1, max_length=20)] = "ETH"
    quorum: _Count | None = None
    poll_seconds: Annotated[float, Meta(ge=0.01, le=60)] = 1.0
    fee_cap_gwei: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    tokens: list[_Token] = []
    conditions: _EvmConditions | None = None


class _Letters(Struct, forbid_unknown_fields=True):
    listen: str = "127.0.0.1:0"
    name: str = ""
    board: str = ""


class _Watchtower(Struct, forbid_unknown_fields=True):
    folder: str = ""


class _File(Struct, forbid_unknown_fields=True):
    bitcoin: _Bitcoin
    evm: _Evm
    letters: _Letters = msgspec.field(default_factory=_Letters)
    watchtower: _Watchtower = msgspec.field(default_factory=_Watchtower)


@dataclass(frozen=True, slots=True)
class AssetName:
    """An asset that the trader knows. Fields: symbol; decimals; token (20 bytes; zero: the coin; None: bitcoin)."""

    symbol: str
    decimals: int
    token: bytes | None


@dataclass(frozen=True, slots=True)
class BitcoinAccess:
    """The trader's node. Fields: network; url (of the wallet); cookie (path) or user and password; zmq; fees."""

    network: Network
    url: str
    cookie: Path | None
    user: str
    password: str
    zmq: str | None
    fees: FeePolicy

    def __repr__(self) -> str:
        return f"BitcoinAccess({self.network.name})"


@dataclass(frozen=True, slots=True)
class TraderSettings:
    """The whole file.

    Fields: folder; bitcoin; site (the Escrow); urls (of EVM nodes); quorum (None: all); poll_seconds; fee_cap (of
    EVM transactions, in wei per gas); assets (bitcoin first, then the coin, then tokens); conditions; listen (host and
    port); name (how takers reach it; empty: as it listens); board (URL; empty: none); bundles (folder
    for a watchtower; None: none are kept).
    """

    folder: Path
    bitcoin: BitcoinAccess
    site: EscrowSite
    urls: tuple[str, ...]
    quorum: int | None
    poll_seconds: float
    fee_cap: Wei
    assets: tuple[AssetName, ...]
    conditions: Conditions
    listen: tuple[str, int]
    name: str
    board: str
    bundles: Path | None = None

    @property
    def bitcoin_chain(self) -> ChainId:
        """CAIP-2."""
        return ChainId.parse(self.bitcoin.network.caip2)

    @property
    def evm_chain(self) -> ChainId:
        """CAIP-2."""
        return self.site.chain.chain_id

    @property
    def realm(self) -> bytes:
        """Where swaps of this configuration are, 32 bytes: secrets are derived for it alone (`TraderKeys.at`)."""
        site = self.site
        names = (self.bitcoin.network.caip2.encode(), site.chain.caip2.encode())
        return tagged_hash("swap/realm/1", *names, site.chain.genesis, site.escrow)

    def asset(self, symbol: str, field: str = "asset") -> AssetName:
        """The asset of a symbol, whatever its case. Raises `BadInput`: it is not in the file, or is there twice."""
        found = [one for one in self.assets if one.symbol.upper() == symbol.upper()]
        if len(found) != 1:
            known = ", ".join(one.symbol for one in self.assets)
            problem = f"{symbol[:40]!r} is not known" if not found else f"{symbol!r} names {len(found)} assets"
            raise BadInput(field, problem, f"one of {known}; swap.toml lists them")
        return found[0]

    def token(self, token: bytes) -> AssetName | None:
        """The EVM asset with this address (zero: the coin); None where it is not in the file."""
        return next((one for one in self.assets if one.token == token), None)


def settings_form() -> type[Struct]:
    """The form of the file, for what describes it."""
    return _File


def load_settings(folder: Path) -> TraderSettings:
    """Read `swap.toml` of a folder.

    Raises:
        BadInput: names the field and what is wrong with it.
    """
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        problem = error.strerror or "cannot be read"
        raise BadInput(str(path), problem, "`causeway swap init` makes it") from error
    if len(raw) > _FILE_BYTES_MAX:
        raise BadInput(str(path), "is too long", "is it the right file?")
    try:
        found = msgspec.toml.decode(raw, type=_File)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadInput(str(path), str(error), "docs/swaps.md shows the file") from error
    return _settings(folder, found)


def check_symbol(symbol: str, field: str) -> None:
    """Make sure that amounts of an asset can be written and read: `20ETH`, `0.5 USDC.e`. Raises `BadInput`."""
    if _SYMBOL.fullmatch(symbol) is None:
        cure = "a name of your own for it: a letter, then letters, digits and . + -, at most 20"
        raise BadInput(field, f"{symbol[:40]!r} cannot stand behind a number", cure)
    if symbol.upper() == BITCOIN_SYMBOL:
        raise BadInput(field, f"{symbol!r} is bitcoin itself", "a name of your own for it, like WBTC")


def _settings(folder: Path, found: _File) -> TraderSettings:
    evm, letters = found.evm, found.letters
    chain = Chain.named(ChainId.parse(evm.chain, "evm.chain"), _bytes("evm.genesis", evm.genesis, 32), 0)
    if letters.board:
        check_place(letters.board, "letters.board")
    if letters.name:
        check_place(letters.name, "letters.name")
    bitcoin = _bitcoin(found.bitcoin)
    conditions = _conditions(ChainId.parse(bitcoin.network.caip2), chain.chain_id, evm.conditions)
    # What counts as final is asked by each swap's terms; the chain's rule is the coarser one of the two.
    confirmations = 0 if conditions.evm.has_own_finality else max(1, conditions.evm.confirmations.most)
    site = EscrowSite(
        Chain.named(chain.chain_id, chain.genesis, confirmations),
        _bytes("evm.escrow", evm.escrow, 20),
        BlockHeight(evm.start),
    )
    tokens = (AssetName(one.symbol, one.decimals, _bytes("evm.tokens.address", one.address, 20)) for one in evm.tokens)
    assets = (AssetName(BITCOIN_SYMBOL, 8, None), AssetName(evm.symbol, 18, bytes(20)), *tokens)
    _check_symbols(assets)
    return TraderSettings(
        folder=folder,
        bitcoin=bitcoin,
        site=site,
        urls=tuple(evm.urls),
        quorum=evm.quorum,
        poll_seconds=evm.poll_seconds,
        fee_cap=Wei(evm.fee_cap_gwei * 10**9),
        assets=assets,
        conditions=conditions,
        listen=_listen(letters.listen),
        name=letters.name,
        board=letters.board,
        bundles=folder / Path(found.watchtower.folder).expanduser() if found.watchtower.folder else None,
    )


def _check_symbols(assets: Sequence[AssetName]) -> None:
    known = {BITCOIN_SYMBOL}
    for number, asset in enumerate(assets[1:]):
        field = "evm.tokens.symbol" if number else "evm.symbol"
        check_symbol(asset.symbol, field)
        if asset.symbol.upper() in known:
            raise BadInput(field, f"{asset.symbol!r} is there twice", "another name for one of them")
        known.add(asset.symbol.upper())


def _bitcoin(found: _Bitcoin) -> BitcoinAccess:
    network = network_named(found.network, "bitcoin.network")
    if bool(found.cookie) == bool(found.user):
        raise BadInput("bitcoin.cookie", "neither it nor a user is given, or both", "give one of the two")
    url = found.url.rstrip("/") + (f"/wallet/{found.wallet}" if found.wallet else "")
    fees = found.fees
    policy = FeePolicy(SatPerKvB(fees.floor), SatPerKvB(fees.cap), SatPerKvB(fees.fallback), fees.target_blocks)
    cookie = Path(found.cookie).expanduser() if found.cookie else None
    return BitcoinAccess(network, url, cookie, found.user, found.password, found.zmq or None, policy)


def _conditions(bitcoin: ChainId, evm: ChainId, given: _EvmConditions | None) -> Conditions:
    if given is None:
        return conditions_for(bitcoin, evm)
    own = EvmConditions(
        interval_s=given.interval_s,
        is_random=given.is_random,
        ordinary_blocks=given.ordinary_blocks,
        stress_blocks=given.stress_blocks,
        confirmations=Confirmations((), given.confirmations),
        final_s=given.final_s,
        final_stress_s=given.final_stress_s,
        outage_s=given.outage_s,
    )
    if bitcoin == ChainId.parse(REGTEST.caip2):
        return development(BITCOIN_PROFILES[bitcoin], own)
    known = next(iter(EVM_PROFILES))  # any: its part is replaced
    return replace(conditions_for(bitcoin, known), evm=own)


def _listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise BadInput(
            "letters.listen", f"{text[:80]!r} is no host and port", "127.0.0.1:8123; port 0 takes a free one"
        )
    return host.strip("[]"), int(port)


def _bytes(field: str, text: str, length: int) -> bytes:
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise BadInput(field, f"{text[:80]!r} is not hexadecimal", f"0x and {2 * length} digits") from error
    if len(value) != length:
        raise BadInput(field, f"has {len(value)} bytes", f"0x and {2 * length} digits")
    return value
