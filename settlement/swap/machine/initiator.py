"""The side that gives the EVM asset: it locks first, and shows the secret when the bitcoin is there and time is left.

The secret's way out is one durable decision, `revealed_at`; the promise that it never comes out is another, `quit`. A
state has at most one of them, unless somebody else claimed the lock (`exposed`), when there is nothing left to hide.
"""

from __future__ import annotations

from msgspec.structs import replace

from foundation.quantities import UnixMs
from settlement.swap.machine import guards
from settlement.swap.machine.absorb import absorb
from settlement.swap.machine.changes import (
    Change,
    CosignFailed,
    LetterCame,
    RoundFailed,
    RungsComplete,
    RungsOffered,
    SecretSeen,
    Showing,
    Wish,
)
from settlement.swap.machine.effects import (
    ClaimBitcoinByKey,
    ClaimBitcoinByRung,
    ClaimBitcoinByScript,
    PlaceLock,
    RefundEvm,
    RevealByLetter,
    SignRefundWith,
    SignTerms,
    SubmitGiveBack,
)
from settlement.swap.machine.facts import LockStatus, Output, SpendKind
from settlement.swap.machine.initiator_rounds import answers_came, nonces_came, offered, order_rounds, round_failed
from settlement.swap.machine.messages import (
    ClaimCosigned,
    GiveBack,
    GiveBackAsked,
    Message,
    Quit,
    RefundAsked,
    RungAnswers,
    RungNonces,
)
from settlement.swap.machine.states import Initiator, Outcome, Why
from settlement.swap.machine.work import Work
from settlement.swap.terms import Mode


def take_in(state: Initiator, change: Change, work: Work) -> Initiator:
    """Take in a change. Most orders follow later, from the whole state; answers to the other side's letters at once."""
    match change:
        case LetterCame(message=message):
            return _letter(state, message, work)
        case RungsOffered():
            return offered(state, change)
        case RungsComplete(round=number, presignatures=presignatures):
            is_new = number == state.round and bool(state.peer_partials) and not state.presignatures
            return replace(state, presignatures=presignatures) if is_new else state
        case RoundFailed(round=number):
            return round_failed(state, number)
        case Showing():
            return _show(state, work)
        case SecretSeen(secret=secret) if state.recovered and guards.secret_opens(state.terms, secret):
            return _exposed(state, work)  # by a claim that it made before it lost its memory
        case CosignFailed(outpoint=outpoint) if outpoint == state.target:
            return replace(state, answer_bad=True)
    return absorb(state, change)


def decide(state: Initiator, work: Work) -> Initiator:
    """Decide what has to be decided now, and order what follows."""
    state = _notice_exposure(state, work)
    state = _give_up(state, work)
    if state.quit is None and not state.outputs and not state.recovered:
        work.patiently(SignTerms(), state.gates.resend_ms, early=True)
    order_rounds(state, work)
    state = _lock(state, work)
    state = _reveal(state, work)
    if state.revealed_at:
        state = _claim(state, work)
    _take_back(state, work)
    if state.quit is not None and not state.revealed_at and state.peer_agreed:
        work.letter(Quit())
    outcome = _outcome(state)
    return state if outcome is state.outcome else replace(state, outcome=outcome)


# --- Letters ----------------------------------------------------------------------------------------------------------


def _letter(state: Initiator, message: Message, work: Work) -> Initiator:
    match message:
        case RungNonces():
            return nonces_came(state, message, work)
        case RungAnswers():
            return answers_came(state, message)
        case ClaimCosigned(answer=answer) if state.revealed_at and not state.answer:
            return replace(state, answer=answer)
        case Quit():
            return replace(state, peer_quit=True)
        case GiveBack(lock_id=lock_id, signature=signature) if lock_id == state.terms.evm.lock_id:
            return replace(state, give_back=signature)
        case RefundAsked(outpoint=outpoint, request=request):
            return _refund_asked(state, outpoint, request, work)
    return state


def _refund_asked(state: Initiator, outpoint: bytes, request: bytes, work: Work) -> Initiator:
    """The follower wants its bitcoin back: granted, and final, unless the secret is out."""
    if not guards.may_cosign_refund(state) or all(out.outpoint != outpoint for out in state.outputs):
        return state  # it asks again; and of outputs that nobody has seen there could be any number
    work.again(SignRefundWith(outpoint, request))
    return replace(state, quit=state.quit or Why.PEER, cosigned=True)


