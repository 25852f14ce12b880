"""What a person writes wrong is refused by the option's name, with what to write instead, before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.swap_making import board_of, draft_of
from foundation.errors import BadInput
from settlement.swap.engine.settings import TraderSettings
from tests.support.command import InProcess
from tests.support.swap_settings import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> TraderSettings:
    """A trader's."""
    return settings_in(tmp_path)


@pytest.mark.parametrize(
    ("option", "give", "want", "valid"),
    [
        ("--valid", "1BTC", "20ETH", "400d"),
        ("--give", "99999999BTC", "20ETH", "1h"),
        ("--want", "20ETH", "99999999BTC", "1h"),
        ("--give", "0.00001BTC", "20ETH", "1h"),
        ("--want", "1BTC", "9" * 70 + "ETH", "1h"),
        ("--want", "1BTC", "2BTC", "1h"),
    ],
)
def test_an_offer_that_cannot_be_is_refused_by_its_option(
    settings: TraderSettings, option: str, give: str, want: str, valid: str
) -> None:
    """Never by a field that nobody wrote."""
    with pytest.raises(BadInput) as refusal:
        draft_of(settings, give, want, valid, False, "http://127.0.0.1:1")
    assert refusal.value.field == option
    assert refusal.value.cure


@pytest.mark.parametrize("board", ["", "nonsense", "ftp://board"])
def test_a_board_that_is_none_is_refused_by_its_option(settings: TraderSettings, board: str) -> None:
    """As is none at all."""
    with pytest.raises(BadInput, match="--board"):
        board_of(settings, board)


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("--price", ["--price", "0"]),
        ("--price", ["--price", "dear"]),
        ("--spread", ["--price", "20", "--spread", "101"]),
        ("--valid", ["--price", "20", "--valid", "31d"]),
        ("--price-url", ["--price-url", "nonsense"]),
        ("--publish", ["--price", "20", "--publish", "5BTC", "--board", "http://127.0.0.1:1"]),
        ("--board", ["--price", "20", "--publish", "1BTC"]),
        ("--most", ["--price", "20", "--most", "99999999BTC"]),
    ],
)
def test_a_maker_is_told_which_option_is_wrong(
    settings: TraderSettings, tmp_path: Path, option: str, arguments: list[str]
) -> None:
    """With status 3, before its password is asked for."""
    causeway = InProcess(tmp_path, {"CAUSEWAY_SWAP": str(tmp_path)})
    told = causeway.run("swap", "serve", *arguments, status=3).stderr
    assert told.startswith(f"error: {option}: ")
    assert "cure: " in told


def test_a_plan_is_bound_by_all_bitcoin(settings: TraderSettings, tmp_path: Path) -> None:
    """And its lines fit the screen."""
    causeway = InProcess(tmp_path, {"CAUSEWAY_SWAP": str(tmp_path)})
    assert "AMOUNT" in causeway.run("swap", "plan", "99999999999999999999BTC", status=3).stderr
    lines = causeway.run("swap", "plan", "1BTC").stdout.splitlines()
    assert max(map(len, lines)) <= 100
    t1 = next(line for line in lines if line.startswith("the lock's")).split(" in ")[1]
    assert any(line.endswith(f"T1, the lock's, in {t1}") for line in lines)
