"""Fee rates within an operator's bounds, bumps that are worth it, and what a replacement has to pay."""

from __future__ import annotations

import pytest

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.errors import FeeAboveCap
from adapters.bitcoin.fees import ROUNDING, FeePolicy, replacement_fee
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB


def rate(number: int) -> SatPerKvB:
    return SatPerKvB(number)


POLICY = FeePolicy(floor=rate(1_000), cap=rate(50_000), fallback=rate(5_000))


@pytest.mark.parametrize(
    ("estimate", "relay_floor", "expected"),
    [
        (7_000, 1_000, 7_000),
        (None, 1_000, 5_000),
        (200, 100, 1_000),
        (1_500, 3_000, 3_000),
        (90_000, 1_000, 50_000 - ROUNDING),
    ],
)
def test_rate_is_the_estimate_within_bounds(estimate: int | None, relay_floor: int, expected: int) -> None:
    """The node's estimate, or the fallback, is lifted to both floors and kept below the cap."""
    wanted = None if estimate is None else rate(estimate)
    assert POLICY.rate(wanted, rate(relay_floor)) == expected


def test_a_fee_at_the_highest_rate_never_exceeds_the_cap() -> None:
    """A fee is rounded up; at the highest rate that never takes it above what the cap allows, rounded down."""
    for cap in (1_100, 1_103, 49_999, 50_000):
        policy = FeePolicy(rate(1_000), rate(cap), rate(1_000))
        for vsize in range(99, 400):
            assert fee_at(policy.highest, vsize) <= cap * vsize // 1000


def test_a_floor_above_the_cap_is_told() -> None:
    """When the node's mempool asks more than the cap, nothing is sent at all, and the error has both rates."""
    with pytest.raises(FeeAboveCap) as refusal:
        POLICY.rate(rate(6_000), rate(60_000))
    assert (refusal.value.needed, refusal.value.cap) == (60_000, 50_000)


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        (10_000, 9_000, None),
        (10_000, 10_000, None),
        (10_000, 10_001, 12_500),
        (10_000, 20_000, 20_000),
        (1_000, 1_100, 2_000),
        (39_000, 45_000, 48_750),
        (39_000, 90_000, 50_000 - ROUNDING),
        (45_000, 90_000, None),
    ],
)
def test_bumps_are_worth_a_round(current: int, wanted: int, expected: int | None) -> None:
    """A bump rises by a quarter and by the relay's increment at least, up to the cap; there is none without need."""
    assert POLICY.bump_rate(rate(current), rate(wanted), rate(1_000)) == expected


def test_a_replacement_pays_the_old_fee_and_its_own_relay() -> None:
    """BIP-125's rules 3 and 4: the old fee, plus the incremental rate for the new size, rounded up."""
    assert replacement_fee(Satoshi(500), 141, rate(1_000)) == 641
    assert replacement_fee(Satoshi(500), 141, rate(100)) == 515


@pytest.mark.parametrize(
    ("field", "floor", "cap", "fallback", "target"),
    [
        ("floor", 0, 100, 50, 6),
        ("cap", 1_000, 1_000, 1_000, 6),
        ("fallback", 1_000, 2_000, 999, 6),
        ("fallback", 1_000, 2_000, 2_001, 6),
        ("target_blocks", 1_000, 2_000, 1_500, 0),
        ("target_blocks", 1_000, 2_000, 1_500, 1_009),
    ],
)
def test_impossible_policies_are_refused(field: str, floor: int, cap: int, fallback: int, target: int) -> None:
    """A policy that contradicts itself is refused, with the field's name."""
    with pytest.raises(BadInput) as refusal:
        FeePolicy(rate(floor), rate(cap), rate(fallback), target)
    assert refusal.value.field == field
