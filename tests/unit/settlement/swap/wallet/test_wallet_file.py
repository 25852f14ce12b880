"""The file of the words: its password, its damage, and that it is never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import BadInput
from mpc.cluster_errors import EmptyPassword, KeystoreDamaged, KeystoreExists, WrongPassword
from mpc.keystore import ScryptCost
from settlement.swap.sealed_file import FileKind
from settlement.swap.wallet.wallet_file import create_wallet, open_wallet

WORDS = "test " * 11 + "junk"
CHEAP = ScryptCost(log_n=4)


def test_the_words_come_back_by_the_password(tmp_path: Path) -> None:
    """Whatever the keyboard composed; and only their owner may read the file."""
    path = tmp_path / "wallet"
    create_wallet(path, WORDS, "caf\u00e9", CHEAP)
    assert open_wallet(path, "cafe\u0301") == WORDS
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"junk" not in path.read_bytes()


def test_another_password_is_told_from_damage(tmp_path: Path) -> None:
    """The one is typed again, the other restored."""
    path = tmp_path / "wallet"
    create_wallet(path, WORDS, "secret", CHEAP)
    with pytest.raises(WrongPassword):
        open_wallet(path, "Secret")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(KeystoreDamaged, match="changed"):
        open_wallet(path, "secret")


@pytest.mark.parametrize("data", [b"", b"CWSWAP\x00\x01", b"CWSWAP\x00\x02" + bytes(200), bytes(2_000)])
def test_what_is_no_wallet_is_refused(tmp_path: Path, data: bytes) -> None:
    """Truncated, of another version, or anything."""
    path = tmp_path / "wallet"
    path.write_bytes(data)
    with pytest.raises(KeystoreDamaged):
        open_wallet(path, "secret")


def test_a_wallet_is_never_overwritten(tmp_path: Path) -> None:
    """The words of the first one may be nowhere else."""
    path = tmp_path / "wallet"
    create_wallet(path, WORDS, "secret", CHEAP)
    with pytest.raises(KeystoreExists):
        create_wallet(path, "abandon " * 11 + "about", "secret", CHEAP)
    assert open_wallet(path, "secret") == WORDS


def test_bad_words_and_an_empty_password_write_nothing(tmp_path: Path) -> None:
    """The folder stays empty."""
    with pytest.raises(BadInput):
        create_wallet(tmp_path / "wallet", "abandon", "secret", CHEAP)
    with pytest.raises(EmptyPassword):
        create_wallet(tmp_path / "wallet", WORDS, "", CHEAP)
    assert not list(tmp_path.iterdir())


def test_a_sealed_file_that_holds_no_words_is_damaged(tmp_path: Path) -> None:
    """As when a file of another program has our magic and the same password."""
    path = tmp_path / "wallet"
    FileKind(b"CWSWAP\x00\x01", "swap wallet", 1_024).create(path, b"\xff\xfe", "secret", CHEAP)
    with pytest.raises(KeystoreDamaged, match="holds no mnemonic"):
        open_wallet(path, "secret")


def test_a_file_has_a_kind_and_a_size() -> None:
    """More than fits is refused when it is written, not when it is needed."""
    kind = FileKind(b"12345678", "test", 200)
    with pytest.raises(BadInput, match="takes 200"):
        kind.seal(bytes(300), "secret", CHEAP)
    with pytest.raises(BadInput, match="magic"):
        FileKind(b"123", "test", 200)
