"""A gateway's alarms: what cannot happen while margins hold and everybody keeps to the protocol."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from foundation.database import Database
from settlement.gateway.config import GatewayConfig
from settlement.gateway.runtime import SCHEMA
from settlement.gateway.tables import alarms

OPEN, _SEEN = "open", "acknowledged"


async def listed_alarms(config: GatewayConfig, everything: bool) -> list[dict[str, Any]]:
    """The open alarms, or all, oldest first. Raises `DatabaseUnavailable`."""
    query = select(alarms).order_by(alarms.c.id)
    if not everything:
        query = query.where(alarms.c.state == OPEN)
    async with await Database.open(config.database, SCHEMA) as database, database.view() as view:
        rows = (await view.connection.execute(query)).all()
    return [
        {"number": row.id, "at": row.at, "payment": row.payment_id.hex(), "state": row.state, "detail": row.detail}
        for row in rows
    ]


async def acknowledge(config: GatewayConfig, number: int) -> bool:
    """Somebody has looked; whether there was such an open alarm. Raises `DatabaseUnavailable`."""
    async with await Database.open(config.database, SCHEMA) as database, database.unit() as unit:
        change = update(alarms).where(alarms.c.id == number, alarms.c.state == OPEN).values(state=_SEEN)
        changed = (await unit.connection.execute(change)).rowcount > 0
        await unit.commit()
    return changed
