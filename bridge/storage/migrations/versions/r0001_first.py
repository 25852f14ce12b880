"""The tables of the first release.

Revision: 0001. What is written here never changes; a later release adds a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

from foundation.errors import BadInput

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables."""
    _chain()
    _transfers()
    _signing()
    _operations()


def downgrade() -> None:
    """Nothing is older: a node's database is deleted, not taken back."""
    raise BadInput("revision", "nothing is older than the first", "delete the database: it is rebuilt from the chains")


def _chain() -> None:
    op.create_table(
        "bitcoin_transactions",
        sa.Column("txid", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("vsize", sa.BigInteger(), nullable=False),
        sa.Column("first_broadcast_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_broadcast_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.LargeBinary(), nullable=True),
        sa.Column("replaced_by", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("txid", name="pk_bitcoin_transactions"),
    )
    op.create_index("ix_bitcoin_transactions_block_hash", "bitcoin_transactions", ["block_hash"])
    op.create_index("ix_bitcoin_transactions_height", "bitcoin_transactions", ["height"])
    op.create_index("ix_bitcoin_transactions_purpose_subject", "bitcoin_transactions", ["purpose", "subject"])
    op.create_table(
        "coins",
        sa.Column("txid", sa.LargeBinary(), nullable=False),
        sa.Column("vout", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("script", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.LargeBinary(), nullable=True),
        sa.Column("spent_by", sa.LargeBinary(), nullable=True),
        sa.Column("spent_height", sa.BigInteger(), nullable=True),
        sa.Column("spent_block_hash", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("txid", "vout", name="pk_coins"),
    )
    op.create_index("ix_coins_block_hash", "coins", ["block_hash"])
    op.create_index("ix_coins_kind_spent_by_height", "coins", ["kind", "spent_by", "height"])
    op.create_index("ix_coins_script", "coins", ["script"])
    op.create_index("ix_coins_spent_block_hash", "coins", ["spent_block_hash"])
    op.create_table(
        "cursors",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tail", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cursors"),
    )
    op.create_table(
        "deposit_terms",
        sa.Column("script", sa.LargeBinary(), nullable=False),
        sa.Column("announcement_id", sa.LargeBinary(), nullable=False),
        sa.Column("asset", sa.LargeBinary(), nullable=False),
        sa.Column("group_id", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", sa.LargeBinary(), nullable=False),
        sa.Column("reclaim_key", sa.LargeBinary(), nullable=False),
        sa.Column("delay", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("birthday", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("script", name="pk_deposit_terms"),
    )
    op.create_index("ix_deposit_terms_announcement_id", "deposit_terms", ["announcement_id"])
    op.create_table(
        "bitcoin_inputs",
        sa.Column("txid", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("spent_txid", sa.LargeBinary(), nullable=False),
        sa.Column("spent_vout", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["txid"],
            ["bitcoin_transactions.txid"],
            name="fk_bitcoin_inputs_txid",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("txid", "position", name="pk_bitcoin_inputs"),
    )
    op.create_index("ix_bitcoin_inputs_spent_txid_spent_vout", "bitcoin_inputs", ["spent_txid", "spent_vout"])


def _transfers() -> None:
    op.create_table(
        "payouts",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_payouts"),
    )
    op.create_index("ix_payouts_stage", "payouts", ["stage"])
    op.create_table(
        "transfers",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.Column("next_height", sa.BigInteger(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_transfers"),
    )
    op.create_index("ix_transfers_created_at_ms_id", "transfers", ["created_at_ms", "id"])
    op.create_index("ix_transfers_kind_height", "transfers", ["kind", "height"])
    op.create_index("ix_transfers_kind_next_height", "transfers", ["kind", "next_height"])
    op.create_index("ix_transfers_kind_stage", "transfers", ["kind", "stage"])
    op.create_table(
        "journey",
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("txid", sa.LargeBinary(), nullable=True),
        sa.Column("chain", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfers.id"], name="fk_journey_transfer_id", initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("transfer_id", "seq", name="pk_journey"),
    )
    op.create_table(
        "payout_withdrawals",
        sa.Column("payout_id", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("withdrawal_id", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["payout_id"], ["payouts.id"], name="fk_payout_withdrawals_payout_id", initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("payout_id", "position", name="pk_payout_withdrawals"),
    )
    op.create_index("ix_payout_withdrawals_withdrawal_id", "payout_withdrawals", ["withdrawal_id"])


def _signing() -> None:
    op.create_table(
        "attestations",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("signer", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "signer", name="pk_attestations"),
    )
    op.create_index("ix_attestations_subject", "attestations", ["subject"])
    op.create_table(
        "cosignatures",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("signer", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "signer", name="pk_cosignatures"),
    )
    op.create_index("ix_cosignatures_subject", "cosignatures", ["subject"])
    op.create_table(
        "promises",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_promises"),
    )


def _operations() -> None:
    op.create_table(
        "evm_transactions",
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("to", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.String(length=78), nullable=False),
        sa.Column("gas", sa.BigInteger(), nullable=False),
        sa.Column("max_fee", sa.String(length=78), nullable=False),
        sa.Column("tip", sa.String(length=78), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "nonce", "hash", name="pk_evm_transactions"),
    )
    op.create_index("ix_evm_transactions_account_key", "evm_transactions", ["account", "key"])
    op.create_index("ix_evm_transactions_account_status", "evm_transactions", ["account", "status"])
    op.create_table(
        "incidents",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("party", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("fields", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
        sa.UniqueConstraint("party", "kind", "error", "subject", name="uq_incidents_party_kind_error_subject"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incidents_at_ms", "incidents", ["at_ms"])
    op.create_table(
        "node_meta",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_node_meta"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("key", name="uq_outbox_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_delivered_at_ms_not_before_ms", "outbox", ["delivered_at_ms", "not_before_ms"])
