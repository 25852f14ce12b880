"""Conversion between scales keeps every unit."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from settlement.connector.settle.quantity import NOTHING, Quantity, carry, normal

SCALES = st.integers(0, 255)
QUANTITIES = st.builds(Quantity, st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 10**300)), SCALES)


def worth(quantity: Quantity) -> Fraction:
    return Fraction(quantity.amount, 10**quantity.scale)


@given(st.lists(QUANTITIES, max_size=8), SCALES)
def test_units_and_left_over_are_worth_what_came_in(quantities: list[Quantity], scale: int):
    """However many quantities are converted, units paid and left-over together are worth exactly their sum."""
    total, left_over = 0, NOTHING
    for quantity in quantities:
        units, left_over = carry(left_over, quantity, scale)
        total += units
        assert worth(left_over) < Fraction(1, 10**scale)
    assert worth(Quantity(total, scale)) + worth(left_over) == sum(map(worth, quantities))


@given(QUANTITIES)
def test_a_quantity_comes_back_from_json(quantity: Quantity):
    """What is written as JSON reads as the same amount, and is normal in one way only."""
    assert Quantity.parse(quantity.json()) == quantity
    assert normal(normal(quantity)) == normal(quantity)
    assert worth(normal(quantity)) == worth(quantity)
