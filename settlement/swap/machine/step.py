"""One step of either side. Pure: no clock, no chance, no network."""

from __future__ import annotations

from msgspec.structs import replace

from foundation.quantities import UnixMs
from settlement.swap.machine import follower, initiator
from settlement.swap.machine.changes import Change
from settlement.swap.machine.effects import Effect, StopWatching, Watch
from settlement.swap.machine.invariants import check_step
from settlement.swap.machine.states import Initiator, Swap
from settlement.swap.machine.work import Work


def step(state: Swap, change: Change, now: UnixMs) -> tuple[Swap, tuple[Effect, ...]]:
    """Advance one side: take in the change, decide, and order what follows.

    The engine stores the state and the effects in one transaction, and carries the effects out afterwards. A change
    that comes again, or late, is harmless. Nothing that the other side may send raises.

    Args:
        state: as it was stored last.
        change: a fact, a letter, the owner's word, or a tick.
        now: the own clock.
    """
    new, effects = advance(state, change, now)
    check_step(state, new, effects)
    return new, effects


def advance(state: Swap, change: Change, now: UnixMs) -> tuple[Swap, tuple[Effect, ...]]:
    """As `step`, without the invariants: for tests that break a guard, to see that the simulation notices."""
    work = Work(state, now)
    new: Swap
    if isinstance(state, Initiator):
        new = initiator.take_in(state, change, work)
        work.sec = new.seconds(now)
        new = initiator.decide(new, work)
    else:
        new = follower.take_in(state, change, work)
        work.sec = new.seconds(now)
        new = follower.decide(new, work)
    if new.outcome is None:
        if state.outcome is not None or "Watch" not in state.orders:
            work.again(Watch())
    elif state.outcome is None:
        work.again(StopWatching())
    wake_at = UnixMs(0 if new.outcome is not None else work.wake_at)
    if work.effects or wake_at != new.wake_at:
        new = replace(new, orders=work.orders, wake_at=wake_at)
    return new, tuple(work.effects)
