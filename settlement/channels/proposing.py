"""What a side proposes: its wishes when its turn comes, another sheet for a refused one, a farewell at the end."""

from __future__ import annotations

from dataclasses import replace

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels.acceptance import signed_by_both
from settlement.channels.errors import BadStep
from settlement.channels.messages import Accept, Acknowledge, AskTurn, CloseTogether, Propose, Reveal
from settlement.channels.ops import OPS_MAX, Fulfil, Op, Return, apply
from settlement.channels.outcome import adopt, proposals
from settlement.channels.signing import SheetSigner, check_signature, held_digest, sheet_digest
from settlement.channels.state import Channel, Effect, NotDone, Phase, Proposal, Send, Step
from settlement.channels.terms import Lock


def accepted(state: Channel, message: Accept, signer: SheetSigner) -> Step:
    proposal = state.proposal
    if proposal is None or message.sequence != proposal.sheet.sequence:
        if message.sequence == state.sheet.sequence > 0 and state.terms.proposer(message.sequence) is state.side:
            return state, _acknowledgement(state, signer)
        return state, ()
    digest = sheet_digest(state.terms.ledger, proposal.sheet)
    peer = state.side.other
    check_signature(state.terms.account(peer), digest, message.signature, f"sheet {message.sequence}")
    signed = signed_by_both(state.side, proposal.sheet, mine=proposal.signature, theirs=message.signature)
    state, effects = adopt(state, signed, proposal.ops, mine=True)
    return state, (*_acknowledgement(state, signer), *effects)


def _acknowledgement(state: Channel, signer: SheetSigner) -> tuple[Effect, ...]:
    """Not while closing: it would say that this side had held more than it has submitted."""
    if state.phase is Phase.CLOSING:
        return ()
    sequence = state.sheet.sequence
    signature = signer.sign_held(state.terms.ledger, state.channel, sequence)
    return (Send(Acknowledge(state.channel, sequence, signature)),)


def acknowledged(state: Channel, sequence: int, signature: bytes) -> Channel:
    if sequence != state.sheet.sequence:
        return state
    digest = held_digest(state.terms.ledger, state.channel, sequence)
    check_signature(state.terms.account(state.side.other), digest, signature, f"acknowledgement {sequence}")
    return replace(state, acknowledged=signature)


def asked(state: Channel, newest: int, now: UnixMs, signer: SheetSigner) -> Step:
    """The other wants the turn: hand it on with an empty proposal, unless one is under way."""
    idle = state.proposal is None and not _wishes(state)
    if state.phase is Phase.OPEN and newest == state.sheet.sequence and state.is_my_turn and idle:
        if state.terms.one_way:
            raise BadStep(state.channel, "turn", "A alone proposes in a one-way channel")
        return _propose(state, (), now, signer)
    return state, ()


def go_on(state: Channel, now: UnixMs, signer: SheetSigner) -> Step:
    """Propose what is wanted, take the place of what was refused, ask for the turn, or say farewell."""
    if state.phase is not Phase.OPEN:
        return state, ()
    if state.proposal is not None:
        # An empty proposal is refused by a bank that is leaving: there is nothing to be put in its place.
        if not state.proposal.refused or not state.proposal.ops:
            return state, ()
    elif not _wishes(state):
        return _farewell(state, now, signer)
    if state.is_my_turn:
        state, ops, effects = _fitting(state)
        if not ops and state.proposal is None:
            return state, effects
        state, sent = _propose(state, ops, now, signer)
        return state, (*effects, *sent)
    return _ask(state, now)


def _wishes(state: Channel) -> tuple[Op, ...]:
    """What this side would propose now: preimages that it knows, and the queue."""
    ends = tuple(_end(state, lock) for lock in state.sheet.locks)
    known = tuple(op for op in ends if op is not None)
    ended = {op.lock_id for op in known}
    rest = (op for op in state.queue if not (isinstance(op, Fulfil | Return) and op.lock_id in ended))
    return (*known, *rest)


def _end(state: Channel, lock: Lock) -> Fulfil | Return | None:
    """How a conditional payment can end now, by this side's word; what was declined is not asked again at once."""
    if lock.lock_id in state.declined:
        return None
    if lock.lock_id in state.given_back:
        return Return(lock.lock_id)
    preimage = state.preimages.get(lock.condition)
    return None if preimage is None else Fulfil(lock.lock_id, preimage)


def _fitting(state: Channel) -> tuple[Channel, tuple[Op, ...], tuple[Effect, ...]]:
    """Those wishes that fit the balances, one after the other; the others are told, and leave the queue."""
    ops: list[Op] = []
    effects: list[Effect] = []
    wishes = _wishes(state)
    for op in wishes[:OPS_MAX]:
        try:
            apply(state.terms, state.sheet, state.side, (*ops, op), state.sheet.sequence + 2)
        except (BadStep, BadInput) as error:
            effects.append(NotDone(op, str(error)))
        else:
            ops.append(op)
    left = wishes[OPS_MAX:]
    state = replace(state, queue=tuple(op for op in state.queue if op in left))
    return state, tuple(ops), tuple(effects)


def _propose(state: Channel, ops: tuple[Op, ...], now: UnixMs, signer: SheetSigner) -> Step:
    sequence = state.terms.next_turn(state.side, max(state.sheet.sequence, state.last_number))
    sheet = apply(state.terms, state.sheet, state.side, ops, sequence)
    signature = signer.sign_sheet(state.terms.ledger, sheet)
    # What was refused is void once this one has both signatures; until then nobody is told so.
    proposal = Proposal(sheet, ops, signature, now)
    state = replace(state, proposal=proposal, voided=proposals(state), last_number=sequence)
    return state, (Send(Propose(state.channel, sequence, sheet.held, ops, signature)),)


def _ask(state: Channel, now: UnixMs) -> Step:
    """Preimages go at once, as the payer may propose them itself; for the rest the turn is asked for."""
    if state.asked_at and now < state.asked_at + state.policy.resend_ms:
        return state, ()
    reveals = tuple(
        Send(Reveal(state.channel, lock.lock_id, state.preimages[lock.condition]))
        for lock in state.sheet.locks
        if lock.payer is not state.side and lock.condition in state.preimages
    )
    asks = () if state.terms.one_way else (Send(AskTurn(state.channel, state.sheet.sequence)),)
    return replace(state, asked_at=now), (*reveals, *asks)


def _farewell(state: Channel, now: UnixMs, signer: SheetSigner) -> Step:
    if not state.leaving or state.sheet.locks:
        return state, ()
    return replace(state, phase=Phase.LEAVING, asked_at=now), (goodbye(state, signer),)


def goodbye(state: Channel, signer: SheetSigner) -> Send:
    signature = signer.sign_close(state.terms.ledger, state.sheet)
    return Send(CloseTogether(state.channel, state.sheet.sequence, signature))
