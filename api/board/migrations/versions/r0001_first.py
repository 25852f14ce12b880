"""The first tables of the order board.

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
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "board_letters",
        sa.Column("number", number, autoincrement=True, nullable=False),
        sa.Column("mailbox", sa.LargeBinary(length=32), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("came_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sqlite_autoincrement=True,
    )
    op.create_index("board_letters_once", "board_letters", ["mailbox", "digest"], unique=True)
    op.create_index("board_letters_of", "board_letters", ["mailbox", "number"], unique=False)
    op.create_index("board_letters_came", "board_letters", ["came_at"], unique=False)
    op.create_table(
        "board_offers",
        sa.Column("number", number, autoincrement=True, nullable=False),
        sa.Column("offer_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("maker", sa.LargeBinary(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("gives", sa.String(length=200), nullable=False),
        sa.Column("wants", sa.String(length=200), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sqlite_autoincrement=True,
    )
    op.create_index("board_offers_once", "board_offers", ["offer_id"], unique=True)
    op.create_index("board_offers_maker", "board_offers", ["maker"], unique=False)
    op.create_index("board_offers_ends", "board_offers", ["valid_until"], unique=False)


def downgrade() -> None:
    """There is nothing before the first revision."""
    raise BadInput("revision", "there is none before the first", "delete the database")
