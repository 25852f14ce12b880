"""Watching that every token is backed: what a vault holds against the supply, each time something changes.

A vault that holds less than its own events say is an alarm at once: both are of one chain, at one block. That the
supply exceeds what is held may be a node that reads one chain faster than the other, so it has to stay so for a while.

An alarm is an incident for the operator, stops this voucher's attestations of deposits of the asset, and is a signed
wish to halt it; the Hub halts where vouchers of more than a third of the weight wish the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import structlog

from adapters.evm.lockbox.vault import LockboxVault
from bridge import vault_books
from bridge.agents.attesting import wanted
from bridge.agents.office import Apart, Office
from bridge.agents.vaults.alarms import raise_alarm
from bridge.agents.vaults.outpost import Outpost
from bridge.codec import encode
from bridge.intake.common import WANTED_ENDS, WANTED_HALTS, evm_cursor
from bridge.intake.native import event_cursor
from bridge.intake.releases import token_of
from bridge.ledger import balance
from foundation.quantities import BlockHeight, UnixMs

_LOG: Final = structlog.get_logger(__name__)
_FAR_BEHIND: Final = 64
"""A node that has so many final blocks of a chain still to read cannot tell what its vault holds now."""


@dataclass(frozen=True, slots=True)
class _Short:
    """Since when an asset is short: the time, and the newest final block of each chain then, which may not be read yet.

    What is missing may be in the blocks up to those.
    """

    since: UnixMs
    native: int
    height: int


class Guard:
    """A voucher's watch over the reserves of every asset that it can see."""

    name = "guard"

    def __init__(self, office: Office) -> None:
        self._office = office
        self._short: dict[bytes, _Short] = {}

    async def run(self) -> bool:
        """Look at every asset once."""
        apart = Apart()
        looked: set[bytes] = set()
        with apart:
            await self._bitcoin()
            looked.add(self._office.directory.asset)
        for chain, outpost in list(self._office.outposts.items()):
            if chain in self._office.directory.origins:
                with apart:
                    await self._on_chain(chain, outpost, apart, looked)
        # Only now, so that there is no moment at which a wish that is still well-founded is not there.
        await self._forget(looked)
        apart.end()
        return False

    async def _bitcoin(self) -> None:
        tip = self._office.intake.tip
        if tip is None:
            return
        asset = self._office.directory.asset
        async with self._office.database.view() as view:
            held = await balance(view)
        if held.surplus < 0 and (await self._office.bitcoin.tip()).height > tip.height + 1:
            self._short.pop(asset, None)  # blocks that are not read here yet may hold what is missing
            return
        await self._compare(asset, held.surplus, tip.height, tip.height)

    async def _on_chain(self, chain: bytes, outpost: Outpost, apart: Apart, looked: set[bytes]) -> None:
        assets = [asset.id for asset in self._office.directory.assets.values() if asset.chain == chain]
        read, final = await self._office.intake.evm_cursor(chain), await outpost.endpoints.final()
        if read is None or final is None or final.number > read.number + _FAR_BEHIND:
            # A node that lost its database reads the native chain first: it would miss all that the vault ever got.
            for asset in assets:
                self._short.pop(asset, None)
            return
        for asset in assets:
            with apart:
                await self._on_vault(asset, chain, outpost, read.number, final.number)
                looked.add(asset)

    async def _on_vault(self, asset: bytes, chain: bytes, outpost: Outpost, height: int, final: int) -> None:
        directory = self._office.directory
        async with self._office.database.view() as view:
            cursor = event_cursor(await view.cursors.get(evm_cursor(chain)))
            if cursor is None:
                return
            books = await vault_books.balance(view, directory, asset)
        vault = LockboxVault(outpost.endpoints, directory.origins[chain].vault.lockbox)
        # The block up to which the books are right: the stored cursor may be older, for blocks without events are
        # not written down, and the vault may have got back since what it lacked.
        real = await vault.balance(token_of(directory, asset), BlockHeight(max(cursor.number, height)))
        owed = books.held + books.set_aside
        if real < owed:
            shown = directory.shown(asset, real), directory.shown(asset, owed)
            await raise_alarm(
                self._office, [asset], "NotBacked", f"the vault holds {shown[0]}, its events say {shown[1]}"
            )
        await self._compare(asset, books.surplus, height, final)

    async def _compare(self, asset: bytes, surplus: int, height: int, newest: int) -> None:
        """Raise the alarm where the supply has exceeded what is held for a while, over blocks of both chains.

        Where one of them stands still, or is read more slowly than it grows, what is missing may be in blocks that are
        not read yet: all that were there when the shortage was first seen, and one more, have to be.

        Args:
            asset: its id.
            surplus: what is held beyond what is owed, in base units.
            height: how far the asset's chain is read.
            newest: its newest block that counts.
        """
        native = self._office.intake.native_cursor
        if surplus >= 0 or native is None:
            self._short.pop(asset, None)
            return
        now = self._office.clock()
        if asset not in self._short:
            final = await self._office.native.finalized_block()
            self._short[asset] = _Short(now, final.number, newest)
        short = self._short[asset]
        grown = native.number > short.native and height > short.height
        if grown and now - short.since >= self._office.policy.alarm_after_seconds * 1000:
            missing = self._office.directory.shown(asset, -surplus)
            await raise_alarm(self._office, [asset], "NotBacked", f"the supply exceeds what is held by {missing}")

    async def _forget(self, looked: Collection[bytes]) -> None:
        """Drop wishes whose time is over; but not a halt of what this node watches and could not look at now."""
        seconds = self._office.clock() // 1000

        def is_kept(fact: str, asset: bytes, until: int) -> bool:
            return until > seconds or (fact == WANTED_HALTS and self._is_watched(asset) and asset not in looked)

        async with self._office.database.unit() as uow:
            for fact in (WANTED_HALTS, WANTED_ENDS):
                found = await wanted(uow, fact)
                kept = {asset: until for asset, until in found.items() if is_kept(fact, asset, until)}
                if kept != found:
                    await uow.node_meta.put(fact, encode(kept))
            await uow.commit()

    def _is_watched(self, asset: bytes) -> bool:
        served = {self._office.directory.chain, *(section.id for section in self._office.settings.evm)}
        return self._office.directory.chain_of(asset) in served
