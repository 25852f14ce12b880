"""What commands work on: the network file, a node's folder, an account's key, and connections to both chains.

Heavy imports are inside the functions, so that `causeway --help` does not wait for them.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

import typer

from cli.exits import NotFound
from foundation.errors import BadInput

if TYPE_CHECKING:
    from adapters.bitcoin.addresses import Network
    from adapters.bitcoin.rpc import BitcoinRpc
    from adapters.evm.sender import TxSender
    from adapters.native.chain import NativeChain
    from adapters.native.deployment import Deployment
    from bridge.settings import Settings

T = TypeVar("T")

HOME_VARIABLE: Final = "CAUSEWAY_HOME"
"""Names another folder than `.causeway/` in the working folder."""
PASSWORD_VARIABLE: Final = "CAUSEWAY_PASSWORD"  # noqa: S105 - the name of a variable, not a password
CONFIG: Final = "config.toml"
IDENTITY: Final = "identity.json"

JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
NetworkOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--network",
        envvar="CAUSEWAY_NETWORK",
        metavar="FILE",
        help="The network file; by default that of the running development network.",
        show_default=False,
    ),
]
NodeOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--node",
        envvar="CAUSEWAY_NODE",
        metavar="FOLDER",
        help="The node's folder; by default the development network's first storeman.",
        show_default=False,
    ),
]
AccountKeyOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--account-key",
        envvar="CAUSEWAY_ACCOUNT_KEY_FILE",
        metavar="FILE",
        help="The account that acts: a file with 64 hex digits, or a JSON keystore (version 3).",
        show_default=False,
    ),
]
PasswordFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="Holds the password; without it CAUSEWAY_PASSWORD is read, or the password is asked for.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class NetworkFile:
    """A network file: how to reach the chains, and where the contracts are. Fields: path; settings.

    Of `settings` only `bitcoin`, `native`, `evm` and what follows from them are meant; there is no node.
    """

    path: Path
    settings: Settings

    @classmethod
    def load(cls, path: Path) -> NetworkFile:
        """Read a network file. Raises `BadInput` naming the file, or the value in it that is wrong."""
        from bridge.settings import Settings

        content = _toml(path)
        unknown = sorted(set(content) - {"bitcoin", "native", "evm"})
        if unknown:
            cure = "a network file has [bitcoin], [native] and an [[evm]] for each EVM chain"
            raise BadInput(f"{path}: {unknown[0]}", "is not known", cure)
        # The sections have the fields of a node's configuration, and are checked by the same rules.
        reader = {"role": "voucher", "name": "reader", "listen": "tcp://127.0.0.1:1"}
        try:
            settings = Settings.checked({**content, "node": reader}, path.parent.absolute())
        except BadInput as error:
            raise BadInput(f"{path}: {error.field}", error.problem, error.cure) from error
        return cls(path, settings)

    @property
    def network(self) -> Network:
        """The bitcoin network."""
        return self.settings.network

    @property
    def chain(self) -> bytes:
        """The bitcoin chain's id, 32 bytes."""
        return self.settings.chain

    @property
    def asset(self) -> bytes:
        """Bitcoin's asset id, 32 bytes."""
        return self.settings.asset

    @property
    def deployment_path(self) -> Path:
        """Where the deployment file is, or will be."""
        return self.settings.path(self.settings.native.deployment)

    @cached_property
    def deployment(self) -> Deployment:
        """Where the contracts are. Raises `BadInput`."""
        from adapters.native.deployment import Deployment

        return Deployment.load(self.deployment_path)


