"""What a board keeps: letters until they are read or expire, and offers until they expire."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

from foundation.database import Schema

METADATA = MetaData()

_Id = BigInteger().with_variant(Integer, "sqlite")

letters = Table(
    "board_letters",
    METADATA,
    Column("number", _Id, primary_key=True, autoincrement=True),
    Column("mailbox", LargeBinary(32), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # SHA-256 of the sealed letter
    Column("sealed", LargeBinary, nullable=False),
    Column("came_at", BigInteger, nullable=False),  # seconds since 1970
    Index("board_letters_once", "mailbox", "digest", unique=True),
    Index("board_letters_of", "mailbox", "number"),
    Index("board_letters_came", "came_at"),
    sqlite_autoincrement=True,  # a number is given once, or a reader's cursor would skip letters
)

offers = Table(
    "board_offers",
    METADATA,
    Column("number", _Id, primary_key=True, autoincrement=True),
    Column("offer_id", LargeBinary(32), nullable=False),
    Column("maker", LargeBinary(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("gives", String(200), nullable=False),  # CAIP-19
    Column("wants", String(200), nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Column("valid_until", BigInteger, nullable=False),
    Index("board_offers_once", "offer_id", unique=True),
    Index("board_offers_maker", "maker"),
    Index("board_offers_ends", "valid_until"),
    sqlite_autoincrement=True,
)

SCHEMA: Final = Schema((METADATA,), Path(__file__).parent / "migrations", "board_revision")
