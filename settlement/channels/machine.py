"""One side of a channel as a pure state machine: proposing, accepting, and ending conditional payments.

The banks take turns (`Terms.proposer`), so no number is ever signed for two sheets. A refused proposal may still be
signed by the other bank later; its operations are void only once a newer sheet has both signatures, or the ledger has
paid out. From the moment a side has signed the end, or submitted a sheet to the adjudicator, it signs no sheet any
more: what it submitted stays the newest that it holds.

Signatures are deterministic (RFC 6979), so that a step may be replayed; the shell stores the state before it sends.
"""

from __future__ import annotations

from dataclasses import replace

from foundation.quantities import UnixMs
from settlement.channels.acceptance import in_time, proposed
from settlement.channels.dispute import answer, close_now, registered, ruled, watch_locks
from settlement.channels.errors import BadStep
from settlement.channels.judge import CloseAgreed, Status
from settlement.channels.messages import (
    Accept,
    Acknowledge,
    AskTurn,
    CloseTogether,
    GiveBack,
    Opening,
    Propose,
    Refuse,
    Reveal,
)
from settlement.channels.opening import agreed, announce, remind
from settlement.channels.ops import Fulfil, Op, Return
from settlement.channels.proposing import accepted, acknowledged, asked, go_on, goodbye
from settlement.channels.signing import SheetSigner, check_signature, close_digest
from settlement.channels.state import (
    Announce,
    Change,
    Channel,
    CloseNow,
    Effect,
    Learnt,
    Leave,
    NotDone,
    Phase,
    PreimageSeen,
    Received,
    Registered,
    Ruled,
    Send,
    Step,
    SubmitClose,
    SubmitCloseAgreed,
    Tick,
    Want,
)
from settlement.channels.terms import LockId, Side
from settlement.quantities import Preimage, fulfils


def step(state: Channel, change: Change, now: UnixMs, signer: SheetSigner) -> Step:
    """Advance one side. Pure, but for the signer, whose signatures are deterministic.

    Raises:
        BadStep: the other bank's message does not fit; nothing has changed.
        ForgedSheet: a signature is not the other bank's; nothing has changed.
    """
    before = state
    match change:
        case Announce():
            state, effects = announce(state, now, signer)
        case Want(ops=ops):
            state, effects = _wanted(state, ops, now)
        case Learnt(preimage=preimage):
            state, effects = _learnt(state, preimage, now), ()
        case Received(message=message):
            state, effects = _received(state, message, now, signer)
        case Ruled(case=case, reveals=reveals):
            state, effects = ruled(state, case, reveals, now)
        case Registered():
            state, effects = registered(state, change), ()
        case Leave():
            state, effects = _leave(state, now), ()
        case CloseNow():
            state, effects = close_now(state)
        case Tick():
            state, effects = _ticked(state, now, signer)
    state, locks = watch_locks(state, now)
    state, sent = go_on(state, now, signer)
    assert state.sheet.total == state.terms.total, "money is conserved"
    return state, (*_seen(before, state), *effects, *locks, *sent)


def _seen(before: Channel, after: Channel) -> tuple[Effect, ...]:
    """Preimages that have become known of what this side set aside: whoever was paid by it may claim with them now."""
    return tuple(
        PreimageSeen(lock, after.preimages[lock.condition])
        for lock in after.sheet.locks
        if lock.payer is after.side and lock.condition in after.preimages.keys() - before.preimages.keys()
    )


def _wanted(state: Channel, ops: tuple[Op, ...], now: UnixMs) -> Step:
    effects: list[Effect] = []
    for op in ops:
        match op:
            case Fulfil(preimage=preimage):
                state = _learnt(state, preimage, now)
            case Return(lock_id=lock_id) if _is_mine(state, lock_id):
                state = replace(state, given_back=(*state.given_back, lock_id))
                effects.append(Send(GiveBack(state.channel, lock_id)))
            case _ if state.phase not in (Phase.OPENING, Phase.OPEN) or (state.leaving and not isinstance(op, Return)):
                effects.append(NotDone(op, "the channel is ending"))
            case _ if state.terms.one_way and state.side is Side.B:
                effects.append(NotDone(op, "B pays nothing in a one-way channel"))
            case _:
                state = replace(state, queue=(*state.queue, op))
    return state, tuple(effects)


def _is_mine(state: Channel, lock_id: LockId) -> bool:
    """Whether this side is the payee of a conditional payment that is open."""
    lock = state.sheet.lock(lock_id)
    return lock is not None and lock.payer is not state.side


def _learnt(state: Channel, preimage: Preimage, now: UnixMs) -> Channel:
    """A preimage of an open conditional payment. A payer takes none after the time-out: it would pay for nothing."""
    for lock in state.sheet.locks:
        known = lock.condition in state.preimages
        if fulfils(preimage, lock.condition) and not known and in_time(state, lock, now):
            state = replace(state, preimages={**state.preimages, lock.condition: preimage})
    return state


