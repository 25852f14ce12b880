"""A gateway's configuration is read whole or refused, with the field's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody.margins import plan
from settlement.gateway.config import load_config
from settlement.gateway.config_ledgers import BitcoinHoldsConfig, ChainLedgerConfig
from settlement.ledgers.protocol import LedgerFacts, LedgerId
from settlement.quantities import Asset, Scale

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


BITCOIN = """
[ledgers.bitcoin]
kind = "bitcoin"
asset = "BTC"
scale = 8
network = "main"
start_height = 800_000
key_file = "chain.key"
[[ledgers.bitcoin.nodes]]
url = "http://127.0.0.1:8332"
user = "gateway"
password = "a word"
[[ledgers.bitcoin.nodes]]
url = "http://127.0.0.1:8342"
cookie_file = "node.cookie"
"""


def test_a_ledger_on_bitcoin_plans_with_blocks(tmp_path: Path) -> None:
    """Its time to settle follows from its confirmations, and the longest hold from the slowest ledger."""
    config = load_config(written(tmp_path, BEGIN + BITCOIN))
    (ledger,) = config.ledgers
    assert isinstance(ledger, BitcoinHoldsConfig)
    assert ledger.config.settle_ms == 6 * 3_600_000
    assert config.margins.hold_ms_max == 4 * ledger.config.settle_ms
    assert [node.url for node in ledger.nodes] == ["http://127.0.0.1:8332", "http://127.0.0.1:8342"]
    assert ledger.nodes[1].cookie == tmp_path / "node.cookie"
    assert "a word" not in repr(ledger)
    assert "44" * 32 not in repr(ledger)
    assert ledger.address.startswith("bc1p")
    assert len(ledger.account) == 64
    facts = ledger.config.facts
    plan(UnixMs(0), facts, LedgerFacts(LedgerId("book"), Asset("EUR", Scale(2)), 0, 1_000), config.margins)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('network = "main"', 'network = "mars"', "network"),
        ("scale = 8", "scale = 6", "ledger.asset"),
        ('user = "gateway"\n', "", "nodes.http://127.0.0.1:8332.user"),
        ('cookie_file = "node.cookie"', 'cookie_file = "a"\nuser = "b"\npassword = "c"', "8342.user"),
        ('network = "main"', 'network = "main"\nsettle_seconds = 3600', "settle_seconds"),
        ('network = "main"', 'network = "main"\nfee_cap = 1000', "cap"),
        ('key_file = "chain.key"', f'key = "{"00" * 32}"', "key_file"),
        ("[[ledgers.bitcoin.nodes]]", "[[ledgers.bitcoin.knots]]", "nodes"),
    ],
)
def test_a_wrong_field_of_a_bitcoin_ledger_is_named(tmp_path: Path, before: str, after: str, named: str) -> None:
    """Networks, decimals, logins, times that no block keeps, fees and keys that cannot be are refused by name."""
    with pytest.raises(BadInput) as refusal:
        load_config(written(tmp_path, BEGIN + BITCOIN.replace(before, after)))
    assert refusal.value.field.endswith(named)


def test_a_bank_is_paid_at_its_own_account_alone(tmp_path: Path) -> None:
    """The account follows from the ledger's key, however it is written; another one could never be fulfilled."""
    receiving = '[receiving]\nledger = "bitcoin"\n'
    config = load_config(written(tmp_path, BEGIN + BITCOIN + receiving))
    (ledger,) = config.ledgers
    assert config.receiving == (LedgerId("bitcoin"), ledger.account)
    same = load_config(written(tmp_path, BEGIN + BITCOIN + receiving + f'account = "{ledger.account.upper()}"\n'))
    assert same.receiving == config.receiving
    with pytest.raises(BadInput) as refusal:
        load_config(written(tmp_path, BEGIN + BITCOIN + receiving + f'account = "{"11" * 32}"\n'))
    assert refusal.value.field == "receiving.account"
