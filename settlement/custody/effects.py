"""Why a payment ends, and what the machines of custodial payments ask for.

Effects are delivered after the commit, at least once, under ids that make a repeat harmless.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from settlement.custody.terms import Quote, Terms


class Why(StrEnum):
    """Why a payment ended without money moving. The text beside it is for people."""

    NO_ROUTE = "no_route"  # the clearing bank has no account or no rate for it
    RATE_MOVED = "rate_moved"  # the quote asks for more than the payer allows
    QUOTE_EXPIRED = "quote_expired"
    QUOTE_WRONG = "quote_wrong"  # the quote or the hold is not what was asked for or agreed
    RULES = "rules"  # this party's own rules bar it
    SCREENING = "screening"  # a bank's KYC or AML verdict
    REFUSED_BY_PAYEE = "refused_by_payee"
    NO_ANSWER = "no_answer"  # a party was silent for too long
    NO_FUNDS = "no_funds"
    LEDGER = "ledger"  # the ledger refused the hold for another reason
    TOO_LATE = "too_late"  # too little time is left before a time-out
    UNKNOWN_CUSTOMER = "unknown_customer"  # the payee's bank has no such account
    CANCELLED = "cancelled"  # by a person of this party, before the hold


class Effect(Struct, frozen=True, tag_field="kind"):
    """Root of what is asked for."""


class AskSecret(Effect, frozen=True, tag="ask_secret"):
    """To the payee: a shared secret and an address for this payment (step 1)."""


class GiveSecret(Effect, frozen=True, tag="give_secret"):
    """To the payer, sealed to its `reply_key`: the shared secret, the address and the account."""

    reply_key: bytes
    secret: bytes
    address: str
    account: str


class AskQuote(Effect, frozen=True, tag="ask_quote"):
    """To the clearing bank: what would it cost to pay this (step 2)? Fields as `payer.Order`; target_account is the
    payee's.
    """

    payee: str
    source_ledger: str
    source_account: str
    target_ledger: str
    target_account: str
    target_amount: int


class GiveQuote(Effect, frozen=True, tag="give_quote"):
    """To the payer: the clearing bank's offer and its signature."""

    quote: Quote
    signature: bytes


class RefuseQuote(Effect, frozen=True, tag="refuse_quote"):
    """To `party`, who asked for a quote: there is none."""

    party: str
    why: Why
    detail: str


class Validate(Effect, frozen=True, tag="validate"):
    """To this party's rules: may it go on? Answered by `Cleared` or `Barred`, now or after a person's word."""

    terms: Terms | None
    quote: Quote


class Consent(Effect, frozen=True, tag="consent"):
    """To `connect`: this bank wants these terms. It screens and signs, if both policies are content."""

    terms: Terms


class Decline(Effect, frozen=True, tag="decline"):
    """To the payer by way of `connect`: the payee does not accept."""

    why: Why
    detail: str


class MakeHold(Effect, frozen=True, tag="make_hold"):
    """To a ledger: set money aside. Fields as `settlement.ledgers.protocol.Hold`."""

    ledger: str
    transfer_id: bytes
    payer: str
    payee: str
    amount: int
    condition: bytes
    expires_at: int
    memo: bytes


class Fulfil(Effect, frozen=True, tag="fulfil"):
    """To a ledger: pay what is held, by its preimage.

    Fields: ledger; transfer_id; preimage; not_after (Unix milliseconds: it is not begun later, nor repeated where it is
    not known whether it was begun, because it might fail and yet show the preimage; None for a preimage that is known
    already, with which the claim is tried until it ends).
    """

    ledger: str
    transfer_id: bytes
    preimage: bytes
    not_after: int | None = None


class Look(Effect, frozen=True, tag="look"):
    """To a ledger: how does our own hold under this id stand?

    Answered by `HoldMade`, `Fulfilled`, `Returned` or `Absent`.
    """

    ledger: str
    transfer_id: bytes


class Salvage(Effect, frozen=True, tag="salvage"):
    """To a ledger: claim what is held for us under this id, if something is, and the preimage (32 bytes) opens it."""

    ledger: str
    transfer_id: bytes
    preimage: bytes


class GiveBack(Effect, frozen=True, tag="give_back"):
    """To a ledger: cancel a hold, as its payee now or as its payer after the time-out."""

    ledger: str
    transfer_id: bytes


class Tell(Effect, frozen=True, tag="tell"):
    """To another party: why this one ended the payment."""

    party: str
    why: Why
    detail: str


class SignReceipt(Effect, frozen=True, tag="sign_receipt"):
    """Sign the receipt with this party's key and send it to the other two. Fields: receipt_hash (32 bytes)."""

    receipt_hash: bytes


class ShareSignature(Effect, frozen=True, tag="share_signature"):
    """To another party: this one's part of the signature on the receipt."""

    party: str
    receipt_hash: bytes
    signature: bytes


class Send(Effect, frozen=True, tag="send"):
    """To another party: a note of `connect`, sealed already."""

    party: str
    envelope: bytes


class Post(Effect, frozen=True, tag="post"):
    """To the books: what happened to this party's money. Fields: event (`hold`, `paid`, `returned`, `received`,
    `earned`); carried out in the transaction that stores the state, never twice."""

    event: str


class Close(Effect, frozen=True, tag="close"):
    """To the books: the receipt with all three signatures, the third entry."""

    signatures: tuple[tuple[str, bytes], ...]
    receipt_hash: bytes


class Alarm(Effect, frozen=True, tag="alarm"):
    """To the operator: something that cannot happen while everybody keeps to the protocol and the margins."""

    detail: str


AnyEffect: TypeAlias = (
    AskSecret
    | GiveSecret
    | AskQuote
    | GiveQuote
    | RefuseQuote
    | Validate
    | Consent
    | Decline
    | MakeHold
    | Fulfil
    | Look
    | Salvage
    | GiveBack
    | Tell
    | SignReceipt
    | ShareSignature
    | Send
    | Post
    | Close
    | Alarm
)
Effects: TypeAlias = tuple[AnyEffect, ...]