# --- Decisions --------------------------------------------------------------------------------------------------------


def _notice_exposure(state: Initiator, work: Work) -> Initiator:
    """Somebody claimed the lock, so the secret is public: whatever was decided, the bitcoin has to be claimed now."""
    lock = state.own_lock
    if state.exposed or lock is None or lock.status is not LockStatus.CLAIMED:
        return state
    return _exposed(state, work)


def _exposed(state: Initiator, work: Work) -> Initiator:
    return replace(state, exposed=True, shown=True, revealed_at=state.revealed_at or work.now)


def _show(state: Initiator, work: Work) -> Initiator:
    """The last moment at which the decision can be taken back: the order may have waited for a machine that slept."""
    if state.shown or not state.revealed_at:
        return state
    if guards.in_time_to_reveal(state, work.sec):
        return replace(state, shown=True)
    return replace(state, revealed_at=UnixMs(0), target=b"", quit=Why.LATE)


def _give_up(state: Initiator, work: Work) -> Initiator:
    if state.quit is not None or state.revealed_at:
        return state
    lock = state.own_lock
    if state.wish in (Wish.CANCEL, Wish.REFUND):
        why = Why.OWNER
    elif state.peer_quit or state.give_back:
        why = Why.PEER
    elif lock is not None and lock.status is LockStatus.RETURNED:
        why = Why.RETURNED
    elif "PlaceLock" in state.failures:
        why = Why.FAILED
    elif not _has_time(state, work.sec):
        why = Why.LATE
    else:
        work.wake_at_gate(state.gates.last_reveal if state.locking else state.gates.last_lock)
        return state
    return replace(state, quit=why)


def _has_time(state: Initiator, sec: int) -> bool:
    return guards.in_time_to_reveal(state, sec) and (state.locking or guards.in_time_to_lock(state, sec))


def _lock(state: Initiator, work: Work) -> Initiator:
    if state.recovered or state.quit is not None or state.own_lock is not None or not state.peer_agreed:
        return state
    if not guards.in_time_to_lock(state, work.sec) or not guards.can_complete_claim(state):
        return state
    work.order(PlaceLock(state.gates.last_lock), state.gates.bump_evm_ms)
    return state if state.locking else replace(state, locking=True)


def _reveal(state: Initiator, work: Work) -> Initiator:
    if state.revealed_at or not guards.may_still_reveal(state) or not guards.in_time_to_reveal(state, work.sec):
        return state
    if not guards.lock_is_open(state.own_lock):
        return state
    for output in state.outputs:
        fits = guards.output_is_exact(state, output) and guards.output_is_buried(state, output)
        if fits and output.spend is None:
            return replace(state, revealed_at=work.now, target=output.outpoint)
    return state


# --- The bitcoin ------------------------------------------------------------------------------------------------------


def _claim(state: Initiator, work: Work) -> Initiator:
    output = _target(state)
    if output is None:
        return state
    if output.outpoint != state.target:
        state = replace(state, target=output.outpoint, answer=b"")
    spend = output.spend
    if spend is not None and spend.confirmations > 0:
        return state
    if state.terms.mode is Mode.POINT:
        _claim_by_rung(state, output, work)
    else:
        _claim_by_key_or_script(state, output, work)
    return state


def _target(state: Initiator) -> Output | None:
    """What to claim: the output for which the secret was shown; where a reorganisation took it away, another one."""
    known = next((out for out in state.outputs if out.outpoint == state.target), None)
    if known is not None and not guards.spend_is_final(state, known, SpendKind.REFUND):
        return known
    if state.terms.mode is Mode.POINT:
        return next((out for out in state.outputs if out.outpoint == state.planned), known)
    rest = [out for out in state.outputs if not guards.spend_is_final(state, out, SpendKind.REFUND)]
    exact = next((out for out in rest if guards.output_is_exact(state, out)), None)
    return exact or max(rest, key=lambda out: out.value, default=known)


def _claim_by_rung(state: Initiator, output: Output, work: Work) -> None:
    attempt = work.times(f"ClaimBitcoinByRung:{output.outpoint.hex()}")
    claim = ClaimBitcoinByRung(output.outpoint, attempt, state.gates.refund_bitcoin)
    work.order(claim, state.gates.bump_bitcoin_ms)
    # The chain shows it anyway: a letter is faster than a mempool.
    work.patiently(RevealByLetter(output.outpoint, 0), max(state.gates.resend_ms, state.gates.patience_ms))


