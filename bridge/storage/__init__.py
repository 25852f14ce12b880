"""A node's durable memory: one database, read through views and changed in units of work."""

from bridge.storage.database import CommitHook, Database, Moment
from bridge.storage.errors import DatabaseNewer, DatabaseUnavailable, LostUpdate, PromiseConflict, WrongDatabase
from bridge.storage.journal import DatabaseJournal
from bridge.storage.rows import (
    BitcoinTransactionRow,
    CoinKind,
    CoinRow,
    CoinSpend,
    DepositTermsRow,
    IncidentKind,
    IncidentRow,
    JourneyEntry,
    OutboxRow,
    PayoutRow,
    PromiseRow,
    SignatureRow,
    TransactionPurpose,
    TransferKind,
    TransferRow,
)
from bridge.storage.unit import UnitOfWork, View

__all__ = [
    "BitcoinTransactionRow",
    "CoinKind",
    "CoinRow",
    "CoinSpend",
    "CommitHook",
    "Database",
    "DatabaseJournal",
    "DatabaseNewer",
    "DatabaseUnavailable",
    "DepositTermsRow",
    "IncidentKind",
    "IncidentRow",
    "JourneyEntry",
    "LostUpdate",
    "Moment",
    "OutboxRow",
    "PayoutRow",
    "PromiseConflict",
    "PromiseRow",
    "SignatureRow",
    "TransactionPurpose",
    "TransferKind",
    "TransferRow",
    "UnitOfWork",
    "View",
    "WrongDatabase",
]
