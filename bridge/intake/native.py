"""Final events of the native chain become steps: everything that a batch of events says, in one unit of work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import structlog

from adapters.bitcoin.blocks import Spent
from adapters.bitcoin.primitives import OutPoint
from adapters.bitcoin.scripts import deposit_script
from adapters.evm.types import BlockRef
from adapters.native import events as e
from bridge import deposits, payouts
from bridge.codec import encode
from bridge.deposits import Note
from bridge.directory import GroupUnknown
from bridge.earned import VOUCHERS, note_distributed, note_earned
from bridge.intake.bitcoin import BitcoinIntake
from bridge.intake.common import (
    GROUPS,
    NATIVE_CURSOR,
    PENDING,
    SUPPLY,
    Context,
    anchor_fact,
    halt_fact,
    latest_halt_fact,
    pending_fact,
    placeholder,
    supply_fact,
)
from bridge.intake.evm import EvmIntake
from bridge.intake.releases import look_at_payout
from bridge.intake.steps import Steps
from bridge.payouts import Payout, Withdrawal, WithdrawalStage
from bridge.storage import DepositTermsRow, UnitOfWork
from foundation.errors import BadInput
from foundation.quantities import BlockHeight

_LOG: Final = structlog.get_logger(__name__)

IDENTITY_EVENTS: Final = (
    e.GroupProposed,
    e.GroupActivated,
    e.VoucherJoined,
    e.WeightChanged,
    e.VoucherRemoved,
    e.ChainRegistered,
    e.ChainPolicyChanged,
    e.VaultRegistered,
    e.AssetRegistered,
    e.AssetPolicyChanged,
)
"""After one of these the directory is read anew."""
_UNSEEN: Final = Note("known from the Hub, what was deposited is not seen yet")
_POLICY_EVENTS: Final = (e.AssetRegistered, e.AssetPolicyChanged)


@dataclass(frozen=True, slots=True)
class SeenSpend:
    """How a coin is spent in the bitcoin chain, for an event that comes after it."""

    spend: Spent
    height: BlockHeight


class NativeIntake:
    """Applies final events inside a unit of work."""

    def __init__(self, context: Context, bitcoin: BitcoinIntake, evm: EvmIntake) -> None:
        self._context = context
        self._bitcoin = bitcoin
        self._evm = evm

    async def apply(
        self,
        uow: UnitOfWork,
        batch: e.EventBatch,
        tip: BlockHeight | None,
        evm_tips: Mapping[bytes, BlockHeight],
        spends: Mapping[OutPoint, SeenSpend],
    ) -> Steps:
        """Apply a batch and store its cursor. The caller saves the steps and commits.

        `tip`: this node's bitcoin tip; `evm_tips`: how far it has read each EVM chain; `spends`: how anchors that are
        spent already were spent.
        """
        steps = self._context.steps(uow)
        for event in batch.events:
            await self._apply(uow, steps, event, spends)
        reconsidered = any(isinstance(event, _POLICY_EVENTS) for event in batch.events)
        if tip is not None and reconsidered:
            await self._bitcoin.reconsider(uow, steps, tip)
        elif tip is not None:
            await self._bitcoin.advance(uow, steps, tip)
        if reconsidered:
            for chain, height in evm_tips.items():
                await self._evm.reconsider(uow, steps, chain, height)
        await uow.cursors.put(NATIVE_CURSOR, encode((batch.last.number, batch.last.hash)))
        return steps

    async def _apply(
        self, uow: UnitOfWork, steps: Steps, event: e.NativeEvent, spends: Mapping[OutPoint, SeenSpend]
    ) -> None:
        match event:
            case e.GroupProposed():
                await self._group_proposed(uow, event)
            case e.DepositMinted() if self._is_known(event.asset):
                await self._minted(steps, event)
                await self._supply(uow, event.asset, event.minted)
                if event.fee:
                    await self._pending(uow, event.asset, event.fee)
                    await note_earned(uow, event.asset, VOUCHERS, event.attesters)
            case e.FeesDistributed():
                await self._supply(uow, event.asset, event.amount)
                await self._pending(uow, event.asset, -event.amount)
                await note_distributed(uow, event.asset, event.group, event.signers)
            case e.DepositReturned() if self._is_known(event.asset):
                await self._returned(steps, event)
            case e.WithdrawalRequested() if self._is_known(event.asset):
                await self._requested(steps, event)
            case e.WithdrawalCancelled():
                await steps.load([event.id])
                self._withdrawal(steps, event.id, "cancelled by its owner", event, stage=WithdrawalStage.CANCELLED)
            case e.MaxFeeRaised():
                await self._fee_raised(steps, event)
            case e.PayoutReserved() if self._is_known(event.asset):
                await self._reserved(uow, steps, event, spends)
            case e.PayoutVoided():
                await self._voided(steps, event)
            case e.PayoutSettled():
                await self._settled(uow, steps, event)
            case e.WithdrawalRestored():
                await self._restored(uow, steps, event)
            case e.Halted():
                for fact in (halt_fact(event.asset), latest_halt_fact(event.asset)):
                    await uow.node_meta.put(fact, str(event.until).encode())
            case e.Resumed():
                await uow.node_meta.put(halt_fact(event.asset), b"0")
            case _:
                pass

    def _is_known(self, asset: bytes) -> bool:
        return asset in self._context.directory.assets

    async def _supply(self, uow: UnitOfWork, asset: bytes, change: int) -> None:
        await _count(uow, SUPPLY if asset == self._context.directory.asset else supply_fact(asset), change)

    async def _pending(self, uow: UnitOfWork, asset: bytes, change: int) -> None:
        await _count(uow, PENDING if asset == self._context.directory.asset else pending_fact(asset), change)

    def terms_of(self, batch: e.EventBatch) -> tuple[DepositTermsRow, ...]:
        """The deposit addresses that a batch announces; nonsense is passed over."""
        rows = []
        for event in batch.events:
            if isinstance(event, e.DepositAnnounced) and event.terms.asset == self._context.directory.asset:
                try:
                    rows.append(self._terms(event))
                except (BadInput, GroupUnknown) as error:
                    _LOG.info("an announcement is passed over", announcement=event.id.hex(), problem=str(error))
        return tuple(rows)

    def _terms(self, event: e.DepositAnnounced) -> DepositTermsRow:
        t = event.terms
        birthday = BlockHeight(min(t.birthday, 2**31))
        row = DepositTermsRow(b"", event.id, t.asset, t.group, t.recipient, t.reclaim_key, t.delay, t.salt, birthday)
        return replace(row, script=deposit_script(self._context.deposit_terms(row)).script)

    async def _group_proposed(self, uow: UnitOfWork, event: e.GroupProposed) -> None:
        known = await uow.node_meta.get(GROUPS) or b""
        if event.id not in split_ids(known):
            await uow.node_meta.put(GROUPS, known + event.id)

    async def _minted(self, steps: Steps, event: e.DepositMinted) -> None:
        await steps.load([event.id])
        if event.id not in steps.deposits:
            deposit = placeholder(
                event.id, event.asset, event.group, event.txid, event.vout, event.amount, event.recipient
            )
            steps.add_deposit(deposit, _UNSEEN)
        shown = self._context.directory.shown(event.asset, event.minted)
        steps.step_deposit(event.id, deposits.Minted(event.minted, event.at.transaction, shown))

    async def _returned(self, steps: Steps, event: e.DepositReturned) -> None:
        await steps.load([event.id])
        if event.id not in steps.deposits:
            deposit = placeholder(event.id, event.asset, event.group, event.txid, event.vout, event.amount, bytes(20))
            steps.add_deposit(deposit, _UNSEEN)
        steps.step_deposit(event.id, deposits.Barred(event.at.transaction))

    async def _requested(self, steps: Steps, event: e.WithdrawalRequested) -> None:
        await steps.load([event.id])
        if event.id in steps.withdrawals:
            return
        withdrawal = Withdrawal(
            event.id,
            event.asset,
            event.owner,
            event.amount,
            event.max_fee,
            event.destination,
            event.at.transaction,
            event.at.block.number,
            number=event.number,
            service_fee=event.fee,
        )
        shown = self._context.directory.shown(event.asset, event.amount + event.fee)
        steps.put_withdrawal(
            withdrawal, Note(f"requested and final, {shown} are locked", event.at.transaction, "native")
        )

    async def _fee_raised(self, steps: Steps, event: e.MaxFeeRaised) -> None:
        await steps.load([event.id])
        state = steps.withdrawals.get(event.id)
        if state is not None:
            bitcoin = state.asset == self._context.directory.asset
            shown = f"{event.max_fee:,} sat" if bitcoin else self._context.directory.shown(state.asset, event.max_fee)
            self._withdrawal(steps, event.id, f"fee limit raised, it is {shown} now", event, max_fee=event.max_fee)

    async def _reserved(
        self, uow: UnitOfWork, steps: Steps, event: e.PayoutReserved, spends: Mapping[OutPoint, SeenSpend]
    ) -> None:
        inputs = tuple(OutPoint(txid, vout) for txid, vout in event.inputs)
        if await steps.load_payout(event.id) is not None:
            steps.step_payout(event.id, payouts.Replaced(inputs, event.version, event.signers))
            return
        payout = Payout(
            event.id, event.group, event.asset, event.withdrawals, inputs, event.version, signers=event.signers
        )
        await steps.load(event.withdrawals)
        steps.add_payout(payout)
        coins = (
            f", {_counted(len(inputs), 'coin')} for {_counted(len(event.withdrawals), 'withdrawal')}" if inputs else ""
        )
        for withdrawal in event.withdrawals:
            text = f"reserved{coins}"
            self._withdrawal(steps, withdrawal, text, event, stage=WithdrawalStage.RESERVED, payout=event.id)
        if not payout.is_bound:
            await look_at_payout(uow, steps, self._context.directory, payout)
            return
        await uow.node_meta.put(anchor_fact(payout.anchor), payout.payout_id)
        seen = spends.get(payout.anchor)
        if seen is not None:
            self._bitcoin.anchor_spent(steps, event.id, seen.spend, seen.height)

    async def _voided(self, steps: Steps, event: e.PayoutVoided) -> None:
        payout = await steps.load_payout(event.id)
        if payout is None:
            return
        steps.step_payout(event.id, payouts.Voided(event.at.transaction))
        for withdrawal in payout.withdrawals:
            self._withdrawal(steps, withdrawal, "requested again", event, stage=WithdrawalStage.REQUESTED, payout=None)

    async def _settled(self, uow: UnitOfWork, steps: Steps, event: e.PayoutSettled) -> None:
        payout = await steps.load_payout(event.id)
        if payout is None:
            return
        await self._supply(uow, payout.asset, -event.burnt)
        if event.service_fee:
            await self._pending(uow, payout.asset, event.service_fee)
            await note_earned(uow, payout.asset, VOUCHERS, event.attesters)
            await note_earned(uow, payout.asset, payout.group, payout.signers)
        steps.step_payout(event.id, payouts.Settled(event.txid, event.at.transaction))
        for withdrawal in payout.withdrawals:
            state = steps.withdrawals[withdrawal]
            steps.withdrawals[withdrawal] = replace(state, stage=WithdrawalStage.SETTLED)

    async def _restored(self, uow: UnitOfWork, steps: Steps, event: e.WithdrawalRestored) -> None:
        await steps.load([event.id])
        state = steps.withdrawals.get(event.id)
        if state is not None:
            await self._supply(uow, state.asset, event.amount)
            text = f"{self._context.directory.shown(state.asset, event.amount)} are given back to its owner"
            self._withdrawal(steps, event.id, text, event, stage=WithdrawalStage.RESTORED)

    def _withdrawal(self, steps: Steps, id_: bytes, text: str, event: e.NativeEvent, **changes: Any) -> None:
        """A new state of a withdrawal that is loaded; of another asset's there is none."""
        state = steps.withdrawals.get(id_)
        if state is not None:
            note = Note(text, event.at.transaction, "native")
            steps.put_withdrawal(replace(state, **changes), note)


async def _count(uow: UnitOfWork, fact: str, change: int) -> None:
    await uow.node_meta.put(fact, str(int(await uow.node_meta.get(fact) or b"0") + change).encode())


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def split_ids(joined: bytes) -> list[bytes]:
    """32-byte ids out of their concatenation."""
    return [joined[i : i + 32] for i in range(0, len(joined), 32)]


def early_scripts(rows: Iterable[DepositTermsRow], tip: BlockHeight) -> dict[bytes, BlockHeight]:
    """Those addresses that may have been paid in blocks up to `tip`, with the height to scan from."""
    return {row.script: row.birthday for row in rows if row.birthday <= tip}


def event_cursor(stored: bytes | None) -> BlockRef | None:
    """The native cursor as it was stored."""
    if stored is None:
        return None
    number, block_hash = msgspec.msgpack.decode(stored, type=tuple[int, bytes])
    return BlockRef(BlockHeight(number), block_hash)