def _claim_by_key_or_script(state: Initiator, output: Output, work: Work) -> None:
    gates, outpoint = state.gates, output.outpoint
    by_key = ClaimBitcoinByKey(outpoint, state.answer)
    by_script = f"ClaimBitcoinByScript:{outpoint.hex()}"
    if not state.answer:
        # Each request has a nonce of its own, and the engine knows the newest alone: no second one while it may answer.
        again_ms = max(gates.resend_ms, gates.patience_ms)
        work.patiently(RevealByLetter(outpoint, work.times("RevealByLetter")), again_ms)
    script_from = _script_from(state, output, work, by_key.key)
    if work.times(by_script) or work.now >= script_from:
        claim = ClaimBitcoinByScript(outpoint, work.times(by_script), gates.refund_bitcoin)
        work.order(claim, gates.bump_bitcoin_ms)
        return
    work.wake(script_from)
    if state.answer:
        work.order(by_key)


def _script_from(state: Initiator, output: Output, work: Work, by_key: str) -> int:
    """From when (ms) it claims by script: when the other side's signature does not come, does not hold, or pays too
    little to confirm."""
    gates = state.gates
    if state.answer_bad or state.wish is Wish.REDEEM:
        return work.now
    if state.exposed and (state.recovered or state.quit is not None):
        return work.now  # it did not show the secret itself, as far as it knows: who did may be no friend
    if output.spend is not None and output.spend.kind is SpendKind.REFUND:
        return work.now
    if not state.answer:
        return state.revealed_at + gates.patience_ms
    asked_at = work.at(by_key)
    if asked_at is None:
        asked_at = work.now
    return asked_at + (gates.patience_ms if output.spend is None else gates.bump_bitcoin_ms)


# --- The lock goes back -----------------------------------------------------------------------------------------------


def _take_back(state: Initiator, work: Work) -> None:
    evm_time = 0 if state.times is None else state.times.evm_time
    for lock in state.locks:
        if lock.final and lock.status is not LockStatus.OPEN:
            continue
        if lock.status is not LockStatus.OPEN and lock.confirmations:
            continue
        view = lock.view
        key = f"RefundEvm:{view.lock_id.hex()}"
        if evm_time >= view.expires_at:
            work.order(RefundEvm(view, work.times(key)), state.gates.bump_evm_ms)
        elif view.lock_id != state.terms.evm.lock_id:
            continue
        elif state.give_back and guards.may_take_back(state):
            work.order(SubmitGiveBack(view, state.give_back), state.gates.bump_evm_ms)
        elif state.quit is not None and not state.revealed_at:
            work.letter(GiveBackAsked())


# --- The end ----------------------------------------------------------------------------------------------------------


def _outcome(state: Initiator) -> Outcome | None:
    if not _is_lock_settled(state) or not _is_bitcoin_settled(state):
        return None
    lock = state.own_lock
    claimed = lock is not None and lock.status is LockStatus.CLAIMED
    paid = any(guards.spend_is_final(state, out, SpendKind.CLAIM) for out in state.outputs)
    if paid:
        return Outcome.SWAPPED if claimed else Outcome.WINDFALL
    if claimed:
        return Outcome.LOST
    return Outcome.RETURNED if state.locks else Outcome.NOTHING_MOVED


def _is_lock_settled(state: Initiator) -> bool:
    if any(lock.status is LockStatus.OPEN or not lock.final for lock in state.locks):
        return False
    if state.own_lock is not None:
        return True
    if not state.locking or "PlaceLock" in state.failures:
        return state.quit is not None
    # The contract makes no lock that has timed out already.
    return state.times is not None and state.times.evm_time >= state.gates.refund_evm


def _is_bitcoin_settled(state: Initiator) -> bool:
    if not state.revealed_at:
        return True
    if any(guards.spend_is_final(state, out, SpendKind.CLAIM) for out in state.outputs):
        return True
    if state.times is None or state.times.mtp <= state.gates.refund_bitcoin:
        return False
    return all(guards.spend_is_final(state, out, SpendKind.REFUND) for out in state.outputs)
