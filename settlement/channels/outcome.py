"""What becomes final when a sheet gets its second signature, or the ledger pays out."""

from __future__ import annotations

from dataclasses import replace

from settlement.channels.ops import Fulfil, Offer, Op, Pay, Return
from settlement.channels.state import Channel, Effect, LockEnded, NotDone, Offered, Paid, Proposal
from settlement.channels.terms import Lock, LockId, SignedSheet


def adopt(
    state: Channel, signed: SignedSheet, ops: tuple[Op, ...], *, mine: bool
) -> tuple[Channel, tuple[Effect, ...]]:
    """`signed` has both signatures and is the newest: its operations are final, and earlier refused ones void.

    Args:
        ops: what it does to the sheet before it.
        mine: whether this side proposed it.
    """
    assert signed.sheet.sequence > state.sheet.sequence, "the newest only grows"
    voided = tuple(op for old in _others(state, signed.sheet.sequence) for op in old.ops if op not in ops)
    effects = (*_happened(state, ops, mine=mine), *(NotDone(op, "the other bank refused") for op in voided))
    memos = {**state.memos, **{op.lock.lock_id: op.memo for op in ops if isinstance(op, Offer)}}
    open_ids = {lock.lock_id for lock in signed.sheet.locks}
    conditions = {lock.condition for lock in signed.sheet.locks}
    state = replace(
        state,
        newest=signed,
        acknowledged=b"",
        proposal=None,
        voided=(),
        memos={lock_id: memo for lock_id, memo in memos.items() if lock_id in open_ids},
        preimages={condition: known for condition, known in state.preimages.items() if condition in conditions},
        revealed={condition: at for condition, at in state.revealed.items() if condition in conditions},
        declined=tuple(lock_id for lock_id in state.declined if lock_id in open_ids),
        given_back=tuple(lock_id for lock_id in state.given_back if lock_id in open_ids),
        asked_at=type(state.asked_at)(0),
    )
    return state, effects


def proposals(state: Channel) -> tuple[Proposal, ...]:
    """All sheets that this side has signed and that may still get the other's signature."""
    return (*state.voided, state.proposal) if state.proposal is not None else state.voided


def _others(state: Channel, sequence: int) -> tuple[Proposal, ...]:
    return tuple(proposal for proposal in proposals(state) if proposal.sheet.sequence != sequence)


def _happened(state: Channel, ops: tuple[Op, ...], *, mine: bool) -> tuple[Effect, ...]:
    locks: dict[LockId, Lock] = {lock.lock_id: lock for lock in state.sheet.locks}
    effects: list[Effect] = []
    for op in ops:
        match op:
            case Pay(amount=amount, reference=reference):
                effects.append(Paid(amount, reference, incoming=not mine))
            case Offer(lock=lock, memo=memo):
                locks[lock.lock_id] = lock
                if not mine:
                    effects.append(Offered(lock, memo))
            case Fulfil(lock_id=lock_id, preimage=preimage):
                effects.append(LockEnded(locks[lock_id], preimage))
            case Return(lock_id=lock_id):
                effects.append(LockEnded(locks[lock_id], None))
    return tuple(effects)
