"""What a side agrees to: the other bank's proposals, computed here and signed, or refused for good."""

from __future__ import annotations

from dataclasses import replace

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels.errors import BadStep
from settlement.channels.messages import Accept, Propose, Refuse
from settlement.channels.ops import Fulfil, Offer, Op, Pay, Return, apply, expired
from settlement.channels.outcome import adopt
from settlement.channels.signing import SheetSigner, check_signature, sheet_digest
from settlement.channels.state import Channel, Phase, Send, Step
from settlement.channels.terms import Lock, Sheet, Side, SignedSheet


def proposed(state: Channel, message: Propose, now: UnixMs, signer: SheetSigner) -> Step:
    if message.sequence == state.sheet.sequence and state.terms.proposer(message.sequence) is not state.side:
        # Signed before, and the answer was lost.
        return state, (Send(Accept(state.channel, message.sequence, state.newest.signature(state.side))),)
    if message.sequence <= max(state.sheet.sequence, state.refused_upto):
        return state, (Send(Refuse(state.channel, message.sequence, "it is over")),)
    if state.phase is not Phase.OPEN:
        return state, (Send(Refuse(state.channel, message.sequence, f"the channel is {state.phase.value}")),)
    sheet = _checked(state, message)
    if (reason := _objection(state, message.ops, now)) is not None:
        return _refuse(state, message.sequence, reason)
    signature = signer.sign_sheet(state.terms.ledger, sheet)
    signed = signed_by_both(state.side, sheet, mine=signature, theirs=message.signature)
    state, effects = adopt(state, signed, message.ops, mine=False)
    return state, (Send(Accept(state.channel, sheet.sequence, signature)), *effects)


def _refuse(state: Channel, sequence: int, reason: str) -> Step:
    return replace(state, refused_upto=sequence), (Send(Refuse(state.channel, sequence, reason)),)


def _checked(state: Channel, message: Propose) -> Sheet:
    """The sheet that a proposal asks to sign, computed here."""
    peer = state.side.other
    if state.terms.proposer(state.sheet.sequence + 1) is not peer or state.terms.proposer(message.sequence) is not peer:
        raise BadStep(state.channel, "sequence", "it is not the other's turn")
    if message.held != state.sheet.sequence:
        raise BadStep(state.channel, "held", f"{message.held}, but {state.sheet.sequence} is the newest")
    try:
        sheet = apply(state.terms, state.sheet, peer, message.ops, message.sequence)
    except BadInput as error:
        raise BadStep(state.channel, error.field, error.problem) from error
    digest = sheet_digest(state.terms.ledger, sheet)
    check_signature(state.terms.account(peer), digest, message.signature, f"sheet {message.sequence}")
    return sheet


def _objection(state: Channel, ops: tuple[Op, ...], now: UnixMs) -> str | None:
    """Why this side does not agree to what the other wants, though it could be; None if it does."""
    for op in ops:
        match op:
            case Pay() | Offer() if state.leaving:
                return "the channel is ending"
            case Offer(lock=lock) if lock.expires_at < now + state.policy.accept_ms:
                return "the time-out is too near"
            case Fulfil(lock_id=lock_id) | Return(lock_id=lock_id):
                here = state.sheet.lock(lock_id)
                if here is not None and (reason := _objection_to_end(state, op, here, now)) is not None:
                    return reason
            case _:
                pass
    return None


def _objection_to_end(state: Channel, op: Fulfil | Return, lock: Lock, now: UnixMs) -> str | None:
    mine = lock.payer is not state.side
    if isinstance(op, Fulfil):
        return None if mine or in_time(state, lock, now) else "the time-out has passed"
    return None if not mine or _gives_up(state, lock, now) else "the time-out has not passed, or the preimage is known"


def in_time(state: Channel, lock: Lock, now: UnixMs) -> bool:
    """Whether a preimage counts, by this clock or by the adjudicator's register."""
    return not expired(lock, now) or state.revealed.get(lock.condition, lock.expires_at) < lock.expires_at


def _gives_up(state: Channel, lock: Lock, now: UnixMs) -> bool:
    """Whether this side, the payee, lets a conditional payment go.

    Not while it knows the preimage: what it has shown to the adjudicator may be on its way still.
    """
    if lock.lock_id in state.given_back:
        return True
    return lock.condition not in state.preimages and not in_time(state, lock, now)


def signed_by_both(side: Side, sheet: Sheet, mine: bytes, theirs: bytes) -> SignedSheet:
    """A sheet with this side's signature and the other's, each in its place."""
    return SignedSheet(sheet, mine, theirs) if side is Side.A else SignedSheet(sheet, theirs, mine)
