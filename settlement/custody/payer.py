"""The paying bank's machine: from an order to money that has left, once, or has come back.

Source: seeds/002…, steps 1-4, and what follows when another step fails.

    asking → pricing → clearing → agreeing → holding → held ──→ paid → closed
       └────────┴─────────┴──────────┴──────────┤        └→ back (the hold was returned)
                                             failed (nothing was ever held)

Money is at stake from `holding` on. From there only the ledger's word ends a payment: a hold whose making is unknown is
asked for again under the same id, and one that is there ends by the preimage or by its time-out.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec import Struct

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import receipts
from settlement.custody.packet import SharedSecret, condition_for, memo_for
from settlement.custody.receipts import Signatures
from settlement.custody.terms import (
    Particulars,
    PaymentId,
    Quote,
    Terms,
    agreement_hash,
    check_quote,
    source_key,
    source_transfer_id,
    terms_hash,
)
from settlement.quantities import Condition, fulfils


class Order(Struct, frozen=True):
    """What the paying bank wants.

    Fields: payment_id; payer, clearer, payee (parties); target_ledger, target_amount (what the payee is to get, base
    units); source_ledger, source_account (where it pays from); source_max (the most that it may cost, fee included:
    the slippage limit); particulars; answer_by (Unix milliseconds: when it gives up to wait for an answer); hold_ms_max
    (the longest time for which it lets its money be held); target_asset and target_scale (what target_amount counts, so
    that no other currency or scale passes for it; an empty code compares neither); offer (a quote that the clearing
    bank gave for this payment beforehand, its signature verified: it is not asked again).
    """

    payment_id: bytes
    payer: str
    clearer: str
    payee: str
    target_ledger: str
    target_amount: int
    source_ledger: str
    source_account: str
    source_max: int
    particulars: Particulars
    answer_by: int
    hold_ms_max: int = 3_600_000
    target_asset: str = ""
    target_scale: int = 0
    offer: c.QuoteGiven | None = None


class State(Struct, frozen=True, tag_field="stage"):
    """Root of the payer's states. Fields: order."""

    order: Order


class Asking(State, frozen=True, tag="asking"):
    """The payee was asked for a shared secret."""


class Pricing(State, frozen=True, tag="pricing"):
    """The clearing bank was asked for a quote."""

    secret: bytes
    address: str
    account: str


class Clearing(State, frozen=True, tag="clearing"):
    """This bank's rules are looking at it, or a person is."""

    secret: bytes
    terms: Terms


class Agreeing(State, frozen=True, tag="agreeing"):
    """The banks exchange their data and acceptances."""

    secret: bytes
    terms: Terms


class Deal(Struct, frozen=True):
    """What holds are made by. Fields: terms; agreement (agreement_hash); secret; condition; co_signature."""

    terms: Terms
    agreement: bytes
    secret: bytes
    condition: Condition
    co_signature: bytes


class Holding(State, frozen=True, tag="holding"):
    """The ledger was asked to hold; whether it does is not known yet."""

    deal: Deal
    signatures: Signatures = ()


class Held(State, frozen=True, tag="held"):
    """The money is held. Fields: word (what another party said of its end, for people)."""

    deal: Deal
    signatures: Signatures = ()
    word: str = ""


class Paid(State, frozen=True, tag="paid"):
    """The hold was fulfilled; receipts are being signed."""

    deal: Deal
    preimage: bytes
    signatures: Signatures


class Closed(State, frozen=True, tag="closed"):
    """Paid, and all three have signed the receipt."""

    deal: Deal
    preimage: bytes
    signatures: Signatures


class Back(State, frozen=True, tag="back"):
    """The money was held and came back."""

    deal: Deal
    why: c.Why
    detail: str


class Failed(State, frozen=True, tag="failed"):
    """Nothing was held. Fields: is_doubted (the ledger has said otherwise since, and the operator was told)."""

    why: c.Why
    detail: str
    is_doubted: bool = False


PayerState: TypeAlias = Asking | Pricing | Clearing | Agreeing | Holding | Held | Paid | Closed | Back | Failed
Step: TypeAlias = tuple[PayerState, c.Effects]


def begin(order: Order) -> Step:
    """A new payment (step 1)."""
    return Asking(order), (c.AskSecret(),)


def step(state: PayerState, change: c.AnyChange, now: UnixMs) -> Step:
    """Advance one payment. Pure; a replayed, late or foreign change moves nothing."""
    if isinstance(change, c.HoldSeen):
        return state, _strangers(state, change)
    match state:
        case Failed():
            return _contradicted(state, change)
        case Closed() | Back():
            return state, ()
        case Holding() | Held():
            return _with_money(state, change, now)
        case Paid():
            return _signing(state, change)
        case _:
            return _before_money(state, change, now)


