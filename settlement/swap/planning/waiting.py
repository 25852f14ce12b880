"""How long blocks take at most, but for a stated risk.

Blocks of a chain with proof of work come as a Poisson process, so the time until the n-th is Erlang distributed:
P(later than t) = P(Poisson(t / interval) < n). Source: Nakamoto, "Bitcoin" (2008), section 11; any text on renewal.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

_STEPS: Final = 64
MOST_BLOCKS: Final = 10_000


def chance_of_fewer(blocks: int, expected: float) -> float:
    """The chance that fewer than `blocks` come in a time in which `expected` come on average."""
    if blocks <= 0:
        return 0.0
    if expected <= 0:
        return 1.0
    # In logarithms, since neither the powers nor the factorials fit for large numbers.
    log = math.log(expected)
    terms = (math.exp(k * log - expected - math.lgamma(k + 1)) for k in range(blocks))
    return min(1.0, math.fsum(terms))


@lru_cache(maxsize=1024)
def intervals_for(blocks: int, exponent: int) -> float:
    """In how many average intervals `blocks` blocks come, but for one time in 10**exponent. By bisection.

    Raises:
        ValueError: `blocks` is not between 0 and `MOST_BLOCKS`, or the exponent not between 1 and 12.
    """
    if not 0 <= blocks <= MOST_BLOCKS or not 1 <= exponent <= 12:
        raise ValueError(f"{blocks} blocks at 10^-{exponent} is beyond the tables")
    if blocks == 0:
        return 0.0
    risk = 10.0**-exponent
    low, high = 0.0, float(blocks)
    while chance_of_fewer(blocks, high) > risk:
        low, high = high, high * 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if chance_of_fewer(blocks, middle) > risk:
            low = middle
        else:
            high = middle
    return high


def seconds_for(blocks: int, interval_s: int, exponent: int, *, is_random: bool) -> int:
    """In how many seconds `blocks` blocks come; rounded up. `is_random`: as above; else one in each interval."""
    if not is_random:
        return blocks * interval_s
    return math.ceil(intervals_for(blocks, exponent) * interval_s)
