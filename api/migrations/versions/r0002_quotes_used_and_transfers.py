"""Which request has used a quote; what a pacs.008 called its transfer; acts by their time, for their retention.

Revision: 0002.
"""

import sqlalchemy as sa
from alembic import op

from foundation.errors import BadInput

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column, a table and an index."""
    op.add_column("api_quotes", sa.Column("used_by", sa.LargeBinary(length=32), nullable=True))
    op.create_table(
        "api_transfers",
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("names", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id"),
    )
    op.create_index("api_transfers_made", "api_transfers", ["made_at"], unique=False)
    op.create_index("api_acts_at", "api_acts", ["at"], unique=False)


def downgrade() -> None:
    """Not done: what was paid by which quote would be forgotten."""
    raise BadInput("revision", "this schema is not taken back", "restore a backup")