def _strangers(state: PayerState, hold: c.HoldSeen) -> c.Effects:
    """Money for a payer goes back, unless it stands under the id of its own hold, which must not be given back."""
    own = state.order.source_ledger, source_transfer_id(PaymentId(state.order.payment_id))
    return () if (hold.ledger, hold.transfer_id) == own else (c.GiveBack(hold.ledger, hold.transfer_id),)


def _contradicted(state: Failed, change: c.AnyChange) -> Step:
    """A hold of a payment that failed here was paid: this database is an old copy, and the customer has to be told."""
    if state.is_doubted or not isinstance(change, c.Fulfilled) or not _is_own(state.order, change):
        return state, ()
    alarm = c.Alarm("a hold was paid whose payment had failed here: is this database an old copy?")
    return msgspec.structs.replace(state, is_doubted=True), (alarm,)


def _is_own(order: Order, change: c.Fulfilled) -> bool:
    """Whether it is the hold that this order makes."""
    transfer_id = source_transfer_id(PaymentId(order.payment_id))
    return c.hold_key(change) == (order.source_ledger, transfer_id, order.source_account)


def _before_money(state: Asking | Pricing | Clearing | Agreeing, change: c.AnyChange, now: UnixMs) -> Step:
    match state, change:
        case _, c.Fulfilled() if _is_own(state.order, change):
            return _contradicted(Failed(state.order, c.Why.LEDGER, "it had been paid before"), change)
        case _, c.Cancel():
            return _fail(state, c.Why.CANCELLED, change.detail)
        case _, c.Told() if change.party in (state.order.payee, state.order.clearer):
            return _fail(state, change.why, f"{change.party}: {change.detail}")
        case ((Asking() | Pricing()), c.Tick()) if now >= state.order.answer_by:
            silent = state.order.payee if isinstance(state, Asking) else state.order.clearer
            return _fail(state, c.Why.NO_ANSWER, f"{silent} did not answer in time")
        case ((Clearing() | Agreeing()), c.Tick()) if now >= state.terms.quote.expires_at:
            return _fail(state, c.Why.QUOTE_EXPIRED, "the quote ended before both banks had accepted")
        case Asking(), c.SecretGiven():
            order = state.order
            pricing = Pricing(order, change.secret, change.address, change.account)
            if order.offer is not None:
                return _quoted(pricing, order.offer, now)
            asked = c.AskQuote(
                order.payee,
                order.source_ledger,
                order.source_account,
                order.target_ledger,
                change.account,
                order.target_amount,
            )
            return pricing, (asked,)
        case Pricing(), c.QuoteRefused() if change.party == state.order.clearer:
            return _fail(state, change.why, change.detail)
        case Pricing(), c.QuoteGiven():
            return _quoted(state, change, now)
        case Clearing(), c.Cleared():
            return Agreeing(state.order, state.secret, state.terms), (c.Consent(state.terms),)
        case Clearing(), c.Barred():
            return _fail(state, c.Why.RULES, change.detail)
        case Agreeing(), c.AgreementFailed():
            return _fail(state, change.why, change.detail)
        case Agreeing(), c.Agreed() if terms_hash(change.terms) == terms_hash(state.terms):
            return _agreed(state, change, now)
        case _:
            return state, ()


def _quoted(state: Pricing, change: c.QuoteGiven, now: UnixMs) -> Step:
    """Step 2's answer: is it what was asked for, and does it cost no more than the order allows?"""
    order, quote = state.order, change.quote
    try:
        check_quote(quote)
    except BadInput as problem:
        return _fail(state, c.Why.QUOTE_WRONG, str(problem))
    wrong = _differs(order, state.account, quote)
    if wrong:
        return _fail(state, c.Why.QUOTE_WRONG, f"the quote's {wrong} is not what was asked for")
    if quote.source.amount > order.source_max:
        cost = f"it costs {quote.source.amount}, at most {order.source_max} is allowed"
        return _fail(state, c.Why.RATE_MOVED, cost)
    if now >= quote.expires_at:
        return _fail(state, c.Why.QUOTE_EXPIRED, "the quote came after its end")
    if quote.source.expires_at - now > order.hold_ms_max:
        long = (
            f"the money would be held for {quote.source.expires_at - now} ms, at most {order.hold_ms_max} are allowed"
        )
        return _fail(state, c.Why.QUOTE_WRONG, long)
    terms = Terms(order.payment_id, quote, change.signature, state.address, order.particulars)
    return Clearing(order, state.secret, terms), (c.Validate(terms, quote),)


