"""Payments whose states are changed in place on PostgreSQL: no index of what changes, and room beside each row.

Revision: 0003. What is written here never changes; a later release adds a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INDEX, _TABLE = "custody_payments_open", "custody_payments"


def upgrade() -> None:
    """Index the open payments by the time that they were made, which does not change."""
    op.drop_index(_INDEX, _TABLE)
    is_open = sa.text("is_open = 1")
    op.create_index(_INDEX, _TABLE, ["created_at"], sqlite_where=is_open, postgresql_where=is_open)
    if op.get_context().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {_TABLE} SET (fillfactor = 60)")


def downgrade() -> None:
    """Index them as before."""
    op.drop_index(_INDEX, _TABLE)
    op.create_index(_INDEX, _TABLE, ["is_open", "updated_at"])
    if op.get_context().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {_TABLE} RESET (fillfactor)")
