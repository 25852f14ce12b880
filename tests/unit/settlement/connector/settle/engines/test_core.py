"""What an engine owes, and the stages of its payments."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from foundation.quantities import UnixMs
from settlement.connector.settle.engines import core
from settlement.connector.settle.engines.core import Payment, PaymentStage
from settlement.connector.settle.quantity import NOTHING, Quantity

QUANTITIES = st.builds(Quantity, st.integers(0, 10**20), st.integers(0, 30))


@given(st.lists(QUANTITIES, max_size=10), st.integers(0, 20), st.integers(0, 10**6))
def test_what_is_asked_for_is_paid_or_still_owed(asked: list[Quantity], scale: int, least: int):
    """Payments and what stays owed are worth exactly what was asked for, and no payment is below the least."""
    paid, left_over = 0, NOTHING
    for quantity in asked:
        units, left_over = core.owe(left_over, quantity, scale, least)
        assert units == 0 or units >= least
        paid += units
    owed = Fraction(left_over.amount, 10**left_over.scale)
    assert Fraction(paid, 10**scale) + owed == sum(Fraction(one.amount, 10**one.scale) for one in asked)
    assert owed < Fraction(max(least, 1), 10**scale)


def test_each_attempt_has_a_key_of_its_own():
    """A payment keeps its key until an attempt is known to have had no effect; only then it gets another."""
    first = core.aimed(Payment("ab", "bank", 5), "there")
    waiting = core.waits(first, UnixMs(0), 0.0)
    assert waiting.key == first.key
    assert waiting.next_at == 500
    second = core.without_effect(waiting, UnixMs(1_000), 0.0)
    assert (second.stage, second.target, second.next_at) == (PaymentStage.OWED, "", 2_000)
    assert second.key != first.key
    assert second.digest != first.digest


def test_a_key_of_one_account_is_no_other_accounts():
    """The same idempotency key of two accounts names two requests."""
    assert core.request_id("a", "key") != core.request_id("b", "key")
    assert core.request_id("a", "bkey") != core.request_id("ab", "key")
