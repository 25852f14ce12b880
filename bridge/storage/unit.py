"""What a unit of work offers: every repository, on one connection, in one transaction."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from bridge.storage.chain import BitcoinTransactions, Coins, Cursors, DepositTermsRepository
from bridge.storage.journal import EvmTransactions
from bridge.storage.operations import Incidents, NodeMeta, Outbox
from bridge.storage.signatures import Promises, Signatures
from bridge.storage.tables import attestations, cosignatures
from bridge.storage.transfers import Journey, Payouts, Transfers
from bridge.storage.vaults import Releases, VaultAssets, VaultSignatures
from foundation.database import database as base


class View(base.View):
    """All repositories as of one moment. Writing through a view fails."""

    def __init__(self, connection: AsyncConnection) -> None:
        base.View.__init__(self, connection)  # a unit of work is both: its other base is begun there
        self.cursors = Cursors(connection)
        self.deposit_terms = DepositTermsRepository(connection)
        self.coins = Coins(connection)
        self.bitcoin_transactions = BitcoinTransactions(connection)
        self.transfers = Transfers(connection)
        self.payouts = Payouts(connection)
        self.journey = Journey(connection)
        self.attestations = Signatures(connection, attestations)
        self.cosignatures = Signatures(connection, cosignatures)
        self.promises = Promises(connection)
        self.outbox = Outbox(connection)
        self.evm_transactions = EvmTransactions(connection)
        self.releases = Releases(connection)
        self.vault_signatures = VaultSignatures(connection)
        self.vault_assets = VaultAssets(connection)
        self.incidents = Incidents(connection)
        self.node_meta = NodeMeta(connection)


class UnitOfWork(View, base.UnitOfWork):
    """A view that may write. What is not committed when the unit ends is undone."""

    def __init__(self, connection: AsyncConnection, commit: base.Commit) -> None:
        base.UnitOfWork.__init__(self, connection, commit)
        View.__init__(self, connection)
