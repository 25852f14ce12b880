"""Keeping signed transactions in the mempool until they confirm: broadcast again, and bumped when they linger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from adapters.bitcoin.builders import child_transaction, return_transaction
from adapters.bitcoin.errors import FeeAboveLimit, OutputBelowDust
from adapters.bitcoin.fees import replacement_fee
from adapters.bitcoin.primitives import Coin
from adapters.bitcoin.transactions import UnsignedTx, parse_transaction
from bridge.agents.office import Apart, Office
from bridge.agents.storeman.payments import Pay, sweep_within_means
from bridge.agents.storeman.signing import Plan, Signing
from bridge.authorizer import child_coin
from bridge.codec import decode_payout
from bridge.ledger import coins_of, withdrawals_of
from bridge.storage import BitcoinTransactionRow, TransactionPurpose, View
from foundation.quantities import Satoshi, SatPerKvB

_LOG: Final = structlog.get_logger(__name__)
_REBROADCAST_SECONDS: Final = 30.0


class Broadcast:
    """Every storeman gives every waiting transaction to its own node: one of them alone suffices."""

    name = "broadcast"

    def __init__(self, office: Office, signing: Signing) -> None:
        self._office = office
        self._signing = signing
        self._tried: dict[bytes, tuple[int, float]] = {}

    async def run(self) -> bool:
        """Broadcast what is new, what has waited, and everything after each block."""
        tip = self._office.intake.tip
        height = 0 if tip is None else tip.height
        async with self._office.database.view() as view:
            rows = await view.bitcoin_transactions.waiting()
        self._tried = {row.txid: self._tried[row.txid] for row in rows if row.txid in self._tried}
        for row in rows:
            now = self._office.clock() / 1000
            tried_at, when = self._tried.get(row.txid, (-1, 0.0))
            if tried_at == height and now - when < _REBROADCAST_SECONDS:
                continue
            await self._signing.broadcast(row.txid, row.raw)
            self._tried[row.txid] = (height, now)
        return False


class Bump:
    """Raises the fee of what lingers: by replacing it (RBF), or by a child that pays for it (CPFP)."""

    name = "bump"

    def __init__(self, office: Office, signing: Signing, pay: Pay) -> None:
        self._office = office
        self._signing = signing
        self._pay = pay

    async def run(self) -> bool:
        """Bump what lingers, when it is this node's turn."""
        async with self._office.database.view() as view:
            rows = await view.bitcoin_transactions.waiting()
        lingering = [row for row in rows if self._lingers(row)]
        apart = Apart()
        for row in lingering:
            async with self._office.database.view() as view:
                group = await self._group_of(view, row)
            if group is None or not self._office.is_turn(self._office.directory.storeman_peers(group)):
                continue
            rate = await self._office.fees.bump(SatPerKvB(row.fee * 1000 // row.vsize))
            if rate is not None:
                with apart:
                    await self._bump(group, row, rate)
        apart.end()
        return bool(lingering)

    def _lingers(self, row: BitcoinTransactionRow) -> bool:
        first = row.first_broadcast_at_ms
        return first is not None and self._office.since(first) >= self._office.policy.bump_after_seconds

    async def _group_of(self, view: View, row: BitcoinTransactionRow) -> bytes | None:
        """The group whose vault the transaction touches."""
        for output in parse_transaction(row.raw).outputs:
            group = self._office.directory.group_of_vault(output.script)
            if group is not None:
                return group
        for txid, vout in await view.bitcoin_transactions.inputs(row.txid):
            coin = await view.coins.get(txid, vout)
            terms = None if coin is None else await view.deposit_terms.by_script(coin.script)
            if terms is not None:
                return terms.group_id
            if coin is not None:
                return self._office.directory.group_of_vault(coin.script)
        return None

    async def _bump(self, group: bytes, row: BitcoinTransactionRow, rate: SatPerKvB) -> None:
        increment = await self._office.fees.increment()
        least = replacement_fee(row.fee, row.vsize, increment)
        parsed = parse_transaction(row.raw)
        async with self._office.database.view() as view:
            if row.purpose is TransactionPurpose.CPFP:
                return await self._bump_child(view, group, row, rate, least)
            coins = await coins_of(view, parsed.inputs)
        vault = self._office.directory.vault(group)
        try:
            if row.purpose is TransactionPurpose.SWEEP:
                transaction = await sweep_within_means(self._office, coins, vault, rate, least)
            elif row.purpose is TransactionPurpose.RETURN:
                transaction = return_transaction(coins[0], parsed.outputs[0].script, rate, minimum_fee=least)
            else:
                transaction = await self._higher_payout(row, coins, rate, least)
        except FeeAboveLimit:
            return await self._pay_by_child(group, row, rate)
        except OutputBelowDust:
            _LOG.info("too little is left for a higher fee", purpose=row.purpose)
            return None
        await self._sign(group, row.purpose, row.subject, transaction)
        return None

    async def _higher_payout(
        self, row: BitcoinTransactionRow, coins: Sequence[Coin], rate: SatPerKvB, least: Satoshi
    ) -> UnsignedTx:
        async with self._office.database.view() as view:
            stored = await view.payouts.get(row.subject)
            assert stored is not None, "a signed payout is in the database"
            payout = decode_payout(stored)
            withdrawals = await withdrawals_of(view, payout)
        return self._pay.build(payout, withdrawals, coins, rate, least)

    async def _pay_by_child(self, group: bytes, row: BitcoinTransactionRow, rate: SatPerKvB) -> None:
        """The payees allow no higher fee: the vault's change pays, out of the surplus that fees have left there."""
        vault = self._office.directory.vault(group)
        change = child_coin(row.txid, parse_transaction(row.raw).outputs, vault)
        async with self._office.database.view() as view:
            children = await view.bitcoin_transactions.of_subject(TransactionPurpose.CPFP, row.txid)
        if change is None or children:
            _LOG.info("a payout lingers: its payees allow no higher fee", payout=row.subject.hex())
            return
        child = child_transaction(row.vsize, row.fee, change, vault, rate)
        await self._sign(group, TransactionPurpose.CPFP, row.txid, child)

    async def _bump_child(
        self, view: View, group: bytes, row: BitcoinTransactionRow, rate: SatPerKvB, least: Satoshi
    ) -> None:
        parent = await view.bitcoin_transactions.get(row.subject)
        if parent is None or parent.height is not None:
            return
        vault = self._office.directory.vault(group)
        change = child_coin(parent.txid, parse_transaction(parent.raw).outputs, vault)
        assert change is not None, "the child spends it"
        child = child_transaction(parent.vsize, parent.fee, change, vault, rate)
        if child.fee >= least:
            await self._sign(group, TransactionPurpose.CPFP, row.subject, child)

    async def _sign(self, group: bytes, purpose: TransactionPurpose, subject: bytes, transaction: UnsignedTx) -> None:
        _LOG.info("bumping", purpose=purpose, fee=transaction.fee, vsize=transaction.vsize)
        await self._signing.sign(Plan(group, purpose, subject, transaction))
