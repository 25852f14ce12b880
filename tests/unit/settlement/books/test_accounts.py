"""The chart of accounts."""

from __future__ import annotations

import pytest

from foundation.errors import BadInput
from settlement.books.accounts import Root, chart, component, groups_of, read_chart
from tests.support.settlement_books import A, account

CHART = b"""
format = 1
entity = "bank-a"

[[account]]
name = "Assets:DigitalEuro:Nostro"
asset = "EUR"
scale = 2

[[account]]
name = "Liabilities:Customers:DigitalEuro"
asset = "EUR"
scale = 2
"""


def test_chart_is_read_from_toml() -> None:
    """A chart names the entity and its accounts, each with a root and an asset."""
    read = read_chart(CHART)
    assert read.entity == A
    assert read["Assets:DigitalEuro:Nostro"] == account("Assets:DigitalEuro:Nostro")
    assert read["Liabilities:Customers:DigitalEuro"].root is Root.LIABILITIES
    assert groups_of("Assets:DigitalEuro:Nostro") == ("Assets", "Assets:DigitalEuro")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b"format = 1", b"format = 2", "chart.format"),
        (b"scale = 2", b'scale = "2"', "chart.account[0].scale"),
        (b"scale = 2", b"scale = 256", "asset.scale"),
        (b"scale = 2", b"scale = 2\nfloor = 0", "chart.account[0].floor"),
        (b"Assets:", b"Funds:", "account.name"),
        (b"Nostro", b"nostro", "account.name"),
        (b"Nostro", b"", "account.name"),
        (b'"EUR"', b'"E U R"', "asset.code"),
        (b"bank-a", b"Bank A", "chart.entity"),
        (b"Liabilities:Customers:DigitalEuro", b"Assets:DigitalEuro:Nostro", "account.name"),
        (b"Liabilities:Customers:DigitalEuro", b"Assets:DigitalEuro", "account.name"),
        (CHART, b"\xff", "chart"),
        (CHART, b'format = 1\nentity = "bank-a"', "chart.account"),
    ],
)
def test_broken_chart_is_refused(old: bytes, new: bytes, field: str) -> None:
    """A chart with a mistake is refused as a whole, and the field is named."""
    with pytest.raises(BadInput) as refusal:
        read_chart(CHART.replace(old, new))
    assert refusal.value.field == field


def test_account_outside_the_chart_is_refused() -> None:
    """A chart has the accounts that were put into it, and no others."""
    with pytest.raises(BadInput, match="not in the chart"):
        chart(A, [account("Assets:Cash")])["Assets:Gold"]


def test_components_are_made_of_other_names() -> None:
    """A ledger's name becomes a component of an account's; one without letters or digits does not."""
    assert [component(name) for name in ("digital-euro", "eip155:1/erc20", "7x")] == [
        "DigitalEuro",
        "Eip1551Erc20",
        "7x",
    ]
    with pytest.raises(BadInput):
        component("--")
