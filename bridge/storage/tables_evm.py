"""The tables of what happens on EVM chains: this node's transactions, and the Lockboxes that the groups keep."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Named, String, Table, TypedColumns

from adapters.evm.journal import TxStatus
from bridge.storage.rows import ReleaseOutcome
from bridge.storage.tables import Choice, Uint256, metadata


class EvmTransactionColumns(TypedColumns):
    """The journal of this node's account on each EVM chain: each signed version of each transaction."""

    chain = Column(String, primary_key=True)
    account = Column(LargeBinary, primary_key=True)
    nonce = Column(BigInteger, primary_key=True, autoincrement=False)
    hash = Column(LargeBinary, primary_key=True)
    key = Column(String, nullable=False)
    to = Column(LargeBinary, nullable=False)
    data = Column(LargeBinary, nullable=False)
    value = Column(Uint256, nullable=False)
    gas = Column(BigInteger, nullable=False)
    max_fee = Column(Uint256, nullable=False)
    tip = Column(Uint256, nullable=False)
    raw = Column(LargeBinary, nullable=False)
    label = Column(String, nullable=False)
    status: Named[TxStatus] = Column(Choice(TxStatus), nullable=False)
    created_at_ms = Column(BigInteger, nullable=False)
    updated_at_ms = Column(BigInteger, nullable=False)


evm_transactions = Table(
    "evm_transactions",
    metadata,
    EvmTransactionColumns,
    Index(None, "chain", "account", "key"),
    Index(None, "chain", "account", "status"),
)


class ReleaseColumns(TypedColumns):
    """What became of each number that was consumed at a Lockbox, final on its chain."""

    chain = Column(LargeBinary, primary_key=True)
    number = Column(Uint256, primary_key=True, autoincrement=False)
    outcome: Named[ReleaseOutcome] = Column(Choice(ReleaseOutcome), nullable=False)
    asset = Column(LargeBinary, nullable=False)
    payee = Column(LargeBinary, nullable=False)
    amount = Column(Uint256, nullable=False)
    fee = Column(Uint256, nullable=False)
    transaction = Column(LargeBinary, nullable=False)
    height = Column(BigInteger, nullable=False)
    log_index = Column(BigInteger, nullable=False)
    changed_by = Column(LargeBinary, nullable=False)
    changed_height = Column(BigInteger, nullable=False)


releases = Table("releases", metadata, ReleaseColumns, Index(None, "chain", "outcome", "number"))


class VaultSignatureColumns(TypedColumns):
    """What a group signed for a Lockbox, for anyone to carry there."""

    message = Column(LargeBinary, primary_key=True)
    chain = Column(LargeBinary, nullable=False)
    epoch = Column(Uint256, nullable=False)
    kind = Column(String, nullable=False)
    subject = Column(LargeBinary, nullable=False)
    body = Column(LargeBinary, nullable=False)
    rx = Column(LargeBinary, nullable=False)
    s = Column(LargeBinary, nullable=False)
    ry = Column(LargeBinary, nullable=False)
    created_at_ms = Column(BigInteger, nullable=False)
    published_at_ms = Column(BigInteger, nullable=True)
    done_at_ms = Column(BigInteger, nullable=True)


vault_signatures = Table(
    "vault_signatures",
    metadata,
    VaultSignatureColumns,
    Index(None, "chain", "done_at_ms"),
    Index(None, "subject"),
)


class VaultAssetColumns(TypedColumns):
    """What a Lockbox holds of each asset and how it is configured, as of the chain's cursor."""

    chain = Column(LargeBinary, primary_key=True)
    asset = Column(LargeBinary, primary_key=True)
    held = Column(Uint256, nullable=False)
    deposit_limit = Column(Uint256, nullable=False)
    withdrawal_limit = Column(Uint256, nullable=False)
    denied = Column(Boolean, nullable=False)
    nonce = Column(Uint256, nullable=False)


vault_assets = Table("vault_assets", metadata, VaultAssetColumns)
