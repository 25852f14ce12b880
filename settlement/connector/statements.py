"""What an account was settled by, as the database has it: for statements and reconciliation."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.quantities import UnixMs
from settlement.connector.balances.model import Direction
from settlement.connector.tables import settlements


@dataclass(frozen=True, slots=True)
class SettlementView:
    """One settlement. Fields: key; amount (base units); direction (out: we paid the holder); is_undone (it was never
    paid, and the balance has it again); at.
    """

    key: str
    amount: int
    direction: Direction
    is_undone: bool
    at: UnixMs


async def settlements_of(
    connection: AsyncConnection, account: str, *, after: tuple[UnixMs, str] = (UnixMs(0), ""), limit: int = 1000
) -> tuple[SettlementView, ...]:
    """The settlements of an account, oldest first.

    Args:
        connection: of the connector's database.
        account: its id.
        after: time and key of the last one that is known already.
        limit: not more than these.
    """
    columns = settlements.c
    asked = (
        select(columns.key, columns.amount, columns.direction, columns.is_undone, columns.at_ms)
        .where(columns.account == account, tuple_(columns.at_ms, columns.key) > after)
        .order_by(columns.at_ms, columns.key)
        .limit(limit)
    )
    rows = await connection.execute(asked)
    return tuple(
        SettlementView(row.key, int(row.amount), Direction(row.direction), bool(row.is_undone), UnixMs(row.at_ms))
        for row in rows
    )
