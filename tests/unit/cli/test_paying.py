"""An order from the command line: what it comes to in base units, and what is refused before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cli.exits import NotFound
from cli.paying import Order, read_connection, slippage_bps, terms_of
from foundation.errors import BadInput
from settlement.ilp.addresses import Address
from settlement.ilp.spsp import Payee
from settlement.ilp.stream.rates import Rate
from settlement.ilp.stream.tokens import Credentials
from settlement.quantities import Asset, Scale

EUR = Asset("EUR", Scale(2))
USD = Asset("USD", Scale(4))
SHOP = Payee(Credentials(Address("test.hub.local.x"), bytes(32)), USD)
TEN = Order("$pay.example/shop", "10.00")


def test_an_amount_is_sent_and_whatever_comes_of_it_arrives() -> None:
    """Without limits the amount is what is sent, in our asset."""
    terms = terms_of(TEN, EUR, SHOP)
    assert (terms.amount, terms.deliver, terms.minimum_rate) == (1_000, None, None)


def test_an_amount_to_deliver_never_costs_more_than_allowed() -> None:
    """With --deliver the amount is the payee's, and a rate at which --max-source would not deliver it is refused."""
    terms = terms_of(replace(TEN, is_delivered=True, max_source="9.50"), EUR, SHOP)
    assert (terms.amount, terms.deliver, terms.minimum_rate) == (950, 100_000, Rate(100_000, 950))


def test_a_least_delivery_bounds_the_rate() -> None:
    """With --min-delivered nothing is sent at a rate that would deliver less of the whole."""
    assert terms_of(replace(TEN, min_delivered="10.9"), EUR, SHOP).minimum_rate == Rate(109_000, 1_000)


def test_an_invoice_gets_no_more_than_it_asks() -> None:
    """What an invoice still takes bounds what is delivered, however much is ordered."""
    invoice = replace(SHOP, outstanding=500)
    assert terms_of(TEN, EUR, invoice).deliver == 500
    assert terms_of(replace(TEN, is_delivered=True, max_source="9"), EUR, invoice).deliver == 500


@pytest.mark.parametrize(
    ("order", "payee", "field"),
    [
        (replace(TEN, is_delivered=True), SHOP, "--max-source"),
        (replace(TEN, max_source="9"), SHOP, "--max-source"),
        (replace(TEN, is_delivered=True, max_source="9", min_delivered="1"), SHOP, "--min-delivered"),
        (replace(TEN, amount="0"), SHOP, "amount"),
        (replace(TEN, amount="-1"), SHOP, "amount"),
        (replace(TEN, amount="1.001"), SHOP, "amount"),
        (replace(TEN, amount="1e9"), SHOP, "amount"),
        (replace(TEN, amount="184467440737095516.16"), SHOP, "amount"),
        (replace(TEN, is_delivered=True, max_source="0"), SHOP, "amount"),
        (replace(TEN, is_delivered=True, max_source="9"), replace(SHOP, asset=None), "pointer"),
        (replace(TEN, min_delivered="9"), replace(SHOP, asset=None), "pointer"),
        (TEN, replace(SHOP, outstanding=0), "pointer"),
    ],
)
def test_an_order_that_cannot_be_kept_is_refused(order: Order, payee: Payee, field: str) -> None:
    """What is missing, too fine, zero, or cannot be measured in the payee's asset is named."""
    with pytest.raises(BadInput) as refused:
        terms_of(order, EUR, payee)
    assert refused.value.field == field


def test_slippage_is_read_exactly() -> None:
    """A percentage has at most two decimals and lies between 0 and 100."""
    assert [slippage_bps(text) for text in ("0", "0.5", "1%", "0.01", "100")] == [0, 50, 100, 1, 10_000]
    for wrong in ("-1", "100.01", "0.001", "x", "NaN", "Infinity", ""):
        with pytest.raises(BadInput):
            slippage_bps(wrong)


def test_the_connection_is_read_from_its_file(tmp_path: Path) -> None:
    """A BTP or an HTTP address with a token in its own file is accepted; a token without TLS goes nowhere else."""
    (tmp_path / "token").write_text("secret\n")
    path = tmp_path / "pay.toml"
    path.write_text('url = "btp+wss://hub.example/btp"\ntoken_file = "token"\n')
    found = read_connection(path)
    assert found.btp is not None
    assert (found.btp.token, found.http) == ("secret", None)
    assert "secret" not in repr(found)
    path.write_text('url = "https://hub.example/ilp"\ntoken_file = "token"\n')
    assert read_connection(path).http is not None
    for url in ("btp+ws://hub.example/", "http://hub.example/ilp", "ftp://hub.example"):
        path.write_text(f'url = "{url}"\ntoken = "secret"\n')
        with pytest.raises(BadInput):
            read_connection(path)


def test_without_a_connection_the_cure_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file is named and none is in its place, there is nothing to pay through."""
    monkeypatch.setenv("CAUSEWAY_HOME", str(tmp_path))
    with pytest.raises(NotFound) as refused:
        read_connection(None)
    assert "--connector" in refused.value.cure
