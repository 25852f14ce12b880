"""Watching that every token is backed: what a vault holds against the supply, each time something changes.

A vault that holds less than its own events say is an alarm at once: both are of one chain, at one block. That the
supply exceeds what is held may be a node that reads one chain faster than the other, so it has to stay so for a while.

An alarm is an incident for the operator, stops this voucher's attestations of deposits of the asset, and is a signed
wish to halt it; the Hub halts where vouchers of more than a third of the weight wish the same.
"""

from __future__ import annotations

from typing import Final

import structlog

from adapters.evm.lockbox.vault import LockboxVault
from bridge import vault_books
from bridge.agents.attesting import wanted
from bridge.agents.office import Apart, Office
from bridge.codec import encode
from bridge.halts import end_of_halt
from bridge.intake.common import WANTED_ENDS, WANTED_HALTS, evm_cursor
from bridge.intake.native import event_cursor
from bridge.intake.releases import token_of
from bridge.ledger import balance
from bridge.storage import IncidentKind
from foundation.quantities import UnixMs

_LOG: Final = structlog.get_logger(__name__)


class Guard:
    """A voucher's watch over the reserves of every asset that it can see."""

    name = "guard"

    def __init__(self, office: Office) -> None:
        self._office = office
        self._short_since: dict[bytes, tuple[UnixMs, int]] = {}

    async def run(self) -> bool:
        """Look at every asset once."""
        await self._forget()
        apart = Apart()
        with apart:
            await self._bitcoin()
        for asset in list(self._office.directory.assets.values()):
            if asset.chain in self._office.outposts and asset.chain in self._office.directory.origins:
                with apart:
                    await self._on_vault(asset.id, asset.chain)
        apart.end()
        return False

    async def _bitcoin(self) -> None:
        if self._office.intake.tip is None:
            return
        async with self._office.database.view() as view:
            held = await balance(view)
        await self._compare(self._office.directory.asset, held.surplus, self._office.intake.tip.height)

    async def _on_vault(self, asset: bytes, chain: bytes) -> None:
        directory = self._office.directory
        async with self._office.database.view() as view:
            cursor = event_cursor(await view.cursors.get(evm_cursor(chain)))
            if cursor is None:
                return
            books = await vault_books.balance(view, directory, asset)
        vault = LockboxVault(self._office.outposts[chain].endpoints, directory.origins[chain].vault.lockbox)
        real = await vault.balance(token_of(directory, asset), cursor.number)
        owed = books.held + books.set_aside
        if real < owed:
            shown = directory.shown(asset, real), directory.shown(asset, owed)
            await self._alarm(asset, f"the vault holds {shown[0]}, its events say {shown[1]}")
        await self._compare(asset, books.surplus, cursor.number)

    async def _compare(self, asset: bytes, surplus: int, height: int) -> None:
        """Raise the alarm where the supply has exceeded what is held for a while, over several blocks."""
        native = self._office.intake.native_cursor
        if surplus >= 0 or native is None:
            self._short_since.pop(asset, None)
            return
        now = self._office.clock()
        since, seen = self._short_since.setdefault(asset, (now, native.number + height))
        grown = native.number + height >= seen + 2
        if grown and now - since >= self._office.policy.alarm_after_seconds * 1000:
            missing = self._office.directory.shown(asset, -surplus)
            await self._alarm(asset, f"the supply exceeds what is held by {missing}")

    async def _alarm(self, asset: bytes, text: str) -> None:
        now = self._office.clock()
        async with self._office.database.unit() as uow:
            halts = await wanted(uow, WANTED_HALTS)
            if asset in halts:
                return
            halts[asset] = end_of_halt(now)
            await uow.node_meta.put(WANTED_HALTS, encode(halts))
            fields = {"text": text}
            await uow.incidents.record(IncidentKind.ALARM, "NotBacked", now, subject=asset, fields=fields)
            await uow.commit()
        _LOG.error("an asset is not backed: this voucher wants it halted", asset=asset.hex(), problem=text)
        self._office.changed.set()

    async def _forget(self) -> None:
        """Drop wishes whose time is over."""
        seconds = self._office.clock() // 1000
        async with self._office.database.view() as view:
            facts = {fact: await wanted(view, fact) for fact in (WANTED_HALTS, WANTED_ENDS)}
        kept = {fact: {a: until for a, until in found.items() if until > seconds} for fact, found in facts.items()}
        if kept == facts:
            return
        async with self._office.database.unit() as uow:
            for fact, found in kept.items():
                await uow.node_meta.put(fact, encode(found))
            await uow.commit()
