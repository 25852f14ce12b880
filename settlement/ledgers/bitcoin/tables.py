"""What a bitcoin ledger remembers. Back it up: without the terms, which are nowhere else, no output can be spent."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

METADATA: Final = MetaData()

cursors: Final = Table(
    "ledger_btc_cursors",
    METADATA,
    Column("ledger", String, primary_key=True),
    Column("tail", LargeBinary, nullable=False),
)

holds: Final = Table(
    "ledger_btc_holds",
    METADATA,
    Column("ledger", String, primary_key=True),
    Column("payer", LargeBinary, primary_key=True),
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("payee", LargeBinary, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("condition", LargeBinary, nullable=False),
    Column("expires_at_s", BigInteger, nullable=False),
    Column("memo", LargeBinary, nullable=False),
    Column("birthday", BigInteger, nullable=False),
    Column("state", String, nullable=True),
    Column("preimage", LargeBinary, nullable=True),
    Column("coin", LargeBinary, nullable=True),
    Column("held_at_ms", BigInteger, nullable=True),
    Column("decided_at_ms", BigInteger, nullable=True),
    Column("is_waived", Boolean, nullable=False),
    Index("ix_ledger_btc_holds_transfer_id", "ledger", "transfer_id"),
)

events: Final = Table(
    "ledger_btc_events",
    METADATA,
    # Not the place in the chain: a hold that was told of late is found in blocks that readers have passed.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("ledger", String, nullable=False),
    Column("payer", LargeBinary, nullable=False),
    Column("transfer_id", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    UniqueConstraint("ledger", "payer", "transfer_id", "state"),
)

coins: Final = Table(
    "ledger_btc_coins",
    METADATA,
    Column("ledger", String, primary_key=True),
    Column("outpoint", LargeBinary, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("spent_by", String, nullable=True),  # the key of a transaction of ours, until it is final
)

fees: Final = Table(
    "ledger_btc_fees",
    METADATA,
    Column("ledger", String, primary_key=True),
    Column("key", String, primary_key=True),  # what it was paid for
    Column("paid", BigInteger, nullable=False),
    Column("is_posted", Boolean, nullable=False),  # the books have it
)

transactions: Final = Table(
    "ledger_btc_transactions",
    METADATA,
    Column("ledger", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("payer", LargeBinary, nullable=False),  # of one hold that it is for
    Column("transfer_id", LargeBinary, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("height", BigInteger, nullable=False),  # the node's newest block when it was signed
    Column("is_open", Boolean, nullable=False),  # to be broadcast until it is final
)
