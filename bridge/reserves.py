"""Proof of reserves: the vault's coins and those of minted deposits against the mapping token's supply.

A node's database gives it at once; `observed` computes it anew from the two chains alone, and `differences` tells where
the two do not agree. Invariant: supply ≤ reserves + what was paid out and is not burnt yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.bitcoin.follower import Tail
from adapters.bitcoin.primitives import OutPoint, hash_text
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.unspent import unspent_on
from adapters.native.chain import NativeChain
from adapters.native.events import (
    DepositMinted,
    GroupActivated,
    NativeEvent,
    PayoutReserved,
    PayoutSettled,
    PayoutVoided,
)
from bridge.codec import decode_deposit, decode_payout
from bridge.deposits import Stage
from bridge.intake.common import BITCOIN_CURSOR, NATIVE_CURSOR
from bridge.intake.native import event_cursor
from bridge.ledger import coin_of, supply, withdrawals_of
from bridge.payouts import PayoutStage
from bridge.storage import CoinKind, TransferKind, View
from foundation.quantities import BlockHeight, Satoshi, TokenUnits
from registry.amounts import format_amount

_DECIMALS = 8


@dataclass(frozen=True, slots=True)
class Reserves:
    """What is held against what is owed, in one asset. Amounts in satoshi.

    Fields: vault (coins of the vault); deposits (coins of minted deposits that are not swept yet); unsettled (what
    payouts in the chain have paid, whose tokens are not burnt yet); supply (of the mapping token, locked tokens
    included); height (of bitcoin's newest block that was counted; None: not known); block (the native chain's).
    """

    vault: Mapping[OutPoint, Satoshi]
    deposits: Mapping[OutPoint, Satoshi]
    unsettled: Satoshi
    supply: TokenUnits
    height: BlockHeight | None = None
    block: BlockHeight | None = None

    @property
    def held(self) -> Satoshi:
        """All coins together."""
        return Satoshi(sum(self.vault.values()) + sum(self.deposits.values()))

    @property
    def surplus(self) -> int:
        """What is there beyond what is owed; negative where something is missing."""
        return self.held + self.unsettled - self.supply

    @property
    def covered(self) -> bool:
        """Whether every token is backed."""
        return self.surplus >= 0

    def line(self, symbol: str = "BTC") -> str:
        """The proof-of-reserves line."""
        parts = [f"vault {_amount(sum(self.vault.values()), symbol)} ({_coins(len(self.vault))})"]
        if self.deposits:
            parts.append(f"unswept deposits {_amount(sum(self.deposits.values()), symbol)}")
        if self.unsettled:
            parts.append(f"paid and not burnt yet {_amount(self.unsettled, symbol)}")
        sign = "≥" if self.covered else "<"
        verdict = "covered" if self.covered else "NOT COVERED"
        supply = f"supply {_amount(self.supply, symbol)}"
        return f"{' + '.join(parts)} {sign} {supply}: {verdict}, surplus {self.surplus:,} sat"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "vault_sat": sum(self.vault.values()),
            "vault_coins": {str(outpoint): value for outpoint, value in sorted(self.vault.items())},
            "deposits_sat": sum(self.deposits.values()),
            "deposit_coins": {str(outpoint): value for outpoint, value in sorted(self.deposits.items())},
            "unsettled_sat": self.unsettled,
            "supply_sat": self.supply,
            "surplus_sat": self.surplus,
            "covered": self.covered,
            "bitcoin_height": self.height,
            "native_block": self.block,
        }


async def recorded(view: View) -> Reserves:
    """The reserves as a node has them in its database, at its two cursors. Raises `NotYet` while it catches up."""
    vault = {c.outpoint: c.value for c in map(coin_of, await view.coins.unspent(CoinKind.VAULT))}
    rows = await view.transfers.by_stage(TransferKind.DEPOSIT, Stage.MINTED)
    minted = [d for d in map(decode_deposit, rows) if d.height is not None and d.spend is None]
    unsettled = 0
    for payout in map(decode_payout, await view.payouts.by_stage(PayoutStage.CONFIRMING, PayoutStage.PAID)):
        if payout.is_bound:
            unsettled += sum(w.amount for w in await withdrawals_of(view, payout))
    tail = await view.cursors.get(BITCOIN_CURSOR)
    tip = None if tail is None else Tail.decode(tail).tip
    native = event_cursor(await view.cursors.get(NATIVE_CURSOR))
    return Reserves(
        vault,
        {OutPoint(d.txid, d.vout): d.amount for d in minted},
        Satoshi(unsettled),
        await supply(view),
        None if tip is None else tip.height,
        None if native is None else native.number,
    )


@dataclass(slots=True)
class _Book:
    """What the contracts' events say of one asset."""

    keys: list[bytes] = field(default_factory=list)
    """Of every group that ever served the asset's chain."""
    minted: dict[OutPoint, Satoshi] = field(default_factory=dict)
    live: dict[bytes, PayoutReserved] = field(default_factory=dict)
    """Payouts that are neither settled nor voided, as first reserved: the anchor is the first input of that."""


