"""A gateway's database and keys, for commands that work beside it: the gateway may run meanwhile, or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli.book_access import check_there
from cli.context import keystore_password
from foundation.errors import BadInput

if TYPE_CHECKING:
    from foundation.database import UnitOfWork, View
    from settlement.gateway.config import GatewayConfig
    from settlement.gateway.keys import Secrets

GatewayOption: TypeAlias = Annotated[
    Path,
    typer.Option("--config", envvar="CAUSEWAY_GATEWAY", metavar="FILE", help="The gateway's configuration."),
]
MaybeGatewayOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Read the database of this gateway instead.", show_default=False),
]
PaymentArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="PAYMENT", help="The payment's id, 64 hex digits.", show_default=False)
]


def gateway(path: Path) -> GatewayConfig:
    """A gateway's configuration. Raises `BadInput`; `NotFound` where it has no database yet."""
    from settlement.gateway.config import load_config

    config = load_config(path)
    check_there(config.database)
    return config


def gateway_secrets(config: GatewayConfig, password_file: Path | None) -> Secrets:
    """All that the gateway's seed gives. Raises `BadInput`, `WrongPassword`, `KeystoreDamaged`."""
    from settlement.cosign.keyfile import open_key_file
    from settlement.gateway.keys import Secrets

    password = keystore_password(password_file, what="gateway's key")
    try:
        return Secrets.derive(config.party, open_key_file(config.key_file, config.party, password))
    except OSError as error:
        cure = "name the key that `causeway gateway init` made"
        raise BadInput("gateway.key_file", f"{config.key_file} cannot be read", cure) from error


@asynccontextmanager
async def gateway_view(config: GatewayConfig) -> AsyncIterator[View]:
    """The database as of one moment. It is read as it is, never migrated. Raises `DatabaseUnavailable`."""
    from foundation.database import Database, Schema

    async with await Database.open(config.database, Schema(())) as database, database.view() as view:
        yield view


@asynccontextmanager
async def gateway_unit(config: GatewayConfig) -> AsyncIterator[UnitOfWork]:
    """A unit of work on the database; a running gateway waits for its end. Raises `DatabaseUnavailable`."""
    from foundation.database import Database, Schema

    async with await Database.open(config.database, Schema(())) as database, database.unit() as unit:
        yield unit


def payment_id(text: str, field: str = "PAYMENT") -> bytes:
    """A payment's id, 32 bytes. Raises `BadInput`."""
    try:
        number = bytes.fromhex(text.strip())
    except ValueError:
        number = b""
    if len(number) != 32:
        raise BadInput(field, f"{text[:80]!r} is no payment's id", "64 hex digits; causeway payment list shows them")
    return number
