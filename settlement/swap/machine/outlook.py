"""A state for people: where it stands, what happens next, how long until each deadline, and what if a machine dies.

Pure, and without promises: what is said follows from the stored decisions and the newest facts.
"""

from __future__ import annotations

from dataclasses import dataclass

from foundation.quantities import UnixMs
from settlement.swap.machine import guards
from settlement.swap.machine.facts import Lock, LockStatus, Output, SpendKind
from settlement.swap.machine.states import Follower, Initiator, Outcome, Swap
from settlement.swap.terms import OWN_FINALITY, Mode, Role


@dataclass(frozen=True, slots=True)
class Deadline:
    """Fields: what (until or from when, for people); at (seconds since 1970)."""

    what: str
    at: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """Fields: stage (where it stands, a few words); bitcoin, evm (each leg, a few words); next (what happens, and who
    moves); deadlines (that are still of meaning, in order); if_it_dies (what to do if this machine dies)."""

    stage: str
    bitcoin: str
    evm: str
    next: str
    deadlines: tuple[Deadline, ...]
    if_it_dies: str


def outlook(state: Swap, now: UnixMs) -> Outlook:
    """See the module. `now`: the own clock, ms."""
    stage, following = _initiator(state, now) if isinstance(state, Initiator) else _follower(state, now)
    return Outlook(stage, bitcoin_leg(state), evm_leg(state), following, _deadlines(state, now), _if_it_dies(state))


# --- The legs ---------------------------------------------------------------------------------------------------------


def evm_leg(state: Swap) -> str:
    """What has become of the lock."""
    lock = state.own_lock
    if lock is None:
        return "no lock yet"
    asked = state.terms.evm.confirmations
    what = {
        LockStatus.OPEN: "locked",
        LockStatus.CLAIMED: "claimed by the follower",
        LockStatus.RETURNED: "returned to the initiator",
    }[lock.status]
    if lock.final:
        return f"{what}, final"
    depth = "the chain's finality" if asked == OWN_FINALITY else f"{asked} confirmations"
    return f"{what}, {lock.confirmations} of {depth}"


def bitcoin_leg(state: Swap) -> str:
    """What has become of the output."""
    exact = [one for one in state.outputs if one.value == state.terms.bitcoin.amount]
    others = len(state.outputs) - len(exact[:1])
    extra = f"; {others} further payment{'s' if others > 1 else ''} to it" if others else ""
    if not exact:
        return f"not funded yet{extra}"
    one = next((out for out in exact if out.spend is not None), exact[0])
    asked = state.terms.bitcoin.confirmations
    if one.spend is None:
        return f"funded, {_depth(one.confirmations, asked)}{extra}"
    who = "claimed by the initiator" if one.spend.kind is SpendKind.CLAIM else "refunded to the follower"
    return f"{who}, {_depth(one.spend.confirmations, asked)}{extra}"


def _depth(confirmations: int, asked: int) -> str:
    return "final" if confirmations >= asked else f"{confirmations} of {asked} confirmations"


# --- Where it stands --------------------------------------------------------------------------------------------------


def _initiator(state: Initiator, now: UnixMs) -> tuple[str, str]:
    lock = state.own_lock
    if state.outcome is not None:
        return _ended(state.outcome)
    if state.revealed_at:
        if any(guards.spend_is_final(state, out, SpendKind.CLAIM) for out in state.outputs):
            return "the bitcoin is yours", "the other side claims the lock; nothing is left for you to do"
        return "the secret is shown", "your claim of the bitcoin is paid more until it confirms"
    if state.quit is not None:
        if guards.lock_is_open(lock):
            return f"given up: {state.quit.value}", "the lock comes back at its time-out, or before by the other's word"
        return f"given up: {state.quit.value}", "nothing is left to do once the chains say so for good"
    if not state.peer_agreed:
        return "agreeing", "the other side signs the terms"
    if state.terms.mode is Mode.POINT and not state.presignatures:
        return "signing in advance", "both sides sign the claims before any money moves"
    if lock is None or not lock.confirmations:
        return "locking", "your transaction makes the lock"
    if not lock.final:
        return "locked", "the other side waits until the lock is final, and funds the bitcoin output"
    if not _exact(state):
        return "locked", "the other side funds the bitcoin output"
    return "funded", "when the bitcoin output is confirmed, you show the secret and claim it"