def _differs(order: Order, account: str, quote: Quote) -> str:
    asked: dict[str, tuple[object, object]] = {
        "payer": (quote.payer, order.payer),
        "clearing bank": (quote.clearer, order.clearer),
        "payee": (quote.payee, order.payee),
        "source ledger": (quote.source.ledger, order.source_ledger),
        "source account": (quote.source.payer, order.source_account),
        "target ledger": (quote.target.ledger, order.target_ledger),
        "target account": (quote.target.payee, account),
        "target amount": (quote.target.amount, order.target_amount),
    }
    if order.target_asset:
        asked["target currency"] = (quote.target.asset, order.target_asset)
        asked["target scale"] = (str(quote.target.scale), str(order.target_scale))
    return next((name for name, (given, wanted) in asked.items() if given != wanted), "")


def _agreed(state: Agreeing, change: c.Agreed, now: UnixMs) -> Step:
    """Steps 3 and 4: the packet, the condition, and the hold."""
    terms, quote = state.terms, state.terms.quote
    if now >= quote.expires_at:
        return _fail(state, c.Why.QUOTE_EXPIRED, "the quote ended before both banks had accepted")
    payment, secret = PaymentId(terms.payment_id), SharedSecret(state.secret)
    agreement = agreement_hash(terms, change.payer_acceptance, change.payee_acceptance)
    condition = condition_for(secret, payment, agreement)
    deal = Deal(terms, agreement, state.secret, condition, change.co_signature)
    hold = c.MakeHold(
        ledger=quote.source.ledger,
        transfer_id=source_transfer_id(payment),
        payer=quote.source.payer,
        payee=quote.source.payee,
        amount=quote.source.amount,
        condition=condition,
        expires_at=quote.source.expires_at,
        memo=memo_for(terms, agreement, secret, change.co_signature),
    )
    return Holding(state.order, deal), (hold,)


def _with_money(state: Holding | Held, change: c.AnyChange, now: UnixMs) -> Step:
    """The ledger alone says what becomes of the hold; its words may come in any order."""
    source = source_key(state.order.payment_id, state.deal.terms.quote)
    match state, change:
        case Holding(), c.HoldRefused():
            told = tuple(c.Tell(party, change.why, change.detail) for party in (state.order.payee, state.order.clearer))
            return Failed(state.order, change.why, change.detail), told
        case Holding(), c.HoldMade() if (change.ledger, change.transfer_id) == source[:2]:
            return Held(state.order, state.deal, state.signatures), (c.Post("hold"),)
        case _, c.Fulfilled() if c.hold_key(change) == source and fulfils(change.preimage, state.deal.condition):
            posts = () if isinstance(state, Held) else (c.Post("hold"),)
            signed = c.SignReceipt(receipts.receipt_of(state.deal.terms, state.deal.agreement, change.preimage))
            paid = Paid(state.order, state.deal, change.preimage, state.signatures)
            return paid, (*posts, c.Post("paid"), signed)
        case _, c.Signed():
            signatures = receipts.with_signature(state.signatures, change, state.deal.terms.quote)
            return msgspec.structs.replace(state, signatures=signatures), ()
        case _, c.Returned() if c.hold_key(change) == source:
            posts = (c.Post("returned"),) if isinstance(state, Held) else ()
            why = c.Why.NO_ANSWER if change.expired else c.Why.REFUSED_BY_PAYEE
            word = state.word if isinstance(state, Held) else ""
            detail = word or ("nobody fulfilled it in time" if change.expired else "the clearing bank gave it back")
            return Back(state.order, state.deal, why, detail), posts
        case Held(), c.Told() if change.party in (state.order.payee, state.order.clearer):
            return msgspec.structs.replace(state, word=f"{change.party}: {change.why}: {change.detail}"), ()
        case Held(), c.Tick() if now >= state.deal.terms.quote.source.expires_at:
            return state, (c.GiveBack(*source[:2]),)
        case _:
            return state, ()


def _signing(state: Paid, change: c.AnyChange) -> Step:
    if not isinstance(change, c.Signed):
        return state, ()
    quote = state.deal.terms.quote
    signatures = receipts.with_signature(state.signatures, change, quote)
    text = receipts.receipt_of(state.deal.terms, state.deal.agreement, state.preimage)
    close = receipts.closing(signatures, quote, text)
    if not close:
        return msgspec.structs.replace(state, signatures=signatures), ()
    return Closed(state.order, state.deal, state.preimage, signatures), close


def _fail(state: Asking | Pricing | Clearing | Agreeing, why: c.Why, detail: str) -> Step:
    """End before any money moved; who may be waiting is told."""
    parties = [state.order.payee]
    if isinstance(state, Clearing | Agreeing):
        parties.append(state.order.clearer)
    return Failed(state.order, why, detail), tuple(c.Tell(party, why, detail) for party in parties)
