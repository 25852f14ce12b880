"""The side that gives bitcoin: it funds when the lock is final, and claims the lock when it learns the secret.

To fund is one durable decision, `funding`; never to fund is another, `never_fund`. It signs that the lock goes back
only after the latter, or when its money has come back for good.
"""

from __future__ import annotations

from msgspec.structs import replace

from settlement.swap.machine import guards
from settlement.swap.machine.absorb import absorb
from settlement.swap.machine.changes import (
    Change,
    CosignFailed,
    Failed,
    FundingAbandoned,
    FundingPrepared,
    LetterCame,
    RoundFailed,
    RungsSigned,
    SecretSeen,
    Wish,
)
from settlement.swap.machine.effects import (
    FUNDING,
    AbandonFunding,
    BroadcastFunding,
    ClaimEvm,
    CosignClaim,
    SignGiveBack,
    SignTerms,
)
from settlement.swap.machine.facts import Lock, LockStatus, SpendKind
from settlement.swap.machine.follower_refunds import is_settled, order_refunds, reserved
from settlement.swap.machine.follower_rounds import order_rounds, partials_came, prepared, round_failed, signed
from settlement.swap.machine.messages import GiveBackAsked, Message, Quit, RefundCosigned, RungPartials, Secret
from settlement.swap.machine.states import Follower, Outcome, Why
from settlement.swap.machine.work import Work
from settlement.swap.terms import Mode


def take_in(state: Follower, change: Change, work: Work) -> Follower:
    """Take in a change. Most orders follow later, from the whole state; answers to the other side's letters at once."""
    match change:
        case LetterCame(message=message):
            return _letter(state, message, work)
        case SecretSeen(secret=secret):
            return _learn(state, secret)
        case FundingPrepared():
            return prepared(state, change)
        case RungsSigned():
            return signed(state, change)
        case RoundFailed(round=number):
            return round_failed(state, number)
        case FundingAbandoned():
            return replace(state, abandoned=True)
        case Failed(key=key) if key == FUNDING:
            return absorb(replace(state, abandoned=True), change)  # nothing of it has left, or will
        case CosignFailed(outpoint=outpoint):
            return replace(state, refund_answers={**state.refund_answers, outpoint: b""})
    return absorb(state, change)


def decide(state: Follower, work: Work) -> Follower:
    """Decide what has to be decided now, and order what follows."""
    state = _give_up(state, work)
    if state.never_fund is None and state.own_lock is None and not state.recovered:
        work.patiently(SignTerms(), state.gates.resend_ms, early=True)
    order_rounds(state, work)
    state = _fund(state, work)
    _keep_funding(state, work)
    _claim(state, work)
    state = _cosign(state, work)
    order_refunds(state, work)
    state = _give_back(state, work)
    if state.never_fund is not None and not state.funding:
        if state.peer_agreed:
            work.letter(Quit())
        if state.prepared and not state.abandoned:
            work.order(AbandonFunding(), state.gates.bump_bitcoin_ms)
    outcome = _outcome(state)
    return state if outcome is state.outcome else replace(state, outcome=outcome)


# --- Letters and the secret -------------------------------------------------------------------------------------------


def _letter(state: Follower, message: Message, work: Work) -> Follower:
    match message:
        case RungPartials():
            return partials_came(state, message, work)
        case Secret(secret=secret, request=request):
            state = _learn(state, secret)
            if request and state.funding and state.secret and state.terms.mode is Mode.HASH:
                return replace(state, claim_request=request)
            return state
        case Quit():
            return replace(state, peer_quit=True)
        case GiveBackAsked():
            return _give_back_asked(state, work)
        case RefundCosigned(outpoint=outpoint, answer=answer) if any(o.outpoint == outpoint for o in state.outputs):
            return replace(state, refund_answers={**state.refund_answers, outpoint: answer})
    return state


def _learn(state: Follower, secret: bytes) -> Follower:
    if state.secret or not guards.secret_opens(state.terms, secret):
        return state
    return replace(state, secret=secret)


def _give_back_asked(state: Follower, work: Work) -> Follower:
    lock = state.own_lock
    if state.given_back and lock is not None and guards.lock_is_open(lock):
        work.again(SignGiveBack(lock.view))  # the letter may have been lost
    return replace(state, give_back_asked=True)


# --- Decisions --------------------------------------------------------------------------------------------------------


def _give_up(state: Follower, work: Work) -> Follower:
    if state.never_fund is not None or state.funding:
        return state
    lock = state.own_lock
    if state.wish in (Wish.CANCEL, Wish.REFUND):
        why = Why.OWNER
    elif state.peer_quit or state.give_back_asked:
        why = Why.PEER
    elif lock is not None and lock.final and not guards.lock_is_exact(state, lock):
        why = Why.WRONG_LOCK
    elif lock is not None and lock.final and not guards.lock_is_open(lock):
        why = Why.RETURNED
    elif f"PrepareFunding:{state.round}" in state.failures:
        why = Why.FAILED
    elif not guards.in_time_to_fund(state, work.sec):
        why = Why.LATE
    else:
        work.wake_at_gate(state.gates.last_fund)
        return state
    return replace(state, never_fund=why)


