"""What commands work on, and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_account import Account

from cli.context import (
    NetworkFile,
    account_secret,
    dev_folder,
    keystore_password,
    network_file,
    node_folder,
)
from cli.exits import NotFound
from foundation.errors import BadInput

SECRET = bytes([7]) * 32
NETWORK = (
    '[bitcoin]\nnetwork = "regtest"\nurl = "http://127.0.0.1:18443"\nuser = "me"\npassword = "x"\n'
    '[native]\nurl = "http://127.0.0.1:8545"\ndeployment = "there/deployment.json"\n'
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty CAUSEWAY_HOME, and no password."""
    monkeypatch.setenv("CAUSEWAY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CAUSEWAY_PASSWORD", raising=False)
    return tmp_path / "home"


@pytest.mark.parametrize("text", [SECRET.hex(), f"0x{SECRET.hex()}\n", f"  {SECRET.hex().upper()} \n"])
def test_an_account_key_is_read_as_hex(text: str, tmp_path: Path) -> None:
    """64 hex digits are a key, with or without 0x and white space."""
    (tmp_path / "key").write_text(text)
    assert account_secret(tmp_path / "key") == SECRET


def test_an_account_key_is_read_from_a_json_keystore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keystore of version 3, as wallets write it, opens with the password, and with no other."""
    (tmp_path / "key").write_text(json.dumps(Account.encrypt(SECRET, "secret", kdf="pbkdf2", iterations=1)))
    monkeypatch.setenv("CAUSEWAY_PASSWORD", "secret")
    assert account_secret(tmp_path / "key") == SECRET
    monkeypatch.setenv("CAUSEWAY_PASSWORD", "other")
    with pytest.raises(BadInput):
        account_secret(tmp_path / "key")


@pytest.mark.parametrize("text", ["", "xyz", SECRET.hex()[:-1], SECRET.hex() + "00", "{}"])
def test_what_is_no_key_is_refused_without_showing_it(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that holds no key is named; its content, which may be a mistyped secret, is not repeated."""
    monkeypatch.setenv("CAUSEWAY_PASSWORD", "secret")
    (tmp_path / "key").write_text(text)
    with pytest.raises(BadInput) as refusal:
        account_secret(tmp_path / "key")
    assert refusal.value.field == "--account-key"
    assert not text[:8] or text == "{}" or text[:8] not in str(refusal.value)


def test_a_missing_account_key_says_how_to_give_one() -> None:
    """Without --account-key the cure names the option's variable."""
    with pytest.raises(BadInput) as refusal:
        account_secret(None)
    assert "CAUSEWAY_ACCOUNT_KEY_FILE" in refusal.value.cure


def test_a_password_comes_from_the_file_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that was named wins over CAUSEWAY_PASSWORD; only the line's end is cut off."""
    (tmp_path / "password").write_text(" from file \n")
    monkeypatch.setenv("CAUSEWAY_PASSWORD", "from variable")
    assert keystore_password(tmp_path / "password") == " from file "
    assert keystore_password(None) == "from variable"


def test_no_password_is_refused(tmp_path: Path) -> None:
    """An empty password file is no password, and without a terminal nothing is asked for."""
    (tmp_path / "password").write_text("\n")
    for given in (tmp_path / "password", None):
        with pytest.raises(BadInput) as refusal:
            keystore_password(given)
        assert refusal.value.field == "password"


def test_the_development_network_is_the_default(home: Path) -> None:
    """Without --network the file of the development network is taken where it is, else a cure is given."""
    with pytest.raises(NotFound) as missing:
        network_file(None)
    assert "causeway dev up" in missing.value.cure
    assert dev_folder() == home / "dev"
    dev_folder().mkdir(parents=True)
    (dev_folder() / "network.toml").write_text(NETWORK)
    found = network_file(None)
    assert found.network.name == "regtest"
    assert found.deployment_path == home / "dev" / "there" / "deployment.json"


def test_a_network_file_takes_no_other_section(tmp_path: Path) -> None:
    """A node's section in a network file is refused, and so is text that is no TOML."""
    file = tmp_path / "network.toml"
    for text, words in ((NETWORK + "[node]\n", "node: is not known"), ("[bitcoin", "is not TOML")):
        file.write_text(text)
        with pytest.raises(BadInput, match=words):
            NetworkFile.load(file)


def test_the_first_storeman_is_the_default_node(home: Path) -> None:
    """Without --node the development network's first storeman is looked at; a folder without a node is refused."""
    with pytest.raises(NotFound):
        node_folder(None)
    folder = home / "dev" / "storeman-1"
    folder.mkdir(parents=True)
    (folder / "config.toml").touch()
    assert node_folder(None) == folder
    with pytest.raises(NotFound, match="is no node's folder"):
        node_folder(home)
