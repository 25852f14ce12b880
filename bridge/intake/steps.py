"""The transfers and payouts that one unit of work touches: loaded once, stepped in memory, saved together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from bridge import deposits, payouts
from bridge.codec import decode_deposit, decode_payout, decode_withdrawal, encode_state
from bridge.deposits import Alarm, Deposit, Effect, Note, Stage
from bridge.payouts import Payout, Withdrawal
from bridge.storage import IncidentKind, JourneyEntry, PayoutRow, TransferKind, TransferRow, UnitOfWork
from bridge.tiers import Tiers
from foundation.quantities import BlockHeight, UnixMs


class Steps:
    """States as they were read, and as they are now. Call `save` before the unit's commit."""

    def __init__(
        self,
        uow: UnitOfWork,
        now: UnixMs,
        chain_of: Callable[[Deposit | Withdrawal | Payout], bytes],
        tiers: Tiers,
        mint_margin: int,
        settled_depth: int,
    ) -> None:
        """`chain_of`: the origin chain of a new state, 32 bytes; the others: of bitcoin, as in `Context`."""
        self._uow = uow
        self._now = now
        self._chain_of = chain_of
        self._tiers = tiers
        self._mint_margin = mint_margin
        self._settled_depth = settled_depth
        self._rows: dict[bytes, TransferRow] = {}
        self._payout_rows: dict[bytes, PayoutRow] = {}
        self.deposits: dict[bytes, Deposit] = {}
        self.withdrawals: dict[bytes, Withdrawal] = {}
        self.payouts: dict[bytes, Payout] = {}
        self._journey: list[JourneyEntry] = []
        self._alarms: list[tuple[bytes, str]] = []

    async def load(self, transfers: Iterable[bytes]) -> None:
        """Read those of `transfers` that are stored and not read yet."""
        missing = [id_ for id_ in set(transfers) if id_ not in self._rows]
        for row in (await self._uow.transfers.get_many(missing)).values():
            self.adopt(row)

    def adopt(self, row: TransferRow) -> None:
        """Take a row that was read from the same unit."""
        if row.id in self._rows:
            return
        self._rows[row.id] = row
        if row.kind is TransferKind.DEPOSIT:
            self.deposits[row.id] = decode_deposit(row)
        else:
            self.withdrawals[row.id] = decode_withdrawal(row)

    async def load_payout(self, payout: bytes) -> Payout | None:
        """Read a payout with its withdrawals, unless it is read already."""
        if payout not in self.payouts:
            row = await self._uow.payouts.get(payout)
            if row is None:
                return None
            await self.adopt_payout(row)
        return self.payouts[payout]

    async def adopt_payout(self, row: PayoutRow) -> Payout:
        """Take a payout's row that was read from the same unit, and read its withdrawals."""
        if row.id not in self.payouts:
            self._payout_rows[row.id] = row
            self.payouts[row.id] = decode_payout(row)
            await self.load(self.payouts[row.id].withdrawals)
        return self.payouts[row.id]

    def add_deposit(self, deposit: Deposit, note: Note) -> None:
        """A deposit that was never seen before."""
        self.deposits[deposit.deposit_id] = deposit
        self._note(deposit.deposit_id, deposit.stage, (note,))

    def replace_deposit(self, deposit: Deposit) -> None:
        """Complete what was not known of a deposit; steps follow."""
        self.deposits[deposit.deposit_id] = deposit

    def step_deposit(self, deposit_id: bytes, change: deposits.Change) -> Deposit:
        """Advance a deposit that is loaded."""
        after, effects = deposits.step(self.deposits[deposit_id], change)
        self.deposits[deposit_id] = after
        self._note(deposit_id, after.stage, effects)
        return after

    def put_withdrawal(self, withdrawal: Withdrawal, note: Note) -> None:
        """A new withdrawal, or a new state of one."""
        if self.withdrawals.get(withdrawal.withdrawal_id) == withdrawal:
            return
        self.withdrawals[withdrawal.withdrawal_id] = withdrawal
        self._note(withdrawal.withdrawal_id, withdrawal.stage, (note,))

    def tell_withdrawal(self, withdrawal_id: bytes, note: Note) -> None:
        """Add to the journey of a withdrawal that is loaded; one that is not is told of later, or never."""
        withdrawal = self.withdrawals.get(withdrawal_id)
        if withdrawal is not None:
            self._note(withdrawal_id, withdrawal.stage, (note,))

    def alarm(self, subject: bytes, text: str) -> None:
        """Something that operators must look at."""
        self._alarms.append((subject, text))

    def add_payout(self, payout: Payout) -> None:
        """A payout that was never seen before; its withdrawals are loaded."""
        self.payouts[payout.payout_id] = payout

    def step_payout(self, payout_id: bytes, change: payouts.Change) -> Payout:
        """Advance a payout that is loaded; what happens is told to each of its withdrawals."""
        after, effects = payouts.step(self.payouts[payout_id], change)
        self.payouts[payout_id] = after
        for withdrawal in after.withdrawals:
            self._note(withdrawal, after.stage, [e for e in effects if isinstance(e, Note)])
        self._note(payout_id, after.stage, [e for e in effects if isinstance(e, Alarm)])
        return after

    def _note(self, subject: bytes, stage: str, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Alarm):
                self._alarms.append((subject, effect.text))
            else:
                entry = JourneyEntry(subject, self._now, stage, effect.text, effect.transaction, effect.chain)
                self._journey.append(entry)

    async def save(self) -> None:
        """Write what has changed, the journey, and the alarms."""
        changed = [
            *(self._transfer_row(id_, TransferKind.DEPOSIT, d) for id_, d in self.deposits.items()),
            *(self._transfer_row(id_, TransferKind.WITHDRAWAL, w) for id_, w in self.withdrawals.items()),
        ]
        await self._uow.transfers.save(*(row for row in changed if row is not None))
        for payout in self.payouts.values():
            await self._save_payout(payout)
        await self._uow.journey.append(*self._journey)
        for subject, text in self._alarms:
            await self._uow.incidents.record(
                IncidentKind.ALARM, "Alarm", self._now, subject=subject, fields={"text": text}
            )

    def _transfer_row(self, id_: bytes, kind: TransferKind, state: Deposit | Withdrawal) -> TransferRow | None:
        """The row to write, None where nothing has changed."""
        body = encode_state(state)
        before = self._rows.get(id_)
        height, due = self._heights(state)
        if before is not None:
            if (before.state, before.next_height) == (body, due):
                return None
            return replace(
                before, stage=state.stage, state=body, updated_at_ms=self._now, height=height, next_height=due
            )
        return TransferRow(id_, kind, state.stage, body, self._now, self._now, height, due, chain=self._chain_of(state))

    def _heights(self, state: Deposit | Withdrawal) -> tuple[BlockHeight | None, BlockHeight | None]:
        if isinstance(state, Withdrawal):
            return state.requested_at, None
        return state.height, next_height(state, self._tiers, self._mint_margin, self._settled_depth)

    async def _save_payout(self, payout: Payout) -> None:
        body = encode_state(payout)
        before = self._payout_rows.get(payout.payout_id)
        if before is None:
            row = PayoutRow(payout.payout_id, payout.stage, body, self._now, self._now, chain=self._chain_of(payout))
            await self._uow.payouts.save(row)
            await self._uow.payouts.link(payout.payout_id, payout.withdrawals)
        elif before.state != body:
            row = replace(before, stage=payout.stage, state=body, updated_at_ms=self._now)
            await self._uow.payouts.save(row)


def next_height(deposit: Deposit, tiers: Tiers, mint_margin: int, settled_depth: int) -> BlockHeight | None:
    """The bitcoin height at which the deposit's next step is due; None where it waits for none."""
    if deposit.lock is not None:
        return None  # all that is told of it is final
    if deposit.spend is not None:
        ended = deposit.stage in deposits.ENDED
        return None if ended else BlockHeight(deposit.spend.height + settled_depth - 1)
    if deposit.height is None:
        return None
    if deposit.stage is Stage.CONFIRMING:
        return BlockHeight(deposit.height + tiers.required(deposit.at_stake) - 1)
    if deposit.stage is Stage.FINAL:  # from here on too little time is left before the reclaim
        return BlockHeight(deposit.height + deposit.delay - mint_margin + 1)
    return None
