"""A dishonest coordinator binds no more coins than a payout needs, and replaces none that is well."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bitcoin.coins import select_coins
from adapters.bitcoin.errors import InsufficientFunds
from bridge.coin_needs import check_needed
from bridge.refusals import MalformedProposal, NotYet
from foundation.quantities import Satoshi, SatPerKvB
from tests.support.policy import payout, vault_coin, vault_view, withdrawal

ASKED = [withdrawal(1, 100_000, reserved=False)]
BIG, SMALL, DUST = vault_coin(11, 100_500), vault_coin(12, 60_000), vault_coin(13, 330)


def test_dust_is_not_bound_beside_a_coin_that_suffices() -> None:
    """Sixty-three coins of dust would leave a low rate to a payout whose owner allows a usual fee."""
    view = vault_view([BIG, SMALL, DUST])
    check_needed(ASKED, [BIG.outpoint], None, view)
    for more in (DUST, SMALL):
        with pytest.raises(MalformedProposal):
            check_needed(ASKED, [BIG.outpoint, more.outpoint], None, view)


def test_a_payout_that_has_its_coins_is_not_replaced() -> None:
    """A signed payment may spend them already; they must not be bound to somebody else."""
    reserved = [withdrawal(1, 100_000)]
    live = payout(reserved, [DUST, BIG])
    with pytest.raises(NotYet):
        check_needed(reserved, [DUST.outpoint, BIG.outpoint], live, vault_view([BIG, SMALL, DUST]))
    other = vault_coin(14, 120_000)
    check_needed(reserved, [DUST.outpoint, other.outpoint], live, vault_view([other, SMALL, DUST]))
    with pytest.raises(MalformedProposal):
        points = [DUST.outpoint, other.outpoint, SMALL.outpoint]
        check_needed(reserved, points, live, vault_view([other, SMALL, DUST]))


@settings(max_examples=60)
@given(
    st.lists(st.integers(330, 200_000), min_size=1, max_size=12),
    st.integers(1_000, 500_000),
    st.sampled_from([1_000, 50_000]),
)
def test_what_coordinators_choose_is_needed(values: list[int], amount: int, rate: int) -> None:
    """No honest choice of coins is refused."""
    coins = [vault_coin(number + 1, value) for number, value in enumerate(values)]
    try:
        chosen = select_coins(coins, Satoshi(amount), SatPerKvB(rate))
    except InsufficientFunds:
        return
    check_needed([withdrawal(1, amount, reserved=False)], [c.outpoint for c in chosen], None, vault_view(coins))
