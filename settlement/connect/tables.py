"""Tables of the exchange: where each stands, why each was decided so, and personal data that only their keys open."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table

METADATA: Final = MetaData()
_SERIAL = BigInteger().with_variant(Integer(), "sqlite")

exchanges: Final = Table(
    "connect_exchanges",
    METADATA,
    Column("payment_id", LargeBinary(32), primary_key=True),
    Column("party", String(32), primary_key=True),  # whose view it is
    Column("phase", String(16), nullable=False, index=True),
    Column("state", LargeBinary, nullable=False),  # the machine, MessagePack; it holds no personal datum
    Column("expires_at_ms", BigInteger, nullable=False),
)

decisions: Final = Table(
    "connect_decisions",
    METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("payment_id", LargeBinary(32), nullable=False, index=True),
    Column("party", String(32), nullable=False),
    Column("reason", String(16), nullable=False),
    Column("field", String(128), nullable=False),
    Column("policy_version", String(64), nullable=False),
    Column("rule_version", String(64), nullable=False),
    Column("verdicts", LargeBinary, nullable=False),  # MessagePack; they name lists and outcomes, no persons
    Column("at_ms", BigInteger, nullable=False),
)

personal: Final = Table(
    "connect_personal",
    METADATA,
    Column("payment_id", LargeBinary(32), primary_key=True),
    Column("party", String(32), primary_key=True),  # whose copy it is
    Column("kind", String(16), primary_key=True),  # what it is: our disclosure, theirs, the shared secret
    Column("wrapped_key", LargeBinary, nullable=True),  # of this record alone, under the vault's key; null: shredded
    Column("sealed", LargeBinary, nullable=True),
    Column("stored_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger, nullable=True),  # when the payment ended; retention counts from here
    Column("is_held", Boolean, nullable=False),  # legal hold: kept until it is lifted
    Column("shredded_at_ms", BigInteger, nullable=True),
    Index("ix_connect_personal_due", "shredded_at_ms", "is_held", "ended_at_ms"),
)
