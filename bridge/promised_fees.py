"""The fees that this node has agreed to and that no block has taken yet, so that together they cannot eat the reserves.

A coordinator may have a transaction signed and keep it to itself. Each of many such transactions would find the whole
surplus of the vault there; so what this node agrees to is written down before it signs, and counts until one of the
transaction's coins is spent in the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from msgspec import Struct

from adapters.bitcoin.primitives import OutPoint
from bridge.codec import decode, encode
from bridge.ledger import balance
from bridge.policy import Balance
from bridge.storage import UnitOfWork, View
from foundation.quantities import Satoshi

_FACT: Final = "promised fees"


class PromisedFee(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Fields: coins (txid and vout of what the transaction spends); fee (in satoshi)."""

    coins: list[tuple[bytes, int]]
    fee: int


async def funds(view: View, spending: Sequence[OutPoint]) -> Balance:
    """What the vault holds against what it owes, less all that this node has agreed to besides.

    `spending`: the coins of the transaction that is at hand, whose own promises do not count against it.
    """
    held = await balance(view, spending)
    return replace(held, reserves=Satoshi(held.reserves - await promised_elsewhere(view, spending)))


async def promised_elsewhere(view: View, spending: Iterable[OutPoint]) -> Satoshi:
    """What other transactions than those that spend one of `spending` may cost, beyond what `ledger.balance` counts."""
    own = {(o.txid, o.vout) for o in spending}
    total = 0
    for promise in await _open(view):
        if own.isdisjoint(promise.coins):
            signed = [r.fee for r in await view.bitcoin_transactions.spending(promise.coins) if r.replaced_by is None]
            total += max(0, promise.fee - max(signed, default=0))
    return Satoshi(total)


async def promise_fee(uow: UnitOfWork, coins: Sequence[OutPoint], fee: Satoshi) -> None:
    """Write down what this node is about to agree to; of several versions the highest fee counts."""
    spent = [(o.txid, o.vout) for o in coins]
    kept = []
    for promise in await _open(uow):
        if promise.coins == spent:
            fee = Satoshi(max(fee, promise.fee))
        else:
            kept.append(promise)
    await uow.node_meta.put(_FACT, encode([*kept, PromisedFee(spent, fee)]))


async def _open(view: View) -> list[PromisedFee]:
    """The promises of which no coin is spent in the chain."""
    stored = await view.node_meta.get(_FACT)
    promises = [] if stored is None else decode(stored, list[PromisedFee], _FACT)
    return [promise for promise in promises if not await _is_over(view, promise)]


async def _is_over(view: View, promise: PromisedFee) -> bool:
    """One of its coins is spent in the chain; of a child's, the parent can never confirm."""
    for parent in {txid for txid, _ in promise.coins}:
        for spent in await view.bitcoin_transactions.inputs(parent):
            coin = await view.coins.get(*spent)
            if coin is not None and coin.spent_by not in (None, parent):
                return True
    coins = [await view.coins.get(txid, vout) for txid, vout in promise.coins]
    return any(coin is not None and coin.spent_by is not None for coin in coins)
