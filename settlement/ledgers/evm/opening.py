"""Opening an EVM ledger with all that it needs, for an account that nothing else sends from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from adapters.evm.agreed_node import AgreedNode
from adapters.evm.endpoints import Endpoints
from adapters.evm.escrow.errors import typed_revert
from adapters.evm.flight import SenderPolicy
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from foundation.database.database import Database
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.ledgers.evm.ledger import EvmLedger
from settlement.ledgers.evm.types import EvmLedgerConfig
from settlement.quantities import Clock


@asynccontextmanager
async def open_evm_ledger(
    config: EvmLedgerConfig,
    urls: Sequence[str],
    secret: bytes,
    database: Database,
    clock: Clock,
    policy: SenderPolicy | None = None,
) -> AsyncIterator[EvmLedger]:
    """The ledger, running until the block ends. The chain may be down meanwhile.

    Args:
        config: which asset on which chain.
        urls: the chain's nodes; all that answer have to agree, and all are sent to.
        secret: the account's key, 32 bytes. Two ledgers of one account need one sender: make them by hand.
        database: has the tables of `settlement.ledgers.evm.tables`.
        clock: ours.
        policy: bids and waits of the sender.

    Raises:
        BadInput: a URL or the key is none.
    """
    number = int(config.chain.chain_id.reference)
    journal = DatabaseJournal(database, config.chain.caip2, config.sealer)
    async with (
        Endpoints.at(urls, config.chain, reverted=typed_revert) as endpoints,
        EvmRpc(urls[0], reverted=typed_revert) as rpc,
        TxSender(AgreedNode(endpoints), journal, secret, number, policy) as sender,
        EvmLedger(config, endpoints, rpc, sender, database, clock) as ledger,
    ):
        yield ledger
