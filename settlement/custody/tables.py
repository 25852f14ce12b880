"""The tables of a party's payments: where each stands, what is still to be done, how far ledgers were read."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

METADATA = MetaData()

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
    Index("custody_payments_open", "is_open", "updated_at"),
    Index("custody_payments_created", "created_at"),
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
