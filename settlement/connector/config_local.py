"""How a connector's configuration describes its own account, and where its operators ask it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from foundation.errors import BadInput
from settlement.connector.accounts import AccountConfig
from settlement.connector.routing.routes import Relation
from settlement.connector.toml import Section
from settlement.quantities import Asset, Scale

_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s]+):([0-9]{1,5})", re.ASCII)
_PAYEE: Final = re.compile(r"[A-Za-z0-9_~-]{1,64}", re.ASCII)
_TOKEN_CHARACTERS_LEAST: Final = 16


@dataclass(frozen=True, slots=True)
class Listen:
    """Where we serve. Fields: host; port (0: a free one)."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """Where operators ask. Fields: listen; token (what they show)."""

    listen: Listen
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LocalConfig:
    """`[local]`: the connector's own account, which receives STREAM payments.

    Fields: account; secret (32 bytes, from which each connection's address and secret follow; None: a new one at each
    start, and invitations end with it); spsp (where payment pointers are answered; None: nowhere); payees (names, each
    paid at `/name`; without any, `/.well-known/pay` alone is); name (as payers see us; empty: not told).
    """

    account: AccountConfig
    secret: bytes | None = field(repr=False)
    spsp: Listen | None
    payees: tuple[str, ...]
    name: str


def read_listen(section: Section, name: str) -> Listen | None:
    """A field such as `"127.0.0.1:7768"`; None where it is missing. Raises `BadInput`."""
    text = section.optional_text(name)
    if text is None:
        return None
    match = _HOST.fullmatch(text)
    if match is None or int(match.group(2)) > 65_535:
        raise BadInput(section.name(name), f"{text[:80]!r} is no address to listen on", "such as 127.0.0.1:7768")
    return Listen(match.group(1).strip("[]"), int(match.group(2)))


def read_secret(section: Section, name: str, folder: Path) -> bytes | None:
    """32 bytes as 64 hex digits, here or in a file; None where it is missing. Raises `BadInput`."""
    text = section.secret(name, folder)
    if text is None:
        return None
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise BadInput(section.name(name), "not 32 bytes", "64 hex digits: openssl rand -hex 32")
    return secret


def read_admin(listen: Section, folder: Path) -> AdminConfig | None:
    """`listen.admin` with `admin_token`; None where it is missing. Raises `BadInput`."""
    where, token = read_listen(listen, "admin"), listen.secret("admin_token", folder)
    if where is None:
        if token is not None:
            raise BadInput(listen.name("admin"), "missing beside admin_token", "such as 127.0.0.1:7780")
        return None
    if token is None or len(token) < _TOKEN_CHARACTERS_LEAST:
        cure = "what operators show: openssl rand -hex 32"
        raise BadInput(listen.name("admin_token"), f"missing, or below {_TOKEN_CHARACTERS_LEAST} characters", cure)
    return AdminConfig(where, token)


def read_local(section: Section | None, listen: Section, folder: Path) -> LocalConfig | None:
    """`[local]`, with `listen.spsp`; None where it is missing. Raises `BadInput`."""
    spsp = read_listen(listen, "spsp")
    if section is None:
        if spsp is not None:
            raise BadInput("local", "missing beside listen.spsp", "write [local]: who is paid there")
        return None
    asset = Asset(section.text("asset"), Scale(section.number("scale", most=255)))
    account = AccountConfig(
        id=section.text("id", "local"),
        asset=asset,
        relation=Relation.LOCAL,
        floor=section.amount("floor", asset, 0),
        ceiling=section.amount("ceiling", asset),
        max_packet=section.amount("max_packet", asset),
    )
    if not _PAYEE.fullmatch(account.id):
        raise BadInput(section.name("id"), f"{account.id[:80]!r} is no account id", "1 to 64 letters, digits, _ ~ -")
    payees = section.texts("payees")
    for payee in payees:
        if not _PAYEE.fullmatch(payee):
            raise BadInput(section.name("payees"), f"{payee[:80]!r} is no name", "1 to 64 letters, digits, _ ~ -")
    config = LocalConfig(
        account=account,
        secret=read_secret(section, "secret", folder),
        spsp=spsp,
        payees=payees,
        name=section.text("name", ""),
    )
    section.end()
    return config
