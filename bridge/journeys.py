"""`transfers show`: finding a transfer by any of its ids, and telling its journey. Reads one node's database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from adapters.bitcoin.follower import Tail
from bridge.codec import decode_deposit, decode_withdrawal
from bridge.intake.common import BITCOIN_CURSOR
from bridge.journey_deposits import deposit_journey
from bridge.journey_parts import BLOCK_MS, Journey, Place, Surroundings
from bridge.journey_releases import is_release
from bridge.journey_withdrawals import withdrawal_journey
from bridge.status import STATUS
from bridge.storage import TransactionPurpose, TransferKind, TransferRow, View
from foundation.quantities import BlockHeight
from registry.ids import deposit_id

INTERVAL: Final = "bitcoin_interval_ms"
"""Node fact: what bitcoin's blocks are apart, where the node measures it."""
_OUTPUTS_TRIED: Final = 32
"""Of a transaction that may be a deposit's: wallets put a payment among the first two."""
_RECENT: Final = 500
"""Transfers among which a native transaction is looked for."""


async def journey(view: View, transfer_id: bytes, around: Surroundings) -> Journey | None:
    """The transfer's story, None where this node does not know it."""
    row = await view.transfers.get(transfer_id)
    if row is None:
        return None
    place = await place_of(view)
    tell = deposit_journey if row.kind is TransferKind.DEPOSIT else withdrawal_journey
    return await tell(view, row, place, around)


async def place_of(view: View) -> Place:
    """Where the node stands on bitcoin."""
    stored = await view.cursors.get(BITCOIN_CURSOR)
    tip = None if stored is None else Tail.decode(stored).tip
    measured = await view.node_meta.get(INTERVAL)
    return Place(BlockHeight(-1) if tip is None else tip.height, BLOCK_MS if measured is None else int(measured))


async def group_keys(view: View) -> Mapping[bytes, bytes]:
    """The x-only keys of the groups that the node knows, by group id, as it last said."""
    body = await view.node_meta.get(STATUS)
    groups = [] if body is None else json.loads(body)["groups"]
    return {bytes.fromhex(g["id"]): bytes.fromhex(g["key"]) for g in groups if g["key"]}


async def find(view: View, text: str, asset: bytes) -> tuple[TransferRow, ...]:
    """The transfers that `text` may mean: the beginning of a transfer's id, or a whole transaction id of any chain.

    Raises:
        BadInput: it is no hex, or too long.
    """
    found = await view.transfers.by_prefix(text)
    digits = text.lower().removeprefix("0x")
    if found or len(digits) != 64:
        return found
    digest = bytes.fromhex(digits)
    # People copy bitcoin's ids in the reversed order of explorers.
    ids = [*await _by_bitcoin(view, digest[::-1], asset), *await _by_native(view, digest)]
    rows = await view.transfers.get_many(ids)
    return tuple(rows[id_] for id_ in dict.fromkeys(ids) if id_ in rows)


async def _by_bitcoin(view: View, txid: bytes, asset: bytes) -> list[bytes]:
    ids = [deposit_id(asset, txid, vout) for vout in range(_OUTPUTS_TRIED)]
    row = await view.bitcoin_transactions.get(txid)
    if row is None:
        return ids
    if row.purpose is TransactionPurpose.PAYOUT:
        return [*ids, *await view.payouts.withdrawals_of(row.subject)]
    inputs = await view.bitcoin_transactions.inputs(txid)
    return [*ids, *(deposit_id(asset, spent, vout) for spent, vout in inputs)]


async def _by_native(view: View, transaction: bytes) -> list[bytes]:
    """By a transaction of the native chain, or of an EVM chain: there a lock, or what a vault did."""
    found = []
    for row in await view.transfers.page(_RECENT):
        if row.kind is TransferKind.DEPOSIT:
            deposit = decode_deposit(row)
            locked = None if deposit.lock is None else deposit.lock.transaction
            known = {deposit.mint_transaction, deposit.return_transaction, locked}
        else:
            known = await _of_withdrawal(view, row)
        if transaction in known:
            found.append(row.id)
    return found


async def _of_withdrawal(view: View, row: TransferRow) -> set[bytes | None]:
    withdrawal = decode_withdrawal(row)
    known: set[bytes | None] = {withdrawal.request_transaction}
    if is_release(withdrawal):
        done = await view.releases.get(row.chain, withdrawal.number)
        known |= set() if done is None else {done.transaction, done.changed_by}
    return known
