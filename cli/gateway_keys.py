"""API keys of a gateway's REST interface: made, listed and revoked in its database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.principals import KeyStore, Limits, Scope, new_key
from api.server import make_tables
from foundation.database import Database
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
    async with await Database.open(config.database, SCHEMA) as database:
        await make_tables(database)
        async with database.unit() as unit:
            await KeyStore(unit.connection).add(row)
            await unit.commit()
    return text


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
