"""The clearing bank's machine: money held for it on one ledger, money that it holds on the other, never at its own
risk.

Source: seeds/002…, steps 2, 5-7 and 11-13; DESIGN.md, invariant 5.

    quoted → clearing → forwarding → waiting ──→ claiming ──→ earned → closed
       │         │          │  ▲        ▲ │          └→ lost (the source was returned: an alarm)
       │         ▼          ▼  │        │ └→ returning → failed
       ├───→ checking ←─────┘  │        │        ▲
       │         └─────────────┴────────┘ ───────┘ (no target is there)
       └→ lapsed (a hold that comes after the quote's end is checked and given back)

The target is held only while the source is held, finally, with the whole margin. The source is given back only when the
target's hold has ended unpaid, or its ledger, asked, has none: this bank's own memory is not believed, for its database
may be an old one. And whenever the target was fulfilled, the source is fulfilled with the same preimage, for which the
margin leaves the time.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import receipts
from settlement.custody.receipts import Signatures
from settlement.custody.taking import Offer as Offer
from settlement.custody.taking import Taken as Taken
from settlement.custody.taking import as_it_is, checked, target_of
from settlement.custody.terms import HoldKey, receipt_hash, source_key, target_key
from settlement.quantities import fulfils


class State(Struct, frozen=True, tag_field="stage"):
    """Root of the clearing bank's states. Fields: offer."""

    offer: Offer


class Quoted(State, frozen=True, tag="quoted"):
    """The quote is firm; the source's hold is awaited."""


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


class Checking(State, frozen=True, tag="checking"):
    """The source is to be given back, once the target's ledger has said that no hold for it is there.

    Fields: taken; why, detail (for which it is given back); signatures; is_early (the ledger showed none so soon after
    this process began that one of an earlier process might still come: it is asked again).
    """

    taken: Taken
    why: c.Why
    detail: str
    signatures: Signatures = ()
    is_early: bool = False


class Returning(State, frozen=True, tag="returning"):
    """The source is being given back."""

    why: c.Why
    detail: str
    taken: Taken | None = None


class Failed(State, frozen=True, tag="failed"):
    """Both ledgers are as before."""

    why: c.Why
    detail: str


class Lapsed(State, frozen=True, tag="lapsed"):
    """The quote ended unused."""


class Lost(State, frozen=True, tag="lost"):
    """The target was paid and the source returned: the margins did not hold, and a person has to look.

    Fields: resolution (what the person found).
    """

    taken: Taken
    preimage: bytes
    resolution: c.Resolved | None = None


ClearerState: TypeAlias = (
    Quoted
    | Clearing
    | Forwarding
    | Waiting
    | Claiming
    | Earned
    | Closed
    | Checking
    | Returning
    | Failed
    | Lapsed
    | Lost
)
SignedState = TypeVar("SignedState", bound=Forwarding | Waiting | Checking | Claiming | Earned)
Step: TypeAlias = tuple[ClearerState, c.Effects]

_UNKNOWN = "a hold of ours was there that this database did not know of: is it an old copy?"


def begin(offer: Offer) -> Step:
    """A quote, made for one payment (step 2)."""
    return Quoted(offer), (c.GiveQuote(offer.quote, offer.signature),)


def step(state: ClearerState, change: c.AnyChange, now: UnixMs, place_ms: int, known_from: int = 0) -> Step:
    """Advance one payment. Pure; a replayed, late or foreign change moves nothing.

    Args:
        state: where it stands. change: what happened. A `HoldSeen` of the source comes only with the banks'
        signatures on the instruction verified. now: the time. place_ms: how long before the target's time-out its
        hold is still begun. known_from: from when on (Unix milliseconds) a hold that the target's ledger does not show
        is not on its way there either.
    """
    if isinstance(change, c.HoldSeen) and not _is_source(state, change):
        return state, _strangers(state, change)
    match state:
        case Quoted() | Lapsed():
            return _offered(state, change, now)
        case Clearing() | Forwarding() | Waiting():
            return _taken(state, change, now, place_ms)
        case Checking():
            return _checking(state, change, now, known_from)
        case Claiming() | Earned():
            return _paid(state, change)
        case Returning():
            return _returning(state, change)
        case Lost(resolution=None) if isinstance(change, c.Resolved):
            return msgspec.structs.replace(state, resolution=change), ()
        case Failed():
            # The same hold seen again after its end: giving it back once more does no harm.
            return state, _give_back(state) if isinstance(change, c.HoldSeen) else ()
        case Closed() | Lost():
            return state, ()


