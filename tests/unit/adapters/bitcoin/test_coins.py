"""Coin selection: without change where that is possible, with few coins otherwise."""

from __future__ import annotations

import pytest

from adapters.bitcoin.coins import select_coins
from adapters.bitcoin.errors import InsufficientFunds
from adapters.bitcoin.primitives import Coin
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from tests.support.vault_coins import coins

RATE = SatPerKvB(1_000)


def values(chosen: tuple[Coin, ...]) -> list[int]:
    return [coin.value for coin in chosen]


def test_an_exact_match_needs_no_change() -> None:
    """Coins that sum to the target are preferred to a single coin that is larger."""
    assert values(select_coins(coins(90_000, 30_000, 20_000, 7_000), Satoshi(57_000), RATE)) == [30_000, 20_000, 7_000]


def test_a_match_within_the_cost_of_change_counts() -> None:
    """At 1 sat/vB change costs 101 satoshi: so much may be left over, and not one more."""
    assert values(select_coins(coins(90_000, 50_101), Satoshi(50_000), RATE)) == [50_101]
    assert values(select_coins(coins(90_000, 50_102), Satoshi(50_000), RATE)) == [90_000]


def test_a_match_never_leaves_dust_or_more() -> None:
    """However dear change is, 330 satoshi are not left over: policy demands a change output for them."""
    dear = SatPerKvB(100_000)
    assert values(select_coins(coins(90_000, 30_000, 20_329), Satoshi(50_000), dear)) == [30_000, 20_329]
    assert values(select_coins(coins(90_000, 30_000, 20_330), Satoshi(50_000), dear)) == [90_000]


def test_of_several_matches_the_least_wasteful_is_chosen() -> None:
    """A match that leaves a few satoshi over beats an exact one with more inputs where inputs are dear."""
    held = coins(50_050, 30_000, 20_000)
    assert values(select_coins(held, Satoshi(50_000), SatPerKvB(10_000))) == [50_050]
    assert values(select_coins(held, Satoshi(50_000), RATE)) == [50_050], "57.5 for an input against 50 left over"
    assert values(select_coins(coins(50_099, 30_000, 20_000), Satoshi(50_000), RATE)) == [30_000, 20_000]


def test_without_a_match_the_smallest_sufficient_coin_is_chosen() -> None:
    """One coin that leaves proper change is enough; the smallest such leaves the large ones for large payouts."""
    assert values(select_coins(coins(900_000, 50_200, 70_000, 60_000), Satoshi(50_000), RATE)) == [60_000]


def test_without_a_sufficient_coin_the_fewest_are_chosen() -> None:
    """The largest ones, and then the smallest that suffices."""
    assert values(select_coins(coins(40_000, 30_000, 20_000, 15_000), Satoshi(80_000), RATE)) == [
        40_000,
        30_000,
        15_000,
    ]


def test_all_of_it_goes_where_change_would_be_dust() -> None:
    """The whole vault may be paid out although some satoshi below dust are left over."""
    assert values(select_coins(coins(50_000, 200), Satoshi(50_000), SatPerKvB(100))) == [50_000]
    assert values(select_coins(coins(50_200), Satoshi(50_000), RATE)) == [50_200]


def test_the_limit_of_inputs_is_kept() -> None:
    """No more coins than allowed are chosen; where those do not suffice, the error says what they hold."""
    held = coins(*range(1_000, 1_020))
    assert len(select_coins(held, Satoshi(3_000), RATE, max_inputs=3)) == 3
    with pytest.raises(InsufficientFunds) as refusal:
        select_coins(held, Satoshi(4_000), RATE, max_inputs=3)
    assert (refusal.value.needed, refusal.value.available) == (4_000, 1_019 + 1_018 + 1_017)


def test_required_coins_are_in_and_first() -> None:
    """An anchor is spent whatever is chosen besides it, it comes first, and it counts towards target and limit."""
    held = coins(5_000, 50_000, 45_000)
    assert values(select_coins(held, Satoshi(50_000), RATE, required=held[:1])) == [5_000, 45_000]
    assert values(select_coins(held, Satoshi(4_000), RATE, required=held[:1])) == [5_000]
    with pytest.raises(InsufficientFunds):
        select_coins(held, Satoshi(60_000), RATE, required=held[:1], max_inputs=2)
    with pytest.raises(BadInput):
        select_coins(held, Satoshi(50_000), RATE, required=held, max_inputs=2)


def test_inputs_may_bear_their_fee() -> None:
    """Where inputs bear their fee, a coin counts for its value less 57.5 vB, and one that costs more for nothing."""
    held = coins(50_000, 50_058, 50)
    assert values(select_coins(held, Satoshi(50_000), RATE)) == [50_000]
    assert values(select_coins(held, Satoshi(50_000), RATE, inputs_bear_fee=True)) == [50_058]
    with pytest.raises(InsufficientFunds) as refusal:
        select_coins(held, Satoshi(100_000), RATE, inputs_bear_fee=True)
    assert refusal.value.available == 50_000 + 50_058 - 2 * 58


def test_a_target_of_nothing_is_refused() -> None:
    """There is nothing to choose for a target that is not positive."""
    with pytest.raises(BadInput):
        select_coins(coins(1_000), Satoshi(0), RATE)


def test_a_hopeless_search_ends() -> None:
    """Where matches cannot be ruled out quickly, the search gives up and the fallback chooses."""
    held = coins(*[2_000 * number for number in range(1_000, 1_400)])
    chosen = select_coins(held, Satoshi(90_000_001), SatPerKvB(1), max_steps=5_000)
    assert sum(values(chosen)) >= 90_000_001 + 330


def test_many_equal_coins_are_one_case() -> None:
    """Hundreds of equal coins do not multiply the search: the match behind them is found within few steps."""
    held = coins(*[10_000] * 500, 7_001, 3_002)
    assert values(select_coins(held, Satoshi(30_003), SatPerKvB(0), max_steps=3_000)) == [10_000, 10_000, 7_001, 3_002]
