"""The tables of one entity's books, the same on SQLite and on PostgreSQL.

A line's amount is two integers, `high` · 10^10 + `low` with 0 ≤ low < 10^10: exact in both engines, also when many are
summed up. Balances and totals are decimal text. There are no foreign keys: the same transaction writes both ends, a key
on the few busy accounts would cost a lock for each line, and `verify` recomputes everything.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

METADATA = MetaData()
AMOUNT_BASE: Final = 10**10

_Id = BigInteger().with_variant(Integer, "sqlite")

accounts = Table(
    "books_accounts",
    METADATA,
    Column("name", String(160), primary_key=True),
    Column("asset_code", String(20), nullable=False),
    Column("asset_scale", SmallInteger, nullable=False),
    Column("balance", String(60), nullable=False),  # the sum of its lines, moved in the transaction that adds them
    Column("opened_at", BigInteger, nullable=False),
)

entries = Table(
    "books_entries",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", LargeBinary(32), nullable=False, unique=True),
    Column("event", String(24), nullable=False),
    Column("payment_id", LargeBinary(32), index=True),
    Column("reverses", BigInteger),
    Column("at", BigInteger, nullable=False, index=True),
    Column("narrative", LargeBinary, nullable=False),  # sealed
    Column("digest", LargeBinary(32), nullable=False),
    Column("link", LargeBinary(32), nullable=False),
)

lines = Table(
    "books_lines",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("place", SmallInteger, primary_key=True, autoincrement=False),
    Column("account", String(160), nullable=False),
    Column("high", BigInteger, nullable=False),
    Column("low", BigInteger, nullable=False),
    Index("books_lines_account", "account", "number"),
)

receipts = Table(
    "books_receipts",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("payment_id", LargeBinary(32), nullable=False, unique=True),
    Column("receipt", LargeBinary, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("link", LargeBinary(32), nullable=False),
    Column("at", BigInteger, nullable=False),
)

batches = Table(
    "books_batches",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("place", LargeBinary, nullable=False),  # whose account anchors it, in which contract, on which chain
    Column("signature", LargeBinary, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("anchor", LargeBinary),  # where it is on the chain; NULL until that is final
    Column("anchored_at", BigInteger),
)

reviews = Table(
    "books_reviews",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # of the entry
    Column("state", String(16), nullable=False),
    Column("suspended_by", String(64), nullable=False),
    Column("reversal", BigInteger),
    Index("books_reviews_state", "state"),
)

acts = Table(
    "books_acts",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False, index=True),
    Column("action", String(16), nullable=False),
    Column("role", String(16), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("why", LargeBinary, nullable=False),  # sealed
    Column("evidence", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("link", LargeBinary(32), nullable=False),
)

alerts = Table(
    "books_alerts",
    METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("monitor", String(32), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("detail", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("acknowledged_by", String(64)),
    Column("resolved_at", BigInteger),
    Index("books_alerts_state", "state", "monitor"),
)
