"""Coin selection finds exact matches, reaches its target, and does not depend on the order of the coins."""

from __future__ import annotations

from itertools import combinations

from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.bitcoin.coins import CHANGE_DUST, select_coins
from adapters.bitcoin.errors import InsufficientFunds
from adapters.bitcoin.primitives import Coin
from foundation.quantities import Satoshi, SatPerKvB
from tests.support.vault_coins import coins

values = st.lists(st.integers(600, 200_000), min_size=1, max_size=9)
rates = st.integers(0, 200_000).map(SatPerKvB)


def total(chosen: tuple[Coin, ...]) -> int:
    return sum(coin.value for coin in chosen)


@given(values, st.data())
def test_exact_matches_are_found(held: list[int], data: st.DataObject) -> None:
    """Where some coins sum to the target and nothing may be left over, a choice that sums to it is found."""
    part = data.draw(st.lists(st.sampled_from(range(len(held))), min_size=1, unique=True))
    target = Satoshi(sum(held[index] for index in part))
    assert total(select_coins(coins(*held), target, SatPerKvB(0))) == target


@given(values, st.integers(600, 400_000), rates, st.integers(1, 9))
def test_matches_are_found_if_there_are_any(held: list[int], target: int, rate: SatPerKvB, room: int) -> None:
    """Trying every subset finds a choice without change exactly where the search does, and none that wastes less."""
    all_coins = coins(*held)
    most = min(-(-100_500 * rate // 1_000_000), CHANGE_DUST - 1)
    subsets = [part for count in range(1, min(room, len(held)) + 1) for part in combinations(all_coins, count)]
    matches = [part for part in subsets if 0 <= total(part) - target <= most]
    assume(any(total(part) >= target for part in subsets))
    chosen = select_coins(all_coins, Satoshi(target), rate, max_inputs=room)
    assert total(chosen) >= target
    assert len(chosen) <= room

    def waste(part: tuple[Coin, ...]) -> int:
        return total(part) - target + len(part) * -(-57_500 * rate // 1_000_000)

    if matches:
        assert total(chosen) - target <= most
        assert waste(chosen) == min(waste(part) for part in matches)
    elif any(total(part) >= target + CHANGE_DUST for part in subsets):
        assert total(chosen) >= target + CHANGE_DUST
        assert len(chosen) == min(len(part) for part in subsets if total(part) >= target + CHANGE_DUST)


@given(values, st.integers(600, 400_000), rates, st.booleans(), st.randoms(use_true_random=False))
def test_order_does_not_matter(held: list[int], target: int, rate: SatPerKvB, bear: bool, random: object) -> None:
    """The same coins in any order give the same choice in the same order, or the same refusal."""
    ordered = coins(*held)
    shuffled = list(ordered)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random

    def outcome(given_coins: list[Coin]) -> object:
        try:
            return select_coins(given_coins, Satoshi(target), rate, inputs_bear_fee=bear)
        except InsufficientFunds as refusal:
            return refusal.needed, refusal.available

    assert outcome(list(ordered)) == outcome(shuffled)


@given(values, st.integers(600, 400_000), rates)
def test_required_coins_are_always_first(held: list[int], target: int, rate: SatPerKvB) -> None:
    """A required coin is the first of any choice, and is never counted twice."""
    all_coins = coins(*held)
    assume(total(all_coins) >= target)
    chosen = select_coins(all_coins, Satoshi(target), rate, required=all_coins[-1:])
    assert chosen[0] == all_coins[-1]
    assert len({coin.outpoint for coin in chosen}) == len(chosen)
    assert total(chosen) >= target
