"""Amounts as text."""

from __future__ import annotations

import pytest

from foundation.errors import BadInput
from registry.amounts import format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "units"),
    [("0.5", 50_000_000), ("1", 100_000_000), ("0.00000001", 1), (" 21000000.00000000 ", 2_100_000_000_000_000)],
)
def test_amounts_are_read_to_the_last_unit(text, units):
    """A plain decimal number is read exactly, to one base unit."""
    assert parse_amount(text, 8) == units


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".5", "-1", "+1", "1e3", "0x10", "1,5", "1,250", "1 000", "½", "٣", "nan", "0.000000001"]
)
def test_what_is_not_a_plain_amount_is_refused(text):
    """Signs, exponents, commas, foreign digits, and more decimals than the asset has are refused, naming the field."""
    with pytest.raises(BadInput) as refusal:
        parse_amount(text, 8, "withdraw.amount")
    assert refusal.value.field == "withdraw.amount"


def test_an_amount_beyond_a_uint256_is_refused():
    """What no contract can hold is refused, however long it is."""
    assert parse_amount(str(2**256 - 1), 0) == 2**256 - 1
    for text in (str(2**256), "9" * 10_000):
        with pytest.raises(BadInput):
            parse_amount(text, 0)


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(50_000_000, 8, "0.5"), (0, 8, "0"), (-1, 8, "-0.00000001"), (125_075, 2, "1250.75"), (7, 0, "7")],
)
def test_amounts_are_written_without_needless_zeros(units, decimals, text):
    """An amount is written with as many decimals as it needs."""
    assert format_amount(units, decimals) == text


def test_the_symbol_follows_the_amount():
    """With a symbol the amount reads as people write it."""
    assert format_amount(1, 8, symbol="BTC") == "0.00000001 BTC"
