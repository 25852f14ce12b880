"""`planning.waiting`: quantiles of the time until the n-th block."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest

from settlement.swap.planning.waiting import MOST_BLOCKS, chance_of_fewer, intervals_for, seconds_for


def exact_chance(blocks: int, expected: str) -> Decimal:
    """The Poisson tail to 60 digits."""
    with localcontext() as context:
        context.prec = 60
        mean, term, total = Decimal(expected), Decimal(1), Decimal(0)
        for k in range(blocks):
            total += term
            term = term * mean / (k + 1)
        return total * (-mean).exp()


@pytest.mark.parametrize("blocks", [1, 2, 3, 6, 21, 100, 300])
@pytest.mark.parametrize("expected", ["0.5", "3", "19.13", "120", "450"])
def test_the_tail_is_exact(blocks, expected):
    """The sum in logarithms agrees with one to 60 digits, however small it is."""
    found, wanted = chance_of_fewer(blocks, float(expected)), float(exact_chance(blocks, expected))
    assert found == pytest.approx(wanted, rel=1e-10, abs=1e-300)


def test_one_block_is_the_exponential_distribution():
    """For one block the quantile has a closed form: r·ln 10 intervals."""
    for exponent in range(1, 13):
        assert intervals_for(1, exponent) == pytest.approx(exponent * math.log(10), rel=1e-12)


@pytest.mark.parametrize(
    ("blocks", "exponent", "chi_squared"), [(1, 3, 13.816), (3, 3, 22.458), (6, 3, 32.909), (10, 2, 37.566)]
)
def test_known_quantiles(blocks, exponent, chi_squared):
    """Half of the chi-squared quantiles with 2n degrees of freedom, as printed tables have them."""
    assert intervals_for(blocks, exponent) == pytest.approx(chi_squared / 2, rel=1e-4)


def test_no_blocks_take_no_time():
    """There is nothing to wait for."""
    assert intervals_for(0, 6) == 0
    assert chance_of_fewer(0, 5) == 0
    assert chance_of_fewer(3, 0) == 1


def test_blocks_of_a_clock_take_their_intervals():
    """A chain that is not random makes one block in each interval."""
    assert seconds_for(7, 5, 6, is_random=False) == 35
    assert seconds_for(7, 5, 6, is_random=True) > 35


@pytest.mark.parametrize(("blocks", "exponent"), [(-1, 6), (MOST_BLOCKS + 1, 6), (1, 0), (1, 13)])
def test_what_is_beyond_the_tables_is_refused(blocks, exponent):
    """Neither a time that never ends, nor a risk that no float can tell."""
    with pytest.raises(ValueError, match="beyond the tables"):
        intervals_for(blocks, exponent)
