"""A trader at work: everything opened in its order, and the loops that run until the block ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from adapters.bitcoin.notices import BlockNotices
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.evm.fees import FeePolicy
from adapters.evm.flight import SenderPolicy
from foundation.database import Database
from foundation.errors import Fatal, Retryable
from foundation.quantities import UnixMs
from settlement.ledgers.evm.journal import DatabaseJournal
from settlement.swap.bitcoin.desk import BitcoinDesk
from settlement.swap.bitcoin.wallet import NodeWallet
from settlement.swap.engine.correspondence import Correspondence, Mailbox
from settlement.swap.engine.hands.desk import Desk
from settlement.swap.engine.hands.funding import reserve_again
from settlement.swap.engine.market import TraderMarket
from settlement.swap.engine.office import News, Office
from settlement.swap.engine.performer import Performer
from settlement.swap.engine.settings import BitcoinAccess, TraderSettings
from settlement.swap.engine.trading import Trading
from settlement.swap.engine.watchers import Watchers
from settlement.swap.evm.opening import Views, open_leg
from settlement.swap.offers import Offer
from settlement.swap.store.store import SwapStore
from settlement.swap.store.tables import SCHEMA
from settlement.swap.wallet.secrets import TraderKeys
from settlement.swap.watchtower.keeping import BundleKeeper, BundleMaker

DATABASE_NAME: Final = "swap.db"
LOCK_NAME: Final = "swap.lock"
_ASK_SECONDS: Final = 2.0
_IDLE_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


class WalletBusy(Fatal):
    """Another process works on this wallet. Fields: folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"another process runs the swaps of {folder}; it carries on with all of them")