def _source(state: State) -> HoldKey:
    return source_key(state.offer.payment_id, state.offer.quote)


def _target(state: State) -> HoldKey:
    return target_key(state.offer.payment_id, state.offer.quote)


def _is_source(state: ClearerState, hold: c.HoldSeen) -> bool:
    """Whether it is the one hold that the quote asked for, by ledger, id and both accounts."""
    return c.hold_key(hold) == _source(state) and hold.payee == state.offer.quote.source.payee


def _strangers(state: ClearerState, hold: c.HoldSeen) -> c.Effects:
    """Money that is not this payment's goes back, unless that would give back the payment's own: a stranger may have
    taken its id, and ledgers give back all that is held for an account under one. Then the time-out ends it."""
    if (hold.ledger, hold.transfer_id) == _source(state)[:2]:
        return ()
    return (c.GiveBack(hold.ledger, hold.transfer_id),)


def _offered(state: Quoted | Lapsed, change: c.AnyChange, now: UnixMs) -> Step:
    quote = state.offer.quote
    match change:
        case c.QuoteAsked() if isinstance(state, Quoted) and change.party == quote.payer:
            return state, (c.GiveQuote(quote, state.offer.signature),)
        case c.Tick() if isinstance(state, Quoted) and now >= quote.expires_at:
            return Lapsed(state.offer), ()
        case c.HoldSeen():
            if isinstance(state, Lapsed) or now >= quote.expires_at:
                detail = "the money was held after the quote's end"
                return _check(state, as_it_is(change), c.Why.QUOTE_EXPIRED, detail)
            try:
                taken = checked(state.offer, change)
            except BadInput as problem:
                return _check(state, as_it_is(change), c.Why.QUOTE_WRONG, str(problem))
            return Clearing(state.offer, taken), (c.Validate(None, quote),)
        case _:
            return state, ()


def _taken(state: Clearing | Forwarding | Waiting, change: c.AnyChange, now: UnixMs, place_ms: int) -> Step:
    quote = state.offer.quote
    match state, change:
        case _, c.Fulfilled() if _is_paid(state, state.taken, change):
            return _claim(state, state.taken, change, is_posted=isinstance(state, Waiting))
        case ((Forwarding() | Waiting()), c.Signed()):
            return _signed(state, change), ()
        case Clearing(), c.Cleared():
            if now + place_ms > quote.target.expires_at:
                return _check(state, state.taken, c.Why.TOO_LATE, "the decision left too little time")
            return Forwarding(state.offer, state.taken), (target_of(state.offer, state.taken),)
        case Clearing(), c.Barred():
            return _check(state, state.taken, c.Why.RULES, change.detail)
        case Clearing(), c.Tick() if now + place_ms > quote.target.expires_at:
            return _check(state, state.taken, c.Why.TOO_LATE, "nobody decided in time")
        case (Clearing(), c.Cancel()):
            return _check(state, state.taken, c.Why.CANCELLED, change.detail)
        case Clearing(), c.Returned() if c.hold_key(change) == _source(state):
            return Failed(state.offer, c.Why.TOO_LATE, "the source ended before a decision"), ()
        case Forwarding(), c.HoldRefused():
            return _check(state, state.taken, change.why, change.detail)
        case Forwarding(), c.HoldMade() if (change.ledger, change.transfer_id) == _target(state)[:2]:
            return Waiting(state.offer, state.taken, state.signatures), (c.Post("hold"),)
        case ((Forwarding() | Waiting()), c.Returned()) if c.hold_key(change) == _target(state):
            posts = (c.Post("returned"),) if isinstance(state, Waiting) else ()
            why = c.Why.NO_ANSWER if change.expired else c.Why.REFUSED_BY_PAYEE
            detail = "the payee did not fulfil in time" if change.expired else "the payee gave it back"
            returning, effects = _return(state, state.taken, why, detail)
            return returning, (*posts, *effects)
        case Waiting(), c.Tick() if now >= quote.target.expires_at:
            return state, (c.GiveBack(*_target(state)[:2]),)
        case _:
            return state, ()


