"""The first tables of channels.

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
        "channels_cases",
        sa.Column("channel", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("account_a", sa.String(length=64), nullable=False),
        sa.Column("account_b", sa.String(length=64), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("channel"),
    )
    op.create_table(
        "channels_chain_cases",
        sa.Column("domain", sa.LargeBinary(), nullable=False),
        sa.Column("channel", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("domain", "channel"),
    )
    op.create_table(
        "channels_chain_cursors",
        sa.Column("domain", sa.LargeBinary(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("domain"),
    )
    op.create_table(
        "channels_chain_reveals",
        sa.Column("domain", sa.LargeBinary(), nullable=False),
        sa.Column("condition", sa.LargeBinary(), nullable=False),
        sa.Column("preimage", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("domain", "condition"),
    )
    op.create_table(
        "channels_invoices",
        sa.Column("condition", sa.LargeBinary(), nullable=False),
        sa.Column("preimage", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("lock_id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("condition"),
    )
    op.create_table(
        "channels_names",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "channels_notices",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "channels_orders",
        sa.Column("order_id", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.create_index(op.f("ix_channels_orders_state"), "channels_orders", ["state"], unique=False)
    op.create_table(
        "channels_payments",
        sa.Column("channel", sa.LargeBinary(), nullable=False),
        sa.Column("reference", sa.LargeBinary(), nullable=False),
        sa.Column("incoming", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "reference", "incoming"),
    )
    op.create_table(
        "channels_payouts",
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("amount", sa.String(length=20), nullable=False),
        sa.Column("paid", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("transfer_id"),
    )
    op.create_table(
        "channels_reveals",
        sa.Column("condition", sa.LargeBinary(), nullable=False),
        sa.Column("preimage", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("condition"),
    )
    op.create_table(
        "channels_sides",
        sa.Column("channel", sa.LargeBinary(), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("channel"),
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
