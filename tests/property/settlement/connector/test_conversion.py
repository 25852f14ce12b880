"""Conversions are exact, never in the sender's favour, and make no value."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from settlement.connector.conversion import PARITY, Conversion, Rate, conversion, parse_rate
from settlement.quantities import MAX_UNITS, Asset, Scale

SCALES = st.one_of(st.sampled_from([0, 2, 6, 9, 18, 255]), st.integers(0, 255)).map(Scale)
AMOUNTS = st.one_of(st.sampled_from([0, 1, MAX_UNITS - 1, MAX_UNITS]), st.integers(0, MAX_UNITS))
RATES = st.builds(Rate, st.integers(1, 10**30), st.integers(1, 10**30))
SPREADS = st.integers(0, 9_999)
FEES = st.one_of(st.just(0), st.integers(0, MAX_UNITS))


@st.composite
def conversions(draw: st.DrawFn) -> tuple[Conversion, Fraction]:
    """A conversion, and its exact factor in base units."""
    source, destination = Asset("AAA", draw(SCALES)), Asset("BBB", draw(SCALES))
    rate, spread, fee = draw(RATES), draw(SPREADS), draw(FEES)
    factor = Fraction(rate.numerator, rate.denominator) * Fraction(10) ** (destination.scale - source.scale)
    made = conversion(source, destination, rate, spread_bp=spread, fee=fee)
    return made, factor * Fraction(10_000 - spread, 10_000)


@given(conversions(), AMOUNTS)
def test_delivered_amount_is_the_exact_one_rounded_down(made: tuple[Conversion, Fraction], amount: int) -> None:
    """What is forwarded is the largest whole amount that is worth no more than what came, less spread and fee."""
    converted, factor = made
    exact = max(0, amount - converted.fee) * factor
    delivered = converted.deliver(amount)
    assert delivered <= exact < delivered + 1


@given(conversions(), AMOUNTS)
def test_cost_is_the_least_amount_that_delivers(made: tuple[Conversion, Fraction], amount: int) -> None:
    """What is asked for an amount delivers it, and one unit less does not."""
    converted, _ = made
    cost = converted.cost(amount)
    assert converted.deliver(cost) >= amount
    assert amount == 0 or converted.deliver(cost - 1) < amount


@given(conversions(), AMOUNTS)
def test_most_is_the_largest_amount_that_stays_within(made: tuple[Conversion, Fraction], limit: int) -> None:
    """The maximum that F08 names passes, and one unit more does not."""
    converted, _ = made
    most = converted.most(limit)
    assert converted.deliver(most) <= limit < converted.deliver(most + 1)


@given(SCALES, SCALES, RATES, SPREADS, SPREADS, AMOUNTS)
def test_there_and_back_never_gains(
    here: Scale, there: Scale, rate: Rate, spread: int, other: int, amount: int
) -> None:
    """Whoever converts at a rate and back at its reciprocal has at most what they began with."""
    source, destination = Asset("AAA", here), Asset("BBB", there)
    back = Rate(rate.denominator, rate.numerator)
    out = conversion(source, destination, rate, spread_bp=spread).deliver(amount)
    assert conversion(destination, source, back, spread_bp=other).deliver(out) <= amount


@given(SCALES, AMOUNTS)
def test_same_asset_without_spread_is_unchanged(scale: Scale, amount: int) -> None:
    """Between two accounts of one asset and scale, an amount stays what it is."""
    asset = Asset("AAA", scale)
    assert conversion(asset, asset, PARITY).deliver(amount) == amount


@given(conversions(), AMOUNTS, AMOUNTS)
def test_splitting_never_gains(made: tuple[Conversion, Fraction], one: int, other: int) -> None:
    """Two packets deliver no more than one of their sum."""
    converted, _ = made
    assert converted.deliver(one) + converted.deliver(other) <= converted.deliver(one + other)


@given(st.integers(1, 10**30), st.integers(0, 30))
def test_rates_are_read_exactly(digits: int, places: int) -> None:
    """A decimal number becomes the fraction that it is."""
    whole, fraction = divmod(digits, 10**places)
    rate = parse_rate(f"{whole}.{fraction:0{places}d}" if places else f"{whole}")
    assert Fraction(rate.numerator, rate.denominator) == Fraction(digits, 10**places)
