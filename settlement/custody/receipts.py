"""The receipt of a payment: one text, signed by the payer, the clearing bank and the payee.

Each sends its part of the signature to the other two, as soon as the payment is over for it. So a part may come before
the money is seen to have moved: it is kept, and counts once the text is known that it has to be on. Parts are verified
before they come to the machines, against the parties' registered keys and the text that they name.
"""

from __future__ import annotations

from typing import TypeAlias

from settlement.custody.changes import Close, Signed
from settlement.custody.terms import Quote, Terms, receipt_hash, terms_hash

Signatures: TypeAlias = tuple[Signed, ...]
"""What has come, at most one of each party, in the order of the parties' names."""


def receipt_of(terms: Terms, agreement: bytes, preimage: bytes) -> bytes:
    """32 bytes: what all three sign."""
    return receipt_hash(terms.payment_id, terms.quote, terms_hash(terms), agreement, preimage)


def with_signature(signatures: Signatures, change: Signed, quote: Quote) -> Signatures:
    """The signatures with one more. A stranger's changes nothing; a party's last one counts."""
    known = {signed.party: signed for signed in signatures}
    if change.party in (quote.payer, quote.clearer, quote.payee):
        known[change.party] = change
    return tuple(sorted(known.values(), key=lambda signed: signed.party))


def closing(signatures: Signatures, quote: Quote, text: bytes) -> tuple[Close, ...]:
    """What closes the payment: all three signatures on `text`, or nothing as long as one is missing."""
    parts = tuple((signed.party, signed.signature) for signed in signatures if signed.receipt_hash == text)
    if {party for party, _ in parts} != {quote.payer, quote.clearer, quote.payee}:
        return ()
    return (Close(parts, text),)
