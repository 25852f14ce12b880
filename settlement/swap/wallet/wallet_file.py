"""The file in which a trader's mnemonic lies, encrypted."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from adapters.bitcoin.hd_keys import parse_mnemonic
from foundation.errors import BadInput
from mpc.cluster_errors import KeystoreDamaged
from mpc.keystore import PRODUCTION_COST, ScryptCost
from settlement.swap.sealed_file import FileKind

WALLET_FILE: Final = FileKind(b"CWSWAP\x00\x01", "swap wallet", 1_024)


def create_wallet(path: Path, mnemonic: str, password: str, cost: ScryptCost = PRODUCTION_COST) -> None:
    """Write the words into a new file.

    Raises:
        BadInput: the words are no mnemonic (see `parse_mnemonic`), or the password is empty.
        KeystoreExists: a file is there already; it is untouched.
        OSError: the folder is not writable.
    """
    WALLET_FILE.create(path, parse_mnemonic(mnemonic).encode(), password, cost)


def open_wallet(path: Path, password: str) -> str:
    """The words.

    Raises:
        WrongPassword: the password is wrong.
        KeystoreDamaged: it is no such file, or it was changed.
        OSError: it cannot be read.
    """
    content = WALLET_FILE.read(path, password)
    try:
        return parse_mnemonic(content.decode())
    except (BadInput, UnicodeDecodeError) as error:
        raise KeystoreDamaged(path, "it holds no mnemonic") from error
