"""One side's dealings with the adjudicator: closing, answering a stale close, showing preimages, being paid out."""

from __future__ import annotations

from dataclasses import replace

from foundation.quantities import UnixMs
from settlement.channels.judge import Case, Status, lock_goes_to
from settlement.channels.ops import expired
from settlement.channels.outcome import adopt, proposals
from settlement.channels.state import (
    Channel,
    Effect,
    LockEnded,
    NotDone,
    Phase,
    Registered,
    SubmitChallenge,
    SubmitClose,
    SubmitReveal,
    SubmitSettle,
)
from settlement.quantities import condition_of, fulfils


def close_now(state: Channel) -> tuple[Channel, tuple[Effect, ...]]:
    """Close with the newest sheet. From here on this side signs none, so that what it submits stays its newest."""
    if state.phase not in (Phase.OPEN, Phase.LEAVING):
        return state, ()
    dropped = tuple(NotDone(op, "the channel was closed") for op in state.queue)
    state = replace(state, phase=Phase.CLOSING, submitted=state.sheet.sequence, queue=())
    return state, (SubmitClose(state.newest), *dropped)


def registered(state: Channel, entry: Registered) -> Channel:
    """The adjudicator knows a preimage. If it did in time, the conditional payment is made, whoever showed it."""
    for lock in state.sheet.locks:
        if fulfils(entry.preimage, lock.condition) and lock.condition not in state.revealed:
            state = replace(state, revealed={**state.revealed, lock.condition: entry.at})
            if entry.at < lock.expires_at:
                state = replace(
                    state,
                    preimages={**state.preimages, lock.condition: entry.preimage},
                    # It was declined for want of this knowledge.
                    declined=tuple(lock_id for lock_id in state.declined if lock_id != lock.lock_id),
                )
    return state


def ruled(
    state: Channel, case: Case, reveals: tuple[Registered, ...], now: UnixMs
) -> tuple[Channel, tuple[Effect, ...]]:
    """The ledger's view of the channel. Seeing it again changes nothing."""
    if state.phase is Phase.CLOSED:
        return state, ()
    assert case.channel == state.channel, "the shell asks by the channel's id"
    state = replace(state, case=case)
    effects: tuple[Effect, ...] = ()
    match case.status:
        case Status.WAITING:
            return state, ()
        case Status.OPEN:
            return (replace(state, phase=Phase.OPEN) if state.phase is Phase.OPENING else state), ()
        case Status.CLOSING:
            dropped = tuple(NotDone(op, "the channel was closed") for op in state.queue)
            state = replace(state, phase=Phase.CLOSING, queue=())
            state, effects = _follow(state, case)
            for entry in reveals:
                state = registered(state, entry)
            state, answers = answer(state, now)
            return state, (*effects, *dropped, *answers)
        case Status.CLOSED:
            state, effects = _follow(state, case)
            for entry in reveals:
                state = registered(state, entry)
            return _ended(state, effects, reveals)


def answer(state: Channel, now: UnixMs) -> tuple[Channel, tuple[Effect, ...]]:
    """What to submit while the channel closes: the newest sheet against an older one, and the end once it is due."""
    case = state.case
    if state.phase is not Phase.CLOSING or case is None or case.status is not Status.CLOSING:
        return state, ()
    submitted = case.sheet.sheet.sequence
    if submitted < state.sheet.sequence:
        if case.answered[state.side]:
            return state, ()
        state = replace(state, submitted=state.sheet.sequence)
        return state, (SubmitChallenge(state.newest, state.acknowledged),)
    decided = case.cheated[0] != case.cheated[1] or all(
        lock_goes_to(lock, state.revealed, now) is not None for lock in case.sheet.sheet.locks
    )
    if now >= case.ends_at and decided:
        return state, (SubmitSettle(),)
    return state, ()


def watch_locks(state: Channel, now: UnixMs) -> tuple[Channel, tuple[Effect, ...]]:
    """Show preimages while they count, and close where a conditional payment is long over and still there."""
    effects: list[Effect] = []
    for lock in state.sheet.locks:
        known = state.preimages.get(lock.condition)
        mine = lock.payer is not state.side
        due = state.phase is Phase.CLOSING or now >= lock.expires_at - state.policy.reveal_ms
        if mine and known is not None and due and lock.condition not in (*state.shown, *state.revealed):
            state = replace(state, shown=(*state.shown, lock.condition))
            effects.append(SubmitReveal(known, lock.expires_at))
    late = UnixMs(now - state.policy.patience_ms)
    overdue = any(
        expired(lock, late) and (lock.payer is state.side or lock.condition in state.preimages)
        for lock in state.sheet.locks
    )
    if overdue and state.phase is Phase.OPEN:
        state, closing = close_now(state)
        effects.extend(closing)
    return state, tuple(effects)


def _follow(state: Channel, case: Case) -> tuple[Channel, tuple[Effect, ...]]:
    """The other bank may have signed what this side proposed, and shown it to the adjudicator alone."""
    sheet = case.sheet.sheet
    for proposal in proposals(state):
        if proposal.sheet.sequence == sheet.sequence and sheet.sequence > state.sheet.sequence:
            return adopt(state, case.sheet, proposal.ops, mine=True)
    return state, ()


def _ended(
    state: Channel, effects: tuple[Effect, ...], reveals: tuple[Registered, ...]
) -> tuple[Channel, tuple[Effect, ...]]:
    """The ledger paid out: nothing can change any more."""
    never = tuple(NotDone(op, "the channel has ended") for proposal in proposals(state) for op in proposal.ops)
    queued = tuple(NotDone(op, "the channel has ended") for op in state.queue)
    shown = {condition_of(entry.preimage): entry for entry in reveals}
    locks = []
    for lock in state.sheet.locks:
        entry = shown.get(lock.condition)
        in_time = entry is not None and entry.at < lock.expires_at
        locks.append(LockEnded(lock, entry.preimage if entry is not None and in_time else None))
    state = replace(state, phase=Phase.CLOSED, proposal=None, voided=(), queue=())
    return state, (*effects, *locks, *never, *queued)
