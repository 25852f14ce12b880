"""A payment by a quote that the clearing bank gave beforehand goes by that quote, or not at all."""

from __future__ import annotations

import msgspec
import pytest

from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import payer
from settlement.custody.states import Role, decode_state, encode_state
from settlement.custody.terms import Leg, Particulars, Quote

NOW = UnixMs(1_795_000_000_000)
QUOTE = Quote(
    quote_id=b"q" * 32,
    payer="bank-a",
    clearer="clearing",
    payee="bank-b",
    source=Leg("euro", "EUR", 2, "bank-a", "clearing", 1_001_00, NOW + 160_000),
    target=Leg("yuan", "CNY", 2, "clearing", "bank-b", 2_000_00, NOW + 95_000),
    rate_num=2,
    rate_den=1,
    fee=1_00,
    expires_at=NOW + 60_000,
)
GIVEN = c.QuoteGiven(QUOTE, b"signed")
ORDER = payer.Order(
    payment_id=b"p" * 32,
    payer="bank-a",
    clearer="clearing",
    payee="bank-b",
    target_ledger="yuan",
    target_amount=2_000_00,
    source_ledger="euro",
    source_account="bank-a",
    source_max=1_001_00,
    particulars=Particulars("GDDS", "DE", "SG", "natural", "legal"),
    answer_by=NOW + 30_000,
    offer=GIVEN,
)
SECRET = c.SecretGiven(b"s" * 32, "g.bank-b.x", "bank-b")


def test_the_clearing_bank_is_not_asked_again() -> None:
    """With the payee's secret the payment has its terms at once: the quote and the signature that were given before."""
    state, effects = payer.step(payer.begin(ORDER)[0], SECRET, NOW)
    assert isinstance(state, payer.Clearing)
    assert (state.terms.quote, state.terms.quote_signature) == (QUOTE, b"signed")
    assert effects == (c.Validate(state.terms, QUOTE),)


@pytest.mark.parametrize(
    ("at", "account", "most", "why"),
    [
        (60_000, "bank-b", 1_001_00, c.Why.QUOTE_EXPIRED),
        (0, "another", 1_001_00, c.Why.QUOTE_WRONG),
        (0, "bank-b", 1_000_99, c.Why.RATE_MOVED),
    ],
)
def test_a_quote_that_does_not_fit_any_more_moves_nothing(at: int, account: str, most: int, why: c.Why) -> None:
    """A quote that has ended, that pays another account of the payee, or costs too much ends the payment unpaid."""
    order = msgspec.structs.replace(ORDER, source_max=most)
    told = msgspec.structs.replace(SECRET, account=account)
    state, effects = payer.step(payer.begin(order)[0], told, UnixMs(NOW + at))
    assert isinstance(state, payer.Failed)
    assert state.why is why
    assert all(isinstance(effect, c.Tell) for effect in effects)


def test_an_order_keeps_its_quote_in_the_database() -> None:
    """What is read again after a restart still goes by the quote, and orders of an earlier release have none."""
    asking = payer.begin(ORDER)[0]
    assert decode_state(Role.PAYER, encode_state(asking)) == asking
    fields = msgspec.msgpack.decode(encode_state(asking))
    del fields["order"]["offer"]
    read = decode_state(Role.PAYER, msgspec.msgpack.encode(fields))
    assert isinstance(read, payer.Asking)
    assert read.order.offer is None
