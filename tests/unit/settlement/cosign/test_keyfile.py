"""The file that keeps a party's seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import BadInput
from mpc.cluster_errors import EmptyPassword, KeystoreDamaged, KeystoreExists, WrongPassword
from mpc.keystore import ScryptCost
from settlement.cosign.keyfile import create_key_file, open_key_file
from settlement.quantities import PartyId

PARTY = PartyId("bank-a")
CHEAP = ScryptCost(log_n=4)
SEED = bytes(range(32))


def made(folder: Path, seed: bytes | None = SEED) -> Path:
    path = folder / "bank-a.key"
    create_key_file(path, PARTY, "correct horse", seed, CHEAP)
    return path


def test_the_seed_comes_back_with_the_password(tmp_path: Path) -> None:
    """The file opens with its password, lies closed for others, and holds the seed nowhere as it is."""
    path = made(tmp_path)
    assert open_key_file(path, PARTY, "correct horse") == SEED
    assert SEED not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_fresh_seed_is_another_each_time(tmp_path: Path) -> None:
    """Where no seed is given a random one is made, returned and kept."""
    seeds = [create_key_file(tmp_path / name, PARTY, "x", None, CHEAP) for name in "ab"]
    assert seeds[0] != seeds[1]
    assert open_key_file(tmp_path / "a", PARTY, "x") == seeds[0]


def test_a_wrong_password_is_told_from_damage(tmp_path: Path) -> None:
    """A wrong password, another party's file and a changed byte are each told by name."""
    path = made(tmp_path)
    with pytest.raises(WrongPassword):
        open_key_file(path, PARTY, "wrong horse")
    with pytest.raises(KeystoreDamaged):
        open_key_file(path, PartyId("bank-b"), "correct horse")
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises((KeystoreDamaged, WrongPassword)):
            open_key_file(path, PARTY, "correct horse")
    for cut in (b"", data[:20], data[:-1], data + b"\x00", data * 20):
        path.write_bytes(cut)
        with pytest.raises(KeystoreDamaged):
            open_key_file(path, PARTY, "correct horse")


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    """A file that is there stays as it is, and no file is left where none could be made."""
    path = made(tmp_path)
    before = path.read_bytes()
    with pytest.raises(KeystoreExists):
        create_key_file(path, PARTY, "x", None, CHEAP)
    assert path.read_bytes() == before
    with pytest.raises(EmptyPassword):
        create_key_file(tmp_path / "new", PARTY, "", None, CHEAP)
    with pytest.raises(BadInput):
        create_key_file(tmp_path / "new", PARTY, "x", bytes(31), CHEAP)
    assert [path.name for path in tmp_path.iterdir()] == ["bank-a.key"]
