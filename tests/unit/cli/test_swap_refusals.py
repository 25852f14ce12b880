"""What a person writes wrong is refused by the option's name, with what to write instead, before anything is opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.bitcoin.hd_keys import new_mnemonic
from cli.exits import explain
from cli.swap_making import board_of, draft_of, publishing_board
from cli.swap_outcomes import NotTaken
from foundation.errors import BadInput
from mpc.keystore import ScryptCost
from settlement.swap.engine.market import NotEnough
from settlement.swap.engine.settings import AssetName, TraderSettings
from settlement.swap.engine.trading import OfferUnknown
from settlement.swap.offers import OfferDamaged, OfferExpired
from settlement.swap.wallet.wallet_file import create_wallet
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


def test_a_board_is_for_what_is_published(settings: TraderSettings) -> None:
    """Who names one and does not publish is told so; that of swap.toml may stand there."""
    board = "http://127.0.0.1:1"
    with pytest.raises(BadInput, match="--board") as refusal:
        publishing_board(settings, False, board)
    assert "--publish" in refusal.value.cure
    assert publishing_board(settings, True, board) == board
    assert publishing_board(replace(settings, board=board), False, "") == ""


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
        ("--board", ["--price", "20", "--board", "http://127.0.0.1:1"]),
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


def test_a_node_that_is_down_is_named_with_where_its_address_is(settings: TraderSettings, tmp_path: Path) -> None:
    """In swap.toml, or in the option; secrets in an address are not shown."""
    causeway = InProcess(tmp_path, {"CAUSEWAY_SWAP": str(tmp_path), "CAUSEWAY_PASSWORD": "secret"})
    create_wallet(tmp_path / "wallet", new_mnemonic(bytes(32)), "secret", ScryptCost(log_n=4, r=8, p=1))
    told = causeway.run("swap", "funds", status=5).stderr
    assert "the bitcoin node at http://127.0.0.1:1 does not serve" in told
    assert f"[bitcoin] url in {tmp_path / 'swap.toml'}" in told
    nodes = ["--bitcoin-user", "me", "--evm-url", "http://127.0.0.1:2", "--bitcoin-url"]
    begin = ["--folder", str(tmp_path / "new"), "--escrow", "0x" + "11" * 20, *nodes]
    assert causeway.run("swap", "init", *begin, "nonsense", status=3).stderr.startswith("error: --bitcoin-url: ")
    arguments = [*begin, "http://127.0.0.1:1"]
    told = causeway.run("swap", "init", *arguments, status=5).stderr
    assert "the bitcoin node at http://127.0.0.1:1 does not serve" in told
    assert "--bitcoin-url" in told
    (tmp_path / "key").write_text("11" * 32)
    arguments = ["--evm-url", "http://127.0.0.1:2/v3/KEY", "--account-key", str(tmp_path / "key")]
    told = causeway.run("swap", "deploy-escrow", *arguments, status=5).stderr
    assert "the EVM node at http://127.0.0.1:2 does not serve" in told
    assert "--evm-url" in told


def test_a_file_of_prices_that_lacks_one_is_named(settings: TraderSettings, tmp_path: Path) -> None:
    """It will not be better by itself: status 3; a service of prices may be: 5."""
    causeway = InProcess(tmp_path, {"CAUSEWAY_SWAP": str(tmp_path), "CAUSEWAY_PASSWORD": "secret"})
    create_wallet(tmp_path / "wallet", new_mnemonic(bytes(32)), "secret", ScryptCost(log_n=4, r=8, p=1))
    (tmp_path / "prices.toml").write_text('[prices]\nBTC = "60000"\n')
    told = causeway.run("swap", "serve", "--price-file", str(tmp_path / "prices.toml"), status=3).stderr
    assert "--price-file: lacks a price: ETH" in told
    told = causeway.run("swap", "serve", "--price-url", "http://127.0.0.1:1/prices", status=5).stderr
    assert "--price-url" in told


def test_a_wrong_password_is_that_of_the_wallet_or_of_the_rescue_file(settings: TraderSettings, tmp_path: Path) -> None:
    """A trader has no keystore."""
    causeway = InProcess(tmp_path, {"CAUSEWAY_SWAP": str(tmp_path), "CAUSEWAY_PASSWORD": "wrong"})
    create_wallet(tmp_path / "wallet", new_mnemonic(bytes(32)), "secret", ScryptCost(log_n=4, r=8, p=1))
    told = causeway.run("swap", "funds", status=3).stderr
    assert "give the password of that swap wallet" in told
    told = causeway.run("swap", "import", str(tmp_path / "swap.toml"), status=4).stderr
    assert "it is no rescue file" in told
    assert "keystore" not in told


@pytest.mark.parametrize("error", [OfferUnknown("asset", "?"), OfferDamaged("is cut off"), OfferExpired(1), NotTaken()])
def test_what_became_of_an_offer_is_told_with_what_to_do(error: Exception) -> None:
    """Never just `try again`."""
    assert explain(error).cure not in ("", "try again")


def test_missing_money_is_told_in_whole_units() -> None:
    """As people write amounts, with what to do about it."""
    told = explain(
        NotEnough("the EVM account, gas included", 2 * 10**18, 10**17, AssetName("ETH", 18, bytes(20)), 10**16)
    )
    assert "2 ETH are needed (0.01 ETH of that for gas), and 0.1 ETH are there" in told.message
    assert told.cure not in ("", "try again")
