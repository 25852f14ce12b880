"""Carries effects to one ledger, in batches, until the ledger has said what became of them.

A hold and a fulfilment are asked for again and again under their ids while the ledger does not answer. What it answers
becomes a change of the payment, committed together with the removal of the effect.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Protocol

import structlog

from foundation.errors import Retryable
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody.news import News
from settlement.custody.store import Due
from settlement.custody.terms import PaymentId
from settlement.gateway.ledger_asking import claim_what_is_held, ended, look, wait_for_end
from settlement.ledgers.protocol import (
    Done,
    Fulfilment,
    Hold,
    HoldState,
    Ledger,
    LedgerAccount,
    LedgerId,
    Outcome,
    Refusal,
    Refused,
    TransferId,
)
from settlement.quantities import Clock, Condition, Preimage, Units

_BATCH = 256
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.2, 5.0
_TOGETHER_SECONDS = 0.2
"""So long a batch is waited for before the next one goes beside it."""
_log = structlog.get_logger(__name__)

_WHY = {
    Refusal.INSUFFICIENT_FUNDS: c.Why.NO_FUNDS,
    Refusal.UNKNOWN_ACCOUNT: c.Why.NO_ROUTE,
    Refusal.EXPIRED: c.Why.TOO_LATE,
}


class Submit(Protocol):
    """Hands news to the engine."""

    async def __call__(self, news: News) -> None:
        """Returns when it is committed."""


class LedgerCourier:
    """The effects for one ledger. Start `run` as a task; hand effects in by `add`."""

    def __init__(self, ledger_id: LedgerId, ledger: Ledger, submit: Submit, clock: Clock) -> None:
        self._ledger_id = ledger_id
        self._ledger = ledger
        self._submit = submit
        self._clock = clock
        self._waiting: list[Due] = []
        self._wake = asyncio.Event()
        self._tried: set[TransferId] = set()
        self._in_doubt: set[TransferId] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._later: list[Due] = []
        self._resting: asyncio.Task[None] | None = None
        self._pause = _PAUSE_SECONDS

    def add(self, due: Sequence[Due], *, recovered: bool = False) -> None:
        """Effects to be carried out. `recovered`: from before a start, so that it is not known whether they were
        tried.
        """
        if recovered:
            self._in_doubt.update(TransferId(one.effect.transfer_id) for one in due if isinstance(one.effect, c.Fulfil))
        self._waiting.extend(due)
        self._wake.set()

    async def run(self) -> None:
        """Carry out what waits; until cancelled.

        A chain answers a call when its effect is final, which may take long: what comes meanwhile does not wait for it,
        or a claim could come too late. What comes while a ledger answers soon goes together with the next.
        """
        try:
            while True:
                if not self._waiting:
                    self._wake.clear()
                    await self._wake.wait()
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                kinds = {type(due.effect) for due in batch}
                started = [self._start([due for due in batch if type(due.effect) is kind]) for kind in kinds]
                await asyncio.wait(started, timeout=_TOGETHER_SECONDS)
        finally:
            tasks = [*self._running, *([self._resting] if self._resting is not None else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, batch: Sequence[Due]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._carried(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _carried(self, batch: Sequence[Due]) -> None:
        """Carry a batch out; what is to be tried again is, after a while."""
        try:
            later = await self._carry(batch)
            self._pause = _PAUSE_SECONDS
        except Retryable as problem:
            _log.warning("ledger unavailable", ledger=self._ledger_id, problem=str(problem))
            later = list(batch)
        except Exception:  # noqa: BLE001 - one effect that cannot be understood must not hold up the others
            _log.exception("a batch failed", ledger=self._ledger_id, size=len(batch))
            later = await self._each_alone(batch)
        if later:
            self._later.extend(later)
            if self._resting is None:
                self._resting = asyncio.create_task(self._rest())

    async def _each_alone(self, batch: Sequence[Due]) -> list[Due]:
        later: list[Due] = []
        for due in batch:
            try:
                later.extend(await self._carry([due]))
            except Exception as problem:  # noqa: BLE001 - see `run`
                _log.error("an effect failed", payment=due.payment.hex(), ledger=self._ledger_id, problem=str(problem))
                later.append(due)
        return later

    async def _rest(self) -> None:
        """Wait before the next attempt at what failed. Parties do not come back in step."""
        pause, self._pause = self._pause, min(2 * self._pause, _PAUSE_SECONDS_MAX)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._waiting, self._later, self._resting = [*self._later, *self._waiting], [], None
        self._wake.set()

    async def _carry(self, batch: Sequence[Due]) -> list[Due]:
        """Carry a batch out; what is to be tried again is returned."""
        now = self._clock()
        holds: list[tuple[Due, c.MakeHold]] = []
        fulfils: list[tuple[Due, c.Fulfil]] = []
        backs: list[tuple[Due, c.GiveBack]] = []
        looks: list[tuple[Due, c.Look]] = []
        doubts: list[tuple[Due, c.Fulfil]] = []
        salvages: list[tuple[Due, c.Salvage]] = []
        late: list[tuple[Due, c.AnyChange | None]] = []
        for due in batch:
            match due.effect:
                case c.MakeHold():
                    holds.append((due, due.effect))
                case c.Fulfil() as effect if self._is_late(effect, now):
                    if effect.transfer_id in self._in_doubt:
                        doubts.append((due, effect))
                    else:
                        late.append((due, c.NotSent(effect.ledger, effect.transfer_id)))
                case c.Fulfil():
                    fulfils.append((due, due.effect))
                case c.GiveBack():
                    backs.append((due, due.effect))
                case c.Look():
                    looks.append((due, due.effect))
                case c.Salvage():
                    salvages.append((due, due.effect))
                case _:
                    raise AssertionError(f"no effect for a ledger: {due.effect}")
        results = late
        later: list[Due] = []
        asking = (
            *(self._hold(holds), self._fulfil(fulfils), self._give_back(backs)),
            *(self._look(looks), self._doubted(doubts, now), self._salvage(salvages)),
        )
        groups: list[list[_Answer] | BaseException] = list(await asyncio.gather(*asking, return_exceptions=True))
        problems = [group for group in groups if isinstance(group, BaseException)]
        dues = [[due for due, _ in group] for group in (holds, fulfils, backs, looks, doubts, salvages)]
        for group, asked in zip(groups, dues, strict=True):
            if isinstance(group, BaseException):
                later.extend(asked)
                continue
            for due, answer in group:
                if isinstance(answer, _Later):
                    later.append(due)
                else:
                    results.append((due, answer))
        if results:
            changes = tuple((due.payment, change) for due, change in results if change is not None)
            await self._submit(News(changes=changes, done=tuple(due.number for due, _ in results)))
        for problem in problems:
            if not isinstance(problem, Retryable):
                raise problem
            _log.warning("ledger unavailable", ledger=self._ledger_id, problem=str(problem))
        return later

    def _is_late(self, effect: c.Fulfil, now: UnixMs) -> bool:
        """Whether the preimage is not to be shown any more. What this process has begun is tried until it ends."""
        return effect.not_after is not None and effect.transfer_id not in self._tried and now > effect.not_after

    async def _hold(self, holds: Sequence[tuple[Due, c.MakeHold]]) -> list[_Answer]:
        if not holds:
            return []
        outcomes = await self._ledger.hold([_hold_of(effect) for _, effect in holds])
        answers: list[_Answer] = []
        for (due, _), outcome in zip(holds, outcomes, strict=True):
            match outcome:
                case Done(view=view) if view.state is HoldState.HELD:
                    answers.append((due, c.HoldMade(self._ledger_id, view.hold.transfer_id)))
                case Done(view=view):
                    answers.append((due, ended(self._ledger_id, view)))
                case Refused():
                    refused = c.HoldRefused(_WHY.get(outcome.reason, c.Why.LEDGER), outcome.detail)
                    answers.append((due, refused))
        return answers

    async def _fulfil(self, fulfils: Sequence[tuple[Due, c.Fulfil]]) -> list[_Answer]:
        if not fulfils:
            return []
        begun = {TransferId(effect.transfer_id) for _, effect in fulfils}
        self._tried |= begun
        self._in_doubt -= begun
        # What has no last moment is a claim of what the payee has shown: it is tried for as long as there is a hold.
        asked = [
            Fulfilment(TransferId(effect.transfer_id), Preimage(effect.preimage), is_known=effect.not_after is None)
            for _, effect in fulfils
        ]
        outcomes = await self._ledger.fulfil(asked)
        answers: list[_Answer] = []
        for (due, effect), outcome in zip(fulfils, outcomes, strict=True):
            answer = _ended_or_later(self._ledger_id, outcome)
            if isinstance(outcome, Refused) and outcome.reason is Refusal.NOT_SHOWN:
                answer = c.NotSent(self._ledger_id, effect.transfer_id)
            if answer is None:
                answer = _Later()  # a claim is never dropped: the ledger may know the hold again
            if not isinstance(answer, _Later):
                self._tried.discard(TransferId(effect.transfer_id))
            answers.append((due, answer))
        return answers

    async def _look(self, looks: Sequence[tuple[Due, c.Look]]) -> list[_Answer]:
        if not looks:
            return []
        told = await look(self._ledger_id, self._ledger, [TransferId(effect.transfer_id) for _, effect in looks])
        return [(due, change) for (due, _), change in zip(looks, told, strict=True)]

    async def _doubted(self, doubts: Sequence[tuple[Due, c.Fulfil]], now: UnixMs) -> list[_Answer]:
        if not doubts:
            return []
        numbers = [TransferId(effect.transfer_id) for _, effect in doubts]
        told = await wait_for_end(self._ledger_id, self._ledger, numbers, now)
        return [(due, _Later() if change is None else change) for (due, _), change in zip(doubts, told, strict=True)]

    async def _salvage(self, salvages: Sequence[tuple[Due, c.Salvage]]) -> list[_Answer]:
        if not salvages:
            return []
        found = [effect for _, effect in salvages]
        asked = [Fulfilment(TransferId(one.transfer_id), Preimage(one.preimage), is_known=True) for one in found]
        are_over = await claim_what_is_held(self._ledger, asked)
        return [(due, None if is_over else _Later()) for (due, _), is_over in zip(salvages, are_over, strict=True)]

    async def _give_back(self, backs: Sequence[tuple[Due, c.GiveBack]]) -> list[_Answer]:
        if not backs:
            return []
        outcomes = await self._ledger.cancel([TransferId(effect.transfer_id) for _, effect in backs])
        return [
            (due, _ended_or_later(self._ledger_id, outcome)) for (due, _), outcome in zip(backs, outcomes, strict=True)
        ]


class _Later:
    """To be tried again."""


_Answer = tuple[Due, c.AnyChange | _Later | None]


def _ended_or_later(ledger_id: LedgerId, outcome: Outcome) -> c.AnyChange | _Later | None:
    """What became of a hold that was to end. A ledger that never had it has nothing to say of it."""
    view = outcome.view
    if view is not None and view.state is not HoldState.HELD:
        return ended(ledger_id, view)
    if isinstance(outcome, Refused) and outcome.reason in (Refusal.UNKNOWN_TRANSFER, Refusal.NOT_ALLOWED):
        _log.error("a hold cannot be ended", transfer_id=outcome.transfer_id.hex(), detail=outcome.detail)
        return None
    return _Later()  # held still: not yet expired by the ledger's clock, or expired and not returned yet


def _hold_of(effect: c.MakeHold) -> Hold:
    return Hold(
        TransferId(effect.transfer_id),
        LedgerAccount(effect.payer),
        LedgerAccount(effect.payee),
        Units(effect.amount),
        Condition(effect.condition),
        UnixMs(effect.expires_at),
        effect.memo,
    )


__all__ = ["LedgerCourier", "PaymentId", "Submit"]