async def observed(
    rpc: BitcoinRpc, native: NativeChain, chain: bytes, asset: bytes, at: BlockHeight | None = None
) -> Reserves:
    """The reserves as the two chains show them, with nothing of ours asked: for `reserves --verify`.

    Args:
        rpc: any bitcoin node, with a time-out of `unspent.SCAN_SECONDS`.
        native: any node of the native chain.
        chain: the bitcoin chain's id.
        asset: the asset's id.
        at: the native chain's block; its newest final one where None. A database is compared at its own.

    Raises:
        ScanBusy, and what the two nodes' methods raise.
    """
    last = (await native.finalized_block()).number if at is None else at
    book = _book(await native.events(BlockHeight(native.deployment.start_block), last), chain, asset)
    found = await unspent_on(rpc, [vault_script(key) for key in book.keys]) if book.keys else None
    vault = {} if found is None else {coin.outpoint: coin.value for coin in found.coins}
    height = (await rpc.tip()).height if found is None else found.tip.height
    kept = await _unspent(rpc, list(book.minted))
    deposits = {outpoint: amount for outpoint, amount in book.minted.items() if outpoint in kept}
    unsettled = await _unsettled(rpc, native, book, last)
    return Reserves(vault, deposits, unsettled, await native.supply(asset, last), height, last)


async def _unspent(rpc: BitcoinRpc, outpoints: Sequence[OutPoint]) -> set[OutPoint]:
    """Those that nothing in the chain has spent, asked for in batches."""
    calls = [("gettxout", (hash_text(outpoint.txid), outpoint.vout, False)) for outpoint in outpoints]
    answers = await rpc.batch(calls)
    return {outpoint for outpoint, answer in zip(outpoints, answers, strict=True) if answer is not None}


def _book(events: Sequence[NativeEvent], chain: bytes, asset: bytes) -> _Book:
    book = _Book()
    for event in events:
        match event:
            case GroupActivated() if event.chain == chain and event.key not in book.keys:
                book.keys.append(event.key)
            case DepositMinted() if event.asset == asset:
                book.minted[OutPoint(event.txid, event.vout)] = Satoshi(event.amount)
            case PayoutReserved() if event.asset == asset:
                book.live.setdefault(event.id, event)
            case PayoutSettled() | PayoutVoided():
                book.live.pop(event.id, None)
    return book


async def _unsettled(rpc: BitcoinRpc, native: NativeChain, book: _Book, at: BlockHeight) -> Satoshi:
    """What live payouts have paid: those whose anchor is spent in the chain. (A stranger's spend is voided soon.)"""
    anchors = {OutPoint(*payout.inputs[0]): payout for payout in book.live.values()}
    kept = await _unspent(rpc, list(anchors))
    paid = [id_ for anchor, payout in anchors.items() if anchor not in kept for id_ in payout.withdrawals]
    records = await native.withdrawals(paid, at)
    return Satoshi(sum(record.amount for record in records if record is not None))


def differences(book: Reserves, chains: Reserves) -> tuple[str, ...]:
    """Where a node's database and the chains disagree, for people; nothing where they agree."""
    found = [
        *_coin_differences("vault", book.vault, chains.vault),
        *_coin_differences("deposit", book.deposits, chains.deposits),
    ]
    for name, ours, theirs in (
        ("supply", book.supply, chains.supply),
        ("paid and not burnt yet", book.unsettled, chains.unsettled),
    ):
        if ours != theirs:
            found.append(f"{name}: {_amount(ours)} in the database, {_amount(theirs)} on the chains")
    if found and book.height != chains.height:
        found.append(f"the database is at bitcoin block {book.height}, the node at {chains.height}: look again")
    return tuple(found)


def _coin_differences(kind: str, ours: Mapping[OutPoint, Satoshi], theirs: Mapping[OutPoint, Satoshi]) -> list[str]:
    lines = []
    for outpoint in sorted({*ours, *theirs}):
        if outpoint not in theirs:
            lines.append(f"{kind} coin {outpoint}: {_amount(ours[outpoint])} in the database, not on the chain")
        elif outpoint not in ours:
            lines.append(f"{kind} coin {outpoint}: {_amount(theirs[outpoint])} on the chain, not in the database")
        elif ours[outpoint] != theirs[outpoint]:
            lines.append(
                f"{kind} coin {outpoint}: {_amount(ours[outpoint])} in the database, "
                f"{_amount(theirs[outpoint])} on the chain"
            )
    return lines


def _amount(units: int, symbol: str = "BTC") -> str:
    return format_amount(units, _DECIMALS, symbol=symbol)


def _coins(count: int) -> str:
    return "1 coin" if count == 1 else f"{count} coins"
