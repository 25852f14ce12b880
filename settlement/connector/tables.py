"""The connector's tables: accounts, what each process has moved and may still move, settlements, incidents.

An account's balance is `base` plus the `delta` of every process that has a share in it. Amounts are decimal text on
SQLite, whose integers end at 2^63, and NUMERIC on PostgreSQL.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, Numeric, String, Table, Text

METADATA: Final = MetaData()
_AMOUNT = Text().with_variant(Numeric(60, 0), "postgresql")
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

processes: Final = Table(
    "connector_processes",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("batch", BigInteger, nullable=False),  # the last write that took effect
    Column("outcome", String, nullable=True),  # null while it runs, then "stopped" or "died"
)

accounts: Final = Table(
    "connector_accounts",
    METADATA,
    Column("id", String, primary_key=True),
    Column("asset", String, nullable=False),
    Column("scale", Integer, nullable=False),
    Column("base", _AMOUNT, nullable=False),
    Column("floor", _AMOUNT, nullable=True),
    Column("ceiling", _AMOUNT, nullable=True),
)

shares: Final = Table(
    "connector_shares",
    METADATA,
    Column("account", String, primary_key=True),
    Column("process", BigInteger, primary_key=True, autoincrement=False),
    Column("delta", _AMOUNT, nullable=False),
    Column("lowest", _AMOUNT, nullable=False),
    Column("highest", _AMOUNT, nullable=False),
)

settlements: Final = Table(
    "connector_settlements",
    METADATA,
    Column("key", String, primary_key=True),
    Column("account", String, nullable=False),
    Column("amount", _AMOUNT, nullable=False),
    Column("direction", String, nullable=False),
    Column("is_undone", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

flights: Final = Table(
    "connector_flights",
    METADATA,
    Column("process", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("debtor", String, nullable=False),
    Column("taken", _AMOUNT, nullable=False),
    Column("creditor", String, nullable=False),
    Column("given", _AMOUNT, nullable=False),
    Column("condition", LargeBinary, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
)

incidents: Final = Table(
    "connector_incidents",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("process", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("account", String, nullable=False),
    Column("amount", _AMOUNT, nullable=False),
    Column("condition", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
