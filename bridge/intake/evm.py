"""Final, proved events of a vault's contract on an EVM chain become steps, in one unit of work for each batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from adapters.evm.lockbox import events as e
from adapters.evm.lockbox.types import RETURN
from adapters.evm.types import BlockRef
from bridge import deposits
from bridge.codec import encode
from bridge.deposits import Deposit, Lock, Note, Purpose, Seen, Spend, Stage
from bridge.directory import EvmOrigin
from bridge.intake.common import Context, epoch_fact, evm_cursor, failed_fact, is_placeholder
from bridge.intake.releases import look_at_payout
from bridge.intake.steps import Steps
from bridge.storage import ReleaseOutcome, ReleaseRow, TransferKind, UnitOfWork, VaultAssetRow
from foundation.quantities import BlockHeight, TokenUnits
from registry.ids import deposit_id, lock_id

_UNDECIDED: Final = (Stage.CONFIRMING, Stage.FINAL, Stage.REFUSED)


class EvmIntake:
    """Applies the events of one chain's vault inside a unit of work."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def apply(self, uow: UnitOfWork, origin: EvmOrigin, batch: e.LockboxBatch) -> None:
        """Apply a batch and store its cursor. The caller commits, or tries the same batch again.

        The batch must follow the stored cursor: what is held is counted up and down, so none may come twice.
        """
        steps = self._context.steps(uow)
        await self._load(steps, origin, batch.events)
        for event in batch.events:
            match event:
                case e.Locked():
                    await self._locked(uow, steps, origin, event)
                case e.Released() | e.PaymentFailed():
                    await self._paid(uow, steps, origin, event)
                case e.PaymentClaimed() | e.PaymentCancelled():
                    await self._later(uow, steps, origin, event)
                case e.AssetConfigured():
                    await self._configured(uow, origin, event)
                case e.KeyRotated():
                    await uow.node_meta.put(epoch_fact(origin.chain.id), str(event.epoch).encode())
                case _:
                    pass
        self._advance(steps, origin.chain.id, batch.last.number)
        await uow.cursors.put(evm_cursor(origin.chain.id), cursor_of(batch.last))
        await steps.save()

    async def reconsider(self, uow: UnitOfWork, steps: Steps, chain: bytes, tip: BlockHeight) -> None:
        """The policy of an asset changed, or an asset became known: look again at each deposit that is undecided."""
        for row in await uow.transfers.by_stage(TransferKind.DEPOSIT, *_UNDECIDED, chain=chain):
            steps.adopt(row)
        self._advance(steps, chain, tip)

    def _advance(self, steps: Steps, chain: bytes, tip: BlockHeight) -> None:
        """All that a vault's contract tells here is final: a deposit is decided as soon as its asset is known.

        `tip`: of `chain`; it says nothing about the deposits of other chains that the steps hold.
        """
        for id_, deposit in list(steps.deposits.items()):
            if deposit.lock is not None and self._context.chain_of(deposit) == chain:
                steps.step_deposit(id_, deposits.Tip(tip, self._context.evm_terms(deposit.asset)))

    async def _load(self, steps: Steps, origin: EvmOrigin, events: Sequence[e.LockboxEvent]) -> None:
        paying = (e.Released, e.PaymentFailed, e.PaymentClaimed, e.PaymentCancelled)
        numbers = [event.number for event in events if isinstance(event, paying) and event.number < RETURN]
        await steps.load(
            [
                *(self._deposit_id(origin, ev.asset, ev.number) for ev in events if isinstance(ev, e.Locked)),
                *(self._context.withdrawal_id(number) for number in numbers),
            ]
        )

    def _deposit_id(self, origin: EvmOrigin, token: bytes, number: int) -> bytes:
        name = lock_id(origin.chain_number, origin.vault.lockbox, number)
        return deposit_id(origin.token_asset(token), name, 0)

    async def _locked(self, uow: UnitOfWork, steps: Steps, origin: EvmOrigin, event: e.Locked) -> None:
        asset = origin.token_asset(event.asset)
        id_ = self._deposit_id(origin, event.asset, event.number)
        height = event.at.block.number
        deposit = Deposit(
            id_,
            asset,
            origin.vault.group,
            event.id,
            0,
            event.amount,
            event.recipient,
            origin.vault.lockbox,
            0,
            height=height,
            lock=Lock(event.number, event.sender, event.asset, event.at.transaction, origin.chain.caip2),
        )
        await self._hold(uow, origin, event.asset, event.amount)
        known = steps.deposits.get(id_)
        if known is None:
            steps.add_deposit(deposit, Note(f"lock seen in block {height}", event.at.transaction, origin.chain.caip2))
            return
        if is_placeholder(known):
            d = deposit  # the Hub's bar does not name the recipient
            whole = replace(known, script=d.script, amount=d.amount, recipient=d.recipient, lock=d.lock)
            steps.replace_deposit(whole)
        steps.step_deposit(id_, Seen(height))

    async def _paid(
        self, uow: UnitOfWork, steps: Steps, origin: EvmOrigin, event: e.Released | e.PaymentFailed
    ) -> None:
        failed = isinstance(event, e.PaymentFailed)
        row = ReleaseRow(
            origin.chain.id,
            event.number,
            ReleaseOutcome.FAILED if failed else ReleaseOutcome.PAID,
            event.asset,
            event.payee,
            event.amount,
            event.fee,
            event.at.transaction,
            event.at.block.number,
            event.at.index,
            event.at.transaction,
            event.at.block.number,
        )
        await uow.releases.put(row)
        if failed:
            await uow.node_meta.put(failed_fact(origin.chain.id, event.number), str(self._context.clock()).encode())
        # What waits for its payee's claim is still in the vault, but it is nobody else's: it backs no tokens.
        await self._hold(uow, origin, event.asset, -(event.amount + event.fee))
        if event.number >= RETURN:
            await self._returned(steps, origin, event)
            return
        what = "the payee refuses the payment: it waits to be claimed" if failed else "released by the vault"
        self._tell(steps, origin, event, what)
        await self._look(uow, steps, event.number)

    async def _later(
        self, uow: UnitOfWork, steps: Steps, origin: EvmOrigin, event: e.PaymentClaimed | e.PaymentCancelled
    ) -> None:
        """A payment that had failed was claimed or given up; or one that was never tried was given up."""
        before = await uow.releases.get(origin.chain.id, event.number)
        at = event.at
        if isinstance(event, e.PaymentClaimed):
            assert before is not None, "only a failed payment can be claimed"
            outcome, text = ReleaseOutcome.CLAIMED, f"claimed by its payee, to 0x{event.to.hex()}"
        else:
            outcome, text = ReleaseOutcome.CANCELLED, "the vault will never pay it: the Hub gives the tokens back"
            if before is not None:
                await self._hold(uow, origin, before.asset, before.amount)
        row = before or ReleaseRow(
            origin.chain.id,
            event.number,
            outcome,
            b"",
            b"",
            0,
            0,
            at.transaction,
            at.block.number,
            at.index,
            b"",
            at.block.number,
        )
        await uow.releases.put(replace(row, outcome=outcome, changed_by=at.transaction, changed_height=at.block.number))
        if event.number < RETURN:
            self._tell(steps, origin, event, text)
            await self._look(uow, steps, event.number)

    async def _returned(self, steps: Steps, origin: EvmOrigin, event: e.Released | e.PaymentFailed) -> None:
        """The vault sent a refused deposit back, or keeps it for the claim of who locked it."""
        id_ = self._deposit_id(origin, event.asset, event.number - RETURN)
        await steps.load([id_])
        if id_ not in steps.deposits:
            steps.alarm(id_, f"the vault of {origin.chain.caip2} sent back a deposit that it never had")
            return
        deposit = steps.deposits[id_]
        due = (None if deposit.lock is None else deposit.lock.sender, deposit.amount, 0)
        if (event.payee, event.amount, event.fee) != due:
            steps.alarm(id_, f"the vault of {origin.chain.caip2} sent a deposit back otherwise than it came")
        spend = Spend(event.at.transaction, event.at.block.number, Purpose.RETURN)
        steps.step_deposit(id_, deposits.Spent(spend))

    def _tell(
        self,
        steps: Steps,
        origin: EvmOrigin,
        event: e.Released | e.PaymentFailed | e.PaymentClaimed | e.PaymentCancelled,
        text: str,
    ) -> None:
        note = Note(f"{text}, in block {event.at.block.number}", event.at.transaction, origin.chain.caip2)
        steps.tell_withdrawal(self._context.withdrawal_id(event.number), note)

    async def _look(self, uow: UnitOfWork, steps: Steps, number: int) -> None:
        withdrawal = steps.withdrawals.get(self._context.withdrawal_id(number))
        if withdrawal is None or withdrawal.payout is None:
            return  # the Hub's side of it is read later
        payout = await steps.load_payout(withdrawal.payout)
        if payout is not None:
            await look_at_payout(uow, steps, self._context.directory, payout)

    async def _hold(self, uow: UnitOfWork, origin: EvmOrigin, token: bytes, change: int) -> None:
        row = await uow.vault_assets.get(origin.chain.id, token) or VaultAssetRow(origin.chain.id, token)
        held = row.held + change
        if held < 0:
            await self._context.alarm(uow, origin.chain.id, f"the vault paid more of 0x{token.hex()} than it ever had")
        await uow.vault_assets.put(replace(row, held=TokenUnits(max(held, 0))))

    async def _configured(self, uow: UnitOfWork, origin: EvmOrigin, event: e.AssetConfigured) -> None:
        row = await uow.vault_assets.get(origin.chain.id, event.asset) or VaultAssetRow(origin.chain.id, event.asset)
        await uow.vault_assets.put(
            replace(
                row,
                deposit_limit=event.deposit_limit,
                withdrawal_limit=event.withdrawal_limit,
                denied=event.denied,
                nonce=event.nonce,
            )
        )


def cursor_of(last: BlockRef) -> bytes:
    """A cursor as it is stored."""
    return encode((last.number, last.hash))