def _follower(state: Follower, now: UnixMs) -> tuple[str, str]:
    lock = state.own_lock
    if state.outcome is not None:
        return _ended(state.outcome)
    if state.secret and state.funding:
        return "the secret is known", "your claim of the lock is paid more until it confirms"
    if any(out.spend is not None and out.spend.kind is SpendKind.REFUND for out in state.outputs):
        return "refunding", "your refund is paid more until it confirms"
    if state.never_fund is not None and not state.funding:
        return f"given up: {state.never_fund.value}", "you paid nothing; the lock goes back to the other side"
    if state.funding:
        if not _exact(state):
            return "funding", "your transaction pays the bitcoin output"
        return "funded", "the other side claims the bitcoin and thereby shows the secret; or your refund comes after T2"
    if not state.peer_agreed:
        return "agreeing", "the other side signs the terms"
    if state.terms.mode is Mode.POINT and not state.partials:
        return "signing in advance", "both sides sign the claims before any money moves"
    if lock is None:
        return "agreed", "the other side locks first"
    return "locked", "when the lock is final and exactly as agreed, you fund the bitcoin output"


def _ended(outcome: Outcome) -> tuple[str, str]:
    return f"ended: {outcome.value}", "nothing is left to do"


def _exact(state: Swap) -> Output | None:
    return next((out for out in state.outputs if out.value == state.terms.bitcoin.amount), None)


# --- Deadlines --------------------------------------------------------------------------------------------------------


def _deadlines(state: Swap, now: UnixMs) -> tuple[Deadline, ...]:
    if state.outcome is not None:
        return ()
    gates = state.gates
    found: list[Deadline] = []
    if isinstance(state, Initiator):
        if not state.locking and state.quit is None:
            found.append(Deadline("lock before", gates.last_lock))
        if not state.revealed_at and state.quit is None:
            found.append(Deadline("show the secret before", gates.last_reveal))
        if state.revealed_at:
            found.append(Deadline("claim the bitcoin before T2", gates.refund_bitcoin))
        if guards.lock_is_open(state.own_lock):
            found.append(Deadline("the lock comes back from T1", gates.refund_evm))
    else:
        if not state.funding and state.never_fund is None:
            found.append(Deadline("fund before", gates.last_fund))
        if state.funding:
            found.append(Deadline("the bitcoin comes back from T2 (median time)", gates.refund_bitcoin))
        if guards.lock_is_open(state.own_lock) and state.funding:
            found.append(Deadline("claim the lock before T1", gates.refund_evm))
    return tuple(sorted(found, key=lambda one: one.at))


def _if_it_dies(state: Swap) -> str:
    if state.outcome is not None:
        return "nothing can be lost any more"
    again = "start again: causeway swap resume (on another machine: swap import FILE, or swap recover with the words)"
    if state.role is Role.INITIATOR:
        assert isinstance(state, Initiator), "by its role"
        if state.revealed_at:
            return f"{again} before T2, or the bitcoin may go back to the other side"
        if _is_bound(state.own_lock):
            return f"{again}; the lock can be taken back by anybody from T1 on, for you"
        return f"{again}; none of your money is bound"
    assert isinstance(state, Follower), "by its role"
    if state.funding:
        return f"{again} before T1; a watchtower (swap watch) can act in your place"
    return f"{again}; none of your money is bound"


def _is_bound(lock: Lock | None) -> bool:
    return lock is not None and lock.status is LockStatus.OPEN
