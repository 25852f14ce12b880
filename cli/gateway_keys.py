"""API keys of a gateway's REST interface: made, listed and revoked in its database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

from api.principals import KeyRow, KeyStore, Limits, Scope, certificate_row, new_key
from api.server import make_tables
from foundation.database import Database
from foundation.errors import BadInput
from settlement.gateway.config import GatewayConfig
from settlement.gateway.process import wall_clock
from settlement.gateway.runtime import SCHEMA


async def make_key(config: GatewayConfig, key_id: str, principal: str, scopes: Iterable[Scope]) -> str:
    """Make an API key; its text, which nobody can show again.

    Raises:
        BadInput: the id is taken, or a name is none.
        DatabaseUnavailable: the database does not answer.
    """
    text, row = new_key(key_id, principal, frozenset(scopes), Limits(), wall_clock())
    await _add(config, row)
    return text


async def register_certificate(config: GatewayConfig, pem: bytes, principal: str, scopes: Iterable[Scope]) -> str:
    """Register a client's certificate (PEM) for mTLS; the name that it has among the keys.

    Raises:
        BadInput: the text holds no certificate, it is registered already, or the name is none.
        DatabaseUnavailable: the database does not answer.
    """
    try:
        found = load_pem_x509_certificate(pem)
    except ValueError as error:
        raise BadInput("--certificate", "it holds no certificate", "a PEM file of the client's") from error
    row = certificate_row(found.fingerprint(SHA256()), principal, frozenset(scopes), Limits(), wall_clock())
    await _add(config, row)
    return row.key_id


async def _add(config: GatewayConfig, row: KeyRow) -> None:
    async with await Database.open(config.database, SCHEMA) as database:
        await make_tables(database)
        async with database.unit() as unit:
            await KeyStore(unit.connection).add(row)
            await unit.commit()


async def revoke_key(config: GatewayConfig, key_id: str) -> bool:
    """Take a key back for ever; whether there was a good one of this id. Raises as `make_key`."""
    async with await Database.open(config.database, SCHEMA) as database:
        await make_tables(database)
        async with database.unit() as unit:
            revoked = await KeyStore(unit.connection).revoke(key_id, wall_clock())
            await unit.commit()
    return revoked


async def listed_keys(config: GatewayConfig) -> list[dict[str, Any]]:
    """All keys and certificates, without their secrets. Raises as `make_key`."""
    async with await Database.open(config.database, SCHEMA) as database:
        await make_tables(database)
        async with database.view() as view:
            rows = await KeyStore(view.connection).all()
    return [
        {
            "key": row.key_id,
            "principal": row.principal,
            "scopes": list(row.scopes),
            "made_at": row.made_at,
            "is_good": row.is_good(wall_clock()),
        }
        for row in rows
    ]
