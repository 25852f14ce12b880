"""Binding coins to withdrawals on the Hub, before anybody signs a payment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from adapters.bitcoin.coins import select_coins
from adapters.bitcoin.errors import InsufficientFunds
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.transactions import key_path_vsize
from adapters.native.eip712 import by_signer
from adapters.native.errors import ContractRefused
from adapters.native.types import Outpoint, Reservation, WithdrawalStatus
from bridge.agents.office import Apart, Office, send_call
from bridge.agents.storeman.cosigning import Cosigning
from bridge.codec import decode_withdrawal
from bridge.ledger import balance, live_payouts, vault_view, withdrawals_of
from bridge.messages import PlainOutpoint, ReserveProposal
from bridge.payouts import Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.policy import TAPROOT_DUST, VaultView
from bridge.storage import TransferKind
from bridge.tiers import confirmations
from foundation.quantities import Satoshi, SatPerKvB, UnixMs
from registry.groups import Group
from registry.ids import outpoint_id

_LOG: Final = structlog.get_logger(__name__)
_AGAIN_MS: Final = 20_000
"""What was sent and has no final effect after this time is proposed again."""
_LOST_SECONDS: Final = 600.0
"""An input that has been missing for so long is replaced."""


@dataclass(frozen=True, slots=True)
class _Situation:
    """What a proposal is made from."""

    group: Group
    view: VaultView
    rate: SatPerKvB
    surplus: int  # satoshi that the vault holds beyond what it owes


class Reserve:
    """Proposes reservations for withdrawals that wait, and replacements for those whose coins were lost."""

    name = "reserve"

    def __init__(self, office: Office, cosigning: Cosigning) -> None:
        self._office = office
        self._cosigning = cosigning
        self._sent: dict[bytes, UnixMs] = {}

    async def run(self) -> bool:
        """Reserve for what waits, when it is this node's turn."""
        directory, tip = self._office.directory, self._office.intake.tip
        active = None if directory.active is None else directory.groups.get(directory.active)
        if active is None or tip is None:
            return False
        async with self._office.database.view() as view:
            rows = await view.transfers.by_stage(TransferKind.WITHDRAWAL, WithdrawalStage.REQUESTED)
            waiting = [w for w in map(decode_withdrawal, rows) if w.asset == directory.asset]
            lame = [p for p in await live_payouts(view) if p.stage is PayoutStage.RESERVED and p.group == active.id]
            vault = await vault_view(view, directory.vault(active.id), tip.height)
            surplus = (await balance(view)).surplus
        lame = [p for p in lame if any(o not in vault.coins for o in p.inputs)]
        if not waiting and not lame:
            self._sent.clear()
            return False
        if not self._office.is_turn(directory.storeman_peers(active.id)):
            return True
        situation = _Situation(active, vault, await self._office.fees.rate(), surplus)
        apart = Apart()
        for payout in lame:
            with apart:
                await self._replace(situation, payout)
        with apart:
            await self._reserve(situation, await self._still_requested(waiting))
        apart.end()
        return True

    async def _still_requested(self, waiting: Sequence[Withdrawal]) -> list[Withdrawal]:
        """Those that the Hub's newest block still has as requested: another reservation may not be final yet."""
        now = self._office.clock()
        fresh = [w for w in waiting if now - self._sent.get(w.withdrawal_id, UnixMs(0)) > _AGAIN_MS]
        records = await self._office.native.withdrawals([w.withdrawal_id for w in fresh], "latest")
        pairs = zip(fresh, records, strict=True)
        return [w for w, record in pairs if record is not None and record.status is WithdrawalStatus.REQUESTED]

    async def _reserve(self, situation: _Situation, waiting: Sequence[Withdrawal]) -> None:
        free = await self._free_coins(situation)
        least = fee_for(1, 1, situation.rate)
        # One that is too large for the coins that are free now must not keep the others waiting.
        largest = sorted((coin.value for coin in free), reverse=True)[: self._office.policy.max_inputs]
        payable = [w for w in waiting if w.max_fee >= least and w.amount <= sum(largest)]
        payable = payable[: self._office.policy.max_withdrawals]
        while payable:
            try:
                target = Satoshi(sum(w.amount for w in payable))
                coins = self._select(situation, free, target)
            except InsufficientFunds:
                payable.pop()  # the oldest first; the others wait for coins
                continue
            share = -(-fee_for(len(coins), len(payable), situation.rate) // len(payable))
            enough = [w for w in payable if w.max_fee >= share]
            if len(enough) == len(payable):
                await self._propose(situation, payable, coins)
                return
            payable = enough
        if waiting:
            _LOG.debug("no withdrawal can be reserved now", waiting=len(waiting), coins=len(free))

    def _select(self, situation: _Situation, free: Sequence[Coin], target: Satoshi) -> tuple[Coin, ...]:
        """The coins to bind; with change, where the surplus cannot pay for leaving dust to the miner.

        Raises:
            InsufficientFunds: there are too few.
        """
        most, rate = self._office.policy.max_inputs, situation.rate
        coins = select_coins(free, target, rate, max_inputs=most)
        left = sum(coin.value for coin in coins) - target
        if max(situation.surplus, 0) < left < TAPROOT_DUST:
            coins = select_coins(free, target, rate, max_inputs=most, max_steps=0)
        return coins

    async def _free_coins(self, situation: _Situation) -> list[Coin]:
        """Deep enough, bound to nothing that this node knows, nor on the Hub's newest block."""
        view, depth = situation.view, self._office.policy.input_depth
        coins = [
            coin
            for outpoint, coin in view.coins.items()
            if outpoint not in view.reserved and confirmations(coin.height, view.tip) >= depth
        ]
        ids = [outpoint_id(coin.outpoint.txid, coin.outpoint.vout) for coin in coins]
        bound = await self._office.native.reserved_by(ids, "latest")
        return [coin for coin, payout in zip(coins, bound, strict=True) if payout is None]

    async def _replace(self, situation: _Situation, payout: Payout) -> None:
        """Other coins beside the anchor, where one has been gone for long; without the anchor vouchers void it."""
        anchor = situation.view.coins.get(payout.anchor)
        async with self._office.database.view() as view:
            row = await view.payouts.get(payout.payout_id)
            withdrawals = await withdrawals_of(view, payout)
        if anchor is None or row is None or self._office.since(row.updated_at_ms) < _LOST_SECONDS:
            return
        coins = select_coins(
            await self._free_coins(situation),
            Satoshi(sum(w.amount for w in withdrawals)),
            situation.rate,
            required=[anchor],
            max_inputs=self._office.policy.max_inputs,
        )
        await self._propose(situation, withdrawals, coins)

    async def _propose(self, situation: _Situation, withdrawals: Sequence[Withdrawal], coins: Sequence[Coin]) -> None:
        group, asset = situation.group, self._office.directory.asset
        ids = [w.withdrawal_id for w in withdrawals]
        outpoints = [coin.outpoint for coin in coins]
        inputs = [outpoint_id(o.txid, o.vout) for o in outpoints]
        digest = self._office.native.hub_digests.payout_reservation(group.id, asset, ids, inputs)
        proposal = ReserveProposal(group.id, ids, [PlainOutpoint(o.txid, o.vout) for o in outpoints])
        signatures = await self._cosigning.cosign(group, proposal, digest)
        reservation = Reservation(group.id, asset, tuple(ids), _plain(outpoints))
        call = self._office.native.calls.reserve(reservation, by_signer(signatures))
        try:
            await send_call(self._office.sender, "reserve", digest, call)
        except ContractRefused as error:
            _LOG.info("the Hub refuses a reservation", reason=str(error), withdrawals=len(ids))
        now = self._office.clock()
        self._sent.update(dict.fromkeys(ids, now))
        names = [self._office.directory.name_of(account) for account in sorted(signatures)]
        _LOG.info("reserved", withdrawals=len(ids), coins=len(coins), cosigned_by=names)


def fee_for(inputs: int, withdrawals: int, rate: SatPerKvB) -> Satoshi:
    """The miner fee of a payout with change, all scripts taken as large as Taproot's."""
    scripts = [bytes(34)] * (withdrawals + 1)
    return Satoshi(-(-key_path_vsize(inputs, scripts) * rate // 1000))


def _plain(outpoints: Sequence[OutPoint]) -> tuple[Outpoint, ...]:
    return tuple(Outpoint(o.txid, o.vout) for o in outpoints)
