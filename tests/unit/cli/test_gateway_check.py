"""`causeway gateway check` says what a gateway would do, and where its accounts are."""

from __future__ import annotations

from pathlib import Path

from cli.gateway_folder import checked
from tests.support.gateway_folder import PARTY, new_gateway_folder

BITCOIN = """
[ledgers.bitcoin]
kind = "bitcoin"
asset = "BTC"
scale = 8
network = "regtest"
start_height = 1
key_file = "coins.key"
[[ledgers.bitcoin.nodes]]
url = "http://127.0.0.1:8332"
cookie_file = "cookie"

[receiving]
ledger = "bitcoin"
"""


def test_an_account_on_bitcoin_is_told_with_the_address_that_funds_it(tmp_path: Path) -> None:
    """An operator has to know where to send coins before anything can be held there."""
    folder = new_gateway_folder(tmp_path)
    (tmp_path / "coins.key").write_text("01".rjust(64, "0"))
    folder.config.write_text(folder.config.read_text() + BITCOIN)
    found = checked(folder.config)
    key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    # BIP-86 for the generator's key, on regtest.
    address = "bcrt1pmfr3p9j00pfxjh0zmgp99y8zftmd3s5pmedqhyptwy6lm87hf5ssm803es"
    assert found["accounts"] == {"digital-euro": PARTY, "bitcoin": f"{key}, funded at {address}"}
    assert found["is_paid_on"] == "bitcoin"