def wall_clock() -> UnixMs:
    """Milliseconds since 1970, as this machine has them."""
    return UnixMs(time.time_ns() // 1_000_000)


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Hold the wallet's lock. Raises `WalletBusy`: another process does."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WalletBusy(folder) from error
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def open_store(folder: Path, keys: TraderKeys | None = None) -> AsyncIterator[Database]:
    """A trader's database. Raises `OtherWallet`: it is another mnemonic's."""
    async with await Database.open(f"sqlite:///{folder / DATABASE_NAME}", SCHEMA) as database:
        if keys is not None:
            async with database.unit() as unit:
                await SwapStore(unit.connection).claim(keys.wallet_id)
                await unit.commit()
        yield database


def bitcoin_rpc(access: BitcoinAccess) -> BitcoinRpc:
    """The client of the trader's node and wallet."""
    if access.cookie is not None:
        return BitcoinRpc.from_cookie(access.url, access.cookie)
    return BitcoinRpc(access.url, access.user, access.password)


@dataclass(frozen=True, slots=True)
class Engine:
    """A trader's parts. Fields: settings; keys; office; desk; trading; watchers; letters; views."""

    settings: TraderSettings
    keys: TraderKeys
    office: Office
    desk: Desk
    trading: Trading
    watchers: Watchers
    letters: Correspondence
    views: Views

    async def run(self) -> None:
        """Work until cancelled."""
        self.office.wake()  # others may have written before
        try:
            await self.office.take_wishes()  # before any letter or order: they may be about what waits here
        except Retryable as error:
            _log.warning("what owners ask for has to wait", problem=str(error))
        for row in await self.office.swaps(open_only=True):
            await reserve_again(self.desk, row)
        async with asyncio.TaskGroup() as group:
            group.create_task(Performer(self.desk).run())
            group.create_task(self.watchers.run())
            group.create_task(self._keep_time())
            group.create_task(self._keep_letters())
            if self.settings.bundles is not None:
                group.create_task(BundleKeeper(self.office, self._bundles(), self.settings.bundles).run())

    def _bundles(self) -> BundleMaker:
        desk = self.desk
        return BundleMaker(self.office.database, self.keys, desk.wallet, desk.policy, lambda: desk.seconds)

    async def _keep_time(self) -> None:
        listener = self.office.listen(News.SWAPS | News.STATES)
        try:
            while True:
                listener.clear()
                pause = _IDLE_SECONDS
                try:
                    following = await self.office.tick()
                except Retryable as error:
                    _log.warning("swaps have to wait", problem=str(error))
                else:
                    if following is not None:
                        pause = min(max(following - self.office.clock(), 0) / 1000, _IDLE_SECONDS)
                try:
                    async with asyncio.timeout(max(pause, 0.01)):
                        await listener.wait()
                except TimeoutError:
                    continue
        finally:
            self.office.unlisten(listener)

    async def _keep_letters(self) -> None:
        """Read where letters may come to, and ask makers again."""
        listener = self.office.listen(News.SWAPS)
        try:
            while True:
                listener.clear()
                try:
                    self.letters.watch(await self._mailboxes())
                    await self.trading.ask(_ASK_SECONDS)
                except Retryable as error:
                    _log.warning("letters have to wait", problem=str(error))
                try:
                    async with asyncio.timeout(_ASK_SECONDS):
                        await listener.wait()
                except TimeoutError:
                    continue
        finally:
            self.office.unlisten(listener)

    async def _mailboxes(self) -> list[Mailbox]:
        async with self.office.database.view() as view:
            store = SwapStore(view.connection)
            offers, takings = await store.open_offers(), await store.open_takings()
            rows = await store.swaps(open_only=True)
        now = self.office.clock() // 1000
        boxes = [Mailbox(one.signed.offer.place, one.index) for one in offers if now < one.signed.offer.valid_until]
        boxes += [Mailbox(one.signed.offer.place, one.index) for one in takings]
        boxes += [Mailbox(row.peer.place, row.index) for row in rows if row.peer.is_known]
        return boxes


@asynccontextmanager
async def open_engine(
    settings: TraderSettings,
    keys: TraderKeys,
    *,
    clock: Callable[[], UnixMs] = wall_clock,
    accepts: Callable[[Offer], None] | None = None,
    sender: SenderPolicy | None = None,
) -> AsyncIterator[Engine]:
    """A trader's parts, ready to `run`. Nodes may be down meanwhile.

    Args:
        settings: of the folder.
        keys: of the mnemonic; those of the settings' realm are used.
        clock: milliseconds since 1970.
        accepts: a maker's own limits (see `Trading`).
        sender: bids and waits on the EVM chain; with the settings' cap where None.

    Raises:
        WalletBusy: another process works on the folder.
        OtherWallet: the folder's database is another mnemonic's.
        BadInput: a setting cannot be used.
    """

    def seconds() -> int:
        return clock() // 1000

    keys = keys.at(settings.realm)
    policy = sender or SenderPolicy(fees=FeePolicy(cap=settings.fee_cap))
    with only_process(settings.folder):
        async with open_store(settings.folder, keys) as database, bitcoin_rpc(settings.bitcoin) as rpc:
            office = Office(database, clock)
            journal = DatabaseJournal(database, settings.site.chain.caip2)
            async with (
                open_leg(
                    settings.site, settings.urls, keys.account_secret, journal, policy, quorum=settings.quorum
                ) as opened,
            ):
                holder: list[Trading] = []
                async with Correspondence(keys, lambda *one: holder[0].receive(*one), seconds) as letters:
                    desk = Desk(
                        office,
                        keys,
                        letters,
                        rpc,
                        NodeWallet(rpc, settings.bitcoin.network),
                        BitcoinDesk(rpc, settings.bitcoin.fees),
                        settings.bitcoin.fees,
                        opened.leg,
                    )
                    trading = Trading(office, keys, TraderMarket(settings, desk, opened.views), seconds, accepts)
                    trading.letters = letters
                    holder.append(trading)
                    notices = BlockNotices(settings.bitcoin.zmq, settings.poll_seconds)
                    known = (one.token for one in settings.assets if one.token is not None)
                    watchers = Watchers(desk, opened.views, notices, settings.poll_seconds, known)
                    try:
                        yield Engine(settings, keys, office, desk, trading, watchers, letters, opened.views)
                    finally:
                        await notices.close()
