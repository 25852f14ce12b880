"""What a transaction bids for gas, and what it never bids."""

from __future__ import annotations

import pytest

from adapters.evm.errors import GasPriceAboveCap
from adapters.evm.fees import FeePolicy, Fees
from foundation.errors import BadInput
from foundation.quantities import Wei

GWEI = 10**9
POLICY = FeePolicy(cap=Wei(100 * GWEI), tip=Wei(2 * GWEI))


def test_a_bid_bears_a_doubling_of_the_base_fee() -> None:
    """A bid is twice the base fee and the tip."""
    assert POLICY.bid(Wei(10 * GWEI)) == Fees(Wei(22 * GWEI), Wei(2 * GWEI))


def test_a_bid_ends_at_the_cap() -> None:
    """Where twice the base fee is above the cap, the bid is the cap, with the whole tip."""
    assert POLICY.bid(Wei(90 * GWEI)) == Fees(Wei(100 * GWEI), Wei(2 * GWEI))


def test_a_base_fee_above_the_cap_gets_no_bid() -> None:
    """Where the base fee and the tip do not fit into the cap, nothing is bid, and both numbers are told."""
    assert POLICY.bid(Wei(98 * GWEI)).max_fee == 100 * GWEI
    with pytest.raises(GasPriceAboveCap) as refusal:
        POLICY.bid(Wei(98 * GWEI + 1))
    assert (refusal.value.needed, refusal.value.cap) == (100 * GWEI + 1, 100 * GWEI)


def test_a_replacement_follows_the_base_fee() -> None:
    """A replacement bids what a new transaction would bid, where that is more than the bump."""
    assert POLICY.raised(Fees(Wei(3 * GWEI), Wei(GWEI)), Wei(20 * GWEI)) == Fees(Wei(42 * GWEI), Wei(2 * GWEI))


def test_a_replacement_above_the_cap_is_not_made() -> None:
    """Where the bump would exceed the cap there is no replacement."""
    assert POLICY.raised(Fees(Wei(90 * GWEI), Wei(GWEI)), Wei(GWEI)) is None


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"tip": Wei(501 * GWEI)}, "fees.tip"),
        ({"tip": Wei(-1)}, "fees.tip"),
        ({"bump_permille": 99}, "fees.bump_permille"),
    ],
)
def test_a_policy_that_no_node_accepts_is_refused(settings: dict[str, Wei], field: str) -> None:
    """A tip above the cap and a bump below a tenth are refused by name."""
    with pytest.raises(BadInput) as refusal:
        FeePolicy(**settings)
    assert refusal.value.field == field