def _received(state: Channel, message: object, now: UnixMs, signer: SheetSigner) -> Step:
    if getattr(message, "channel", None) != state.channel:
        raise BadStep(state.channel, "channel", "the message is for another")
    match message:
        case Opening():
            return agreed(state, message, signer)
        case Propose():
            return proposed(state, message, now, signer)
        case Accept():
            return accepted(state, message, signer)
        case Refuse(sequence=sequence):
            proposal = state.proposal
            if proposal is not None and proposal.sheet.sequence == sequence and not proposal.refused:
                declined = tuple(op.lock_id for op in proposal.ops if isinstance(op, Fulfil | Return))
                refused = replace(proposal, refused=True)
                state = replace(state, proposal=refused, declined=(*state.declined, *declined))
            return state, ()
        case Acknowledge(sequence=sequence, signature=signature):
            return acknowledged(state, sequence, signature), ()
        case AskTurn(newest=newest):
            return asked(state, newest, now, signer)
        case Reveal(lock_id=lock_id, preimage=preimage):
            lock = state.sheet.lock(lock_id)
            if lock is not None and not fulfils(preimage, lock.condition):
                raise BadStep(state.channel, "preimage", "does not hash to the condition")
            return _learnt(state, preimage, now), ()
        case GiveBack(lock_id=lock_id):
            return _given_back(state, lock_id), ()
        case CloseTogether(sequence=sequence, signature=signature):
            return _close_together(state, sequence, signature, now, signer)
    raise BadStep(state.channel, "message", "is of no known kind")


# --- Leaving ----------------------------------------------------------------------------------------------------------


def _leave(state: Channel, now: UnixMs) -> Channel:
    if state.leaving or state.phase not in (Phase.OPENING, Phase.OPEN):
        return state
    return replace(state, leaving=True, leaving_since=now)


def _close_together(state: Channel, sequence: int, signature: bytes, now: UnixMs, signer: SheetSigner) -> Step:
    if state.phase not in (Phase.OPEN, Phase.LEAVING) or sequence != state.sheet.sequence or state.sheet.locks:
        return state, ()
    digest = close_digest(state.terms.ledger, state.sheet)
    check_signature(state.terms.account(state.side.other), digest, signature, "farewell")
    mine = signer.sign_close(state.terms.ledger, state.sheet)
    a, b = (mine, signature) if state.side is Side.A else (signature, mine)
    state = replace(state, phase=Phase.LEAVING, leaving=True, leaving_since=now)
    return state, (SubmitCloseAgreed(CloseAgreed(state.sheet, a, b)),)


# --- Time -------------------------------------------------------------------------------------------------------------


def _ticked(state: Channel, now: UnixMs, signer: SheetSigner) -> Step:
    """Send again what was not answered; close where patience has ended."""
    policy = state.policy
    state = replace(state, shown=())
    if state.phase is Phase.CLOSING:
        # The ledger may not have had what was submitted.
        again = (SubmitClose(state.newest),) if state.case is None or state.case.status is Status.OPEN else ()
        state, answers = answer(state, now)
        return state, (*again, *answers)
    if state.leaving and now >= state.leaving_since + policy.patience_ms:
        return close_now(state)
    if state.phase is Phase.LEAVING and now >= state.asked_at + policy.resend_ms:
        return replace(state, asked_at=now), (goodbye(state, signer),)
    if state.phase is Phase.OPENING:
        return remind(state, now, signer)
    if state.phase is not Phase.OPEN:
        return state, ()
    state, effects = _resend(state, now)
    return _take_back(state, now), effects


def _resend(state: Channel, now: UnixMs) -> Step:
    effects: list[Effect] = [Send(GiveBack(state.channel, lock_id)) for lock_id in state.given_back]
    proposal = state.proposal
    if proposal is not None and now >= proposal.sent_at + state.policy.resend_ms:
        state = replace(state, proposal=replace(proposal, sent_at=now))
        sheet = proposal.sheet
        effects.append(Send(Propose(state.channel, sheet.sequence, sheet.held, proposal.ops, proposal.signature)))
    return state, tuple(effects)


def _take_back(state: Channel, now: UnixMs) -> Channel:
    """Want back what was set aside for the other and whose time-out has passed."""
    under_way = {op.lock_id for op in (*state.queue, *_proposed_ops(state)) if isinstance(op, Return)}
    for lock in state.sheet.locks:
        over = lock.payer is state.side and lock.condition not in state.preimages and not in_time(state, lock, now)
        if over and lock.lock_id not in under_way:
            state = replace(state, queue=(*state.queue, Return(lock.lock_id)))
    return state


def _proposed_ops(state: Channel) -> tuple[Op, ...]:
    return state.proposal.ops if state.proposal is not None else ()


def _given_back(state: Channel, lock_id: LockId) -> Channel:
    """The payee will not claim: take it back at the next turn."""
    lock = state.sheet.lock(lock_id)
    if lock is None or lock.payer is not state.side or lock_id in state.given_back:
        return state
    return replace(state, given_back=(*state.given_back, lock_id))
