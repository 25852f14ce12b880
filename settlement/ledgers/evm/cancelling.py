"""Giving holds back: the payee at any time, the payer after the time-out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from adapters.evm.escrow.errors import TooEarly
from settlement.ledgers.evm.desk import Desk
from settlement.ledgers.evm.types import MS, Lock
from settlement.ledgers.protocol import HoldState, Outcome, Refusal, TransferId


async def cancel_all(desk: Desk, transfer_ids: Sequence[TransferId]) -> tuple[Outcome, ...]:
    """An outcome for each id, in order. Raises what is not about one of them.

    All locks for us under an id are given back: a stranger's copy of another's must not be left in the place of it.
    """
    incoming = await desk.incoming(transfer_ids)
    others = [lock for transfer_id in dict.fromkeys(transfer_ids) for lock in incoming[transfer_id][1:]]
    locks = await desk.named(transfer_ids)
    pairs = [*zip(transfer_ids, locks, strict=True), *((lock.terms.id, lock) for lock in others)]
    outcomes = await asyncio.gather(*(_cancel(desk, TransferId(one), lock) for one, lock in pairs))
    return tuple(outcomes[: len(transfer_ids)])


async def _cancel(desk: Desk, transfer_id: TransferId, lock: Lock | None) -> Outcome:
    if lock is None:
        return desk.refused(transfer_id, Refusal.UNKNOWN_TRANSFER, "no final lock has this id")
    if lock.state is not HoldState.HELD:
        return _ended(desk, lock)
    if lock.terms.beneficiary == desk.own:
        if lock.preimage is not None and not desk.is_over(lock):
            problem = "its claim has begun, which cannot be taken back"
            return desk.refused(transfer_id, Refusal.NOT_ALLOWED, problem, lock)
        await desk.errands.give_back(lock)
        return _ended(desk, await desk.ended(lock))
    problem = "the payer takes a hold back once its time-out has passed"
    if desk.clock() < lock.terms.expires_at * MS:
        return desk.refused(transfer_id, Refusal.NOT_YET_EXPIRED, problem, lock)
    try:
        await desk.errands.refund(lock)
    except TooEarly:
        return desk.refused(transfer_id, Refusal.NOT_YET_EXPIRED, f"{problem}, by the chain's clock", lock)
    return _ended(desk, await desk.ended(lock))


def _ended(desk: Desk, lock: Lock) -> Outcome:
    if lock.state is HoldState.FULFILLED:
        return desk.refused(lock.terms.id, Refusal.ALREADY_FULFILLED, "it was paid", lock)
    return desk.done(lock)
