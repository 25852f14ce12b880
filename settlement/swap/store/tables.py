"""The tables of a trader's database. Times are milliseconds since 1970."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

from foundation.database import Schema
from settlement.ledgers.evm import tables as evm_tables

METADATA: Final = MetaData()

_Id = BigInteger().with_variant(Integer, "sqlite")

wallet: Final = Table(
    "swap_wallet",
    METADATA,
    Column("place", Integer, primary_key=True, autoincrement=False),  # 1: a database is one mnemonic's
    Column("wallet_id", LargeBinary(32), nullable=False),
    Column("next_index", BigInteger, nullable=False),
)

offers: Final = Table(
    "swap_offers",
    METADATA,
    Column("offer_id", LargeBinary(32), primary_key=True),
    Column("index", BigInteger, nullable=False),  # whose identity and letters' key it names
    Column("text", Text, nullable=False),
    Column("state", String(12), nullable=False),  # open, served, taken, withdrawn
    Column("published_at", String(200), nullable=False),  # the board's URL; empty: on none
    Column("made_at", BigInteger, nullable=False),
)

takings: Final = Table(
    "swap_takings",
    METADATA,
    Column("offer_id", LargeBinary(32), primary_key=True),
    Column("index", BigInteger, nullable=False),  # this side's swap keys
    Column("offer", Text, nullable=False),
    Column("state", String(12), nullable=False),  # asked, refused, given up, agreed
    Column("problem", Text, nullable=False),
    Column("swap_id", LargeBinary(32), nullable=True),
    Column("made_at", BigInteger, nullable=False),
)

swaps: Final = Table(
    "swaps",
    METADATA,
    Column("swap_id", LargeBinary(32), primary_key=True),
    Column("index", BigInteger, nullable=False),
    Column("is_maker", Boolean, nullable=False),
    Column("offer", Text, nullable=False),  # empty: recovered
    Column("peer", LargeBinary(32), nullable=False),  # empty: recovered
    Column("peer_letters", LargeBinary(32), nullable=False),
    Column("place", String(200), nullable=False),
    Column("peer_signature", LargeBinary(64), nullable=False),  # over the swap's id; empty: not yet
    Column("state", LargeBinary, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("wake_at", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("swaps_open", "is_open"),
    Index("swaps_index", "index", unique=True),
)

orders: Final = Table(
    "swap_orders",
    METADATA,
    Column("swap_id", LargeBinary(32), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("effect", LargeBinary, nullable=False),
    Column("number", BigInteger, nullable=False),  # rises each time it is given: an older delivery does not end it
    Column("is_due", Boolean, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("problem", Text, nullable=False),
    Index("swap_orders_due", "is_due", "due_at"),
)

transactions: Final = Table(
    "swap_transactions",
    METADATA,
    Column("swap_id", LargeBinary(32), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("txid", LargeBinary(32), nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
)

history: Final = Table(
    "swap_history",
    METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("swap_id", LargeBinary(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Index("swap_history_of", "swap_id", "id"),
)

wishes: Final = Table(
    "swap_wishes",
    METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("swap_id", LargeBinary(32), nullable=False),
    Column("wish", String(12), nullable=False),
)

cursors: Final = Table(
    "swap_cursors",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

SCHEMA: Final = Schema((METADATA, evm_tables.METADATA), Path(__file__).parent / "migrations")
