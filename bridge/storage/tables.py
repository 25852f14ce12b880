"""The tables of one node's database, the same on SQLite and on PostgreSQL.

Satoshi, heights and milliseconds fit a signed 64-bit BIGINT. What an EVM chain counts goes up to 2**256 − 1 and is
kept as `Uint256`. Foreign keys are checked at the commit, so the order of writes inside a unit of work is free.
A migration in `migrations/versions` must follow each change here; a test compares the two. What only EVM chains need
is in `tables_evm`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    String,
    Table,
    TypedColumns,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from bridge.storage.rows import CoinKind, IncidentKind, TransactionPurpose, TransferKind

_DIGITS = 78
"""Decimal digits of 2**256 − 1."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Serial = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit row number; SQLite numbers rows only in columns that are called INTEGER, which it keeps in 64 bits."""


class Uint256(TypeDecorator[int]):
    """An integer from 0 to 2**256 − 1, exact on every engine: decimal text, padded so that it sorts as numbers do.

    SQLite would round NUMERIC to a float.
    """

    impl = String(_DIGITS)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """The text of `value`. Raises OverflowError where it is out of range."""
        if value is None:
            return None
        if not 0 <= value < 1 << 256:
            raise OverflowError(f"{value} is not from 0 to 2**256 - 1")
        return f"{value:0{_DIGITS}d}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        """The integer that was stored."""
        return None if value is None else int(value)


Member = TypeVar("Member", bound=StrEnum)


class Choice(TypeDecorator[Member]):
    """A member of a StrEnum, stored as its text, so that a new member needs no migration."""

    impl = String
    cache_ok = True

    def __init__(self, members: type[Member]) -> None:
        super().__init__()
        self.members = members

    def process_bind_param(self, value: Member | None, dialect: Dialect) -> str | None:
        """The text of `value`."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Member | None:
        """The member that was stored. Raises ValueError for a text that is none."""
        return None if value is None else self.members(value)


class NoBytes(ColumnElement[bytes]):
    """Empty bytes as a column's default, which the engines write in different ways: for rows from before it existed."""

    inherit_cache = True


@compiles(NoBytes, "sqlite")
def _no_bytes_sqlite(element: NoBytes, compiler: SQLCompiler, **_: object) -> str:
    return "x''"


@compiles(NoBytes, "postgresql")
def _no_bytes_postgresql(element: NoBytes, compiler: SQLCompiler, **_: object) -> str:
    return "''::bytea"


class CursorColumns(TypedColumns):
    """Where a follower stands: its tail of blocks."""

    name = Column(String, primary_key=True)
    tail = Column(LargeBinary, nullable=False)


cursors = Table("cursors", metadata, CursorColumns)


class DepositTermsColumns(TypedColumns):
    """The terms of every announced deposit address, by its script."""

    script = Column(LargeBinary, primary_key=True)
    announcement_id = Column(LargeBinary, index=True, nullable=False)
    asset = Column(LargeBinary, nullable=False)
    group_id = Column(LargeBinary, nullable=False)
    recipient = Column(LargeBinary, nullable=False)
    reclaim_key = Column(LargeBinary, nullable=False)
    delay = Column(BigInteger, nullable=False)
    salt = Column(LargeBinary, nullable=False)
    birthday = Column(BigInteger, nullable=False)


deposit_terms = Table("deposit_terms", metadata, DepositTermsColumns)


class CoinColumns(TypedColumns):
    """Coins that were ever seen on watched scripts; those a reorg took away have no height."""

    txid = Column(LargeBinary, primary_key=True)
    vout = Column(BigInteger, primary_key=True, autoincrement=False)
    script = Column(LargeBinary, nullable=False)
    value = Column(BigInteger, nullable=False)
    kind: Named[CoinKind] = Column(Choice(CoinKind), nullable=False)
    height = Column(BigInteger, nullable=True)
    block_hash = Column(LargeBinary, nullable=True)
    spent_by = Column(LargeBinary, nullable=True)
    spent_height = Column(BigInteger, nullable=True)
    spent_block_hash = Column(LargeBinary, nullable=True)


coins = Table(
    "coins",
    metadata,
    CoinColumns,
    Index(None, "block_hash"),
    Index(None, "spent_block_hash"),
    Index(None, "script"),
    Index(None, "kind", "spent_by", "height"),
)


class TransferColumns(TypedColumns):
    """Deposits and withdrawals: the state machine's state, and what it is looked up by."""

    id = Column(LargeBinary, primary_key=True)
    kind: Named[TransferKind] = Column(Choice(TransferKind), nullable=False)
    stage = Column(String, nullable=False)
    state = Column(LargeBinary, nullable=False)
    created_at_ms = Column(BigInteger, nullable=False)
    updated_at_ms = Column(BigInteger, nullable=False)
    height = Column(BigInteger, nullable=True)
    next_height = Column(BigInteger, nullable=True)
    version = Column(BigInteger, nullable=False)
    chain = Column(LargeBinary, nullable=False, server_default=NoBytes())


transfers = Table(
    "transfers",
    metadata,
    TransferColumns,
    Index(None, "kind", "stage"),
    Index(None, "chain", "kind", "stage"),
    Index(None, "chain", "kind", "next_height"),
    Index(None, "chain", "kind", "height"),
    Index(None, "created_at_ms", "id"),
)


class PayoutColumns(TypedColumns):
    """Payouts: one transaction of the group, in all its versions, for a batch of withdrawals."""

    id = Column(LargeBinary, primary_key=True)
    stage = Column(String, index=True, nullable=False)
    state = Column(LargeBinary, nullable=False)
    created_at_ms = Column(BigInteger, nullable=False)
    updated_at_ms = Column(BigInteger, nullable=False)
    version = Column(BigInteger, nullable=False)
    chain = Column(LargeBinary, nullable=False, server_default=NoBytes())


