"""A party's seed on disk: one encrypted file, written whole.

File: magic (8 bytes) ‖ header length (2) ‖ header (MessagePack) ‖ header tag (32) ‖ ciphertext. The password and the
header's salt give two keys by scrypt (RFC 7914): one for HMAC-SHA-256 over magic and header, which tells a wrong
password from a damaged file, and one for AES-256-GCM over the seed, with all before it as associated data.
"""

from __future__ import annotations

import hmac
import os
import unicodedata
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta, Struct

from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.unreadable import UNREADABLE
from mpc.cluster_errors import EmptyPassword, KeystoreDamaged, KeystoreExists, WrongPassword
from mpc.keystore import PRODUCTION_COST, ScryptCost
from settlement.cosign.keys import SEED_BYTES, new_seed
from settlement.quantities import PartyId

_MAGIC: Final = b"CWSEED\x00\x01"
_TAG_BYTES: Final = 32
_FILE_BYTES_MAX: Final = 1024


class _Header(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Limits keep a forged file from exhausting the memory before the password is checked."""

    party: Annotated[str, Meta(min_length=1, max_length=32)]
    log_n: Annotated[int, Meta(ge=1, le=20)]
    r: Annotated[int, Meta(ge=1, le=16)]
    p: Annotated[int, Meta(ge=1, le=4)]
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    nonce: Annotated[bytes, Meta(min_length=12, max_length=12)]


def create_key_file(
    path: Path, party: PartyId, password: str, seed: bytes | None = None, cost: ScryptCost = PRODUCTION_COST
) -> bytes:
    """Write a party's seed to a new file, a fresh one or, to restore a node, its old one; returns the 32 secret bytes.

    Raises:
        EmptyPassword: the password is empty.
        BadInput: the seed has not 32 bytes.
        KeystoreExists: a file is there already.
        OSError: the folder is not writable.
    """
    if not password:
        raise EmptyPassword
    secret = new_seed() if seed is None else seed
    if len(secret) != SEED_BYTES:
        raise BadInput("seed", f"it has {len(secret)} bytes", "32 secret bytes")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # two cannot make it at once
    except FileExistsError as error:
        raise KeystoreExists(path) from error
    try:
        header = _Header(party, cost.log_n, cost.r, cost.p, os.urandom(16), os.urandom(12))
        mac_key, key = _derive(password, header)
        encoded = msgspec.msgpack.encode(header)
        front = _MAGIC + len(encoded).to_bytes(2, "big") + encoded
        front += hmac.digest(mac_key, front, "sha256")
        write_durably(path, front + AESGCM(key).encrypt(header.nonce, secret, front))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return secret


def open_key_file(path: Path, party: PartyId, password: str) -> bytes:
    """The 32 secret bytes of a party's file.

    Raises:
        WrongPassword: the password is wrong.
        KeystoreDamaged: the file is none, was changed, or is another party's.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(_FILE_BYTES_MAX + 1)
    start = len(_MAGIC) + 2
    end = start + int.from_bytes(data[len(_MAGIC) : start], "big")
    if not data.startswith(_MAGIC) or not end + _TAG_BYTES < len(data) <= _FILE_BYTES_MAX:
        raise KeystoreDamaged(path, "it is no key file of a version that is known")
    try:
        header = msgspec.msgpack.decode(data[start:end], type=_Header)
    except UNREADABLE as error:
        raise KeystoreDamaged(path, f"its header is malformed: {error}") from error
    mac_key, key = _derive(password, header)
    front = data[: end + _TAG_BYTES]
    if not hmac.compare_digest(hmac.digest(mac_key, data[:end], "sha256"), front[end:]):
        raise WrongPassword(path)
    if header.party != party:
        raise KeystoreDamaged(path, f"it is the key file of {header.party}")
    try:
        return AESGCM(key).decrypt(header.nonce, data[len(front) :], front)
    except InvalidTag as error:
        raise KeystoreDamaged(path, "its content was changed") from error


def _derive(password: str, header: _Header) -> tuple[bytes, bytes]:
    typed = unicodedata.normalize("NFKC", password).encode()  # one form, whatever the keyboard or system composes
    derived = Scrypt(salt=header.salt, length=64, n=1 << header.log_n, r=header.r, p=header.p).derive(typed)
    return derived[:32], derived[32:]
