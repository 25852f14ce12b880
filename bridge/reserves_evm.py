"""Proof of reserves of assets on EVM chains: what vaults hold, by their events and in truth, against the supply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.evm.lockbox.events import (
    LockboxEvent,
    Locked,
    PaymentCancelled,
    PaymentClaimed,
    PaymentFailed,
    Released,
    decode_event,
)
from adapters.evm.lockbox.vault import LockboxVault
from adapters.evm.logs import read_logs
from adapters.evm.rpc import EvmRpc
from adapters.native.chain import NativeChain
from adapters.native.events import PayoutReserved, PayoutSettled
from bridge import vault_books
from bridge.directory import Directory
from bridge.intake.common import NATIVE_CURSOR, evm_cursor
from bridge.intake.native import event_cursor
from bridge.storage import View
from foundation.quantities import BlockHeight, TokenUnits
from registry.assets import Asset
from registry.caip import AssetType, lockbox_asset
from registry.chains import Vault


@dataclass(frozen=True, slots=True)
class VaultReserves:
    """One asset at its vault. Amounts in base units.

    Fields: asset; held (what backs tokens, by the vault's events); set_aside (for payees whose payment failed);
    unsettled (paid or set aside for withdrawals whose tokens are not burnt yet); supply (of the mapping token);
    height, block (of the asset's chain and of the native one up to which was counted; None: not known); balance (what
    the vault really has; None: its chain was not asked).
    """

    asset: Asset
    held: TokenUnits
    set_aside: TokenUnits
    unsettled: TokenUnits
    supply: TokenUnits
    height: BlockHeight | None = None
    block: BlockHeight | None = None
    balance: TokenUnits | None = None

    @property
    def chain(self) -> str:
        """CAIP-2 text."""
        return self.asset.caip19.partition("/")[0]

    @property
    def surplus(self) -> int:
        """What is there beyond what is owed; negative where something is missing."""
        return self.held + self.unsettled - self.supply

    @property
    def missing(self) -> int:
        """What the vault should have by its events, and has not; 0 where nothing is missing, or nobody has looked."""
        return 0 if self.balance is None else max(self.held + self.set_aside - self.balance, 0)

    @property
    def covered(self) -> bool:
        """Whether every token is backed, and what backs it is really there."""
        return self.surplus >= 0 and not self.missing

    def line(self) -> str:
        """The proof-of-reserves line."""
        show = self.asset.format
        parts = [f"vault {show(self.held)}"]
        if self.unsettled:
            parts.append(f"paid and not burnt yet {show(self.unsettled)}")
        sign = "≥" if self.surplus >= 0 else "<"
        verdict = "covered" if self.covered else "NOT COVERED"
        gone = f", the vault LACKS {show(self.missing)}" if self.missing else ""
        aside = f"; {show(self.set_aside)} set aside" if self.set_aside else ""
        supply = f"supply {show(self.supply)}"
        return f"{' + '.join(parts)} {sign} {supply}: {verdict}, surplus {show(self.surplus)}{gone}{aside}"

    def as_json(self) -> dict[str, Any]:
        """For programs: amounts as text."""
        return {
            "asset": self.asset.caip19,
            "symbol": self.asset.symbol,
            "held": str(self.held),
            "set_aside": str(self.set_aside),
            "unsettled": str(self.unsettled),
            "supply": str(self.supply),
            "surplus": str(self.surplus),
            "balance": None if self.balance is None else str(self.balance),
            "covered": self.covered,
            "height": self.height,
            "native_block": self.block,
            "proof": self.line(),
        }


async def recorded_vaults(view: View, directory: Directory) -> tuple[VaultReserves, ...]:
    """All assets of EVM chains as a node has them in its database, at its cursors."""
    native = event_cursor(await view.cursors.get(NATIVE_CURSOR))
    found = []
    for asset in directory.assets.values():
        if not asset.caip19.startswith("eip155:"):
            continue
        at = event_cursor(await view.cursors.get(evm_cursor(asset.chain)))
        if at is None:
            continue  # this node does not serve the chain
        told = await vault_books.balance(view, directory, asset.id)
        plain = (told.held, told.set_aside, told.unsettled, told.supply)
        found.append(VaultReserves(asset, *plain, at.number, None if native is None else native.number))
    return tuple(found)


@dataclass(slots=True)
class _Count:
    """What one vault's events come to. Lists are by the vault's name of an asset; `spent` by number."""

    held: dict[bytes, int] = field(default_factory=dict)
    failed: dict[int, PaymentFailed] = field(default_factory=dict)
    spent: dict[int, int] = field(default_factory=dict)

    def add(self, event: LockboxEvent) -> None:
        """One event, in order."""
        match event:
            case Locked():
                self._hold(event.asset, event.amount)
            case Released() | PaymentFailed():
                self.spent[event.number] = event.amount + event.fee
                self._hold(event.asset, -self.spent[event.number])
                if isinstance(event, PaymentFailed):
                    self.failed[event.number] = event
            case PaymentClaimed():
                self.failed.pop(event.number, None)
            case PaymentCancelled():
                gone = self.failed.pop(event.number, None)
                if gone is not None:
                    self._hold(gone.asset, event.amount)
                else:
                    self.spent.setdefault(event.number, 0)
            case _:
                pass  # nothing moves

    def _hold(self, asset: bytes, change: int) -> None:
        self.held[asset] = self.held.get(asset, 0) + change

    def set_aside(self, asset: bytes) -> TokenUnits:
        """What waits for payees."""
        return TokenUnits(sum(event.amount for event in self.failed.values() if event.asset == asset))


async def observed_vault(
    rpc: EvmRpc,
    reader: LockboxVault,
    native: NativeChain,
    vault: Vault,
    assets: Sequence[Asset],
    at: BlockHeight,
    native_at: BlockHeight,
) -> tuple[VaultReserves, ...]:
    """The assets of one chain as the two chains show them, with nothing of ours asked.

    Args:
        rpc: a node of the vault's chain.
        reader: of the vault, for its real balance.
        native: a node of the native chain.
        vault: as the Registry has it.
        assets: those of its chain.
        at: the block of its chain up to which is counted.
        native_at: that of the native chain.
    """
    count = _Count()
    for log in await read_logs(rpc, [vault.lockbox], vault.start_block, at):
        count.add(decode_event(log))
    unsettled = await _unsettled(native, {asset.id for asset in assets}, count.spent, native_at)
    found = []
    for asset in assets:
        token = lockbox_asset(AssetType.parse(asset.caip19))
        held = TokenUnits(max(count.held.get(token, 0), 0))
        supply, balance = await native.supply(asset.id, native_at), await reader.balance(token, at)
        paid = unsettled.get(asset.id, TokenUnits(0))
        found.append(VaultReserves(asset, held, count.set_aside(token), paid, supply, at, native_at, balance))
    return tuple(found)


async def _unsettled(
    native: NativeChain, assets: set[bytes], spent: Mapping[int, int], at: BlockHeight
) -> dict[bytes, TokenUnits]:
    """What left the vault for payouts that are not settled, by asset."""
    live: dict[bytes, PayoutReserved] = {}
    for event in await native.events(BlockHeight(native.deployment.start_block), at):
        if isinstance(event, PayoutReserved) and event.asset in assets:
            live[event.id] = event
        elif isinstance(event, PayoutSettled):
            live.pop(event.id, None)
    totals: dict[bytes, TokenUnits] = {}
    for payout in live.values():
        records = await native.withdrawals(payout.withdrawals, at)
        paid = sum(spent.get(record.number, 0) for record in records if record is not None)
        totals[payout.asset] = TokenUnits(totals.get(payout.asset, 0) + paid)
    return totals


def vault_differences(ours: Sequence[VaultReserves], theirs: Sequence[VaultReserves]) -> tuple[str, ...]:
    """Where a node's database and the chains disagree, of the assets that both have counted."""
    by_id = {one.asset.id: one for one in theirs}
    found = []
    for one in ours:
        other = by_id.get(one.asset.id)
        if other is None:
            continue
        show = one.asset.format
        for name in ("held", "set_aside", "unsettled", "supply"):
            here, there = getattr(one, name), getattr(other, name)
            if here != there:
                what = f"{one.asset.symbol} on {one.chain}, {name.replace('_', ' ')}"
                found.append(f"{what}: {show(here)} in the database, {show(there)} on the chains")
    return tuple(found)