def command_group(text: str, *, no_args_is_help: bool = True) -> typer.Typer:
    """A module's `app`: a group of commands, or one command where only one is added."""
    return typer.Typer(
        help=text,
        no_args_is_help=no_args_is_help,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def home() -> Path:
    """The folder for what commands keep: `.causeway/` in the working folder, or what CAUSEWAY_HOME names."""
    return Path(os.environ.get(HOME_VARIABLE) or ".causeway").expanduser().absolute()


def dev_folder() -> Path:
    """The development network's folder, which need not exist."""
    return home() / "dev"


def network_file(given: Path | None) -> NetworkFile:
    """The network that a command works on. Raises `BadInput`, `NotFound`."""
    if given is not None:
        return NetworkFile.load(given)
    path = dev_folder() / "network.toml"
    if not path.exists():
        cure = "name one with --network or CAUSEWAY_NETWORK, or start one: causeway dev up"
        raise NotFound("there is no network file", cure)
    return NetworkFile.load(path)


def node_folder(given: Path | None) -> Path:
    """The node's folder that a command works on. Raises `NotFound`."""
    folder = given or dev_folder() / "storeman-1"
    if not (folder / CONFIG).exists():
        if given:
            raise NotFound(f"{folder} is no node's folder", "causeway node init makes one")
        problem = "no node is named, and no development network is there"
        raise NotFound(problem, "name it with --node or CAUSEWAY_NODE; causeway node init makes one")
    return folder.absolute()


def account_secret(given: Path | None) -> bytes:
    """The secret key of the user's account, 32 bytes. Raises `BadInput`."""
    if given is None:
        cure = "a file with 64 hex digits, or a JSON keystore; CAUSEWAY_ACCOUNT_KEY_FILE may name it"
        raise BadInput("--account-key", "is missing", cure)
    text = read_text(given, "--account-key").strip()
    if text.startswith("{"):
        return _from_json_keystore(given, text)
    try:
        secret = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise BadInput("--account-key", f"{given} holds no key", "64 hex digits, or a JSON keystore (version 3)")
    return secret


def keystore_password(password_file: Path | None, *, confirm: bool = False, what: str = "keystore") -> str:
    """A password from the file, CAUSEWAY_PASSWORD or a prompt. Raises `BadInput`."""
    if password_file is not None:
        password = read_text(password_file, "--password-file").rstrip("\r\n")
    else:
        password = os.environ.get(PASSWORD_VARIABLE, "")
        if not password and sys.stdin.isatty():
            password = str(
                typer.prompt(f"Password of the {what}", hide_input=True, confirmation_prompt=confirm, err=True)
            )
    if not password:
        raise BadInput("password", "is missing", f"use --password-file, or set {PASSWORD_VARIABLE}")
    return password


def read_text(path: Path, field: str) -> str:
    """A file's text. Raises `BadInput` naming `field`."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(field, f"{path} cannot be read", "the path of a readable text file") from error


@asynccontextmanager
async def open_bitcoin(
    network: NetworkFile, *, check: bool = True, timeout_s: float = 30.0, pauses_s: Sequence[float] = (0.1, 0.3, 1.0)
) -> AsyncIterator[BitcoinRpc]:
    """The bitcoin node's RPC. Raises `NodeUnavailable`, `AccessDenied`, `WrongChain`."""
    from adapters.bitcoin.rpc import BitcoinRpc

    section = network.settings.bitcoin
    if section.cookie_file is not None:
        cookie = network.settings.path(section.cookie_file)
        rpc = BitcoinRpc.from_cookie(section.url, cookie, timeout_s=timeout_s, pauses_s=pauses_s)
    else:
        rpc = BitcoinRpc(section.url, section.user, section.password, timeout_s=timeout_s, pauses_s=pauses_s)
    try:
        if check:
            await rpc.check_network(network.network)
        yield rpc
    finally:
        await rpc.close()


@asynccontextmanager
async def open_native(network: NetworkFile, *, check: bool = True) -> AsyncIterator[NativeChain]:
    """The native chain with the bridge's contracts. Raises `NodeUnavailable`, `WrongChain`, `BadInput`."""
    from adapters.evm.rpc import EvmRpc
    from adapters.native.chain import NativeChain
    from adapters.native.errors import typed_revert

    deployment = network.deployment
    async with EvmRpc(network.settings.native.url, reverted=typed_revert) as rpc:
        native = NativeChain(rpc, deployment)
        if check:
            await native.check()
        yield native


@asynccontextmanager
async def open_sender(network: NetworkFile, native: NativeChain, secret: bytes) -> AsyncIterator[TxSender]:
    """Sends for the account of `secret`; it forgets at the end, so a command's transactions are named for one run."""
    from adapters.evm.fees import FeePolicy
    from adapters.evm.flight import SenderPolicy
    from adapters.evm.journal import VolatileJournal
    from adapters.evm.sender import TxSender

    policy = SenderPolicy(fees=FeePolicy(cap=network.settings.native.max_fee))
    async with TxSender(native.rpc, VolatileJournal(), secret, native.deployment.chain_id, policy) as sender:
        yield sender


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous work, on the loop that the gateway has too."""
    import uvloop

    return uvloop.run(work)


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(read_text(path, "--network"))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(str(path), f"is not TOML: {error}") from error


def _from_json_keystore(path: Path, text: str) -> bytes:
    from adapters.evm.accounts import Account

    password = keystore_password(None, what=f"account in {path}")
    try:
        return bytes(Account.decrypt(json.loads(text), password))
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(
            "--account-key", f"{path} cannot be opened: {error}", "a JSON keystore and its password"
        ) from error
