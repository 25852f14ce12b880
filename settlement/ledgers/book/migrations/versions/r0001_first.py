"""The first tables of a book.

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
        "book_accounts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("asset_code", sa.String(length=20), nullable=False),
        sa.Column("asset_scale", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=32), nullable=False),
        sa.Column("floor", sa.String(length=40), nullable=False),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("balance", sa.String(length=40), nullable=False),
        sa.Column("held", sa.String(length=40), nullable=False),
        sa.Column("incoming", sa.String(length=40), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_book_accounts"),
    )
    op.create_table(
        "book_keys",
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name="pk_book_keys"),
    )
    op.create_table(
        "book_transfers",
        sa.Column("transfer_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("payer", sa.String(length=64), nullable=False),
        sa.Column("payee", sa.String(length=64), nullable=False),
        sa.Column("amount", sa.String(length=20), nullable=False),
        sa.Column("condition", sa.LargeBinary(length=32), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("preimage", sa.LargeBinary(length=32), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("transfer_id", name="pk_book_transfers"),
    )
    is_held = sa.text("state = 'held'")
    op.create_index(
        "ix_book_transfers_due", "book_transfers", ["expires_at"], sqlite_where=is_held, postgresql_where=is_held
    )
    op.create_table(
        "book_entries",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("payer", sa.String(length=64), nullable=False),
        sa.Column("payee", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["transfer_id"], ["book_transfers.transfer_id"], name="fk_book_entries_transfer_id"),
        sa.PrimaryKeyConstraint("number", name="pk_book_entries"),
    )
    op.create_index("ix_book_entries_at", "book_entries", ["at"], unique=False)
    op.create_index("ix_book_entries_payee_number", "book_entries", ["payee", "number"], unique=False)
    op.create_index("ix_book_entries_payer_number", "book_entries", ["payer", "number"], unique=False)
    op.create_table(
        "book_lines",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("bucket", sa.String(length=8), nullable=False),
        sa.Column("sign", sa.SmallInteger(), nullable=False),
        sa.Column("amount", sa.String(length=20), nullable=False),
        sa.Column("after", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["book_accounts.name"], name="fk_book_lines_account"),
        sa.ForeignKeyConstraint(["number"], ["book_entries.number"], name="fk_book_lines_number"),
        sa.PrimaryKeyConstraint("account", "number", "bucket", name="pk_book_lines"),
    )


def downgrade() -> None:
    """Not done: it would delete the ledger."""
    raise BadInput("revision", "there is nothing before the first revision", "keep the database")
