"""The first tables of a connector.

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
        "connector_accounts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("scale", sa.Integer(), nullable=False),
        sa.Column("base", sa.Text().with_variant(sa.Numeric(precision=60, scale=0), "postgresql"), nullable=False),
        sa.Column("floor", sa.Text().with_variant(sa.Numeric(precision=60, scale=0), "postgresql"), nullable=True),
        sa.Column("ceiling", sa.Text().with_variant(sa.Numeric(precision=60, scale=0), "postgresql"), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "connector_flights",
        sa.Column("process", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("debtor", sa.String(), nullable=False),
        sa.Column("taken", sa.Text().with_variant(sa.Numeric(precision=60, scale=0), "postgresql"), nullable=False),
        sa.Column("creditor", sa.String(), nullable=False),
        sa.Column("given", sa.Text().with_variant(sa.Numeric(precision=60, scale=0), "postgresql"), nullable=False),
        sa.Column("condition", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("process", "number"),
    )
    op.create_table(
        "connector_incidents",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("process", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("amount", sa.Text().with_variant(sa.Numeric(precision=60, scale=0), "postgresql"), nullable=False),
        sa.Column("condition", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "connector_processes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "connector_settlements",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("amount", sa.Text().with_variant(sa.Numeric(precision=60, scale=0), "postgresql"), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("is_undone", sa.Boolean(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "connector_shares",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("process", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("delta", sa.Text().with_variant(sa.Numeric(precision=60, scale=0), "postgresql"), nullable=False),
        sa.Column("lowest", sa.Text().with_variant(sa.Numeric(precision=60, scale=0), "postgresql"), nullable=False),
        sa.Column("highest", sa.Text().with_variant(sa.Numeric(precision=60, scale=0), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("account", "process"),
    )
    op.create_table(
        "settle_incoming",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=128), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("scale", sa.Integer(), nullable=False),
        sa.Column("units", sa.Text(), nullable=False),
        sa.Column("credited", sa.Integer(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_settle_incoming_credited", "settle_incoming", ["credited"], unique=False)
    op.create_table(
        "settle_leftovers",
        sa.Column("account", sa.String(length=128), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("scale", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "settle_outgoing",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=128), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("scale", sa.Integer(), nullable=False),
        sa.Column("keep", sa.String(length=30), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_settle_outgoing_state", "settle_outgoing", ["state", "next_at_ms"], unique=False)


def downgrade() -> None:
    """There is nothing before the first revision."""
    raise BadInput("revision", "there is none before the first", "delete the database")
