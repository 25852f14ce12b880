"""The first tables of a gateway.

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
    op.create_table(
        "custody_cursors",
        sa.Column("ledger", sa.String(length=128), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ledger"),
    )
    op.create_table(
        "custody_history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("custody_history_payment", "custody_history", ["payment_id", "id"], unique=False)
    op.create_table(
        "custody_outbox",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("destination", sa.String(length=160), nullable=False),
        sa.Column("effect", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "custody_payments",
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("is_open", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id"),
    )
    op.create_index("custody_payments_created", "custody_payments", ["created_at"], unique=False)
    op.create_index("custody_payments_open", "custody_payments", ["is_open", "updated_at"], unique=False)
    op.create_table(
        "custody_tenure",
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("place"),
    )
    op.create_table(
        "connect_decisions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("party", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("field", sa.String(length=128), nullable=False),
        sa.Column("policy_version", sa.String(length=64), nullable=False),
        sa.Column("rule_version", sa.String(length=64), nullable=False),
        sa.Column("verdicts", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_connect_decisions_payment_id"), "connect_decisions", ["payment_id"], unique=False)
    op.create_table(
        "connect_exchanges",
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("party", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id", "party"),
    )
    op.create_index(op.f("ix_connect_exchanges_phase"), "connect_exchanges", ["phase"], unique=False)
    op.create_table(
        "connect_personal",
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("party", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("stored_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("is_held", sa.Boolean(), nullable=False),
        sa.Column("shredded_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("payment_id", "party", "kind"),
    )
    op.create_index(
        "ix_connect_personal_due", "connect_personal", ["shredded_at_ms", "is_held", "ended_at_ms"], unique=False
    )
    op.create_table(
        "rules_approvals",
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("clears", sa.Text(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "person", "at"),
    )
    op.create_table(
        "rules_days",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("payer", sa.String(length=32), nullable=False),
        sa.Column("payee", sa.String(length=32), nullable=False),
        sa.Column("origin", sa.String(length=2), nullable=False),
        sa.Column("destination", sa.String(length=2), nullable=False),
        sa.Column("code", sa.String(length=20), nullable=False),
        sa.Column("scale", sa.Integer(), nullable=False),
        sa.Column("amount", sa.String(length=78), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "payer", "payee", "origin", "destination", "code", "scale"),
    )
    op.create_table(
        "rules_decisions",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_id", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("entry_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index("ix_rules_decisions_payment_id", "rules_decisions", ["payment_id", "sequence"], unique=False)
    op.create_table(
        "rules_facts",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_rules_facts_at", "rules_facts", ["at"], unique=False)
    op.create_table(
        "rules_uses",
        sa.Column("payment_id", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("payer", sa.String(length=32), nullable=False),
        sa.Column("payee", sa.String(length=32), nullable=False),
        sa.Column("origin", sa.String(length=2), nullable=False),
        sa.Column("destination", sa.String(length=2), nullable=False),
        sa.Column("code", sa.String(length=20), nullable=False),
        sa.Column("scale", sa.Integer(), nullable=False),
        sa.Column("amount", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("payment_id"),
    )
    op.create_index("ix_rules_uses_at", "rules_uses", ["at"], unique=False)
    op.create_index("ix_rules_uses_payee", "rules_uses", ["payee", "at"], unique=False)
    op.create_index("ix_rules_uses_payer", "rules_uses", ["payer", "at"], unique=False)
    op.create_table(
        "gateway_alarms",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "gateway_dossiers",
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("payment_id"),
    )
    op.create_table(
        "gateway_instructions",
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("part", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id"),
    )
    op.create_table(
        "books_accounts",
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("asset_code", sa.String(length=20), nullable=False),
        sa.Column("asset_scale", sa.SmallInteger(), nullable=False),
        sa.Column("balance", sa.String(length=60), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "books_acts",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("why", sa.LargeBinary(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("link", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index(op.f("ix_books_acts_number"), "books_acts", ["number"], unique=False)
    op.create_table(
        "books_alerts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("monitor", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_by", sa.String(length=64), nullable=True),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("books_alerts_state", "books_alerts", ["state", "monitor"], unique=False)
    op.create_table(
        "books_batches",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("previous", sa.LargeBinary(length=32), nullable=False),
        sa.Column("place", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("anchor", sa.LargeBinary(), nullable=True),
        sa.Column("anchored_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "books_entries",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("event", sa.String(length=24), nullable=False),
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=True),
        sa.Column("reverses", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("narrative", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("link", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("entry_id"),
    )
    op.create_index(op.f("ix_books_entries_at"), "books_entries", ["at"], unique=False)
    op.create_index(op.f("ix_books_entries_payment_id"), "books_entries", ["payment_id"], unique=False)
    op.create_table(
        "books_lines",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(length=160), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", "place"),
    )
    op.create_index("books_lines_account", "books_lines", ["account", "number"], unique=False)
    op.create_table(
        "books_receipts",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("link", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("payment_id"),
    )
    op.create_table(
        "books_reviews",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("suspended_by", sa.String(length=64), nullable=False),
        sa.Column("reversal", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("books_reviews_state", "books_reviews", ["state"], unique=False)


def downgrade() -> None:
    """There is nothing before the first revision."""
    raise BadInput("revision", "there is none before the first", "delete the database")
