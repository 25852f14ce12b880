"""What an EVM ledger remembers. All but the journal can be read from the chain again.

Amounts of an EVM chain go up to 2**256 − 1 and are decimal text, which is exact on every engine.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, String, Table

METADATA: Final = MetaData()

transactions: Final = Table(
    "ledger_evm_transactions",
    METADATA,
    Column("chain", String, primary_key=True),
    Column("account", LargeBinary, primary_key=True),
    Column("nonce", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, primary_key=True),
    Column("key", String, nullable=False),
    Column("to", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("value", String, nullable=False),
    Column("gas", BigInteger, nullable=False),
    Column("max_fee", String, nullable=False),
    Column("tip", String, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("label", String, nullable=False),
    Column("status", String, nullable=False),
    Index("ix_ledger_evm_transactions_key", "chain", "account", "key"),
    Index("ix_ledger_evm_transactions_status", "chain", "account", "status"),
)

cursors: Final = Table(
    "ledger_evm_cursors",
    METADATA,
    Column("ledger", String, primary_key=True),
    Column("block", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
)

holds: Final = Table(
    "ledger_evm_holds",
    METADATA,
    Column("ledger", String, primary_key=True),
    Column("payer", LargeBinary, primary_key=True),
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("payee", LargeBinary, nullable=False),
    Column("refund_to", LargeBinary, nullable=False),
    Column("asset", LargeBinary, nullable=False),
    Column("amount", String, nullable=False),
    Column("condition", LargeBinary, nullable=False),
    Column("expires_at_s", BigInteger, nullable=False),
    Column("memo", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("preimage", LargeBinary, nullable=True),
    Column("held_at_ms", BigInteger, nullable=False),
    Column("decided_at_ms", BigInteger, nullable=True),
    Index("ix_ledger_evm_holds_transfer_id", "ledger", "transfer_id"),
    Index("ix_ledger_evm_holds_state", "ledger", "state"),
)

events: Final = Table(
    "ledger_evm_events",
    METADATA,
    Column("ledger", String, primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("log", BigInteger, primary_key=True, autoincrement=False),
    Column("payer", LargeBinary, nullable=False),
    Column("transfer_id", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
)
