"""Point mode, before the lock: the follower's part of the adaptor signatures by which it will learn the secret.

Its secret nonces live in the engine's memory alone, for one signature: a crash before that one is stored costs a round.
Its partial signatures leave when the pre-signatures are stored, for without one the chain would not show it the secret.
"""

from __future__ import annotations

from msgspec.structs import replace

from settlement.swap.machine.changes import FundingPrepared, RungsSigned
from settlement.swap.machine.effects import CountersignRungs, PrepareFunding, SendLetter
from settlement.swap.machine.messages import RungAnswers, RungNonces, RungPartials
from settlement.swap.machine.states import MAX_ROUNDS, Follower, Why
from settlement.swap.machine.work import Work
from settlement.swap.terms import Mode


def prepared(state: Follower, change: FundingPrepared) -> Follower:
    """The funding transaction is signed, and there are nonces. Fresh ones for the same round take the place of the old,
    which are lost, until the initiator has used some."""
    if change.round != state.round or state.peer_partials or state.never_fund is not None:
        return state
    return replace(state, prepared=change.outpoint, nonces=change.nonces)


def partials_came(state: Follower, message: RungPartials, work: Work) -> Follower:
    """The initiator's part. One of each round is looked at, for there is one secret nonce."""
    if message.round != state.round or not state.nonces:
        return state
    if not state.peer_partials:
        return replace(state, peer_nonces=message.nonces, peer_partials=message.partials)
    if state.partials:
        work.again(SendLetter(RungAnswers(state.round, state.partials)))
    return state


def signed(state: Follower, change: RungsSigned) -> Follower:
    """The pre-signatures are there: stored with this step, before the own part leaves."""
    if change.round != state.round or state.partials or not state.peer_partials:
        return state
    return replace(state, partials=change.partials, presignatures=(*state.presignatures, change.presignatures))


def round_failed(state: Follower, number: int) -> Follower:
    """Nonces were lost, or what came does not hold: another round."""
    if number != state.round or state.partials:
        return state
    never = Why.FAILED if number + 1 >= MAX_ROUNDS and not state.funding else None
    return replace(
        state, round=number + 1, nonces=(), peer_nonces=(), peer_partials=(), never_fund=state.never_fund or never
    )


def order_rounds(state: Follower, work: Work) -> None:
    """Whatever the round waits for."""
    if state.terms.mode is Mode.HASH or state.never_fund is not None or state.funding or not state.peer_agreed:
        return
    if not state.nonces:
        work.order(PrepareFunding(state.round), state.gates.resend_ms)
    elif not state.peer_partials:
        work.letter(RungNonces(state.round, state.prepared, state.nonces), early=True)
    elif not state.partials:
        work.order(CountersignRungs(state.round, state.peer_nonces, state.peer_partials), state.gates.resend_ms)
    elif state.own_lock is None:
        work.letter(RungAnswers(state.round, state.partials), early=True)
