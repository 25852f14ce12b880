"""What the connector remembers of settlements: those to ask for, those received, and what was too fine to count."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table

from settlement.connector.settle.columns import Natural

METADATA: Final = MetaData()

outgoing: Final = Table(
    "settle_outgoing",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("account", String(128), nullable=False),
    Column("amount", Natural, nullable=False),
    Column("scale", Integer, nullable=False),
    Column("keep", String(30), nullable=False),  # may be negative
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at_ms", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("ix_settle_outgoing_state", "state", "next_at_ms"),
)

incoming: Final = Table(
    "settle_incoming",
    METADATA,
    Column("id", String(64), primary_key=True),  # of the account and the engine's key
    Column("account", String(128), nullable=False),
    Column("amount", Natural, nullable=False),
    Column("scale", Integer, nullable=False),
    Column("units", Natural, nullable=False),
    Column("credited", Integer, nullable=False),  # 0 or 1
    Column("received_at_ms", BigInteger, nullable=False),
    Index("ix_settle_incoming_credited", "credited"),
)

leftovers: Final = Table(
    "settle_leftovers",
    METADATA,
    Column("account", String(128), primary_key=True),
    Column("amount", Natural, nullable=False),
    Column("scale", Integer, nullable=False),
)
