"""The tables of a bitcoin ledger.

Revision: 0002. What is written here never changes; a later release adds a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("coins", "cursors", "events", "fees", "holds", "transactions")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ledger_btc_coins",
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("outpoint", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("spent_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("ledger", "outpoint"),
    )
    op.create_table(
        "ledger_btc_cursors",
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("tail", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("ledger"),
    )
    op.create_table(
        "ledger_btc_events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("payer", sa.LargeBinary(), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("ledger", "payer", "transfer_id", "state"),
    )
    op.create_table(
        "ledger_btc_fees",
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("paid", sa.BigInteger(), nullable=False),
        sa.Column("is_posted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("ledger", "key"),
    )
    op.create_table(
        "ledger_btc_holds",
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("payer", sa.LargeBinary(), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("payee", sa.LargeBinary(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("condition", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at_s", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.LargeBinary(), nullable=False),
        sa.Column("birthday", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=True),
        sa.Column("preimage", sa.LargeBinary(), nullable=True),
        sa.Column("coin", sa.LargeBinary(), nullable=True),
        sa.Column("held_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("is_waived", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("ledger", "payer", "transfer_id"),
    )
    op.create_index("ix_ledger_btc_holds_transfer_id", "ledger_btc_holds", ["ledger", "transfer_id"], unique=False)
    op.create_table(
        "ledger_btc_transactions",
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("payer", sa.LargeBinary(), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("ledger", "key", "version"),
    )


def downgrade() -> None:
    """Remove them, with the terms without which no output can be spent."""
    for name in _TABLES:
        op.drop_table(f"ledger_btc_{name}")
