"""A side's state as its owner wants to see it: where it stands, what comes next, how long each deadline is away, and
what to do should this machine die."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from foundation.quantities import UnixMs
from settlement.swap.machine import guards
from settlement.swap.machine.facts import Lock, LockStatus, Output, SpendKind
from settlement.swap.machine.states import Follower, Initiator, Outcome, Swap
from settlement.swap.terms import OWN_FINALITY, Mode


class Phase(StrEnum):
    """How far a swap has come, for one side."""

    AGREEING = "agreeing"
    PREPARING = "preparing"
    LOCKING = "locking"
    FUNDING = "funding"
    CLAIMING = "claiming"
    TAKING_BACK = "taking back"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment that matters yet. Fields: at (seconds since 1970); left_s (below zero: it has passed); what."""

    at: int
    left_s: int
    what: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """Fields: phase; now (what is happening); then (what comes next); deadlines (soonest first); if_it_dies (what to do
    should this machine die now); notes (such as what could not be done); lock, funding (confirmations and what is
    asked, or what became of it)."""

    phase: Phase
    now: str
    then: str
    deadlines: tuple[Deadline, ...]
    if_it_dies: str
    notes: tuple[str, ...]
    lock: str
    funding: str


def outlook(state: Swap, now: UnixMs) -> Outlook:
    """The view of a state. Pure."""
    sec = state.seconds(now)
    phase, what, then = _initiator(state) if isinstance(state, Initiator) else _follower(state)
    return Outlook(
        phase=phase,
        now=what,
        then=then,
        deadlines=_deadlines(state, phase, sec),
        if_it_dies=_if_it_dies(state, phase),
        notes=_notes(state),
        lock=_lock_text(state),
        funding=_funding_text(state),
    )


_OVER = {
    Outcome.NOTHING_MOVED: "Over: no money has moved.",
    Outcome.SWAPPED: "Done: you have what you traded for.",
    Outcome.RETURNED: "Over: your money has come back.",
    Outcome.WINDFALL: "Over: you have the other side's money, and yours has come back, since it did not act in time.",
    Outcome.LOST: "Over: your money is gone. Keep the log, and tell the authors: this should not be possible.",
}


def needs_word(state: Swap) -> bool:
    """Whether it goes on only when its owner says that it may show the secret."""
    if not isinstance(state, Initiator) or state.outcome is not None or state.quit is not None:
        return False
    return guards.waits_for_word(state)


def _initiator(state: Initiator) -> tuple[Phase, str, str]:
    if state.outcome is not None:
        return Phase.OVER, _OVER[state.outcome], ""
    lock = state.own_lock
    if state.revealed_at:
        then = "When the claim is final, only the lock is watched: the other side claims it with the secret."
        return Phase.CLAIMING, "The secret is out, and you are claiming the bitcoin.", then
    if state.quit is not None:
        then = "The lock comes back when the other side signs for it, or else after its time-out."
        return Phase.TAKING_BACK, f"You will not trade, for {state.quit.value}. No secret will be shown.", then
    if lock is not None and needs_word(state):
        then = "In time: `causeway swap redeem` claims the bitcoin, `causeway swap refund` if you had called it off."
        return (
            Phase.FUNDING,
            "Your lock is on the contract, and what you decided is forgotten: it needs your word.",
            then,
        )
    if lock is not None:
        then = "When its payment has the confirmations, you show the secret and claim."
        return Phase.FUNDING, "Your lock is on the contract. The other side funds when it is final.", then
    if state.locking:
        return Phase.LOCKING, "Your lock is on its way.", "When it is final, the other side pays the bitcoin."
    return _before(state, "your lock is made")


def _follower(state: Follower) -> tuple[Phase, str, str]:
    if state.outcome is not None:
        return Phase.OVER, _OVER[state.outcome], ""
    if state.funding and state.secret:
        then = "When the claim is final, you are done. The other side claims the bitcoin."
        return Phase.CLAIMING, "You know the secret, and are claiming the lock.", then
    if state.never_fund is not None:
        then = "The lock goes back to the other side by your signature."
        return Phase.TAKING_BACK, f"You will not trade, for {state.never_fund.value}. You have paid nothing.", then
    if state.funding:
        is_refundable = state.times is not None and state.times.mtp > state.gates.refund_bitcoin
        if is_refundable:
            then = "When the refund is final, you sign that the lock goes back."
            return Phase.TAKING_BACK, "The time-out has passed, and your bitcoin is coming back.", then
        then = "When the other side claims it, you learn the secret, and claim the lock; else it comes back after T2."
        what = "Your bitcoin is in the swap." if state.outputs else "Your bitcoin is on its way into the swap."
        return Phase.FUNDING, what, then
    if state.own_lock is not None:
        return Phase.LOCKING, "The other side's lock is there, and not final yet.", "When it is final, you fund."
    if state.terms.mode is Mode.POINT and not state.presignatures:
        return _before(state, "the other side locks")
    if not state.peer_agreed:
        return _before(state, "the other side locks")
    return Phase.LOCKING, "The other side locks first.", "When its lock is final and exact, you fund."


