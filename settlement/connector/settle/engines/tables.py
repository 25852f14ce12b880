"""An engine's memory. One database an engine: what it holds is about one rail and one key."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

from settlement.connector.settle.columns import Natural

METADATA: Final = MetaData()

accounts: Final = Table(
    "engine_accounts",
    METADATA,
    Column("id", String(128), primary_key=True),
    Column("open", Integer, nullable=False),  # 0: deleted
)

requests: Final = Table(
    "engine_requests",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("account", String(128), nullable=False),
    Column("amount", Natural, nullable=False),
    Column("scale", Integer, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
)

leftovers: Final = Table(
    "engine_leftovers",
    METADATA,
    Column("account", String(128), primary_key=True),
    Column("amount", Natural, nullable=False),
    Column("scale", Integer, nullable=False),
)

payments: Final = Table(
    "engine_payments",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("account", String(128), nullable=False),
    Column("units", Natural, nullable=False),
    Column("stage", String(12), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("target", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("next_at_ms", BigInteger, nullable=False),
    Index("ix_engine_payments_stage", "stage"),
)

received: Final = Table(
    "engine_credits",
    METADATA,
    Column("id", String(200), primary_key=True),
    Column("account", String(128), nullable=True),
    Column("source", Text, nullable=False),
    Column("units", Natural, nullable=False),
    Column("reported", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("next_at_ms", BigInteger, nullable=False),
    Index("ix_engine_credits_reported", "reported"),
)

sources: Final = Table(  # who pays from where, as the peers have shown
    "engine_sources",
    METADATA,
    Column("source", String(200), primary_key=True),
    Column("account", String(128), nullable=False),
)

cursors: Final = Table(
    "engine_cursors",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

bitcoin_coins: Final = Table(
    "engine_bitcoin_coins",
    METADATA,
    Column("outpoint", LargeBinary, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("owner", String(128), nullable=False),  # the account whose address it was paid to, empty for our change
    Column("height", BigInteger, nullable=False),
    Column("spent_height", BigInteger, nullable=True),
    Column("is_credited", Integer, nullable=False),
)

bitcoin_versions: Final = Table(  # the transactions of a payment: all spend the same coins
    "engine_bitcoin_versions",
    METADATA,
    Column("payment", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("txid", LargeBinary, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("inputs", LargeBinary, nullable=False),  # outpoints, 36 bytes each
    Column("fee", BigInteger, nullable=False),
    Column("signed_at_height", BigInteger, nullable=False),
    Column("height", BigInteger, nullable=True),  # of the block that it is in
    Index("ix_engine_bitcoin_versions_txid", "txid"),
)
