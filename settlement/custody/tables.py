"""The tables of a party's payments: where each stands, what is still to be done, how far ledgers were read."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
    text,
)

METADATA = MetaData()

IS_OPEN = text("is_open = 1")
"""Spelt out, and no parameter: only so does PostgreSQL use the index of what is open."""

_Id = BigInteger().with_variant(Integer, "sqlite")

payments = Table(
    "custody_payments",
    METADATA,
    Column("payment_id", LargeBinary(32), primary_key=True),
    Column("role", String(8), nullable=False),  # payer, clearer or payee: a party has one in a payment
    Column("stage", String(16), nullable=False),
    Column("state", LargeBinary, nullable=False),  # sealed
    Column("is_open", Integer, nullable=False),  # 1 until nothing can happen to it any more
    Column("version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # No index of what changes while a payment is open: PostgreSQL puts a new version into the same page, and touches no
    # index (a heap-only tuple), which halves what each of a payment's eight steps costs there.
    Index("custody_payments_open", "created_at", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
    Index("custody_payments_created", "created_at"),
)
# A page keeps room for the next versions of its rows.
event.listen(
    payments,
    "after_create",
    DDL("ALTER TABLE custody_payments SET (fillfactor = 60)").execute_if(dialect="postgresql"),  # type: ignore[no-untyped-call]
)

outbox = Table(
    "custody_outbox",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # given out by the one process that works
    Column("payment_id", LargeBinary(32), nullable=False),
    Column("destination", String(160), nullable=False),  # ledger:<id>, party:<id>
    Column("effect", LargeBinary, nullable=False),  # sealed
    Column("created_at", BigInteger, nullable=False),
)

# One row: how often the party's gateway was started. Of two processes that work on one database, the later one does.
tenure = Table(
    "custody_tenure",
    METADATA,
    Column("place", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

cursors = Table(
    "custody_cursors",
    METADATA,
    Column("ledger", String(128), primary_key=True),
    Column("cursor", Text, nullable=False),
)

history = Table(
    "custody_history",
    METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("payment_id", LargeBinary(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Index("custody_history_payment", "payment_id", "id"),
)
