"""What parties say to each other: letters between any two, and notes between payer and payee under their secret.

A letter's text is a list of words, so that what is said at the same time to one party is sealed once. Notes carry the
proposal and the exchange of `connect`. What is personal travels in notes alone.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from foundation.errors import BadInput
from foundation.unreadable import UNREADABLE
from settlement.custody.changes import Why
from settlement.custody.terms import Amount, Bytes32, Name, Quote, Terms
from settlement.quantities import PartyId

Detail = Annotated[str, Meta(max_length=512)]
Part = Annotated[bytes, Meta(max_length=512)]


class QuoteAsk(Struct, frozen=True, array_like=True, tag="quote-ask", forbid_unknown_fields=True):
    """Payer to clearing bank: what would it cost? Fields as `custody.payer.Order` and the payee's account."""

    payment_id: Bytes32
    payee: Name
    source_ledger: Name
    source_account: Name
    target_ledger: Name
    target_account: Name
    target_amount: Amount


class QuoteOffer(Struct, frozen=True, array_like=True, tag="quote-offer", forbid_unknown_fields=True):
    """Clearing bank to payer: so much. Fields: payment_id; quote; signature (an encoded `CoSignature`)."""

    payment_id: Bytes32
    quote: Quote
    signature: Part


class QuoteNo(Struct, frozen=True, array_like=True, tag="quote-no", forbid_unknown_fields=True):
    """Clearing bank to payer: there is no quote. Payee to payer: it is paid nowhere."""

    payment_id: Bytes32
    why: Why
    detail: Detail


class PlaceAsk(Struct, frozen=True, array_like=True, tag="place-ask", forbid_unknown_fields=True):
    """Payer to payee, before a firm quote: where would you be paid? Nothing begins with it."""

    payment_id: Bytes32


class Place(Struct, frozen=True, array_like=True, tag="place", forbid_unknown_fields=True):
    """Payee to payer: here. Fields: payment_id; ledger; account."""

    payment_id: Bytes32
    ledger: Name
    account: Name


class End(Struct, frozen=True, array_like=True, tag="end", forbid_unknown_fields=True):
    """Any party to another: it has ended on my side, and why."""

    payment_id: Bytes32
    why: Why
    detail: Detail


class ReceiptPart(Struct, frozen=True, array_like=True, tag="receipt-part", forbid_unknown_fields=True):
    """Any party to another: my part of the signature on the receipt (an encoded `Partial`)."""

    payment_id: Bytes32
    receipt_hash: Bytes32
    part: Part


Word: TypeAlias = QuoteAsk | QuoteOffer | QuoteNo | PlaceAsk | Place | End | ReceiptPart


class Proposal(Struct, frozen=True, array_like=True, tag="proposal", forbid_unknown_fields=True):
    """Payer to payee: the terms, and whom they are for (the customer's account at the payee's bank)."""

    terms: Terms
    creditor: Name

    def __repr__(self) -> str:
        return "Proposal(hidden)"


class Exchanged(Struct, frozen=True, array_like=True, tag="exchanged", forbid_unknown_fields=True):
    """A message of `connect` (a demand, a disclosure, a refusal), as it encodes them."""

    body: bytes

    def __repr__(self) -> str:
        return "Exchanged(hidden)"


class Accepting(Struct, frozen=True, array_like=True, tag="accepting", forbid_unknown_fields=True):
    """A signed acceptance; the payee's comes with its part of the signature on the instruction (a `Partial`)."""

    body: bytes
    instruction: Part


Note: TypeAlias = Proposal | Exchanged | Accepting

WORDS_MAX = 512
ENVELOPES_MAX = 512
_words = msgspec.msgpack.Decoder(Annotated[tuple[Word, ...], Meta(max_length=WORDS_MAX)])
_notes: msgspec.msgpack.Decoder[Note] = msgspec.msgpack.Decoder(Note)
_body = msgspec.msgpack.Decoder(Annotated[tuple[bytes, ...], Meta(max_length=ENVELOPES_MAX)])


def encode(message: tuple[Word, ...] | Note | tuple[bytes, ...]) -> bytes:
    """A letter's text, a note's text, or the body of a request: the envelopes that are in it."""
    return msgspec.msgpack.encode(message)


def decode_words(text: bytes, sender: PartyId) -> tuple[Word, ...]:
    """The words of a letter.

    Raises:
        BadInput: there are none.
    """
    try:
        words: tuple[Word, ...] = _words.decode(text)
    except UNREADABLE as error:
        raise BadInput("letter", f"{sender} sent no words of this release", str(error)[:200]) from None
    return words


def decode_note(text: bytes) -> Note:
    """The note that a text is; nothing of it is quoted in the error.

    Raises:
        BadInput: it is none.
    """
    try:
        return _notes.decode(text)
    except UNREADABLE:
        raise BadInput("note", "it is none of this release") from None


def decode_body(raw: bytes) -> tuple[bytes, ...]:
    """The envelopes of a request.

    Raises:
        BadInput: it holds none, or too many.
    """
    try:
        return tuple(_body.decode(raw))
    except UNREADABLE:
        raise BadInput("body", f"no list of at most {ENVELOPES_MAX} envelopes") from None
