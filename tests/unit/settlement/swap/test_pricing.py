"""A maker's prices: exact, and rounded its way."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import BadInput
from foundation.quantities import Satoshi, TokenUnits
from settlement.swap.pricing import BASIS_POINTS, MakerLimits, amount_for, bitcoin_for, is_still_good

BTC = Satoshi(100_000_000)
TWENTY = Fraction(20)


def test_the_spread_is_the_makers() -> None:
    """It asks for more than the price, and gives less."""
    assert amount_for(BTC, TWENTY, 18, 0, maker_gives_bitcoin=True) == 20 * 10**18
    assert amount_for(BTC, TWENTY, 18, 100, maker_gives_bitcoin=True) == 202 * 10**17
    assert amount_for(BTC, TWENTY, 18, 100, maker_gives_bitcoin=False) == 198 * 10**17
    assert bitcoin_for(TokenUnits(202 * 10**17), TWENTY, 18, 100, maker_gives_bitcoin=True) == BTC
    assert bitcoin_for(TokenUnits(198 * 10**17), TWENTY, 18, 100, maker_gives_bitcoin=False) == BTC


@given(
    satoshi=st.integers(1_000, 10**15),
    price=st.fractions(Fraction(1, 10**6), 10**6),
    decimals=st.integers(6, 18),
    spread=st.integers(0, 2_000),
    gives=st.booleans(),
)
def test_asking_there_and_back_never_costs_the_maker(
    satoshi: int, price: Fraction, decimals: int, spread: int, gives: bool
) -> None:
    """Whichever side a taker names, the other one is at the price or better for the maker."""
    try:
        amount = amount_for(Satoshi(satoshi), price, decimals, spread, maker_gives_bitcoin=gives)
        back = bitcoin_for(amount, price, decimals, spread, maker_gives_bitcoin=gives)
    except BadInput:
        return
    fair = price * satoshi * 10**decimals / BTC
    assert amount >= fair if gives else amount <= fair
    again = price * back * 10**decimals / BTC
    assert amount >= again if gives else amount <= again
    assert is_still_good(Satoshi(satoshi), amount, price, decimals, 0, maker_gives_bitcoin=gives)


@pytest.mark.parametrize("gives", [True, False])
def test_a_price_that_moves_too_far_ends_an_answer(gives: bool) -> None:
    """One per cent is borne, two are not; a move in the maker's favour is."""
    amount = amount_for(BTC, TWENTY, 18, 0, maker_gives_bitcoin=gives)
    worse, better = (Fraction(204, 10), Fraction(196, 10)) if gives else (Fraction(196, 10), Fraction(204, 10))
    assert not is_still_good(BTC, amount, worse, 18, 100, maker_gives_bitcoin=gives)
    assert is_still_good(BTC, amount, better, 18, 100, maker_gives_bitcoin=gives)
    assert is_still_good(BTC, amount, TWENTY, 18, 100, maker_gives_bitcoin=gives)


def test_limits_are_limits() -> None:
    """Amounts outside, and limits that make no sense, are refused by name."""
    limits = MakerLimits(Satoshi(1_000), BTC)
    limits.check_amount(BTC)
    for satoshi in (999, BTC + 1):
        with pytest.raises(BadInput, match="1,000 to 100,000,000"):
            limits.check_amount(Satoshi(satoshi))
    for wrong in ({"least": Satoshi(0)}, {"most": Satoshi(1)}, {"spread_bp": BASIS_POINTS}, {"at_once": 0}):
        with pytest.raises(BadInput):
            MakerLimits(**{"least": Satoshi(1_000), "most": BTC, **wrong})  # type: ignore[arg-type]


def test_what_is_worth_nothing_is_refused() -> None:
    """A swap has two sides."""
    with pytest.raises(BadInput):
        amount_for(Satoshi(1), Fraction(1, 10**9), 6, 0, maker_gives_bitcoin=False)
    with pytest.raises(BadInput):
        bitcoin_for(TokenUnits(1), Fraction(10**9), 18, 0, maker_gives_bitcoin=True)
