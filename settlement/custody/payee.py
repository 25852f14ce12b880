"""The receiving bank's machine: from a shared secret to money that has arrived, or was refused.

Source: seeds/002…, steps 1, 8-10.

    offered → considering → consenting → expecting → fulfilling ──→ received → closed
       └───────────┴────────────┴────────────┤            └→ lost (returned although the preimage was shown: an alarm)
                                          failed
                                             └ refusing (a hold that is not as agreed, or comes too late, is given back)

The preimage is shown once the right amount is held for this bank, finally, and with enough time left that the
fulfilment is final before the time-out. Whoever has seen it may claim the payer's money: so it is never shown for
less.
"""

from __future__ import annotations

import hmac
from typing import TypeAlias

import msgspec
from msgspec import Struct

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import receipts
from settlement.custody.packet import SharedSecret, condition_for, decode_memo, open_packet, preimage_of
from settlement.custody.receipts import Signatures
from settlement.custody.terms import (
    PaymentId,
    Terms,
    agreement_hash,
    check_quote,
    target_key,
    target_transfer_id,
    terms_hash,
)
from settlement.quantities import Condition, fulfils


class Invitation(Struct, frozen=True):
    """What the payee gave the payer in step 1.

    Fields: payment_id; payer, payee (parties); secret (32 bytes); address (ILP); ledger, account (where it wants to be
    paid); until (Unix milliseconds: terms that come later are declined); hold_ms_max (the longest time for which this
    bank waits for the money, and keeps what the payment took of its limits).
    """

    payment_id: bytes
    payer: str
    payee: str
    secret: bytes
    address: str
    ledger: str
    account: str
    until: int
    hold_ms_max: int = 3_600_000


class State(Struct, frozen=True, tag_field="stage"):
    """Root of the payee's states. Fields: invitation."""

    invitation: Invitation


class Offered(State, frozen=True, tag="offered"):
    """The payer has the secret; terms are awaited."""


class Considering(State, frozen=True, tag="considering"):
    """This bank's rules are looking at the terms, or a person is."""

    terms: Terms


class Consenting(State, frozen=True, tag="consenting"):
    """The banks exchange data and acceptances. Fields: terms; early (a hold that came before the payer's word)."""

    terms: Terms
    early: c.HoldSeen | None = None


class Deal(Struct, frozen=True):
    """What the payee waits for. Fields: terms; agreement (agreement_hash); condition."""

    terms: Terms
    agreement: bytes
    condition: Condition


class Expecting(State, frozen=True, tag="expecting"):
    """Both have accepted; the hold is awaited."""

    deal: Deal


class Fulfilling(State, frozen=True, tag="fulfilling"):
    """The preimage is on its way to the ledger."""

    deal: Deal
    signatures: Signatures = ()


class Received(State, frozen=True, tag="received"):
    """The money is this bank's; receipts are being signed."""

    deal: Deal
    signatures: Signatures


class Closed(State, frozen=True, tag="closed"):
    """Received, and all three have signed the receipt."""

    deal: Deal
    signatures: Signatures


class Refusing(State, frozen=True, tag="refusing"):
    """The hold is being given back."""

    deal: Deal
    why: c.Why
    detail: str


class Failed(State, frozen=True, tag="failed"):
    """Nothing was received. Fields: is_doubted (money has come all the same since, and the operator was told)."""

    why: c.Why
    detail: str
    is_doubted: bool = False


class Lost(State, frozen=True, tag="lost"):
    """The ledger returned the hold although the preimage was sent, or may have been: a person has to look.

    Fields: resolution (what the person found).
    """

    deal: Deal
    resolution: c.Resolved | None = None


PayeeState: TypeAlias = (
    Offered | Considering | Consenting | Expecting | Fulfilling | Received | Closed | Refusing | Failed | Lost
)
Step: TypeAlias = tuple[PayeeState, c.Effects]


def begin(invitation: Invitation, reply_key: bytes) -> Step:
    """Step 1, asked by the payer, who can open what is sealed to `reply_key` (X25519, 32 bytes)."""
    return Offered(invitation), (_secret(invitation, reply_key),)


