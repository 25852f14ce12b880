"""The receipt of a payment: one text, signed by the payer, the clearing bank and the payee.

Each sends its part of the signature to the other two. Parts are verified before they come to the machines, against the
parties' registered keys; here is only kept whose have come.
"""

from __future__ import annotations

from typing import TypeAlias

from settlement.custody.changes import Signed
from settlement.custody.terms import Quote, Terms, receipt_hash, terms_hash

Signatures: TypeAlias = tuple[tuple[str, bytes], ...]
"""Parties and their parts of the signature, in the order of the parties' names."""


def receipt_of(terms: Terms, agreement: bytes, preimage: bytes) -> bytes:
    """32 bytes: what all three sign."""
    return receipt_hash(terms.payment_id, terms.quote, terms_hash(terms), agreement, preimage)


def with_signature(signatures: Signatures, change: Signed, quote: Quote) -> Signatures:
    """The signatures with one more; a stranger's, or a second one of a party, changes nothing."""
    known = dict(signatures)
    if change.party in (quote.payer, quote.clearer, quote.payee):
        known.setdefault(change.party, change.signature)
    return tuple(sorted(known.items()))


def complete(signatures: Signatures, quote: Quote) -> bool:
    """Whether all three have signed."""
    return {party for party, _ in signatures} == {quote.payer, quote.clearer, quote.payee}
