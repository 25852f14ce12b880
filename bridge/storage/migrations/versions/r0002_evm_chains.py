"""Several origin chains: transfers and payouts name theirs, the journal its own, and Lockboxes are remembered.

Revision: 0002. What is written here never changes; a later release adds a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

from foundation.errors import BadInput

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the chain to what there is, and the tables for Lockboxes."""
    _transfers()
    _evm_transactions()
    _lockboxes()


def downgrade() -> None:
    """A node's database is deleted, not taken back: the first revision cannot hold a second chain's transfers."""
    cure = "delete the database: it is rebuilt from the chains"
    raise BadInput("revision", "the first revision knows one origin chain alone", cure)


def _transfers() -> None:
    # Added in place, with a default: SQLite would have to rebuild the tables for a column without one, and rows refer
    # to these. A node names the chain of what has none when it starts.
    no_bytes = "x''" if op.get_bind().dialect.name == "sqlite" else "''::bytea"
    for table in ("payouts", "transfers"):
        op.add_column(table, sa.Column("chain", sa.LargeBinary(), nullable=False, server_default=sa.text(no_bytes)))
    op.create_index("ix_payouts_chain_stage", "payouts", ["chain", "stage"])
    op.drop_index("ix_transfers_kind_height", "transfers")
    op.drop_index("ix_transfers_kind_next_height", "transfers")
    op.create_index("ix_transfers_chain_kind_height", "transfers", ["chain", "kind", "height"])
    op.create_index("ix_transfers_chain_kind_next_height", "transfers", ["chain", "kind", "next_height"])
    op.create_index("ix_transfers_chain_kind_stage", "transfers", ["chain", "kind", "stage"])


def _evm_transactions() -> None:
    op.drop_index("ix_evm_transactions_account_key", "evm_transactions")
    op.drop_index("ix_evm_transactions_account_status", "evm_transactions")
    op.add_column("evm_transactions", sa.Column("chain", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("evm_transactions") as batch:
        batch.drop_constraint("pk_evm_transactions", type_="primary")
        batch.alter_column("chain", server_default=None)
        batch.create_primary_key("pk_evm_transactions", ["chain", "account", "nonce", "hash"])
    op.create_index("ix_evm_transactions_chain_account_key", "evm_transactions", ["chain", "account", "key"])
    op.create_index("ix_evm_transactions_chain_account_status", "evm_transactions", ["chain", "account", "status"])


def _lockboxes() -> None:
    op.create_table(
        "releases",
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.String(length=78), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("asset", sa.LargeBinary(), nullable=False),
        sa.Column("payee", sa.LargeBinary(), nullable=False),
        sa.Column("amount", sa.String(length=78), nullable=False),
        sa.Column("fee", sa.String(length=78), nullable=False),
        sa.Column("transaction", sa.LargeBinary(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.LargeBinary(), nullable=False),
        sa.Column("changed_height", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "number", name="pk_releases"),
    )
    op.create_index("ix_releases_chain_outcome_number", "releases", ["chain", "outcome", "number"])
    op.create_table(
        "vault_signatures",
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.String(length=78), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("rx", sa.LargeBinary(), nullable=False),
        sa.Column("s", sa.LargeBinary(), nullable=False),
        sa.Column("ry", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("published_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("done_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("message", name="pk_vault_signatures"),
    )
    op.create_index("ix_vault_signatures_chain_done_at_ms", "vault_signatures", ["chain", "done_at_ms"])
    op.create_index("ix_vault_signatures_subject", "vault_signatures", ["subject"])
    op.create_table(
        "vault_assets",
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("asset", sa.LargeBinary(), nullable=False),
        sa.Column("held", sa.String(length=78), nullable=False),
        sa.Column("deposit_limit", sa.String(length=78), nullable=False),
        sa.Column("withdrawal_limit", sa.String(length=78), nullable=False),
        sa.Column("denied", sa.Boolean(), nullable=False),
        sa.Column("nonce", sa.String(length=78), nullable=False),
        sa.PrimaryKeyConstraint("chain", "asset", name="pk_vault_assets"),
    )
