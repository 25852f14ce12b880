"""Bids and replacements, for any base fee."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.evm.errors import GasPriceAboveCap
from adapters.evm.fees import FeePolicy, Fees
from foundation.quantities import Wei

WEI = st.integers(0, 10**13).map(Wei)


@given(WEI, WEI, WEI, st.integers(100, 500))
def test_a_bid_pays_the_block_and_respects_the_cap(base_fee: Wei, cap: Wei, tip: Wei, bump: int) -> None:
    """A bid covers base fee and tip and stays within the cap; there is none only where that is impossible."""
    assume(tip <= cap)
    policy = FeePolicy(cap, tip, bump)
    try:
        bid = policy.bid(base_fee)
    except GasPriceAboveCap:
        assert base_fee + tip > cap
    else:
        assert base_fee + tip <= bid.max_fee <= cap
        assert bid.tip == tip


@given(WEI, WEI, WEI, WEI, st.integers(100, 500))
def test_a_replacement_is_one_that_nodes_accept(max_fee: Wei, tip: Wei, base_fee: Wei, cap: Wei, bump: int) -> None:
    """A replacement raises both parts by the bump at least and by one wei, and stays within the cap."""
    policy = FeePolicy(cap, Wei(min(10**9, cap)), bump)
    old = Fees(max_fee, Wei(min(tip, max_fee)))
    new = policy.raised(old, base_fee)
    if new is None:
        assert max_fee * (1000 + bump) > 1000 * cap or max_fee + 1 > cap
        return
    for before, after in ((old.max_fee, new.max_fee), (old.tip, new.tip)):
        assert 1000 * after >= before * (1000 + bump)
        assert after > before
    assert new.tip <= new.max_fee <= cap