def step(state: PayeeState, change: c.AnyChange, now: UnixMs, reveal_ms: int) -> Step:
    """Advance one payment. Pure; a replayed, late or foreign change moves nothing.

    Args:
        state: where it stands.
        change: what happened.
        now: the time.
        reveal_ms: how long before its time-out a hold is still fulfilled (`margins.reveal_ms`).
    """
    match state:
        case Offered() | Considering() | Consenting():
            return _before_agreement(state, change, now, reveal_ms)
        case Expecting() | Fulfilling() | Refusing():
            return _with_agreement(state, change, now, reveal_ms)
        case Received():
            return _signing(state, change)
        case Lost(resolution=None) if isinstance(change, c.Resolved):
            return msgspec.structs.replace(state, resolution=change), ()
        case Failed() if isinstance(change, c.Fulfilled) and not state.is_doubted and _is_slot(state, change):
            return msgspec.structs.replace(state, is_doubted=True), (
                c.Alarm("money came of a payment that had failed"),
            )
        case Closed() | Failed() | Lost():
            return state, _unasked(state, change)


def _before_agreement(
    state: Offered | Considering | Consenting, change: c.AnyChange, now: UnixMs, reveal_ms: int
) -> Step:
    match state, change:
        case _, c.Cancel():
            return _decline(state, c.Why.CANCELLED, change.detail)
        case _, c.Told() if change.party == state.invitation.payer:
            return Failed(state.invitation, change.why, f"{change.party}: {change.detail}"), _back(state)
        case Consenting(), c.Agreed() if terms_hash(change.terms) == terms_hash(state.terms):
            return _agreed(state, change, now, reveal_ms)
        case Offered(), c.Tick() if now >= state.invitation.until:
            return Failed(state.invitation, c.Why.NO_ANSWER, "no terms came in time"), ()
        case ((Considering() | Consenting()), c.Tick()) if now >= state.terms.quote.target.expires_at:
            return Failed(state.invitation, c.Why.NO_ANSWER, "the payer did not accept in time"), _back(state)
        case Offered(), c.SecretAsked() if change.party == state.invitation.payer:
            return state, (_secret(state.invitation, change.reply_key),)
        case Offered(), c.Unwanted():
            return _decline(state, change.why, change.detail)
        case Offered(), c.Proposed():
            return _proposed(state, change.terms, now)
        case Considering(), c.Cleared():
            return Consenting(state.invitation, state.terms), (c.Consent(state.terms),)
        case Considering(), c.Barred():
            return _decline(state, c.Why.RULES, change.detail)
        case Consenting(), c.AgreementFailed():
            return Failed(state.invitation, change.why, change.detail), _back(state)
        case Consenting(), c.HoldSeen() if _is_ours(state.terms, change):
            return (msgspec.structs.replace(state, early=change) if state.early is None else state), ()
        case _, c.HoldSeen():
            return state, _unasked(state, change)
        case _:
            return state, ()


def _secret(given: Invitation, reply_key: bytes) -> c.GiveSecret:
    return c.GiveSecret(reply_key, given.secret, given.address, given.account)


def _proposed(state: Offered, terms: Terms, now: UnixMs) -> Step:
    """The payer's terms: do they pay this bank where it wants to be paid?"""
    given, quote = state.invitation, terms.quote
    asked = {
        "payment": (terms.payment_id, given.payment_id),
        "payer": (quote.payer, given.payer),
        "payee": (quote.payee, given.payee),
        "address": (terms.address, given.address),
        "ledger": (quote.target.ledger, given.ledger),
        "account": (quote.target.payee, given.account),
    }
    wrong = next((name for name, (found, wanted) in asked.items() if found != wanted), "")
    if wrong:
        return _decline(state, c.Why.QUOTE_WRONG, f"the terms' {wrong} is not what was given")
    try:
        check_quote(quote)
    except BadInput as problem:
        return _decline(state, c.Why.QUOTE_WRONG, str(problem))
    if quote.target.expires_at - now > given.hold_ms_max:
        long = f"the hold would last {quote.target.expires_at - now} ms, at most {given.hold_ms_max} are waited for"
        return _decline(state, c.Why.QUOTE_WRONG, long)
    if now >= min(given.until, quote.expires_at):
        return _decline(state, c.Why.QUOTE_EXPIRED, "the terms came too late")
    return Considering(given, terms), (c.Validate(terms, quote),)


