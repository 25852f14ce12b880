"""An engine's configuration: one TOML file, checked before anything starts; secrets lie in files of their own."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from adapters.bitcoin.addresses import Network, network_named
from foundation.errors import BadInput

_SQLITE: Final = "sqlite:///"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_Hash = Annotated[str, Meta(pattern="^(0x)?[0-9a-fA-F]{64}$")]


class EvmConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settling in an ERC-20 token.

    Fields: urls (of the chain's RPC endpoints, none of which is believed); chain_id; genesis (hash of block 0);
    confirmations (what is final, 0 where the chain says so itself); token (address); decimals; start_block (before it
    nothing was paid to us); key_file (the account's secret, 64 hex digits); least (the smallest payment, base units).
    """

    urls: Annotated[tuple[str, ...], Meta(min_length=1)]
    chain_id: Annotated[int, Meta(ge=1)]
    genesis: _Hash
    token: Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{40}$")]
    decimals: Annotated[int, Meta(ge=0, le=255)]
    start_block: Annotated[int, Meta(ge=0)]
    key_file: str
    confirmations: Annotated[int, Meta(ge=0, le=100_000)] = 0
    least: Annotated[int, Meta(ge=1)] = 1


class BitcoinConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settling in bitcoin.

    Fields: url, user, password_file (of the node's RPC); network (as Bitcoin Core names it); start_height (before it
    nothing was paid to us); secret_file (64 hex digits, of which all keys are made); confirmations; bump_blocks; least
    (satoshi); fee_floor, fee_cap, fee_fallback (satoshi per 1,000 virtual bytes).
    """

    url: str
    user: str
    password_file: str
    network: str
    start_height: Annotated[int, Meta(ge=0)]
    secret_file: str
    confirmations: Annotated[int, Meta(ge=1, le=1_000)] = 6
    bump_blocks: Annotated[int, Meta(ge=1, le=1_000)] = 6
    least: Annotated[int, Meta(ge=546)] = 10_000
    fee_floor: int = 1_000
    fee_cap: int = 100_000
    fee_fallback: int = 5_000

    def known_network(self) -> Network:
        """The network of that name. Raises `BadInput`."""
        return network_named(self.network, "bitcoin.network")


class BookConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settling by holds in a book.

    Fields: url; ledger_id; account (ours); asset, scale; key_file (our API key there); secret_file (64 hex digits, of
    which preimages are made); hold_ms (how long a peer has to fulfil).
    """

    url: str
    ledger_id: str
    account: str
    asset: str
    scale: Annotated[int, Meta(ge=0, le=255)]
    key_file: str
    secret_file: str
    hold_ms: Annotated[int, Meta(ge=1_000)] = 600_000


class EngineConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an engine is run, in exactly one of its kinds.

    Fields: database (URL; this engine's own); connector (URL of the connector's side of RFC 38); host and port (0 for a
    free one) to serve on; token_file (the bearer token that both sides show; without it the engine listens on loopback
    alone); evm, bitcoin, book (what it settles in).
    """

    database: str
    connector: str
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 3_000
    token_file: str = ""
    evm: EvmConfig | None = None
    bitcoin: BitcoinConfig | None = None
    book: BookConfig | None = None

    @classmethod
    def load(cls, path: Path) -> EngineConfig:
        """Read a configuration file; relative paths in it are relative to its folder.

        Raises:
            BadInput: naming the file, or the value that is wrong in it.
        """
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(str(path), "cannot be read", "the path of an engine's configuration") from error
        except tomllib.TOMLDecodeError as error:
            raise BadInput(str(path), f"is not TOML: {error}") from error
        return cls.checked(content, path.parent.absolute())

    @classmethod
    def checked(cls, content: dict[str, object], folder: Path) -> EngineConfig:
        """Check parsed content. Raises `BadInput` naming the first value that is wrong."""
        try:
            config = msgspec.convert(content, cls)
        except msgspec.ValidationError as error:
            problem, _, place = str(error).partition(" - at `$")
            raise BadInput(place.rstrip("`").lstrip(".") or "engine", problem[:1].lower() + problem[1:]) from error
        if sum(kind is not None for kind in (config.evm, config.bitcoin, config.book)) != 1:
            raise BadInput("engine", "settles in nothing, or in several things", "one of [evm], [bitcoin], [book]")
        if not config.token_file and config.host not in _LOOPBACK:
            raise BadInput(
                "host", "whoever reaches the engine can have it pay", "set token_file, or listen on loopback"
            )
        url = config.database
        if url.startswith(_SQLITE) and not url.startswith(_SQLITE + "/"):
            url = f"{_SQLITE}{folder / url.removeprefix(_SQLITE)}"
        return msgspec.structs.replace(
            config,
            database=url,
            token_file=_placed(config.token_file, folder),
            evm=config.evm and msgspec.structs.replace(config.evm, key_file=_placed(config.evm.key_file, folder)),
            bitcoin=config.bitcoin
            and msgspec.structs.replace(
                config.bitcoin,
                password_file=_placed(config.bitcoin.password_file, folder),
                secret_file=_placed(config.bitcoin.secret_file, folder),
            ),
            book=config.book
            and msgspec.structs.replace(
                config.book,
                key_file=_placed(config.book.key_file, folder),
                secret_file=_placed(config.book.secret_file, folder),
            ),
        )


def read_secret(path: str, field: str) -> bytes:
    """32 bytes, written as 64 hex digits. Raises `BadInput` naming `field`, never the content."""
    text = read_text(path, field)
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise BadInput(field, "the file does not hold 64 hex digits", "32 random bytes in hex")
    return secret


def read_text(path: str, field: str) -> str:
    """A file's one line. Raises `BadInput` naming `field`."""
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(field, "the file cannot be read", "name a file that this user can read") from error


def _placed(name: str, folder: Path) -> str:
    return str(folder / name) if name else ""
