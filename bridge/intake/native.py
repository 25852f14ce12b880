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
from bridge.intake.bitcoin import BitcoinIntake
from bridge.intake.common import GROUPS, NATIVE_CURSOR, SUPPLY, Context, anchor_fact, placeholder
from bridge.intake.steps import Steps
from bridge.payouts import Payout, Withdrawal, WithdrawalStage
from bridge.storage import DepositTermsRow, UnitOfWork
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi
from registry.amounts import format_amount

_LOG: Final = structlog.get_logger(__name__)

IDENTITY_EVENTS: Final = (
    e.GroupProposed,
    e.GroupActivated,
    e.VoucherJoined,
    e.WeightChanged,
    e.AssetRegistered,
    e.AssetPolicyChanged,
)
"""After one of these the directory is read anew."""


@dataclass(frozen=True, slots=True)
class SeenSpend:
    """How a coin is spent in the bitcoin chain, for an event that comes after it."""

    spend: Spent
    height: BlockHeight


class NativeIntake:
    """Applies final events inside a unit of work."""

    def __init__(self, context: Context, bitcoin: BitcoinIntake) -> None:
        self._context = context
        self._bitcoin = bitcoin

    async def apply(
        self,
        uow: UnitOfWork,
        batch: e.EventBatch,
        tip: BlockHeight | None,
        spends: Mapping[OutPoint, SeenSpend],
    ) -> Steps:
        """Apply a batch and store its cursor. The caller saves the steps and commits.

        `tip`: this node's bitcoin tip; `spends`: how anchors that are spent already were spent.
        """
        steps = self._context.steps(uow)
        supply = int(await uow.node_meta.get(SUPPLY) or b"0")
        for event in batch.events:
            match event:
                case e.GroupProposed():
                    await self._group_proposed(uow, event)
                case e.DepositMinted() if event.asset == self._context.directory.asset:
                    await self._minted(steps, event)
                    supply += event.minted
                case e.DepositReturned() if event.asset == self._context.directory.asset:
                    await self._returned(steps, event)
                case e.WithdrawalRequested():
                    await self._requested(steps, event)
                case e.WithdrawalCancelled():
                    await steps.load([event.id])
                    self._withdrawal(steps, event.id, "cancelled by its owner", event, stage=WithdrawalStage.CANCELLED)
                case e.MaxFeeRaised():
                    await steps.load([event.id])
                    text = f"fee limit raised, it is {event.max_fee:,} sat now"
                    self._withdrawal(steps, event.id, text, event, max_fee=Satoshi(event.max_fee))
                case e.PayoutReserved():
                    await self._reserved(uow, steps, event, spends)
                case e.PayoutVoided():
                    await self._voided(steps, event)
                case e.PayoutSettled():
                    if await self._settled(steps, event):
                        supply -= event.burnt
                case _:
                    pass
        if tip is not None and any(isinstance(event, e.AssetPolicyChanged) for event in batch.events):
            await self._bitcoin.reconsider(uow, steps, tip)
        elif tip is not None:
            await self._bitcoin.advance(uow, steps, tip)
        await uow.node_meta.put(SUPPLY, str(supply).encode())
        await uow.cursors.put(NATIVE_CURSOR, encode((batch.last.number, batch.last.hash)))
        return steps

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
        if event.chain != self._context.directory.chain:
            return
        known = await uow.node_meta.get(GROUPS) or b""
        if event.id not in split_ids(known):
            await uow.node_meta.put(GROUPS, known + event.id)

    async def _minted(self, steps: Steps, event: e.DepositMinted) -> None:
        await steps.load([event.id])
        if event.id not in steps.deposits:
            deposit = placeholder(
                event.id, event.asset, event.group, event.txid, event.vout, event.amount, event.recipient
            )
            steps.add_deposit(deposit, Note("known from the Hub, its coin is not seen yet", event.txid, "bitcoin"))
        steps.step_deposit(event.id, deposits.Minted(event.minted, event.at.transaction))

    async def _returned(self, steps: Steps, event: e.DepositReturned) -> None:
        await steps.load([event.id])
        if event.id not in steps.deposits:
            deposit = placeholder(event.id, event.asset, event.group, event.txid, event.vout, event.amount, bytes(20))
            steps.add_deposit(deposit, Note("known from the Hub, its coin is not seen yet", event.txid, "bitcoin"))
        steps.step_deposit(event.id, deposits.Barred(event.at.transaction))

    async def _requested(self, steps: Steps, event: e.WithdrawalRequested) -> None:
        if event.asset != self._context.directory.asset:
            return
        await steps.load([event.id])
        if event.id in steps.withdrawals:
            return
        withdrawal = Withdrawal(
            event.id,
            event.asset,
            event.owner,
            event.amount,
            Satoshi(event.max_fee),
            event.destination,
            event.at.transaction,
            event.at.block.number,
        )
        note = Note(
            f"requested and final, {format_amount(event.amount, 8, symbol='BTC')} are locked",
            event.at.transaction,
            "native",
        )
        steps.put_withdrawal(withdrawal, note)

    async def _reserved(
        self, uow: UnitOfWork, steps: Steps, event: e.PayoutReserved, spends: Mapping[OutPoint, SeenSpend]
    ) -> None:
        if event.asset != self._context.directory.asset:
            return
        inputs = tuple(OutPoint(txid, vout) for txid, vout in event.inputs)
        if await steps.load_payout(event.id) is not None:
            steps.step_payout(event.id, payouts.Replaced(inputs, event.version))
            return
        payout = Payout(event.id, event.group, event.asset, event.withdrawals, inputs, event.version)
        await steps.load(event.withdrawals)
        steps.add_payout(payout)
        await uow.node_meta.put(anchor_fact(payout.anchor), payout.payout_id)
        for withdrawal in event.withdrawals:
            text = f"reserved, {_count(len(inputs), 'coin')} for {_count(len(event.withdrawals), 'withdrawal')}"
            self._withdrawal(steps, withdrawal, text, event, stage=WithdrawalStage.RESERVED, payout=event.id)
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

    async def _settled(self, steps: Steps, event: e.PayoutSettled) -> bool:
        """Whether it is a payout of ours; of another asset's none is stored."""
        payout = await steps.load_payout(event.id)
        if payout is None:
            return False
        steps.step_payout(event.id, payouts.Settled(event.txid, event.at.transaction))
        for withdrawal in payout.withdrawals:
            state = steps.withdrawals[withdrawal]
            steps.withdrawals[withdrawal] = replace(state, stage=WithdrawalStage.SETTLED)
        return True

    def _withdrawal(self, steps: Steps, id_: bytes, text: str, event: e.NativeEvent, **changes: Any) -> None:
        """A new state of a withdrawal that is loaded; of another asset's there is none."""
        state = steps.withdrawals.get(id_)
        if state is not None:
            note = Note(text, event.at.transaction, "native")
            steps.put_withdrawal(replace(state, **changes), note)


def _count(number: int, what: str) -> str:
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
