"""The first tables of a settlement engine.

Revision: 0001. What is written here never changes; a later release adds a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

from foundation.errors import BadInput

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "engine_accounts",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("open", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "engine_bitcoin_coins",
        sa.Column("outpoint", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("spent_height", sa.BigInteger(), nullable=True),
        sa.Column("is_credited", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("outpoint"),
    )
    op.create_table(
        "engine_bitcoin_versions",
        sa.Column("payment", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("txid", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("inputs", sa.LargeBinary(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("signed_at_height", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("payment", "version"),
    )
    op.create_index("ix_engine_bitcoin_versions_txid", "engine_bitcoin_versions", ["txid"], unique=False)
    op.create_table(
        "engine_credits",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("account", sa.String(length=128), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("units", sa.Text(), nullable=False),
        sa.Column("reported", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_engine_credits_reported", "engine_credits", ["reported"], unique=False)
    op.create_table(
        "engine_cursors",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "engine_leftovers",
        sa.Column("account", sa.String(length=128), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("scale", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "engine_payments",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=128), nullable=False),
        sa.Column("units", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=12), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_engine_payments_stage", "engine_payments", ["stage"], unique=False)
    op.create_table(
        "engine_requests",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=128), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("scale", sa.Integer(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "engine_sources",
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("account", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )
    op.create_table(
        "ledger_evm_cursors",
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ledger"),
    )
    op.create_table(
        "ledger_evm_events",
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payer", sa.LargeBinary(), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("ledger", "block", "log"),
    )
    op.create_table(
        "ledger_evm_holds",
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("payer", sa.LargeBinary(), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("payee", sa.LargeBinary(), nullable=False),
        sa.Column("refund_to", sa.LargeBinary(), nullable=False),
        sa.Column("asset", sa.LargeBinary(), nullable=False),
        sa.Column("amount", sa.String(), nullable=False),
        sa.Column("condition", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at_s", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("preimage", sa.LargeBinary(), nullable=True),
        sa.Column("held_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("ledger", "payer", "transfer_id"),
    )
    op.create_index("ix_ledger_evm_holds_state", "ledger_evm_holds", ["ledger", "state"], unique=False)
    op.create_index("ix_ledger_evm_holds_transfer_id", "ledger_evm_holds", ["ledger", "transfer_id"], unique=False)
    op.create_table(
        "ledger_evm_transactions",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("to", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("gas", sa.BigInteger(), nullable=False),
        sa.Column("max_fee", sa.String(), nullable=False),
        sa.Column("tip", sa.String(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "account", "nonce", "hash"),
    )
    op.create_index(
        "ix_ledger_evm_transactions_key", "ledger_evm_transactions", ["chain", "account", "key"], unique=False
    )
    op.create_index(
        "ix_ledger_evm_transactions_status", "ledger_evm_transactions", ["chain", "account", "status"], unique=False
    )


def downgrade() -> None:
    """There is nothing before the first revision."""
    raise BadInput("revision", "there is none before the first", "delete the database")
