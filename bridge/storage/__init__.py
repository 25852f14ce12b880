"""A node's durable memory: one database, read through views and changed in units of work."""

from bridge.storage.database import Database
from bridge.storage.errors import PromiseConflict, WrongDatabase
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
    ReleaseOutcome,
    ReleaseRow,
    SignatureRow,
    TransactionPurpose,
    TransferKind,
    TransferRow,
    VaultAssetRow,
    VaultSignatureRow,
)
from bridge.storage.unit import UnitOfWork, View
from foundation.database import CommitHook, DatabaseNewer, DatabaseUnavailable, LostUpdate, Moment

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
    "ReleaseOutcome",
    "ReleaseRow",
    "SignatureRow",
    "TransactionPurpose",
    "TransferKind",
    "TransferRow",
    "UnitOfWork",
    "VaultAssetRow",
    "VaultSignatureRow",
    "View",
    "WrongDatabase",
]
