"""What a maker answers is compared with what was asked; before anybody is asked, what cannot be swapped is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from cli.swap_asking import Asked, QuoteDiffers, check_answer
from cli.swap_taking import Declined, check_takeable, confirm
from foundation.errors import BadInput
from foundation.quantities import Satoshi, TokenUnits
from registry.caip import ChainId
from settlement.swap.engine.settings import TraderSettings
from settlement.swap.engine.trading import OfferUnknown
from settlement.swap.offers import OfferExpired, SignedOffer
from settlement.swap.planning.errors import UnsafeTerms
from settlement.swap.terms import Mode
from tests.support.command import InProcess
from tests.support.swap_offers import an_offer
from tests.support.swap_settings import TOKEN, settings_in

NOW = 4_000_000_000
SECRET = b"\x07" * 32


@pytest.fixture
def settings(tmp_path: Path) -> TraderSettings:
    """A trader's."""
    return settings_in(tmp_path)


def test_an_answer_to_what_was_asked_is_taken(settings: TraderSettings) -> None:
    """Whichever side the amount was named of."""
    offer = an_offer(NOW).offer
    check_answer(Asked.read(settings, "20ETH", "BTC", False), offer, settings, NOW)
    check_answer(Asked.read(settings, "ETH", "1BTC", False), offer, settings, NOW)
    other = an_offer(NOW, gives_bitcoin=False).offer
    check_answer(Asked.read(settings, "1BTC", "eth", False), other, settings, NOW)
    token = replace(other, asset=TOKEN, amount=TokenUnits(5_000_000))
    check_answer(Asked.read(settings, "BTC", "5usdc", False), token, settings, NOW)


@pytest.mark.parametrize(
    ("option", "give", "want"),
    [
        ("--give", ".5BTC", "ETH"),
        ("--give", "-1BTC", "ETH"),
        ("--give", "", "ETH"),
        ("--want", "BTC", ".5ETH"),
        ("--want", "BTC", "ETH"),
        ("--want", "1BTC", "5ETH"),
    ],
)
def test_an_amount_that_is_none_is_refused_by_its_option(
    settings: TraderSettings, option: str, give: str, want: str
) -> None:
    """Not by the other one, which is a symbol as it has to be."""
    with pytest.raises(BadInput) as refusal:
        Asked.read(settings, give, want, False)
    assert refusal.value.field == option


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("bitcoin_chain", {"bitcoin_chain": ChainId("bip122", "000000000019d6689c085ae165831e93")}),
        ("evm_chain", {"evm_chain": ChainId("eip155", "1")}),
        ("escrow", {"escrow": b"\x12" * 20}),
        ("asset", {"asset": TOKEN}),
        ("what the maker gives", {"gives_bitcoin": False}),
        ("the lock", {"mode": Mode.POINT}),
        ("the amount", {"amount": TokenUnits(200 * 10**18), "satoshi": Satoshi(1_000_000)}),
        ("its time", {"made_at": NOW - 9, "valid_until": NOW}),
    ],
)
def test_an_answer_to_another_question_is_refused(settings: TraderSettings, field: str, other: dict) -> None:
    """Each thing that was asked for is named where it is another, with what it was to be; status 4."""
    offer = replace(an_offer(NOW).offer, **other)
    with pytest.raises(QuoteDiffers) as refusal:
        check_answer(Asked.read(settings, "20ETH", "BTC", False), offer, settings, NOW)
    assert refusal.value.field == field
    assert refusal.value.cure


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"made_at": 1, "valid_until": 2}, OfferExpired),
        ({"evm_chain": ChainId("eip155", "1")}, OfferUnknown),
        ({"escrow": b"\x12" * 20}, OfferUnknown),
        ({"asset": b"\x13" * 20}, OfferUnknown),
        ({"satoshi": Satoshi(330)}, UnsafeTerms),
    ],
)
def test_what_cannot_be_swapped_is_refused_before_anybody_is_asked(
    settings: TraderSettings, other: dict, error: type[Exception]
) -> None:
    """Its taker is never asked about what is refused afterwards."""
    check_takeable(settings, an_offer(NOW))
    with pytest.raises(error):
        check_takeable(settings, SignedOffer.sign(replace(an_offer(NOW).offer, **other), SECRET))


def test_where_nobody_can_be_asked_yes_has_to_be_said(settings: TraderSettings, tmp_path: Path) -> None:
    """With --json, with the offer from standard input, and without a terminal: status 3, and the option is named."""
    causeway = InProcess(tmp_path, {"CAUSEWAY_SWAP": str(tmp_path)})
    text = an_offer(NOW).text
    for arguments in ((text,), (text, "--json")):
        told = causeway.run("swap", "take", *arguments, status=3).stderr
        assert "--yes" in told
        assert "you give" not in told
    with pytest.raises(BadInput, match="--yes"):
        confirm(settings, an_offer(NOW), yes=False, is_piped=True, as_json=False)


def test_who_says_no_has_declined(settings: TraderSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typed error, no bug; Ctrl-C is an interruption."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
    with pytest.raises(Declined):
        confirm(settings, an_offer(NOW), yes=False, is_piped=False, as_json=False)

    def interrupted(*_: object, **__: object) -> bool:
        raise typer.Abort

    monkeypatch.setattr(typer, "confirm", interrupted)
    with pytest.raises(typer.Exit) as ended:
        confirm(settings, an_offer(NOW), yes=False, is_piped=False, as_json=False)
    assert ended.value.exit_code == 130


def test_what_is_asked_about_fits_the_screen(settings: TraderSettings, capsys: pytest.CaptureFixture[str]) -> None:
    """The planner's reasons are long; nothing is wider than 100 columns."""
    confirm(settings, an_offer(NOW), yes=True, is_piped=True, as_json=True)
    told = capsys.readouterr().err.splitlines()
    assert told[0].split() == ["you", "give", "20", "ETH"]
    assert max(map(len, told)) <= 100
