"""Fulfilling holds that are for us: the preimage is shown only where the claim will be final before the time-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from settlement.ledgers.evm.desk import Desk
from settlement.ledgers.evm.store import EvmLedgerStore
from settlement.ledgers.evm.types import MS, Lock
from settlement.ledgers.protocol import Fulfilment, HoldState, Outcome, Refusal
from settlement.quantities import Condition, fulfils


async def fulfil_all(desk: Desk, fulfilments: Sequence[Fulfilment]) -> tuple[Outcome, ...]:
    """An outcome for each fulfilment, in order. Raises what is not about one of them."""
    locks = await desk.named([one.transfer_id for one in fulfilments])
    outcomes: dict[int, Outcome] = {}
    going: dict[int, Lock] = {}
    for place, (one, lock) in enumerate(zip(fulfilments, locks, strict=True)):
        outcome = _settled(desk, one, lock)
        if outcome is not None:
            outcomes[place] = outcome
        else:
            assert lock is not None, "an unknown one is refused"
            going[place] = replace(lock, preimage=one.preimage)
    if going:
        claimed = list({lock.key: lock for lock in going.values()}.values())
        await _reveal(desk, claimed)
        await desk.errands.claim(claimed)
        for place, lock in going.items():
            outcomes[place] = await _awaited(desk, lock)
    return tuple(outcomes[place] for place in range(len(fulfilments)))


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
    left = lock.terms.expires_at * MS - desk.clock()
    # Once we have begun, the preimage may be out: then nothing is gained by stopping.
    if desk.is_over(lock) or (lock.preimage is None and left <= desk.config.reveal_ms):
        problem = f"{max(left, 0)} ms are too few to be paid for sure"
        return desk.refused(one.transfer_id, Refusal.EXPIRED, problem, lock)
    return None


async def _reveal(desk: Desk, locks: Sequence[Lock]) -> None:
    """Note it before anybody can see it: after a crash the claim goes on, however little time is left."""
    async with desk.database.unit() as unit:
        store = EvmLedgerStore(unit.connection, desk.config.ledger_id)
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
