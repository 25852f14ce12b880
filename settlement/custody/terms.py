"""What a custodial payment is: the quote of the clearing bank, and the terms on which both banks agree.

Source: seeds/002…, "Central Bank Digital Currency", steps 1-4. All that the three parties must see alike is in `Terms`;
`terms_hash` is what they sign, and what the condition of the holds commits to.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, NewType, TypeAlias

import msgspec
from msgspec import Meta, Struct

from foundation.errors import BadInput
from settlement.connect.acceptance import PaymentId as PaymentId
from settlement.quantities import MAX_UNITS, PartyId, tagged_hash

QuoteId = NewType("QuoteId", bytes)
"""32 bytes, drawn at random by the clearing bank; one quote serves one payment at most."""

Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Amount = Annotated[int, Meta(ge=1)]  # above 2^63 the decoder's bound is ours to check
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Time = Annotated[int, Meta(ge=0, lt=2**53)]


class Leg(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One of the two holds.

    Fields: ledger; asset (code) and scale; payer, payee (accounts on that ledger); amount (base units, above 0);
    expires_at (the hold's time-out, Unix milliseconds).
    """

    ledger: Name
    asset: Name
    scale: Annotated[int, Meta(ge=0, le=255)]
    payer: Name
    payee: Name
    amount: Amount
    expires_at: Time


class Quote(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The clearing bank's firm offer: if `source` is held for it by `expires_at`, it holds `target` for the payee.

    Fields: quote_id; payer, clearer, payee (parties); source (payer → clearer); target (clearer → payee); rate_num and
    rate_den (target base units for one source base unit, before the fee); fee (source base units, contained in the
    source's amount); expires_at (the source hold has to be final by then).
    """

    quote_id: Bytes32
    payer: Name
    clearer: Name
    payee: Name
    source: Leg
    target: Leg
    rate_num: Amount
    rate_den: Amount
    fee: Annotated[int, Meta(ge=0)]
    expires_at: Time


class Particulars(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What both banks' policies and rules look at beside the amounts.

    Fields: purpose (ISO 20022 external purpose code, such as GDDS); origin, destination (countries of the two banks'
    customers, ISO 3166-1 alpha-2); originator, beneficiary (`natural` or `legal`).
    """

    purpose: Annotated[str, Meta(pattern="^[A-Z0-9]{1,4}\\Z")]
    origin: Annotated[str, Meta(pattern="^[A-Z]{2}\\Z")]
    destination: Annotated[str, Meta(pattern="^[A-Z]{2}\\Z")]
    originator: Annotated[str, Meta(pattern="^(natural|legal)\\Z")]
    beneficiary: Annotated[str, Meta(pattern="^(natural|legal)\\Z")]


class Terms(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What payer and payee agree on before money moves.

    Fields: payment_id; quote; quote_signature (the clearing bank's, for the payee too); address (the payee's
    Interledger address for this payment); particulars.
    """

    payment_id: Bytes32
    quote: Quote
    quote_signature: Annotated[bytes, Meta(max_length=512)]
    address: Annotated[str, Meta(min_length=1, max_length=1023)]
    particulars: Particulars

    @property
    def clearer(self) -> PartyId:
        """The clearing bank."""
        return PartyId(self.quote.clearer)

    @property
    def payer(self) -> PartyId:
        """The bank that pays."""
        return PartyId(self.quote.payer)

    @property
    def payee(self) -> PartyId:
        """The bank that is paid."""
        return PartyId(self.quote.payee)


@lru_cache(maxsize=2_048)
def quote_hash(quote: Quote) -> bytes:
    """32 bytes: what the clearing bank signs."""
    return tagged_hash("quote", msgspec.msgpack.encode(quote))


@lru_cache(maxsize=2_048)
def terms_hash(terms: Terms) -> bytes:
    """32 bytes: what both banks sign, and what all three must compute alike."""
    return tagged_hash("terms", msgspec.msgpack.encode(terms))


def agreement_hash(terms: Terms, payer_acceptance: bytes, payee_acceptance: bytes) -> bytes:
    """32 bytes: the terms, and the two acceptances of them as they were signed; the condition commits to it."""
    return tagged_hash("agreement", terms_hash(terms), payer_acceptance, payee_acceptance)


def instruction_hash(payment: bytes, quote: Quote, terms: bytes) -> bytes:
    """32 bytes: what both banks sign for the clearing bank: this quote is to be carried out for this payment, once."""
    return tagged_hash("instruction", payment, quote_hash(quote), terms)


def receipt_hash(payment: bytes, quote: Quote, terms: bytes, agreement: bytes, preimage: bytes) -> bytes:
    """32 bytes: what all three sign when both holds are paid; the preimage shows that they are."""
    return tagged_hash("receipt", payment, quote_hash(quote), terms, agreement, preimage)


def check_quote(quote: Quote) -> Quote:
    """The quote, if it contradicts itself nowhere.

    Raises:
        BadInput: an amount that no packet carries, a fee above the amount, time-outs that leave the clearing bank no
            time, or a party that stands on both sides of a hold.
    """
    source, target = quote.source, quote.target
    for name, leg in (("source", source), ("target", target)):
        if leg.amount > MAX_UNITS:
            raise BadInput(f"quote.{name}.amount", "more than 2^64−1 base units", "split the payment")
        if leg.payer == leg.payee:
            raise BadInput(f"quote.{name}.payee", "the payer's own account", "name another account")
    if quote.fee >= source.amount:
        raise BadInput("quote.fee", "as large as the amount", "ask for a quote of a larger amount")
    if len({quote.payer, quote.clearer, quote.payee}) != 3:
        raise BadInput("quote", "the three parties are not three", "name payer, clearing bank and payee")
    if not quote.expires_at < target.expires_at < source.expires_at:
        raise BadInput(
            "quote.expires_at",
            "the time-outs are not in order",
            "the quote ends first, then the target, then the source",
        )
    worth, scale = (source.amount - quote.fee) * quote.rate_num, quote.rate_den
    if target.amount * scale > worth:
        raise BadInput(
            "quote.target.amount", "more than the source is worth at the rate", "round towards the payer's cost"
        )
    return quote


def payment_id(value: bytes) -> PaymentId:
    """`value` as a payment's id.

    Raises:
        BadInput: not 32 bytes.
    """
    if len(value) != 32:
        raise BadInput("payment_id", f"{len(value)} bytes", "32 bytes")
    return PaymentId(value)


def source_transfer_id(of: PaymentId) -> bytes:
    """32 bytes: the id of the payer's hold, known to whoever knows the payment."""
    return tagged_hash("source-transfer", of)


def target_transfer_id(of: PaymentId) -> bytes:
    """32 bytes: the id of the clearing bank's hold."""
    return tagged_hash("target-transfer", of)


HoldKey: TypeAlias = tuple[str, bytes, str]
"""Ledger, transfer id and payer: what names one hold everywhere. A book has an id once; on a chain each payer has its
own, so that nobody can use up another's, and a hold that has no more than the id of ours is a stranger's."""


def source_key(of: bytes, quote: Quote) -> HoldKey:
    """The payer's hold of a payment."""
    return quote.source.ledger, source_transfer_id(PaymentId(of)), quote.source.payer


def target_key(of: bytes, quote: Quote) -> HoldKey:
    """The clearing bank's hold of a payment."""
    return quote.target.ledger, target_transfer_id(PaymentId(of)), quote.target.payer
