"""Point mode, before the lock: the initiator's part of the adaptor signatures for its own claim."""

from __future__ import annotations

from msgspec.structs import replace

from settlement.swap.machine.changes import RungsOffered
from settlement.swap.machine.effects import CompleteRungs, SendLetter, SignRungs
from settlement.swap.machine.messages import RungAnswers, RungNonces, RungPartials
from settlement.swap.machine.states import MAX_ROUNDS, MAX_RUNGS, Initiator
from settlement.swap.machine.work import Work
from settlement.swap.terms import Mode


def nonces_came(state: Initiator, message: RungNonces, work: Work) -> Initiator:
    """The follower's funding is signed. A newer round takes the place of an older, until the lock is decided."""
    if state.terms.mode is Mode.HASH or state.locking or state.quit is not None:
        return state
    if not 1 <= len(message.nonces) <= MAX_RUNGS or not state.round <= message.round < MAX_ROUNDS:
        return state
    if state.planned and message.round == state.round:
        if state.offered_partials:
            work.again(SendLetter(_offer(state)))
        return state
    return replace(
        state,
        round=message.round,
        planned=message.outpoint,
        peer_nonces=message.nonces,
        offered_nonces=(),
        offered_partials=(),
        peer_partials=(),
        presignatures=(),
    )


def offered(state: Initiator, change: RungsOffered) -> Initiator:
    """The own nonces and partial signatures. The first ones are kept: two of one round would be two answers to one
    nonce of the follower's."""
    if change.round != state.round or not state.planned or state.offered_partials:
        return state
    return replace(state, offered_nonces=change.nonces, offered_partials=change.partials)


def answers_came(state: Initiator, message: RungAnswers) -> Initiator:
    """The follower's partial signatures, which the engine checks before the lock is made."""
    wanted = message.round == state.round and bool(state.offered_partials) and not state.presignatures
    return replace(state, peer_partials=message.partials) if wanted else state


def round_failed(state: Initiator, number: int) -> Initiator:
    """What the follower sent does not hold: it may send something better, as long as there is time."""
    if number != state.round or state.presignatures:
        return state
    return replace(state, peer_partials=())


def order_rounds(state: Initiator, work: Work) -> None:
    """Whatever the round waits for."""
    if not state.planned or state.presignatures or state.quit is not None:
        return
    if not state.offered_partials:
        work.order(SignRungs(state.round, state.planned, state.peer_nonces), state.gates.resend_ms)
    elif not state.peer_partials:
        work.letter(_offer(state), early=True)
    else:
        work.order(CompleteRungs(state.round, state.peer_partials), state.gates.resend_ms)


def _offer(state: Initiator) -> RungPartials:
    return RungPartials(state.round, state.offered_nonces, state.offered_partials)
