"""The channels' tables, the same on SQLite and on PostgreSQL: a bank's own sides, and an operator's cases."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table

from foundation.database import Schema

METADATA: Final = MetaData()

Serial = BigInteger().with_variant(Integer, "sqlite")

# A bank's side of each channel, whole.
sides = Table(
    "channels_sides",
    METADATA,
    Column("channel", LargeBinary, primary_key=True),
    Column("phase", String(16), nullable=False),
    Column("state", LargeBinary, nullable=False),
)

# What the gateway has still to be told of its channels.
notices = Table(
    "channels_notices",
    METADATA,
    Column("number", Serial, primary_key=True),
    Column("channel", LargeBinary, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

# An operator's channels.
cases = Table(
    "channels_cases",
    METADATA,
    Column("channel", LargeBinary, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("account_a", String(64), nullable=False),
    Column("account_b", String(64), nullable=False),
    Column("state", LargeBinary, nullable=False),
)

# Preimages that an operator was shown, with the moment.
reveals = Table(
    "channels_reveals",
    METADATA,
    Column("condition", LargeBinary, primary_key=True),
    Column("preimage", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# Payments that an operator has decided and the book may not have made yet.
payouts = Table(
    "channels_payouts",
    METADATA,
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("account", String(64), nullable=False),
    Column("amount", String(20), nullable=False),
    Column("paid", Integer, nullable=False),
)

# How far a bank has read a Channels contract. `domain`: the contract's on its chain, 32 bytes.
chain_cursors = Table(
    "channels_chain_cursors",
    METADATA,
    Column("domain", LargeBinary, primary_key=True),
    Column("block", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

# A bank's channels as final blocks have them.
chain_cases = Table(
    "channels_chain_cases",
    METADATA,
    Column("domain", LargeBinary, primary_key=True),
    Column("channel", LargeBinary, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("state", LargeBinary, nullable=False),
)

# Preimages that the contract was shown, with the block's time.
chain_reveals = Table(
    "channels_chain_reveals",
    METADATA,
    Column("domain", LargeBinary, primary_key=True),
    Column("condition", LargeBinary, primary_key=True),
    Column("preimage", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# What this bank's people call its channels.
names = Table(
    "channels_names",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("channel", LargeBinary, nullable=False),
)

# What this bank's people want of its channels, and what came of it.
orders = Table(
    "channels_orders",
    METADATA,
    Column("order_id", LargeBinary, primary_key=True),
    Column("made_at", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("result", String, nullable=False),
)

# What went over the channels, by the reference that its payer chose.
payments = Table(
    "channels_payments",
    METADATA,
    Column("channel", LargeBinary, primary_key=True),
    Column("reference", LargeBinary, primary_key=True),
    Column("incoming", Integer, primary_key=True, autoincrement=False),
    Column("amount", String(20), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# What this bank asked to be paid. `lock_id`: what it is claimed with, empty before.
invoices = Table(
    "channels_invoices",
    METADATA,
    Column("condition", LargeBinary, primary_key=True),
    Column("preimage", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("lock_id", LargeBinary, nullable=False),
)

SCHEMA: Final = Schema((METADATA,))
"""For tests of this package by itself."""
