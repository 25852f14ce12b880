"""What the gateway keeps beside its parts' tables: whom a payment is for, and parts of signatures that came early."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, Text

METADATA = MetaData()

dossiers = Table(
    "gateway_dossiers",
    METADATA,
    Column("payment_id", LargeBinary(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=True),  # accounts and the person who asked, under the party's key
    Column("ended_at", BigInteger, nullable=True),
)

instructions = Table(
    "gateway_instructions",
    METADATA,
    Column("payment_id", LargeBinary(32), primary_key=True),
    Column("part", LargeBinary, nullable=False),  # the other bank's part of the signature on the instruction
)

alarms = Table(
    "gateway_alarms",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("payment_id", LargeBinary(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("state", String(12), nullable=False),  # open, acknowledged
)
