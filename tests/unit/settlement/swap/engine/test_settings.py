"""A trader's configuration says where its swaps are."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import BadInput
from settlement.swap.engine.settings import TraderSettings, load_settings

FIELDS = {
    "network": "regtest",
    "chain": "eip155:31337",
    "genesis": "0x" + "11" * 32,
    "escrow": "0x" + "22" * 20,
}
TEXT = """
[bitcoin]
network = "{network}"
url = "http://127.0.0.1:18443"
user = "me"
password = "secret"

[evm]
chain = "{chain}"
genesis = "{genesis}"
urls = ["http://127.0.0.1:8545"]
escrow = "{escrow}"
"""


def settings(folder: Path, **other: str) -> TraderSettings:
    (folder / "swap.toml").write_text(TEXT.format(**FIELDS | other))
    return load_settings(folder)


@pytest.mark.parametrize(
    "other",
    [
        {"network": "main", "chain": "eip155:1"},
        {"chain": "eip155:1"},
        {"genesis": "0x" + "12" * 32},
        {"escrow": "0x" + "23" * 20},
    ],
)
def test_other_chains_or_another_escrow_are_another_realm(tmp_path: Path, other: dict[str, str]) -> None:
    """Whoever swaps there with the same words uses other secrets."""
    assert settings(tmp_path, **other).realm != settings(tmp_path).realm


def test_what_does_not_say_where_swaps_are_changes_no_realm(tmp_path: Path) -> None:
    """Another node or password leaves open swaps with their keys."""
    one = settings(tmp_path).realm
    path = tmp_path / "swap.toml"
    path.write_text(path.read_text().replace("18443", "18444").replace("secret", "other"))
    assert load_settings(tmp_path).realm == one


@pytest.mark.parametrize("symbol", ["BTC", "btc", "1INCH", "", "US DC", "€", "x" * 21, "ETH", "eth"])
def test_a_symbol_that_no_amount_could_be_written_with_is_refused(tmp_path: Path, symbol: str) -> None:
    """By its field, with what to write instead: it would be read as something else later."""
    text = TEXT.format(**FIELDS) + f'[[evm.tokens]]\nsymbol = "{symbol}"\naddress = "0x{"ab" * 20}"\ndecimals = 6\n'
    (tmp_path / "swap.toml").write_text(text)
    with pytest.raises(BadInput, match="symbol") as refusal:
        load_settings(tmp_path)
    assert refusal.value.cure