def _before(state: Swap, then: str) -> tuple[Phase, str, str]:
    if not state.peer_agreed:
        return Phase.AGREEING, "The other side has not signed the terms yet.", f"When both have signed, {then}."
    return Phase.PREPARING, "Both sides prepare the claim's signatures.", f"When they are stored, {then}."


def _deadlines(state: Swap, phase: Phase, sec: int) -> tuple[Deadline, ...]:
    if phase is Phase.OVER:
        return ()
    gates = state.gates
    moments: list[tuple[int, str]] = []
    if isinstance(state, Initiator):
        if not state.locking and state.quit is None:
            moments.append((gates.last_lock, "after it you do not lock"))
        if not state.revealed_at and state.quit is None:
            moments.append((gates.last_reveal, "after it you show no secret, and wait for your lock to come back"))
        if state.revealed_at:
            moments.append((gates.refund_bitcoin, "T2: by then your claim has to be final"))
        moments.append((gates.refund_evm, "T1: from then on your lock, if nobody claimed it, comes back"))
    else:
        if not state.funding and state.never_fund is None:
            moments.append((gates.last_fund, "after it you do not fund"))
        if state.funding:
            moments.append((gates.refund_bitcoin, "T2: when bitcoin's median time is past it, your refund is valid"))
            moments.append((gates.claim_evm_by, "by then your claim of the lock has to be under way"))
        moments.append((gates.refund_evm, "T1: from then on the lock goes back to the other side"))
    return tuple(Deadline(at, at - sec, what) for at, what in sorted(moments))


def _if_it_dies(state: Swap, phase: Phase) -> str:
    if phase is Phase.OVER:
        return "Nothing: the swap is over."
    if not _has_money_in(state):
        return "Nothing is lost: no money of yours is in the swap, and without you none moves."
    how = "Go on (`causeway swap resume`; elsewhere after `swap import FILE`, or `swap recover` with the words)"
    if isinstance(state, Initiator):
        if state.revealed_at:
            return f"{how} well before T2: the secret is out, so the bitcoin must be claimed."
        return f"{how} when you like: no secret is shown without you, and after T1 anybody can send your lock back."
    return f"{how} well before T1, or leave a bundle with a watchtower (`causeway swap bundle`)."


def _has_money_in(state: Swap) -> bool:
    return state.locking if isinstance(state, Initiator) else state.funding


def _notes(state: Swap) -> tuple[str, ...]:
    notes = [f"{key.partition(':')[0]}: {reason}" for key, reason in state.failures.items()]
    amount = state.terms.bitcoin.amount
    wrong = [out for out in state.outputs if out.value != amount]
    if wrong:
        notes.append(_wrong_text(wrong))
    if state.recovered:
        notes.append("rebuilt from the chains: it claims and takes back, and starts nothing new")
    if needs_word(state):
        notes.append(
            "if you had called the swap off, to show the secret could cost you both sides of it; if the secret was out "
            "already, to wait could. No chain tells, so it is for you to say"
        )
    return tuple(notes)


def _wrong_text(wrong: Sequence[Output]) -> str:
    count = "a payment" if len(wrong) == 1 else f"{len(wrong)} payments"
    left = sum(out.spend is None and not out.written_off for out in wrong)
    if not left:
        return f"{count} of another amount came to the swap's script, and nothing of that is left there"
    rest = "all" if left == len(wrong) else str(left)
    goes = "it goes back after T2" if len(wrong) == 1 else f"{rest} of them go back after T2"
    return f"{count} of another amount came to the swap's script; {goes}"


def _lock_text(state: Swap) -> str:
    lock = state.own_lock
    if lock is None:
        return "not seen"
    if lock.status is LockStatus.OPEN:
        return f"there, {_depth_of_lock(state, lock)}"
    return f"{lock.status.value}, {_depth_of_lock(state, lock)}"


def _depth_of_lock(state: Swap, lock: Lock) -> str:
    if lock.final:
        return "final"
    asked = state.terms.evm.confirmations
    if asked == OWN_FINALITY:
        return "in a block, not final yet" if lock.confirmations else "in the mempool"
    return f"{lock.confirmations} of {asked} confirmations"


def _funding_text(state: Swap) -> str:
    amount, asked = state.terms.bitcoin.amount, state.terms.bitcoin.confirmations
    output = next((out for out in state.outputs if out.value == amount), None)
    if output is None:
        return "not seen"
    if output.spend is None:
        return f"{min(output.confirmations, asked)} of {asked} confirmations"
    return _spend_text(output, asked)


def _spend_text(output: Output, asked: int) -> str:
    spend = output.spend
    if spend is None:
        return ""
    verb = "claimed" if spend.kind is SpendKind.CLAIM else "refunded"
    return f"{verb}, {min(spend.confirmations, asked)} of {asked} confirmations"
