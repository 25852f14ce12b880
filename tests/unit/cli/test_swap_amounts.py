"""Amounts and spans as traders write and read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.swap_amounts import btc, evm_amount, moment, parse_asset_amount, parse_span, sides, span
from foundation.errors import BadInput
from settlement.swap.engine.settings import TraderSettings
from settlement.swap.planning.reasons import span_text
from tests.support.swap_offers import an_offer
from tests.support.swap_settings import TOKEN, settings_in
from tests.support.swap_terms import NOW


@pytest.fixture
def settings(tmp_path: Path) -> TraderSettings:
    """Bitcoin, ether, and a token of six decimals."""
    return settings_in(tmp_path)


@pytest.mark.parametrize(
    ("text", "symbol", "units"),
    [
        ("1BTC", "BTC", 10**8),
        (" 0.00000001 btc ", "BTC", 1),
        ("20 ETH", "ETH", 20 * 10**18),
        ("0.000001usdc", "USDC", 1),
        ("5USDC.e", "USDC.e", 5 * 10**6),
    ],
)
def test_an_amount_is_a_number_and_a_symbol(settings: TraderSettings, text: str, symbol: str, units: int) -> None:
    """Whatever its case, with or without a space; exact."""
    asset, found = parse_asset_amount(text, settings, "--give")
    assert (asset.symbol, found) == (symbol, units)


@pytest.mark.parametrize(
    "text", ["", "BTC", "1", "1 DOGE", "0BTC", "-1BTC", "1e3BTC", "1.5.5BTC", "0.000000001BTC", "٣BTC", "1BTC2 3"]
)
def test_what_is_no_amount_is_refused_by_its_option(settings: TraderSettings, text: str) -> None:
    """Nothing is guessed where money is meant."""
    with pytest.raises(BadInput, match="--give"):
        parse_asset_amount(text, settings, "--give")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1_800), ("2h", 7_200), (" 1 d ", 86_400)])
def test_a_span_is_digits_and_a_unit(text: str, seconds: int) -> None:
    """In seconds."""
    assert parse_span(text, "--valid") == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "0s", "-5m", "1.5h", "1w", "1234567s", "٣m"])
def test_what_is_no_span_is_refused(text: str) -> None:
    """By the option's name."""
    with pytest.raises(BadInput, match="--valid"):
        parse_span(text, "--valid")


def test_spans_are_told_as_the_planner_tells_them() -> None:
    """Hours and minutes up to three days, so that a time-out looks the same everywhere; what is past is over."""
    shown = [span(one) for one in (-1, 0, 59, 60, 3_599, 3_600, 103_800, 259_199, 259_200, 280_800)]
    assert shown == [
        *("over", "0 s", "59 s", "1 min", "59 min 59 s"),
        *("1 h", "28 h 50 min", "71 h 59 min", "3 d", "3 d 6 h"),
    ]
    assert span(103_800) == span_text(103_800)


def test_a_moment_of_another_day_has_its_date() -> None:
    """A time of day alone is today's."""
    now = 1_900_000_000  # 2030-03-17 17:46:40Z
    assert moment(now + 60, now) == "17:47:40Z"
    assert moment(now + 86_400, now) == "2030-03-18 17:46:40Z"


def test_amounts_are_shown_in_whole_units(settings: TraderSettings) -> None:
    """Of an asset that is not known, in base units, with its address."""
    assert btc(150_000_000) == "1.5 BTC"
    assert evm_amount(settings, bytes(20), 20 * 10**18) == "20 ETH"
    assert evm_amount(settings, TOKEN, 1) == "0.000001 USDC"
    assert evm_amount(settings, b"\xbb" * 20, 1_000) == f"1,000 base units of 0x{'bb' * 20}"


def test_a_maker_gives_what_its_offer_says(settings: TraderSettings) -> None:
    """First what it gives, then what it wants."""
    assert sides(settings, an_offer(NOW).offer) == ("1 BTC", "20 ETH")
    assert sides(settings, an_offer(NOW, gives_bitcoin=False).offer) == ("20 ETH", "1 BTC")
