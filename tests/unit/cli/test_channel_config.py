"""The configuration of channels: what is wrong is named, and what would be unsafe is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.channel_config import ChainPlace, load_bank, load_court
from foundation.errors import BadInput
from settlement.channels.terms import Side

ACCOUNT = "0x" + "11" * 20
BANK = f"""
[bank]
party = "bank-a"
account_key = "{"22" * 32}"
[ledgers.native]
kind = "evm"
chain = "eip155:1337"
genesis = "{"33" * 32}"
contract = "{ACCOUNT}"
urls = ["http://127.0.0.1:8545"]
asset = "EUR"
scale = 2
settle_seconds = 900
[channels.bank-b]
ledger = "native"
side = "a"
peer = "bank-b"
peer_url = "http://127.0.0.1:8601/"
peer_account = "{ACCOUNT}"
deposit = "1000.00"
peer_deposit = "500.00"
challenge_seconds = 86400
nonce = "one"
"""
PROXY = "[proxy]\nfee_units = 1\nhop_seconds = {}\nleast_seconds = 10\n"


def loaded(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "channels.toml"
    path.write_text(text)
    return path


def test_good_file_is_read(tmp_path: Path) -> None:
    """Amounts come in base units, times in milliseconds, paths from the file's folder."""
    config = load_bank(loaded(tmp_path, BANK))
    channel = config.channels["bank-b"]
    assert (channel.ours, channel.theirs, channel.side, channel.challenge_ms) == (100_000, 50_000, Side.A, 86_400_000)
    assert isinstance(config.ledgers["native"], ChainPlace)
    assert config.urls == {"bank-b": "http://127.0.0.1:8601"}
    assert config.database == f"sqlite:///{tmp_path}/channels.db"
    assert "22" * 32 not in repr(config)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (('side = "a"', 'side = "c"'), "channels.bank-b.side"),
        (('ledger = "native"', 'ledger = "other"'), "channels.bank-b.ledger"),
        (('deposit = "1000.00"', 'deposit = "1000.001"'), "channels.bank-b.deposit"),
        (('kind = "evm"', 'kind = "paper"'), "ledgers.native.kind"),
        (('urls = ["http://127.0.0.1:8545"]', "urls = []"), "ledgers.native.urls"),
        (("22" * 32, "22" * 31), "bank.account_key_file"),
        ((f'peer_account = "{ACCOUNT}"', 'peer_account = "0x11"'), "channels.bank-b.peer_account"),
        (('nonce = "one"', 'nonce = "one"\nsurprise = 1'), "channels.bank-b.surprise"),
        (('peer = "bank-b"', 'peer = "Bank B"'), "channels.bank-b.peer"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: tuple[str, str], field: str) -> None:
    """Each mistake is told by the field in which it is."""
    assert change[0] in BANK
    with pytest.raises(BadInput) as refusal:
        load_bank(loaded(tmp_path, BANK.replace(*change)))
    assert refusal.value.field == field


def test_proxy_needs_time_between_its_hops(tmp_path: Path) -> None:
    """A hop shorter than finality and the time to show a preimage would let a payee take the proxy's money."""
    with pytest.raises(BadInput) as refusal:
        load_bank(loaded(tmp_path, BANK + PROXY.format(929)))
    assert (refusal.value.field, "930" in refusal.value.cure) == ("proxy.hop_seconds", True)
    relaying = load_bank(loaded(tmp_path, BANK + PROXY.format(930))).relaying
    assert relaying is not None
    assert relaying.hop_ms == 930_000


def test_proxy_has_one_channel_with_each_bank(tmp_path: Path) -> None:
    """With two it would not know which of them a payment is to leave by."""
    second = "[channels.again]" + BANK.partition("[channels.bank-b]")[2]
    with pytest.raises(BadInput, match="two channels"):
        load_bank(loaded(tmp_path, BANK + second + PROXY.format(2_000)))


def test_adjudicator_needs_members(tmp_path: Path) -> None:
    """An adjudicator whom nobody may ask is a mistake; one with members is read."""
    text = """
[adjudicator]
listen = "127.0.0.1:0"
[book]
ledger = "book"
url = "http://127.0.0.1:1"
account = "court"
api_key = "key"
asset = "EUR"
scale = 2
"""
    with pytest.raises(BadInput, match="none"):
        load_court(loaded(tmp_path, text))
    config = load_court(loaded(tmp_path, f'{text}[members]\nbank-a = "{ACCOUNT}"\n'))
    assert dict(config.members) == {bytes.fromhex(ACCOUNT[2:]): "bank-a"}
