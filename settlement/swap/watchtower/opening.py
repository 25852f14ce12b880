"""A watchtower with the nodes of a configuration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from foundation.database import Database
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.swap.engine.runtime import bitcoin_rpc, only_process
from settlement.swap.engine.settings import TraderSettings
from settlement.swap.evm.opening import open_leg
from settlement.swap.store.tables import SCHEMA
from settlement.swap.watchtower.shelf import Shelf
from settlement.swap.watchtower.tower import Tell, Watchtower

GRACE_SECONDS: Final = 600
_MEMORY_NAME: Final = "tower.memory"


@asynccontextmanager
async def open_tower(
    settings: TraderSettings,
    shelf: Shelf,
    account: bytes,
    folder: Path,
    *,
    grace_s: int = GRACE_SECONDS,
    tell: Tell,
    sender: SenderPolicy | None = None,
) -> AsyncIterator[Watchtower]:
    """A watchtower with the nodes of a configuration, ready to `run`. Nodes may be down meanwhile.

    Args:
        settings: chains, nodes and fees; a wallet is not needed.
        shelf: the bundles.
        account: secret of the tower's own EVM account, 32 bytes, which pays gas and nothing else; no one else sends
            from it.
        folder: where the tower keeps what it has sent.
        grace_s, tell: see `Watchtower`.
        sender: bids and waits on the EVM chain; where None, bids up to the settings' cap.

    Raises:
        WalletBusy: another tower works in the folder.
        BadInput: the account's key is none.
    """
    # The node's own address: a tower has no wallet there, and the trader's may not be loaded.
    node = replace(settings.bitcoin, url=settings.bitcoin.url.partition("/wallet/")[0])
    await asyncio.to_thread(folder.mkdir, 0o700, True, True)
    with only_process(folder):
        async with (
            await Database.open(f"sqlite:///{folder / 'tower.db'}", SCHEMA) as database,
            bitcoin_rpc(node) as rpc,
            open_leg(
                settings.site,
                settings.urls,
                account,
                DatabaseJournal(database, settings.site.chain.caip2),
                sender or SenderPolicy(fees=FeePolicy(cap=settings.fee_cap)),
                quorum=settings.quorum,
            ) as opened,
        ):
            yield Watchtower(
                shelf, rpc, opened.leg, opened.views, settings, folder / _MEMORY_NAME, grace_s=grace_s, tell=tell
            )
