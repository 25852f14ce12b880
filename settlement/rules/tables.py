"""The validator's tables, the same on SQLite and on PostgreSQL. Amounts are decimal text: sums pass 63 bits."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

from foundation.database import Schema

METADATA: Final = MetaData()

# What passed on one day, by all that limits tell apart.
days = Table(
    "rules_days",
    METADATA,
    Column("day", String(10), primary_key=True),
    Column("payer", String(32), primary_key=True),
    Column("payee", String(32), primary_key=True),
    Column("origin", String(2), primary_key=True),
    Column("destination", String(2), primary_key=True),
    Column("code", String(20), primary_key=True),
    Column("scale", Integer, primary_key=True),
    Column("amount", String(78), nullable=False),
    Column("count", BigInteger, nullable=False),
)

# One row for each payment that passed; a released one no longer counts.
uses = Table(
    "rules_uses",
    METADATA,
    Column("payment_id", LargeBinary, primary_key=True),
    Column("state", String(10), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("day", String(10), nullable=False),
    Column("payer", String(32), nullable=False),
    Column("payee", String(32), nullable=False),
    Column("origin", String(2), nullable=False),
    Column("destination", String(2), nullable=False),
    Column("code", String(20), nullable=False),
    Column("scale", Integer, nullable=False),
    Column("amount", String(20), nullable=False),
    Index("ix_rules_uses_payer", "payer", "at"),
    Index("ix_rules_uses_payee", "payee", "at"),
    Index("ix_rules_uses_at", "at"),
)

# Append-only, hash-chained.
decisions = Table(
    "rules_decisions",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("payment_id", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Column("entry_hash", LargeBinary, nullable=False),
    Index("ix_rules_decisions_payment_id", "payment_id", "sequence"),
)

# Personal, sealed, and erased after its time; the decision keeps the digest alone.
facts = Table(
    "rules_facts",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("ix_rules_facts_at", "at"),
)

approvals = Table(
    "rules_approvals",
    METADATA,
    Column("subject", LargeBinary, primary_key=True),
    Column("person", String(64), primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("clears", Text, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
)

SCHEMA: Final = Schema((METADATA,))
"""For tests of this package by itself."""
