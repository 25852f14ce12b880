"""What the database says of the bitcoin vault, in the terms in which the signing policy asks."""

from __future__ import annotations

from collections.abc import Iterable, Set

from adapters.bitcoin.primitives import Coin, OutPoint
from bridge.codec import decode_deposit, decode_payout, decode_withdrawal
from bridge.deposits import Deposit, Stage
from bridge.intake.bitcoin import LIVE_PAYOUTS
from bridge.intake.common import PENDING, SUPPLY
from bridge.payouts import Payout, PayoutStage, Withdrawal
from bridge.policy import TAPROOT_DUST, Balance, VaultView
from bridge.refusals import InputNotOurs, NotYet
from bridge.storage import CoinKind, CoinRow, TransactionPurpose, TransferKind, View
from foundation.quantities import BlockHeight, Satoshi, TokenUnits


def coin_of(row: CoinRow) -> Coin:
    """A coin as transactions spend it."""
    return Coin(OutPoint(row.txid, row.vout), row.value, row.script, row.height)


async def supply(view: View) -> TokenUnits:
    """The supply of bitcoin's mapping token at the native cursor."""
    return TokenUnits(int(await view.node_meta.get(SUPPLY) or b"0"))


async def owed(view: View) -> TokenUnits:
    """What bitcoin's reserves have to cover: the supply, and the service fees that the Hub will mint."""
    pending = int(await view.node_meta.get(PENDING) or b"0")
    return TokenUnits(await supply(view) + pending)


async def balance(view: View, spending: Iterable[OutPoint] = ()) -> Balance:
    """What the vault holds against what it owes, at this node's two cursors.

    Deposits count once they are minted and as long as their coin is unspent. The fees of our own transactions that
    are signed and in no block yet are counted as spent, so that several of them cannot each use the same surplus;
    but not of those that a new transaction, which spends the coins `spending`, would replace. So is the change below
    dust that payouts will leave to miners.
    """
    spending = frozenset(spending)
    replaced = {row.txid for row in await view.bitcoin_transactions.spending((o.txid, o.vout) for o in spending)}
    vault = await view.coins.total(CoinKind.VAULT)
    minted = await view.transfers.by_stage(TransferKind.DEPOSIT, Stage.MINTED)
    held = sum(d.amount for d in map(decode_deposit, minted) if d.height is not None and d.spend is None)
    unsettled = 0
    for row in await view.payouts.by_stage(PayoutStage.CONFIRMING, PayoutStage.PAID):
        payout = decode_payout(row)
        if not payout.is_bound:
            continue
        unsettled += sum(w.amount for w in await withdrawals_of(view, payout))
    own = {TransactionPurpose.SWEEP, TransactionPurpose.CPFP}
    waiting = [row for row in await view.bitcoin_transactions.waiting() if row.purpose in own]
    promised = sum(row.fee for row in waiting if row.txid not in replaced) + await _dust_promised(view, spending)
    return Balance(Satoshi(vault + held - promised), Satoshi(unsettled), await owed(view))


async def _dust_promised(view: View, spending: Set[OutPoint]) -> int:
    """The change below dust of all payouts that are reserved and not in the chain, but for the one that is at hand."""
    total = 0
    for payout in map(decode_payout, await view.payouts.by_stage(PayoutStage.RESERVED)):
        if not payout.is_bound or payout.anchor in spending:
            continue
        coins = [await view.coins.get(outpoint.txid, outpoint.vout) for outpoint in payout.inputs]
        held = sum(coin.value for coin in coins if coin is not None and coin.height is not None)
        left = held - sum(withdrawal.amount for withdrawal in await withdrawals_of(view, payout))
        total += left if 0 < left < TAPROOT_DUST else 0
    return total


async def withdrawals_of(view: View, payout: Payout) -> tuple[Withdrawal, ...]:
    """A payout's withdrawals, in its order. Raises `NotYet` where one is unknown here."""
    rows = await view.transfers.get_many(payout.withdrawals)
    if len(rows) != len(payout.withdrawals):
        raise NotYet("a withdrawal of the payout")
    return tuple(decode_withdrawal(rows[id_]) for id_ in payout.withdrawals)


async def live_payouts(view: View) -> tuple[Payout, ...]:
    """Payouts of bitcoin that are neither settled nor voided, oldest first."""
    found = map(decode_payout, await view.payouts.by_stage(*LIVE_PAYOUTS))
    return tuple(payout for payout in found if payout.is_bound)


async def vault_view(view: View, script: bytes, tip: BlockHeight) -> VaultView:
    """The vault's unspent coins in the chain, and which of them are bound.

    A coin that a signed transaction of ours spends is not free either: a child that pays for its parent spends the
    parent's change.
    """
    rows = await view.coins.unspent(CoinKind.VAULT, script=script)
    coins = {OutPoint(row.txid, row.vout): coin_of(row) for row in rows}
    reserved = {outpoint: payout.payout_id for payout in await live_payouts(view) for outpoint in payout.inputs}
    for transaction in await view.bitcoin_transactions.waiting():
        if transaction.purpose is not TransactionPurpose.CPFP:
            continue
        for txid, vout in await view.bitcoin_transactions.inputs(transaction.txid):
            reserved.setdefault(OutPoint(txid, vout), transaction.subject)
    return VaultView(coins, reserved, tip)


async def deposits_of(view: View, ids: Iterable[bytes]) -> dict[OutPoint, Deposit]:
    """Deposits by their coins; those that are unknown are left out."""
    rows = await view.transfers.get_many(list(ids))
    found = [decode_deposit(row) for row in rows.values() if row.kind is TransferKind.DEPOSIT]
    return {OutPoint(d.txid, d.vout): d for d in found}


async def in_flight(view: View) -> set[OutPoint]:
    """The coins that our unconfirmed transactions spend."""
    return {
        OutPoint(*outpoint)
        for row in await view.bitcoin_transactions.waiting()
        for outpoint in await view.bitcoin_transactions.inputs(row.txid)
    }


async def coins_of(view: View, outpoints: Iterable[OutPoint]) -> tuple[Coin, ...]:
    """Our coins in the chain, spent or not, in the order asked for. Raises `InputNotOurs`."""
    coins = []
    for outpoint in outpoints:
        row = await view.coins.get(outpoint.txid, outpoint.vout)
        if row is None or row.height is None:
            raise InputNotOurs(outpoint, "is no coin of ours in the chain")
        coins.append(coin_of(row))
    return tuple(coins)