payouts = Table("payouts", metadata, PayoutColumns, Index(None, "chain", "stage"))


class PayoutWithdrawalColumns(TypedColumns):
    """Which withdrawals a payout pays, in order. A withdrawal of a voided payout is in another one later."""

    payout_id = Column(LargeBinary, ForeignKey("payouts.id", deferrable=True, initially="DEFERRED"), primary_key=True)
    position = Column(BigInteger, primary_key=True, autoincrement=False)
    withdrawal_id = Column(LargeBinary, index=True, nullable=False)


payout_withdrawals = Table("payout_withdrawals", metadata, PayoutWithdrawalColumns)


class JourneyColumns(TypedColumns):
    """What happened to a transfer, in order, for people."""

    transfer_id = Column(
        LargeBinary, ForeignKey("transfers.id", deferrable=True, initially="DEFERRED"), primary_key=True
    )
    seq = Column(BigInteger, primary_key=True, autoincrement=False)
    at_ms = Column(BigInteger, nullable=False)
    stage = Column(String, nullable=False)
    note = Column(String, nullable=False)
    txid = Column(LargeBinary, nullable=True)
    chain = Column(String, nullable=False)


journey = Table("journey", metadata, JourneyColumns)


class BitcoinTransactionColumns(TypedColumns):
    """Every transaction that the group signed, as it was broadcast."""

    txid = Column(LargeBinary, primary_key=True)
    purpose: Named[TransactionPurpose] = Column(Choice(TransactionPurpose), nullable=False)
    subject = Column(LargeBinary, nullable=False)
    raw = Column(LargeBinary, nullable=False)
    fee = Column(BigInteger, nullable=False)
    vsize = Column(BigInteger, nullable=False)
    first_broadcast_at_ms = Column(BigInteger, nullable=True)
    last_broadcast_at_ms = Column(BigInteger, nullable=True)
    height = Column(BigInteger, nullable=True)
    block_hash = Column(LargeBinary, nullable=True)
    replaced_by = Column(LargeBinary, nullable=True)


bitcoin_transactions = Table(
    "bitcoin_transactions",
    metadata,
    BitcoinTransactionColumns,
    Index(None, "purpose", "subject"),
    Index(None, "height"),
    Index(None, "block_hash"),
)


class BitcoinInputColumns(TypedColumns):
    """The outpoints that a transaction spends, so that all versions that spend one can be found."""

    txid = Column(
        LargeBinary, ForeignKey("bitcoin_transactions.txid", deferrable=True, initially="DEFERRED"), primary_key=True
    )
    position = Column(BigInteger, primary_key=True, autoincrement=False)
    spent_txid = Column(LargeBinary, nullable=False)
    spent_vout = Column(BigInteger, nullable=False)


bitcoin_inputs = Table("bitcoin_inputs", metadata, BitcoinInputColumns, Index(None, "spent_txid", "spent_vout"))


class SignatureColumns(TypedColumns):
    """A checked signature by one signer over one digest."""

    digest = Column(LargeBinary, primary_key=True)
    signer = Column(LargeBinary, primary_key=True)
    subject = Column(LargeBinary, nullable=False)
    kind = Column(String, nullable=False)
    signature = Column(LargeBinary, nullable=False)
    created_at_ms = Column(BigInteger, nullable=False)


attestations = Table("attestations", metadata, SignatureColumns, Index(None, "subject"))
cosignatures = Table("cosignatures", metadata, SignatureColumns, Index(None, "subject"))


class PromiseColumns(TypedColumns):
    """What this node has signed itself: one digest for each slot, for ever."""

    kind = Column(String, primary_key=True)
    key = Column(LargeBinary, primary_key=True)
    digest = Column(LargeBinary, nullable=False)
    body = Column(LargeBinary, nullable=False)
    created_at_ms = Column(BigInteger, nullable=False)


promises = Table("promises", metadata, PromiseColumns)


class OutboxColumns(TypedColumns):
    """Effects that wait for delivery, and those delivered."""

    id = Column(Serial, primary_key=True)
    key = Column(String, nullable=False)
    kind = Column(String, nullable=False)
    body = Column(LargeBinary, nullable=False)
    created_at_ms = Column(BigInteger, nullable=False)
    attempts = Column(BigInteger, nullable=False)
    not_before_ms = Column(BigInteger, nullable=False)
    delivered_at_ms = Column(BigInteger, nullable=True)


outbox = Table(
    "outbox",
    metadata,
    OutboxColumns,
    UniqueConstraint("key"),
    Index(None, "delivered_at_ms", "not_before_ms"),
    sqlite_autoincrement=True,
)


class IncidentColumns(TypedColumns):
    """Refusals, faults and alarms; the same one again is counted, not repeated."""

    id = Column(Serial, primary_key=True)
    first_at_ms = Column(BigInteger, nullable=False)
    at_ms = Column(BigInteger, index=True, nullable=False)
    party = Column(LargeBinary, nullable=False)
    kind: Named[IncidentKind] = Column(Choice(IncidentKind), nullable=False)
    error = Column(String, nullable=False)
    subject = Column(LargeBinary, nullable=False)
    fields = Column(String, nullable=False)
    count = Column(BigInteger, nullable=False)


incidents = Table(
    "incidents",
    metadata,
    IncidentColumns,
    UniqueConstraint("party", "kind", "error", "subject"),
    sqlite_autoincrement=True,
)


class NodeMetaColumns(TypedColumns):
    """Facts about this node: its network, its identity, its heartbeat."""

    key = Column(String, primary_key=True)
    value = Column(LargeBinary, nullable=False)


node_meta = Table("node_meta", metadata, NodeMetaColumns)