def _check(state: Quoted | Lapsed | Clearing | Forwarding, taken: Taken, why: c.Why, detail: str) -> Step:
    """The source is to go back: first ask whether a target is held for it after all."""
    signatures = state.signatures if isinstance(state, Forwarding) else ()
    return Checking(state.offer, taken, why, detail, signatures), (c.Look(*_target(state)[:2]),)


def _checking(state: Checking, change: c.AnyChange, now: UnixMs, known_from: int) -> Step:
    target = _target(state)
    match change:
        case c.Fulfilled() if _is_paid(state, state.taken, change):
            claiming, effects = _claim(state, state.taken, change, is_posted=False)
            return claiming, (*effects, c.Alarm(_UNKNOWN))
        case c.Returned() if c.hold_key(change) == target:
            return _return(state, state.taken, state.why, state.detail)
        case c.Returned() if c.hold_key(change) == _source(state):
            return Failed(state.offer, state.why, state.detail), ()
        case c.HoldMade() if (change.ledger, change.transfer_id) == target[:2]:
            return Waiting(state.offer, state.taken, state.signatures), (c.Post("hold"), c.Alarm(_UNKNOWN))
        case c.Absent() if (change.ledger, change.transfer_id) == target[:2]:
            if now < known_from:
                return msgspec.structs.replace(state, is_early=True), ()
            return _return(state, state.taken, state.why, state.detail)
        case c.Tick() if state.is_early and now >= known_from:
            return msgspec.structs.replace(state, is_early=False), (c.Look(*target[:2]),)
        case c.Signed():
            return _signed(state, change), ()
        case _:
            return state, ()


def _is_paid(state: State, taken: Taken, change: c.Fulfilled) -> bool:
    return c.hold_key(change) == _target(state) and fulfils(change.preimage, taken.condition)


def _claim(state: State, taken: Taken, change: c.Fulfilled, *, is_posted: bool) -> Step:
    """Steps 11-13. The ledger's words may come in any order: a fulfilled hold was made."""
    posts = () if is_posted else (c.Post("hold"),)
    signatures = state.signatures if isinstance(state, Forwarding | Waiting | Checking) else ()
    claiming = Claiming(state.offer, taken, change.preimage, signatures)
    return claiming, (*posts, c.Post("paid"), c.Fulfil(*_source(state)[:2], change.preimage))


def _paid(state: Claiming | Earned, change: c.AnyChange) -> Step:
    offer, taken = state.offer, state.taken
    match state, change:
        case Claiming(), c.Fulfilled() if c.hold_key(change) == _source(state):
            text = receipt_hash(offer.payment_id, offer.quote, taken.terms, taken.agreement, state.preimage)
            earned = Earned(offer, taken, state.preimage, state.signatures)
            return earned, (c.Post("earned"), c.SignReceipt(text))
        case Claiming(), c.Returned() if c.hold_key(change) == _source(state):
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
    match change:
        case c.Returned() if c.hold_key(change) == _source(state):
            return Failed(state.offer, state.why, state.detail), ()
        case c.Fulfilled() if c.hold_key(change) == _source(state):
            alarm = c.Alarm("a source's hold that was to be given back was fulfilled by somebody")
            return Failed(state.offer, state.why, state.detail), (alarm,)
        case c.Fulfilled() if state.taken is not None and _is_paid(state, state.taken, change):
            # The ledger had said that there was none. The source may still be there: claim it.
            claiming, effects = _claim(state, state.taken, change, is_posted=False)
            return claiming, (*effects, c.Alarm("a target was fulfilled that its ledger had not shown"))
        case _:
            return state, ()


def _return(state: State, taken: Taken, why: c.Why, detail: str) -> Step:
    """Give the source back, and say why to both banks. Only while no target is held."""
    quote = state.offer.quote
    told = tuple(c.Tell(party, why, detail) for party in (quote.payer, quote.payee))
    return Returning(state.offer, why, detail, taken), (*_give_back(state), *told)


def _give_back(state: State) -> tuple[c.GiveBack]:
    return (c.GiveBack(*_source(state)[:2]),)