def _agreed(state: Consenting, change: c.Agreed, now: UnixMs, reveal_ms: int) -> Step:
    terms, payment = state.terms, PaymentId(state.terms.payment_id)
    agreement = agreement_hash(terms, change.payer_acceptance, change.payee_acceptance)
    condition = condition_for(SharedSecret(state.invitation.secret), payment, agreement)
    expecting = Expecting(state.invitation, Deal(terms, agreement, condition))
    return (expecting, ()) if state.early is None else _judged(expecting, state.early, now, reveal_ms)


def _with_agreement(state: Expecting | Fulfilling | Refusing, change: c.AnyChange, now: UnixMs, reveal_ms: int) -> Step:
    deal = state.deal
    target = target_key(state.invitation.payment_id, deal.terms.quote)
    match state, change:
        case Expecting(), c.HoldSeen() if _is_ours(deal.terms, change):
            return _judged(state, change, now, reveal_ms)
        case _, c.HoldSeen() if not _is_ours(deal.terms, change):
            return state, _unasked(state, change)
        case Fulfilling(), c.Fulfilled() if c.hold_key(change) == target and fulfils(change.preimage, deal.condition):
            text = receipts.receipt_of(deal.terms, deal.agreement, change.preimage)
            received = Received(state.invitation, deal, state.signatures)
            return received, (c.Post("received"), c.SignReceipt(text))
        case Fulfilling(), c.Signed():
            signatures = receipts.with_signature(state.signatures, change, deal.terms.quote)
            return msgspec.structs.replace(state, signatures=signatures), ()
        case Fulfilling(), c.Returned() if c.hold_key(change) == target:
            alarm = c.Alarm("the hold was returned although its fulfilment had begun, or may have")
            return Lost(state.invitation, deal), (alarm,)
        case Fulfilling(), c.NotSent() if (change.ledger, change.transfer_id) == target[:2]:
            detail = "the ledger did not answer until it was too late to show the preimage"
            return _refuse(Expecting(state.invitation, deal), *target[:2], c.Why.TOO_LATE, detail)
        case Refusing(), c.Returned() if c.hold_key(change) == target:
            return Failed(state.invitation, state.why, state.detail), ()
        case Refusing(), c.Fulfilled() if c.hold_key(change) == target:
            # On a chain whoever has the preimage may bring it, and the payer has it.
            alarm = c.Alarm("a hold that was refused was fulfilled by somebody: money came that was not agreed")
            return Failed(state.invitation, state.why, state.detail, is_doubted=True), (alarm,)
        case Expecting(), c.Returned() if c.hold_key(change) == target:
            return Failed(state.invitation, c.Why.TOO_LATE, "the hold ended before it was seen"), ()
        case Expecting(), c.Told() if change.party in (deal.terms.payer, deal.terms.clearer):
            # No end yet: the hold may be on its way all the same, and the time-out ends the waiting.
            return state, ()
        case Expecting(), c.Tick() if now >= deal.terms.quote.target.expires_at:
            return Failed(state.invitation, c.Why.NO_ANSWER, "nothing was held in time"), ()
        case _:
            return state, ()


def _judged(state: Expecting, hold: c.HoldSeen, now: UnixMs, reveal_ms: int) -> Step:
    """Step 9: is it the condition, the amount and the packet that were agreed, and is there time to fulfil it?"""
    given, deal, target = state.invitation, state.deal, state.deal.terms.quote.target
    problem = _problem(state, hold)
    if problem:
        return _refuse(
            state, hold.ledger, hold.transfer_id, c.Why.QUOTE_WRONG, f"the hold's {problem} is not what was agreed"
        )
    if now + reveal_ms > target.expires_at:
        detail = f"{target.expires_at - now} ms are left, {reveal_ms} are needed"
        return _refuse(state, hold.ledger, hold.transfer_id, c.Why.TOO_LATE, detail)
    preimage = preimage_of(SharedSecret(given.secret), PaymentId(given.payment_id), deal.agreement)
    fulfil = c.Fulfil(target.ledger, hold.transfer_id, preimage, target.expires_at - reveal_ms)
    return Fulfilling(given, deal), (fulfil,)


