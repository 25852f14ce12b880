"""What the clearing bank looks at in a hold for it, and what it holds for it on the other ledger.

Source: seeds/002…, steps 5-7.
"""

from __future__ import annotations

from msgspec import Struct

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody.packet import decode_memo, forwarded_memo
from settlement.custody.terms import PaymentId, Quote, target_transfer_id
from settlement.ilp.packets import decode_prepare
from settlement.quantities import Condition, Units


class Offer(Struct, frozen=True):
    """A quote as it was given. Fields: payment_id; quote; signature (this bank's)."""

    payment_id: bytes
    quote: Quote
    signature: bytes


class Taken(Struct, frozen=True):
    """The source's hold, as it was checked. Fields: condition; memo (as it came); terms, agreement (32 bytes each)."""

    condition: Condition
    memo: bytes
    terms: bytes
    agreement: bytes


def checked(offer: Offer, hold: c.HoldSeen) -> Taken:
    """Steps 5 and 6: the hold, if it is what was quoted, and its packet says the same.

    Raises:
        BadInput: names the field that differs.
    """
    source = offer.quote.source
    if not hold.instructed:
        raise BadInput("hold.memo", "it is not signed by both banks", "let payer and payee sign the instruction")
    memo = decode_memo(hold.memo)
    packet = decode_prepare(memo.packet)
    fields = {
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
    return Taken(packet.condition, hold.memo, memo.terms, memo.agreement)


def as_it_is(hold: c.HoldSeen) -> Taken:
    """A hold that is not as it should be: what a claim needs, should its target be held all the same."""
    try:
        memo = decode_memo(hold.memo)
    except BadInput:
        return Taken(Condition(hold.condition), hold.memo, bytes(32), bytes(32))
    return Taken(Condition(hold.condition), hold.memo, memo.terms, memo.agreement)


def target_of(offer: Offer, taken: Taken) -> c.MakeHold:
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
