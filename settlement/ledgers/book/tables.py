"""The tables of a book, the same on SQLite and on PostgreSQL.

An amount is decimal text of 20 digits, padded, because 2^64−1 fits no engine's integer and SQLite rounds NUMERIC; the
two halves of the text sum exactly in SQL. Totals are decimal text. A migration in `migrations/versions` must follow
each change here; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from foundation.database import Schema

AMOUNT_DIGITS: Final = 20
"""Decimal digits of 2^64−1."""

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SCHEMA = Schema((METADATA,), Path(__file__).parent / "migrations", "book_version")

IS_HELD = text("state = 'held'")
"""Spelt out, and no parameter: only so does PostgreSQL use the index of what is held."""

accounts = Table(
    "book_accounts",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("asset_code", String(20), nullable=False),
    Column("asset_scale", SmallInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("owner", String(32), nullable=False),
    Column("floor", String(40), nullable=False),
    Column("frozen", Boolean, nullable=False),
    Column("balance", String(40), nullable=False),
    Column("held", String(40), nullable=False),
    Column("incoming", String(40), nullable=False),
    Column("opened_at", BigInteger, nullable=False),
)

transfers = Table(
    "book_transfers",
    METADATA,
    Column("transfer_id", LargeBinary(32), primary_key=True),
    Column("payer", String(64), nullable=False),
    Column("payee", String(64), nullable=False),
    Column("amount", String(AMOUNT_DIGITS), nullable=False),
    Column("condition", LargeBinary(32)),
    Column("expires_at", BigInteger, nullable=False),
    Column("memo", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("preimage", LargeBinary(32)),
    Column("decided_at", BigInteger),
    Column("reason", String(32)),
    Column("detail", Text, nullable=False),
    Index("ix_book_transfers_due", "expires_at", sqlite_where=IS_HELD, postgresql_where=IS_HELD),
)

entries = Table(
    "book_entries",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("transfer_id", LargeBinary(32), ForeignKey("book_transfers.transfer_id"), nullable=False),
    Column("payer", String(64), nullable=False),
    Column("payee", String(64), nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Index(None, "payer", "number"),
    Index(None, "payee", "number"),
)

lines = Table(
    "book_lines",
    METADATA,
    Column("account", String(64), ForeignKey("book_accounts.name"), primary_key=True),
    Column("number", BigInteger, ForeignKey("book_entries.number"), primary_key=True),
    Column("bucket", String(8), primary_key=True),
    Column("sign", SmallInteger, nullable=False),
    Column("amount", String(AMOUNT_DIGITS), nullable=False),
    Column("after", String(40), nullable=False),
)

keys = Table(
    "book_keys",
    METADATA,
    Column("key_id", String(32), primary_key=True),
    Column("holder", String(32), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)