def _problem(state: Expecting, hold: c.HoldSeen) -> str:
    """What of a hold differs from the deal; empty if nothing does."""
    deal, target = state.deal, state.deal.terms.quote.target
    if not hmac.compare_digest(hold.condition, deal.condition):
        return "condition"
    fields = {"amount": (hold.amount, target.amount), "time-out": (hold.expires_at, target.expires_at)}
    wrong = next((name for name, (found, wanted) in fields.items() if found != wanted), "")
    if wrong:
        return wrong
    try:
        memo = decode_memo(hold.memo)
        packet, private = open_packet(
            memo.packet, PaymentId(state.invitation.payment_id), SharedSecret(state.invitation.secret)
        )
    except BadInput as problem:
        return problem.field
    agreed = (target.amount, target.expires_at, deal.condition, deal.terms.address, target.amount, deal.agreement)
    found = (
        packet.amount,
        packet.expires_at,
        packet.condition,
        packet.destination,
        private.amount,
        private.agreement,
    )
    if found != agreed:
        return "packet"
    # What the clearing bank was told it has agreed to: on another text its part of the receipt would be of no use.
    return "" if (memo.terms, memo.agreement) == (terms_hash(deal.terms), deal.agreement) else "memo"


def _is_ours(terms: Terms, hold: c.HoldSeen) -> bool:
    """Whether it is the one hold of this payment: its ledger, its id, both its accounts."""
    return c.hold_key(hold) == target_key(terms.payment_id, terms.quote) and hold.payee == terms.quote.target.payee


def _refuse(state: Expecting, ledger: str, transfer_id: bytes, why: c.Why, detail: str) -> Step:
    quote = state.deal.terms.quote
    told = tuple(c.Tell(party, why, detail) for party in (quote.payer, quote.clearer))
    refusing = Refusing(state.invitation, state.deal, why, detail)
    return refusing, (c.GiveBack(ledger, transfer_id), *told)


def _signing(state: Received, change: c.AnyChange) -> Step:
    quote = state.deal.terms.quote
    if isinstance(change, c.HoldSeen) and not _is_ours(state.deal.terms, change):
        return state, _unasked(state, change)
    if not isinstance(change, c.Signed):
        return state, ()
    signatures = receipts.with_signature(state.signatures, change, quote)
    secret, payment = SharedSecret(state.invitation.secret), PaymentId(state.invitation.payment_id)
    preimage = preimage_of(secret, payment, state.deal.agreement)
    text = receipts.receipt_of(state.deal.terms, state.deal.agreement, preimage)
    close = receipts.closing(signatures, quote, text)
    if not close:
        return msgspec.structs.replace(state, signatures=signatures), ()
    return Closed(state.invitation, state.deal, signatures), close


def _decline(state: Offered | Considering | Consenting, why: c.Why, detail: str) -> Step:
    return Failed(state.invitation, why, detail), (c.Decline(why, detail), *_back(state))


def _back(state: State) -> c.Effects:
    """A hold that came early and will not be fulfilled goes back."""
    early = state.early if isinstance(state, Consenting) else None
    return () if early is None else (c.GiveBack(early.ledger, early.transfer_id),)


def _unasked(state: State, change: c.AnyChange) -> c.Effects:
    """Money that nobody agreed on, or that comes after the end, goes back; giving back what has ended does no harm.

    But nothing under the id of a payment that may still be paid: a stranger may have taken it, ledgers give back all
    that is held under an id, and a preimage might meet a hold that has gone. The time-out ends it.
    """
    if not isinstance(change, c.HoldSeen):
        return ()
    if _is_slot(state, change) and not isinstance(state, Closed | Failed | Lost):
        return ()
    return (c.GiveBack(change.ledger, change.transfer_id),)


def _is_slot(state: State, change: c.HoldSeen | c.Fulfilled) -> bool:
    """Whether it is where this payment's hold has to be: its ledger, its id."""
    given = state.invitation
    return (change.ledger, change.transfer_id) == (given.ledger, target_transfer_id(PaymentId(given.payment_id)))
