"""The ledgers of a gateway's configuration, opened."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from adapters.bitcoin.rpc import BitcoinRpc
from foundation.database import Database
from settlement.gateway.config_ledgers import (
    BitcoinHoldsConfig,
    BitcoinNodeConfig,
    BookLedgerConfig,
    ChainLedgerConfig,
    LedgerConfig,
)
from settlement.gateway.hold_notices import NoticeBox, Payments, PeerNotices
from settlement.gateway.keys import Directory, Secrets
from settlement.ledgers.bitcoin.ledger import BitcoinLedger
from settlement.ledgers.bitcoin.nodes import nodes_of
from settlement.ledgers.book.client import BookAccess, BookClient
from settlement.ledgers.evm.opening import open_evm_ledger
from settlement.ledgers.protocol import Ledger, LedgerUnavailable
from settlement.ledgers.sealing import RowSealer
from settlement.quantities import Clock, tagged_hash

START_SECONDS: Final = 120.0
"""How long a start waits for a bitcoin node. What was read by then is kept: the next start goes on there."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What ledgers are opened with. Fields: as their types say."""

    secrets: Secrets
    directory: Directory
    database: Database
    payments: Payments
    box: NoticeBox
    clock: Clock

    async def ledger(self, config: LedgerConfig, stack: AsyncExitStack) -> Ledger:
        """A ledger, at work until the stack ends.

        Raises:
            BadInput: a URL or a key is none.
            LedgerMismatch: a bitcoin node is of another network.
            LedgerUnavailable: a bitcoin node does not answer, or not with all its blocks.
        """
        match config:
            case BookLedgerConfig():
                access = BookAccess(
                    config.ledger_id,
                    config.asset,
                    config.url,
                    config.account,
                    config.api_key,
                    tls_certificate=config.certificate,
                )
                return await stack.enter_async_context(BookClient(access))
            case ChainLedgerConfig():
                sealed = replace(config.config, sealer=self._sealer())
                opened = open_evm_ledger(sealed, config.urls, config.secret, self.database, self.clock)
                return await stack.enter_async_context(opened)
            case BitcoinHoldsConfig():
                return await self._bitcoin(config, stack)

    async def _bitcoin(self, config: BitcoinHoldsConfig, stack: AsyncExitStack) -> Ledger:
        nodes = [(_name_of(node.url), await stack.enter_async_context(_rpc(node))) for node in config.nodes]
        notices = PeerNotices(config.ledger_id, self.secrets, self.directory, self.payments, self.box, self.clock)
        sealed = replace(config.config, sealer=self._sealer())
        made = BitcoinLedger(sealed, nodes_of(nodes), config.secret, self.database, notices, self.clock)
        ledger = await stack.enter_async_context(made)
        try:
            async with asyncio.timeout(START_SECONDS):
                await ledger.facts()
        except TimeoutError:
            problem = f"its nodes did not show all their blocks within {START_SECONDS:.0f} seconds"
            raise LedgerUnavailable(config.ledger_id, problem) from None
        return ledger

    def _sealer(self) -> RowSealer:
        """Under the key of this party's states, for another use."""
        return RowSealer(tagged_hash("gateway/ledgers-at-rest", self.secrets.state_key))


def _rpc(node: BitcoinNodeConfig) -> BitcoinRpc:
    if node.cookie is not None:
        return BitcoinRpc.from_cookie(node.url, node.cookie)
    return BitcoinRpc(node.url, node.user, node.password)


def _name_of(url: str) -> str:
    """Host and port: a URL may hold a password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
