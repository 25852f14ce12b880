"""Facts that both sides keep alike: a newer view of a lock, an output or the blocks takes the place of the older."""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from settlement.swap.machine.changes import (
    BlockTimes,
    Change,
    Failed,
    LockGone,
    LockSeen,
    OutputGone,
    OutputSeen,
    OwnerAsked,
    PeerAgreed,
    SpendGone,
    SpendSeen,
    WrittenOff,
)
from settlement.swap.machine.facts import LARGEST_WRITE_OFF, MAX_LOCKS, MAX_OUTPUTS, Lock, Output, Spend
from settlement.swap.machine.states import Swap

AnySwap = TypeVar("AnySwap", bound=Swap)


def absorb(state: AnySwap, change: Change) -> AnySwap:
    """Take in a fact; the state itself where the fact says nothing to it."""
    match change:
        case BlockTimes():
            return replace(state, times=change)
        case OutputSeen():
            return _output_seen(state, change)
        case SpendSeen(outpoint=outpoint):
            return _output_changed(state, outpoint, spend=Spend(change.kind, change.txid, change.confirmations))
        case SpendGone(outpoint=outpoint):
            return _output_changed(state, outpoint, spend=None)
        case WrittenOff(outpoint=outpoint):
            return _written_off(state, outpoint)
        case OutputGone(outpoint=outpoint):
            return replace(state, outputs=tuple(out for out in state.outputs if out.outpoint != outpoint))
        case LockSeen():
            return _lock_seen(state, change)
        case LockGone(lock_id=lock_id):
            return replace(state, locks=tuple(lock for lock in state.locks if lock.view.lock_id != lock_id))
        case PeerAgreed():
            return replace(state, peer_agreed=True)
        case OwnerAsked(wish=wish):
            return replace(state, wish=wish)
        case Failed(key=key, reason=reason):
            return replace(state, failures={**state.failures, key: reason[:200]})
    return state


def _lock_seen(state: AnySwap, seen: LockSeen) -> AnySwap:
    # Ids are a payer's own: whoever locks under the same id is nobody to us.
    if seen.view.payer != state.terms.evm.payer:
        return state
    new = Lock(seen.view, seen.status, seen.confirmations, seen.final, seen.memo_holds)
    others = tuple(lock for lock in state.locks if lock.view.lock_id != seen.view.lock_id)
    if len(others) >= MAX_LOCKS and seen.view.lock_id != state.terms.evm.lock_id:
        return state
    return replace(state, locks=(*others, new))


def _output_seen(state: AnySwap, seen: OutputSeen) -> AnySwap:
    known = next((out for out in state.outputs if out.outpoint == seen.outpoint), None)
    if known is not None:
        return _output_changed(state, seen.outpoint, value=seen.value, confirmations=seen.confirmations)
    most = MAX_OUTPUTS * 2 if seen.value == state.terms.bitcoin.amount else MAX_OUTPUTS
    if len(state.outputs) >= most:
        return state
    new = Output(seen.outpoint, seen.value, seen.confirmations)
    # In an order of their own, so that the way in which they were found decides nothing.
    return replace(state, outputs=tuple(sorted((*state.outputs, new), key=lambda out: out.outpoint)))


def _written_off(state: AnySwap, outpoint: bytes) -> AnySwap:
    small = any(out.outpoint == outpoint and out.value <= LARGEST_WRITE_OFF for out in state.outputs)
    return _output_changed(state, outpoint, written_off=True) if small else state


def _output_changed(state: AnySwap, outpoint: bytes, **news: object) -> AnySwap:
    outputs = tuple(replace(out, **news) if out.outpoint == outpoint else out for out in state.outputs)
    return replace(state, outputs=outputs)
