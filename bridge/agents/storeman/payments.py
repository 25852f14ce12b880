"""Paying what is reserved, and sweeping what is minted."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

import structlog

from adapters.bitcoin.builders import Payment, payout_transaction, sweep_transaction
from adapters.bitcoin.errors import FeeAboveLimit, OutputBelowDust
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.transactions import UnsignedTx
from bridge.agents.office import Apart, Office
from bridge.agents.storeman.reservations import fee_for
from bridge.agents.storeman.signing import Plan, Signing
from bridge.codec import decode_deposit
from bridge.deposits import Deposit, Stage
from bridge.ledger import coins_of, in_flight, live_payouts, withdrawals_of
from bridge.payouts import Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.policy import SWEEP_MARGIN
from bridge.promised_fees import funds
from bridge.refusals import InputNotOurs
from bridge.storage import TransactionPurpose, TransferKind, TransferRow, View
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB
from registry.ids import outpoint_id

_LOG: Final = structlog.get_logger(__name__)
_MOST_WAITS: Final = 10
"""How many times `sweep_after_seconds` a deposit waits for others at most."""
_SLACK: Final = 2
"""Blocks that may pass between a proposal and its signatures."""


class Pay:
    """Payouts whose reservation is final and that no signed transaction pays: the group signs one."""

    name = "pay"

    def __init__(self, office: Office, signing: Signing) -> None:
        self._office = office
        self._signing = signing

    async def run(self) -> bool:
        """Pay what is reserved, when it is this node's turn."""
        async with self._office.database.view() as view:
            due = [p for p in await live_payouts(view) if await self._is_due(view, p)]
        apart = Apart()
        for payout in due:
            if self._office.is_turn(self._office.directory.storeman_peers(payout.group)):
                with apart:
                    await self._pay(payout)
        apart.end()
        return bool(due)

    async def _is_due(self, view: View, payout: Payout) -> bool:
        if payout.stage is not PayoutStage.RESERVED or payout.stranger is not None:
            return False
        inputs = {(o.txid, o.vout) for o in payout.inputs}
        rows = await view.bitcoin_transactions.of_subject(TransactionPurpose.PAYOUT, payout.payout_id)
        signed = [set(await view.bitcoin_transactions.inputs(row.txid)) for row in rows]
        return inputs not in signed

    async def _pay(self, payout: Payout) -> None:
        async with self._office.database.view() as view:
            withdrawals = await withdrawals_of(view, payout)
            coins = await coins_of(view, payout.inputs)
        rate = await self._office.fees.rate()
        transaction = self.build(payout, withdrawals, coins, rate)
        await self._signing.sign(Plan(payout.group, TransactionPurpose.PAYOUT, payout.payout_id, transaction))

    def build(
        self,
        payout: Payout,
        withdrawals: Sequence[Withdrawal],
        coins: Sequence[Coin],
        rate: SatPerKvB,
        minimum_fee: Satoshi = Satoshi(0),
    ) -> UnsignedTx:
        """The payment at `rate`, or at the highest rate that the withdrawals' owners allow, if it is lower.

        Raises:
            FeeAboveLimit: they do not even allow the floor (or `minimum_fee`).
        """
        payments = [Payment(w.destination, Satoshi(w.amount), w.max_fee) for w in withdrawals]
        vault = self._office.directory.vault(payout.group)
        try:
            return payout_transaction(coins, payments, vault, rate, minimum_fee=minimum_fee)
        except FeeAboveLimit:
            allowed = min(w.max_fee for w in withdrawals) * len(withdrawals)
            size = fee_for(len(coins), len(withdrawals), SatPerKvB(1000))
            lower = SatPerKvB(allowed * 1000 // size)
            if lower >= rate or lower < self._office.fees.policy.floor:
                raise
            return payout_transaction(coins, payments, vault, lower, minimum_fee=minimum_fee)


class Sweep:
    """Minted deposits are moved into the vault, many in one transaction."""

    name = "sweep"

    def __init__(self, office: Office, signing: Signing) -> None:
        self._office = office
        self._signing = signing

    async def run(self) -> bool:
        """Sweep when there is enough to sweep, when it has waited long enough, or when withdrawals wait for coins."""
        tip = self._office.intake.tip
        if tip is None:
            return False
        async with self._office.database.view() as view:
            rows = await view.transfers.by_stage(TransferKind.DEPOSIT, Stage.MINTED)
            taken = await in_flight(view)
            pairs = [(row, decode_deposit(row)) for row in rows]
            ready = [(row, d) for row, d in pairs if self._is_ready(d, taken, tip.height)]
            waiting = await view.transfers.by_stage(TransferKind.WITHDRAWAL, WithdrawalStage.REQUESTED)
        busy = False
        for group in {deposit.group for _, deposit in ready}:
            mine = [(row, d) for row, d in ready if d.group == group]
            if not self._is_time(mine, bool(waiting), tip.height):
                busy = True
                continue
            busy = True
            if self._office.is_turn(self._office.directory.storeman_peers(group)):
                await self._sweep(group, [d for _, d in mine])
        return busy

    @staticmethod
    def _is_ready(deposit: Deposit, taken: Set[OutPoint], tip: BlockHeight) -> bool:
        """In the chain, unspent, in none of our signed sweeps, and not near the depositor's reclaim."""
        if deposit.height is None or deposit.spend is not None or deposit.reclaim_height is None:
            return False
        if deposit.reclaim_height - tip <= SWEEP_MARGIN + _SLACK:
            return False
        return OutPoint(deposit.txid, deposit.vout) not in taken

    def _is_time(self, ready: Sequence[tuple[TransferRow, Deposit]], withdrawals_wait: bool, tip: BlockHeight) -> bool:
        """Many at once are cheaper: while more are being minted, those that are ready wait, but not for ever.

        Nothing waits when half of the blocks have passed that were to be left before its reclaim at its mint.
        """
        policy = self._office.policy
        if any((d.reclaim_height or tip) - tip <= policy.mint_margin // 2 for _, d in ready):
            return True
        since = [self._office.since(row.updated_at_ms) for row, _ in ready]
        settled = min(since) >= policy.sweep_after_seconds
        aged = max(since) >= policy.sweep_after_seconds * _MOST_WAITS
        return withdrawals_wait or settled or aged or len(ready) >= policy.sweep_batch

    async def _sweep(self, group: bytes, deposits: Sequence[Deposit]) -> None:
        """One sweep of up to the most inputs; the most urgent first."""
        ordered = sorted(deposits, key=lambda d: (d.reclaim_height or 0, d.txid, d.vout))
        transactions = -(-len(ordered) // self._office.policy.max_inputs)
        batch = ordered[: -(-len(ordered) // transactions)]  # all about the same size: a small last one costs more
        coins = [Coin(OutPoint(d.txid, d.vout), d.amount, d.script, d.height) for d in batch]
        vault = self._office.directory.vault(group)
        try:
            transaction = await sweep_within_means(self._office, coins, vault, await self._office.fees.rate())
        except OutputBelowDust:
            _LOG.info("too little to sweep", deposits=len(batch))
            return
        first = transaction.inputs[0].outpoint
        subject = outpoint_id(first.txid, first.vout)
        try:
            await self._signing.sign(Plan(group, TransactionPurpose.SWEEP, subject, transaction))
        except InputNotOurs as error:  # this node's own check, on what it has seen since the deposits were looked up
            _LOG.info("a block has come in between", problem=str(error))


async def sweep_within_means(
    office: Office, coins: Sequence[Coin], vault: bytes, rate: SatPerKvB, minimum_fee: Satoshi = Satoshi(0)
) -> UnsignedTx:
    """The sweep at `rate`, or at the highest rate that the vault's surplus pays, if it is lower.

    Nobody signs a sweep that the surplus cannot pay. While blocks are dear a cheap sweep is better than none: what is
    not swept before its reclaim height, its depositor can take back, tokens or not.

    Raises:
        OutputBelowDust: too little is left after the fee.
    """
    transaction = sweep_transaction(coins, vault, rate, minimum_fee=minimum_fee)
    async with office.database.view() as view:
        surplus = (await funds(view, [coin.outpoint for coin in coins])).surplus
    if transaction.fee <= surplus:
        return transaction
    lower = SatPerKvB(max(surplus * 1000 // transaction.vsize, office.fees.policy.floor))
    return sweep_transaction(coins, vault, SatPerKvB(min(lower, rate)), minimum_fee=minimum_fee)
