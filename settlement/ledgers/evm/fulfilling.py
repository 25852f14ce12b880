"""Fulfilling holds that are for us: the preimage is shown only where the claim will be final before the time-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from settlement.ledgers.evm.desk import Desk
from settlement.ledgers.evm.types import MS, Lock, LockKey
from settlement.ledgers.protocol import Fulfilment, HoldState, Outcome, Refusal
from settlement.quantities import Condition, fulfils


async def fulfil_all(desk: Desk, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
    """An outcome for each fulfilment, in order. Raises what is not about one of them.

    Somebody may have copied another's id and condition into a lock of its own. So all that the preimage opens is
    claimed: whoever shows it for one of them has shown it for all.
    """
    named = await desk.named([one.transfer_id for one in fulfilments])
    incoming = await desk.incoming([one.transfer_id for one in fulfilments])
    outcomes: dict[int, Outcome] = {}
    awaited: dict[int, Lock] = {}
    claims: dict[LockKey, Lock] = {}
    for place, (one, lock) in enumerate(zip(fulfilments, named, strict=True)):
        opened = [lock for lock in incoming[one.transfer_id] if fulfils(one.preimage, Condition(lock.terms.condition))]
        due, missed = _due(desk, opened, one.is_known)
        lock = missed or next(iter((*due, *opened, *incoming[one.transfer_id])), lock)
        outcome = _settled(desk, one, lock)
        if outcome is None:
            claims |= {each.key: replace(each, preimage=one.preimage) for each in due}
            awaited[place] = due[0]
        else:
            outcomes[place] = outcome
    if claims:
        await _reveal(desk, list(claims.values()))
        await desk.errands.claim(list(claims.values()))
    for place, lock in awaited.items():
        outcomes[place] = await _awaited(desk, lock)
    return tuple(outcomes[place] for place in range(len(fulfilments)))


def _due(desk: Desk, opened: Sequence[Lock], is_known: bool) -> tuple[list[Lock], Lock | None]:
    """The locks to be claimed, large ones first; or none, and the lock because of which.

    A preimage that nobody has seen yet is not shown for less than a lock that can no longer be claimed in time: who
    copied its id and condition into a small one that lives longer would have it, and what hangs on it elsewhere. A lock
    that never lived long enough to be relied on is no such reason.
    """
    due = [each for each in opened if each.state is HoldState.HELD and _is_in_time(desk, each, is_known)]
    if not due or is_known or any(each.preimage is not None for each in opened):
        return due, None
    real = (each for each in opened if each.terms.expires_at * MS - each.held_at > desk.config.reveal_ms)
    largest = max(real, key=lambda each: each.terms.amount, default=due[0])
    return (due, None) if largest in due or largest.terms.amount <= due[0].terms.amount else ([], largest)


def _settled(desk: Desk, one: Fulfilment, lock: Lock | None) -> Outcome | None:
    """What is sure without the chain; None where the preimage is to be brought."""
    if lock is None:
        return desk.refused(one.transfer_id, Refusal.UNKNOWN_TRANSFER, "no final lock has this id")
    if lock.terms.beneficiary != desk.own:
        return desk.refused(one.transfer_id, Refusal.NOT_ALLOWED, "only its payee fulfils a hold", lock)
    if not fulfils(one.preimage, Condition(lock.terms.condition)):
        problem = "the preimage does not hash to the condition"
        return desk.refused(one.transfer_id, Refusal.WRONG_PREIMAGE, problem, lock)
    if lock.state is HoldState.FULFILLED:
        return desk.done(lock)
    if lock.state is not HoldState.HELD:
        return desk.refused(one.transfer_id, Refusal.ALREADY_RETURNED, f"it is {lock.state.value}", lock)
    if not _is_in_time(desk, lock, one.is_known):
        problem = "too little time is left to be paid for sure"
        is_out = one.is_known or lock.preimage is not None
        return desk.refused(one.transfer_id, Refusal.EXPIRED if is_out else Refusal.NOT_SHOWN, problem, lock)
    return None


def _is_in_time(desk: Desk, lock: Lock, is_known: bool) -> bool:
    """Whether an open lock may be claimed. Once we have begun, the preimage may be out: stopping gains nothing."""
    left = lock.terms.expires_at * MS - desk.clock()
    is_out = is_known or lock.preimage is not None
    return not desk.is_over(lock) and (is_out or left > desk.config.reveal_ms)


async def _reveal(desk: Desk, locks: Sequence[Lock]) -> None:
    """Note it before anybody can see it: after a crash the claim goes on, however little time is left."""
    async with desk.database.unit() as unit:
        store = desk.store(unit.connection)
        for lock in locks:
            await store.reveal(lock.key, lock.preimage or b"")
        await unit.commit()


async def _awaited(desk: Desk, lock: Lock) -> Outcome:
    """What became of a claim, once it is final, or can never be."""

    async def ask() -> Lock | None:
        now = await desk.now(lock)
        return now if now.state is not HoldState.HELD or desk.is_over(now) else None

    end = await desk.feed.until(ask)
    if end.state is HoldState.FULFILLED:
        return desk.done(end)
    if end.state is HoldState.HELD:
        return desk.refused(lock.terms.id, Refusal.EXPIRED, "no block took the claim before the time-out", end)
    return desk.refused(lock.terms.id, Refusal.ALREADY_RETURNED, f"it is {end.state.value}", end)