def _fund(state: Follower, work: Work) -> Follower:
    lock = state.own_lock
    if state.funding or lock is None or not state.peer_agreed or not guards.may_still_fund(state):
        return state
    if not (guards.lock_is_open(lock) and guards.lock_is_final(lock) and guards.lock_is_exact(state, lock)):
        return state
    if not guards.in_time_to_fund(state, work.sec) or not guards.can_learn_secret(state):
        return state
    work.order(BroadcastFunding(0, state.gates.last_fund, state.gates.last_reveal))
    return replace(state, funding=True)


def _keep_funding(state: Follower, work: Work) -> None:
    """Until it has a confirmation: pay more; or have it back, where the initiator would not claim it any more."""
    if not state.funding or state.recovered or state.abandoned or state.given_back or _is_funded(state):
        return
    gates = state.gates
    if gates.may_reveal(work.sec) or state.secret:
        not_after = 0 if state.secret else gates.last_reveal
        funding = BroadcastFunding(work.times(FUNDING), not_after, gates.last_reveal)
        work.order(funding, gates.bump_bitcoin_ms)
        work.wake_at_gate(gates.last_reveal)
    else:
        work.order(AbandonFunding(), gates.bump_bitcoin_ms)


def _is_funded(state: Follower) -> bool:
    amount = state.terms.bitcoin.amount
    return any(out.value == amount and (out.confirmations > 0 or out.spend is not None) for out in state.outputs)


# --- The lock ---------------------------------------------------------------------------------------------------------


def _claim(state: Follower, work: Work) -> None:
    lock = state.own_lock
    if lock is None or not state.secret or not state.funding or not _claim_is_due(state, lock):
        return
    key = f"ClaimEvm:{lock.view.lock_id.hex()}"
    claim = ClaimEvm(lock.view, state.secret, work.times(key), state.gates.refund_evm)
    work.order(claim, state.gates.bump_evm_ms)


def _claim_is_due(state: Follower, lock: Lock) -> bool:
    is_pending = lock.status is LockStatus.CLAIMED and not lock.confirmations
    if lock.status is not LockStatus.OPEN and not is_pending:
        return False
    if state.times is not None and state.times.evm_time >= lock.view.expires_at:
        return False
    # Whoever has all its bitcoin back for good has nothing to claim.
    return not guards.is_whole(state)


def _cosign(state: Follower, work: Work) -> Follower:
    """Sign the initiator's claim with it, once the own one shows the secret on the chain. The initiator could claim by
    script as well; but the claim that both sign shows nothing, and a follower that loses its memory needs it shown."""
    if not state.claim_request or not guards.claim_is_mined(state):
        return state
    work.again(CosignClaim(state.claim_request))
    return replace(state, claim_request=b"")


def _give_back(state: Follower, work: Work) -> Follower:
    lock = state.own_lock
    if lock is None or not guards.lock_is_open(lock) or lock.view.beneficiary != state.terms.evm.beneficiary:
        return state
    if work.sec >= lock.view.expires_at or not guards.may_give_back(state):
        return state
    work.patiently(SignGiveBack(lock.view), state.gates.resend_ms)
    return state if state.given_back else replace(state, given_back=True)


# --- The end ----------------------------------------------------------------------------------------------------------


def _outcome(state: Follower) -> Outcome | None:
    if not _is_lock_settled(state) or not _is_bitcoin_settled(state):
        return None
    lock = state.own_lock
    claimed = lock is not None and lock.status is LockStatus.CLAIMED and bool(state.secret)
    paid = any(guards.spend_is_final(state, out, SpendKind.CLAIM) for out in state.outputs)
    if claimed and not paid:
        kept = reserved(state)  # which the initiator may claim at any time
        paid = kept is not None and (kept.spend is None or kept.spend.kind is SpendKind.CLAIM)
    if claimed:
        return Outcome.SWAPPED if paid else Outcome.WINDFALL
    if paid:
        return Outcome.LOST
    return Outcome.RETURNED if state.funding and state.outputs else Outcome.NOTHING_MOVED


def _is_lock_settled(state: Follower) -> bool:
    if not state.funding and state.never_fund is None:
        return False
    lock = state.own_lock
    if lock is not None and lock.status is not LockStatus.OPEN and lock.final:
        return True
    if lock is None and not state.funding:
        return True
    return state.times is not None and state.times.evm_time >= state.gates.refund_evm


def _is_bitcoin_settled(state: Follower) -> bool:
    if not all(is_settled(state, out) for out in state.outputs):
        return False
    if not state.funding:
        return state.abandoned or not state.prepared
    if state.outputs or state.abandoned:
        return True
    return state.recovered and state.times is not None and state.times.evm_time >= state.gates.refund_evm
