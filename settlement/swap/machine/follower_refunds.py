"""The follower's bitcoin comes back: what was not claimed by T2, and everything that should never have been paid."""

from __future__ import annotations

from settlement.swap.machine import guards
from settlement.swap.machine.changes import Wish
from settlement.swap.machine.effects import AskRefund, RefundBitcoin, RefundBitcoinByKey
from settlement.swap.machine.facts import LockStatus, Output, SpendKind
from settlement.swap.machine.states import Follower
from settlement.swap.machine.work import Work
from settlement.swap.terms import Mode


def order_refunds(state: Follower, work: Work) -> None:
    """Refund every output that may be refunded; before T2, ask the initiator to sign where it has given up."""
    if not state.outputs:
        return
    kept = reserved(state)
    for output in state.outputs:
        spend = output.spend
        if output.written_off or (spend is not None and spend.confirmations > 0):
            continue
        if output is kept and _is_left_to_claim(state, work):
            continue
        if guards.may_refund_bitcoin(state):
            key = f"RefundBitcoin:{output.outpoint.hex()}"
            refund = RefundBitcoin(output.outpoint, work.times(key), state.gates.claim_evm_by)
            work.order(refund, state.gates.bump_bitcoin_ms)
        elif spend is None:
            _refund_together(state, output, work)


def _refund_together(state: Follower, output: Output, work: Work) -> None:
    wants_it = state.peer_quit or state.wish in (Wish.CANCEL, Wish.REFUND)
    if not wants_it or state.secret or not state.funding or state.recovered:
        return
    answer = state.refund_answers.get(output.outpoint)
    if answer:
        # Again, for the first answer may be to a call whose nonce was given up for a newer one.
        work.order(RefundBitcoinByKey(output.outpoint, answer), max(state.gates.resend_ms, state.gates.patience_ms))
    else:
        work.patiently(AskRefund(output.outpoint), max(state.gates.resend_ms, state.gates.patience_ms))


def reserved(state: Follower) -> Output | None:
    """The output that is the initiator's once the secret is known: the one that it claims, or else would claim."""
    if not state.secret:
        return None
    claimed = [out for out in state.outputs if out.spend is not None and out.spend.kind is SpendKind.CLAIM]
    if claimed:
        return max(claimed, key=lambda out: 0 if out.spend is None else out.spend.confirmations)
    if state.terms.mode is Mode.POINT:
        return next((out for out in state.outputs if out.outpoint == state.prepared), None)
    return next((out for out in state.outputs if out.value == state.terms.bitcoin.amount), None)


def _is_left_to_claim(state: Follower, work: Work) -> bool:
    """Whether the initiator may have its output: when the lock is this side's, or can still safely become so.

    An initiator that shows the secret late, so that the claim of the lock fails, must not stop the refund by it.
    """
    lock = state.own_lock
    if lock is None or lock.status is LockStatus.RETURNED:
        return False
    if lock.status is LockStatus.CLAIMED and lock.final:
        return True
    if work.sec >= state.gates.claim_evm_by:
        return False
    work.wake_at_gate(state.gates.claim_evm_by)
    return True


def is_settled(state: Follower, output: Output) -> bool:
    """Whether nothing is left to do about an output."""
    if output.written_off:
        return True
    if any(guards.spend_is_final(state, output, kind) for kind in SpendKind):
        return True
    lock = state.own_lock
    is_ours = lock is not None and lock.status is LockStatus.CLAIMED and lock.final
    kept = reserved(state)
    return is_ours and kept is not None and kept.outpoint == output.outpoint
