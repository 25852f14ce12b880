"""A gateway's configuration is read whole or refused, with the field's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import BadInput
from settlement.gateway.config import load_config
from settlement.gateway.config_ledgers import ChainLedgerConfig

CLEARER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
BEGIN = '[gateway]\nparty = "bank-b"\naddress = "g.bank-b"\n'
CHAIN = f"""
[ledgers.digital-yuan]
kind = "evm"
asset = "CNY"
scale = 2
decimals = 2
urls = ["http://127.0.0.1:8545"]
chain = "eip155:31337"
genesis = "{"11" * 32}"
escrow = "0x{"22" * 20}"
token = "0x{"33" * 20}"
key_file = "chain.key"
"""


def written(folder: Path, text: str) -> Path:
    """The configuration's file, with the account's key beside it."""
    (folder / "chain.key").write_text("44" * 32)
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("line", "payers"),
    [("", None), (f'payers = ["{CLEARER}"]', {CLEARER}), (f'payers = ["{CLEARER.lower()}"]', {CLEARER})],
)
def test_whose_holds_count_on_a_chain_can_be_named(tmp_path: Path, line: str, payers: set[str] | None) -> None:
    """Anybody's holds count where nobody is named; an address counts however its letters are written."""
    (ledger,) = load_config(written(tmp_path, BEGIN + CHAIN + line)).ledgers
    assert isinstance(ledger, ChainLedgerConfig)
    assert ledger.config.payers == payers
    assert ledger.secret == b"\x44" * 32
    assert "44" * 32 not in repr(ledger)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (BEGIN, "ledgers"),
        (BEGIN + "[ledgers.x]\nkind = 'mars'\nasset = 'CNY'\nscale = 2\n", "ledgers.x.kind"),
        (BEGIN + CHAIN + 'payers = ["0x12"]', "ledgers.digital-yuan.payers"),
        (BEGIN + CHAIN.replace("11" * 32, "no"), "ledgers.digital-yuan.genesis"),
        (BEGIN + CHAIN + "unheard = 1", "ledgers.digital-yuan.unheard"),
        (BEGIN + CHAIN + "[receiving]\nledger = 'gold'\naccount = 'b'\n", "receiving.ledger"),
        (BEGIN.replace("g.bank-b", "nowhere") + CHAIN, "gateway.address"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, text: str, field: str) -> None:
    """The first thing that is wrong in the file is refused, under its dotted path."""
    with pytest.raises(BadInput) as refusal:
        load_config(written(tmp_path, text))
    assert refusal.value.field == field
