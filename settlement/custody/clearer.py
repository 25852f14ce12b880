"""The clearing bank's machine: money held for it on one ledger, money that it holds on the other, never at its own
risk.

Source: seeds/002…, steps 2, 5-7 and 11-13; DESIGN.md, invariant 5.

    quoted → clearing → forwarding → waiting ──→ claiming ──→ earned → closed
       │         │          │           │            └→ lost (the source was returned: an alarm)
       │         └──────────┴───────────┴→ returning → failed
       └→ lapsed (a hold that comes after the quote's end is given back)

The target is held only while the source is held, finally, with the whole margin. The source is given back only when the
target's hold has ended unpaid, or never was. And whenever the target was fulfilled, the source is fulfilled with the
same preimage, for which the margin leaves the time.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import receipts
from settlement.custody.packet import Memo, decode_memo, forwarded_memo
from settlement.custody.receipts import Signatures
from settlement.custody.terms import (
    PaymentId,
    Quote,
    receipt_hash,
    source_transfer_id,
    target_transfer_id,
)
from settlement.ilp.packets import decode_prepare
from settlement.quantities import Condition, Units, fulfils


class Offer(Struct, frozen=True):
    """A quote as it was given. Fields: payment_id; quote; signature (this bank's)."""

    payment_id: bytes
    quote: Quote
    signature: bytes


class State(Struct, frozen=True, tag_field="stage"):
    """Root of the clearing bank's states. Fields: offer."""

    offer: Offer


class Quoted(State, frozen=True, tag="quoted"):
    """The quote is firm; the source's hold is awaited."""


class Taken(Struct, frozen=True):
    """The source's hold, as it was checked. Fields: condition; memo (as it came); terms, agreement (32 bytes each)."""

    condition: Condition
    memo: bytes
    terms: bytes
    agreement: bytes


class Clearing(State, frozen=True, tag="clearing"):
    """The source is held; this bank's rules are looking at it, or a person is."""

    taken: Taken


class Forwarding(State, frozen=True, tag="forwarding"):
    """The target's ledger was asked to hold; whether it does is not known yet."""

    taken: Taken
    signatures: Signatures = ()


class Waiting(State, frozen=True, tag="waiting"):
    """Both are held."""

    taken: Taken
    signatures: Signatures = ()


class Claiming(State, frozen=True, tag="claiming"):
    """The target was fulfilled; the preimage is on its way to the source's ledger."""

    taken: Taken
    preimage: bytes
    signatures: Signatures


class Earned(State, frozen=True, tag="earned"):
    """Both were fulfilled; receipts are being signed."""

    taken: Taken
    preimage: bytes
    signatures: Signatures


class Closed(State, frozen=True, tag="closed"):
    """All three have signed the receipt."""

    taken: Taken
    preimage: bytes
    signatures: Signatures


class Returning(State, frozen=True, tag="returning"):
    """The source is being given back."""

    why: c.Why
    detail: str


class Failed(State, frozen=True, tag="failed"):
    """Both ledgers are as before."""

    why: c.Why
    detail: str


class Lapsed(State, frozen=True, tag="lapsed"):
    """The quote ended unused."""


class Lost(State, frozen=True, tag="lost"):
    """The target was paid and the source returned: the margins did not hold, and a person has to look."""

    taken: Taken
    preimage: bytes


ClearerState: TypeAlias = (
    Quoted | Clearing | Forwarding | Waiting | Claiming | Earned | Closed | Returning | Failed | Lapsed | Lost
)
SignedState = TypeVar("SignedState", bound=Forwarding | Waiting | Claiming | Earned)
Step: TypeAlias = tuple[ClearerState, c.Effects]


def begin(offer: Offer) -> Step:
    """A quote, made for one payment (step 2)."""
    return Quoted(offer), (c.GiveQuote(offer.quote, offer.signature),)


def step(state: ClearerState, change: c.AnyChange, now: UnixMs, place_ms: int) -> Step:
    """Advance one payment. Pure; a replayed, late or foreign change moves nothing.

    Args:
        state: where it stands. change: what happened. A `HoldSeen` of the source comes only with the banks'
        signatures on the instruction verified. now: the time. place_ms: how long before the target's time-out its
        hold is still begun.
    """
    if isinstance(change, c.HoldSeen) and not _is_source(state, change):
        return state, (c.GiveBack(change.ledger, change.transfer_id),)
    match state:
        case Quoted() | Lapsed():
            return _offered(state, change, now, place_ms)
        case Clearing() | Forwarding() | Waiting():
            return _taken(state, change, now, place_ms)
        case Claiming() | Earned():
            return _paid(state, change)
        case Returning():
            return _returning(state, change)
        case Failed():
            # The same hold seen again after its end: giving it back once more does no harm.
            return state, _give_back(state) if isinstance(change, c.HoldSeen) else ()
        case Closed() | Lost():
            return state, ()


def _is_source(state: ClearerState, hold: c.HoldSeen) -> bool:
    """Whether it is the one hold that the quote asked for, by ledger, id and account."""
    source = state.offer.quote.source
    wanted = (source.ledger, source_transfer_id(PaymentId(state.offer.payment_id)), source.payee)
    return (hold.ledger, hold.transfer_id, hold.payee) == wanted


def _offered(state: Quoted | Lapsed, change: c.AnyChange, now: UnixMs, place_ms: int) -> Step:
    quote = state.offer.quote
    match change:
        case c.QuoteAsked() if isinstance(state, Quoted) and change.party == quote.payer:
            return state, (c.GiveQuote(quote, state.offer.signature),)
        case c.Tick() if isinstance(state, Quoted) and now >= quote.expires_at:
            return Lapsed(state.offer), ()
        case c.HoldSeen():
            if isinstance(state, Lapsed) or now >= quote.expires_at:
                return _return(state, c.Why.QUOTE_EXPIRED, "the money was held after the quote's end")
            try:
                memo, condition = _checked(state.offer, change)
            except BadInput as problem:
                return _return(state, c.Why.QUOTE_WRONG, str(problem))
            taken = Taken(condition, change.memo, memo.terms, memo.agreement)
            return Clearing(state.offer, taken), (c.Validate(None, quote),)
        case _:
            return state, ()


def _checked(offer: Offer, hold: c.HoldSeen) -> tuple[Memo, Condition]:
    """Steps 5 and 6: is the hold what was quoted, and does its packet say the same?

    Raises:
        BadInput: names the field that differs.
    """
    source = offer.quote.source
    if not hold.instructed:
        raise BadInput("hold.memo", "it is not signed by both banks", "let payer and payee sign the instruction")
    memo = decode_memo(hold.memo)
    packet = decode_prepare(memo.packet)
    fields = {
        "payer": (hold.payer, source.payer),
        "amount": (hold.amount, source.amount),
        "time-out": (hold.expires_at, source.expires_at),
        "payment": (memo.payment_id, offer.payment_id),
        "quote": (memo.quote_id, offer.quote.quote_id),
        "packet.amount": (packet.amount, source.amount),
        "packet.expires_at": (packet.expires_at, source.expires_at),
        "packet.condition": (packet.condition, hold.condition),
    }
    for name, (found, wanted) in fields.items():
        if found != wanted:
            raise BadInput(f"hold.{name}", "not what was quoted", "hold exactly what the quote says")
    return memo, packet.condition


def _taken(state: Clearing | Forwarding | Waiting, change: c.AnyChange, now: UnixMs, place_ms: int) -> Step:
    quote, payment = state.offer.quote, PaymentId(state.offer.payment_id)
    source = (quote.source.ledger, source_transfer_id(payment))
    target = (quote.target.ledger, target_transfer_id(payment))
    match state, change:
        case _, c.Fulfilled() if _is_paid(change, target, state.taken):
            # Steps 11-13. The ledger's words may come in any order: a fulfilled hold was made.
            posts = () if isinstance(state, Waiting) else (c.Post("hold"),)
            claim = c.Fulfil(*source, change.preimage)
            signatures = () if isinstance(state, Clearing) else state.signatures
            claiming = Claiming(state.offer, state.taken, change.preimage, signatures)
            return claiming, (*posts, c.Post("paid"), claim)
        case ((Forwarding() | Waiting()), c.Signed()):
            return _signed(state, change), ()
        case Clearing(), c.Cleared():
            if now + place_ms > quote.target.expires_at:
                return _return(state, c.Why.TOO_LATE, "the decision left too little time")
            return Forwarding(state.offer, state.taken), (_target_hold(state.offer, state.taken),)
        case Clearing(), c.Barred():
            return _return(state, c.Why.RULES, change.detail)
        case Clearing(), c.Tick() if now + place_ms > quote.target.expires_at:
            return _return(state, c.Why.TOO_LATE, "nobody decided in time")
        case (Clearing(), c.Cancel()):
            return _return(state, c.Why.CANCELLED, change.detail)
        case Clearing(), c.Returned() if (change.ledger, change.transfer_id) == source:
            return Failed(state.offer, c.Why.TOO_LATE, "the source ended before a decision"), ()
        case Forwarding(), c.HoldRefused():
            return _return(state, change.why, change.detail)
        case Forwarding(), c.HoldMade() if (change.ledger, change.transfer_id) == target:
            return Waiting(state.offer, state.taken, state.signatures), (c.Post("hold"),)
        case ((Forwarding() | Waiting()), c.Returned()) if (change.ledger, change.transfer_id) == target:
            posts = (c.Post("returned"),) if isinstance(state, Waiting) else ()
            why = c.Why.NO_ANSWER if change.expired else c.Why.REFUSED_BY_PAYEE
            detail = "the payee did not fulfil in time" if change.expired else "the payee gave it back"
            returning, effects = _return(state, why, detail)
            return returning, (*posts, *effects)
        case Waiting(), c.Tick() if now >= quote.target.expires_at:
            return state, (c.GiveBack(*target),)
        case _:
            return state, ()


def _is_paid(change: c.Fulfilled, target: tuple[str, bytes], taken: Taken) -> bool:
    return (change.ledger, change.transfer_id) == target and fulfils(change.preimage, taken.condition)


def _target_hold(offer: Offer, taken: Taken) -> c.MakeHold:
    """Step 7: the same condition, the smaller amount, the earlier time-out."""
    target = offer.quote.target
    assert target.expires_at < offer.quote.source.expires_at, "checked when the quote was made"
    memo = forwarded_memo(decode_memo(taken.memo), Units(target.amount), UnixMs(target.expires_at))
    return c.MakeHold(
        ledger=target.ledger,
        transfer_id=target_transfer_id(PaymentId(offer.payment_id)),
        payer=target.payer,
        payee=target.payee,
        amount=target.amount,
        condition=taken.condition,
        expires_at=target.expires_at,
        memo=memo,
    )


def _paid(state: Claiming | Earned, change: c.AnyChange) -> Step:
    offer, taken = state.offer, state.taken
    source = (offer.quote.source.ledger, source_transfer_id(PaymentId(offer.payment_id)))
    match state, change:
        case Claiming(), c.Fulfilled() if (change.ledger, change.transfer_id) == source:
            text = receipt_hash(offer.payment_id, offer.quote, taken.terms, taken.agreement, state.preimage)
            earned = Earned(offer, taken, state.preimage, state.signatures)
            return earned, (c.Post("earned"), c.SignReceipt(text))
        case Claiming(), c.Returned() if (change.ledger, change.transfer_id) == source:
            alarm = c.Alarm("the source's hold was returned although the target's was fulfilled")
            return Lost(offer, taken, state.preimage), (alarm,)
        case Claiming(), c.Signed():
            return _signed(state, change), ()
        case Earned(), c.Signed():
            signed = _signed(state, change)
            text = receipt_hash(offer.payment_id, offer.quote, taken.terms, taken.agreement, state.preimage)
            close = receipts.closing(signed.signatures, offer.quote, text)
            return (Closed(offer, taken, state.preimage, signed.signatures), close) if close else (signed, ())
        case _:
            return state, ()


def _signed(state: SignedState, change: c.Signed) -> SignedState:
    """The state with one more signature on the receipt."""
    signatures = receipts.with_signature(state.signatures, change, state.offer.quote)
    return msgspec.structs.replace(state, signatures=signatures)


def _returning(state: Returning, change: c.AnyChange) -> Step:
    source = (state.offer.quote.source.ledger, source_transfer_id(PaymentId(state.offer.payment_id)))
    match change:
        case c.Returned() if (change.ledger, change.transfer_id) == source:
            return Failed(state.offer, state.why, state.detail), ()
        case c.Fulfilled() if (change.ledger, change.transfer_id) == source:
            alarm = c.Alarm("a source's hold that was to be given back was fulfilled by somebody")
            return Failed(state.offer, state.why, state.detail), (alarm,)
        case _:
            return state, ()


def _return(state: ClearerState, why: c.Why, detail: str) -> Step:
    """Give the source back, and say why to both banks. Only while no target is held."""
    quote = state.offer.quote
    told = tuple(c.Tell(party, why, detail) for party in (quote.payer, quote.payee))
    return Returning(state.offer, why, detail), (*_give_back(state), *told)


def _give_back(state: ClearerState) -> tuple[c.GiveBack]:
    source = source_transfer_id(PaymentId(state.offer.payment_id))
    return (c.GiveBack(state.offer.quote.source.ledger, source),)
