"""Secrets in a file, or in a text that travels: encrypted under a password, and whole or not at all.

Form: magic (8 bytes) ‖ header length (2) ‖ header (MessagePack) ‖ header tag (32) ‖ ciphertext. The password and the
header's salt give two keys by scrypt (RFC 7914): one for HMAC-SHA-256 over magic and header, which tells a wrong
password from a damaged file, and one for AES-256-GCM over the content, with all before it as associated data.
"""

from __future__ import annotations

import hmac
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta, Struct

from foundation.errors import BadInput, Fatal
from foundation.files import write_durably
from foundation.unreadable import UNREADABLE
from mpc.cluster_errors import EmptyPassword, KeystoreDamaged, KeystoreExists, WrongPassword
from mpc.keystore import PRODUCTION_COST, ScryptCost

_MAGIC_BYTES: Final = 8
_TAG_BYTES: Final = 32


class WrongFilePassword(WrongPassword):
    """The password does not open such a file. Fields: as `BadInput`."""

    def __init__(self, path: Path, what: str) -> None:
        BadInput.__init__(self, "password", f"does not open {path}", f"give the password of that {what}")


class FileDamaged(KeystoreDamaged):
    """A file does not parse, or was changed. Fields: path; problem; cure."""

    def __init__(self, path: Path, what: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        self.cure = f"name the right file, or take a copy of the {what}"
        Fatal.__init__(self, f"{path} cannot be read: {problem}")


class FileThere(KeystoreExists):
    """Such a file is there already, and is never overwritten. Fields: path; cure."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.cure = f"choose another place; a {what} is never overwritten"
        Fatal.__init__(self, f"a {what} exists at {path}")


class _Header(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Limits keep a forged file from exhausting the memory before the password is checked."""

    log_n: Annotated[int, Meta(ge=1, le=20)]
    r: Annotated[int, Meta(ge=1, le=16)]
    p: Annotated[int, Meta(ge=1, le=4)]
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    nonce: Annotated[bytes, Meta(min_length=12, max_length=12)]


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file is for. Fields: magic (8 bytes, first in the file); what (for people); bytes_max (of the file)."""

    magic: bytes
    what: str
    bytes_max: int

    def __post_init__(self) -> None:
        if len(self.magic) != _MAGIC_BYTES:
            raise BadInput("magic", f"has {len(self.magic)} bytes", f"{_MAGIC_BYTES} bytes")

    def seal(self, content: bytes, password: str, cost: ScryptCost = PRODUCTION_COST) -> bytes:
        """The file's bytes.

        Raises:
            EmptyPassword: the password is empty.
            BadInput: more content than such a file takes.
        """
        if not password:
            raise EmptyPassword
        header = _Header(cost.log_n, cost.r, cost.p, os.urandom(16), os.urandom(12))
        mac_key, key = _derive(password, header)
        encoded = msgspec.msgpack.encode(header)
        front = self.magic + len(encoded).to_bytes(2, "big") + encoded
        front += hmac.digest(mac_key, front, "sha256")
        sealed = front + AESGCM(key).encrypt(header.nonce, content, front)
        if len(sealed) > self.bytes_max:
            raise BadInput("content", f"has {len(content):,} bytes", f"a {self.what} takes {self.bytes_max:,}")
        return sealed

    def open(self, data: bytes, password: str, path: Path) -> bytes:
        """The content of a file. `path`: for errors.

        Raises:
            WrongPassword: the password is wrong.
            KeystoreDamaged: it is no such file, or it was changed.
        """
        start = _MAGIC_BYTES + 2
        end = start + int.from_bytes(data[_MAGIC_BYTES:start], "big")
        if not data.startswith(self.magic) or not end + _TAG_BYTES < len(data) <= self.bytes_max:
            raise FileDamaged(path, self.what, f"it is no {self.what} of a version that is known")
        try:
            header = msgspec.msgpack.decode(data[start:end], type=_Header)
        except UNREADABLE as error:
            raise FileDamaged(path, self.what, f"its header is malformed: {error}") from error
        mac_key, key = _derive(password, header)
        front = data[: end + _TAG_BYTES]
        if not hmac.compare_digest(hmac.digest(mac_key, data[:end], "sha256"), front[end:]):
            raise WrongFilePassword(path, self.what)
        try:
            return AESGCM(key).decrypt(header.nonce, data[len(front) :], front)
        except InvalidTag as error:
            raise FileDamaged(path, self.what, "its content was changed") from error

    def create(self, path: Path, content: bytes, password: str, cost: ScryptCost = PRODUCTION_COST) -> None:
        """Write a new file, readable by its owner alone.

        Raises:
            EmptyPassword, BadInput: as `seal`.
            KeystoreExists: a file is there already; it is untouched.
            OSError: the folder is not writable.
        """
        sealed = self.seal(content, password, cost)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # two cannot make it at once
        except FileExistsError as error:
            raise FileThere(path, self.what) from error
        try:
            write_durably(path, sealed)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def read(self, path: Path, password: str) -> bytes:
        """The content of the file at `path`. Raises as `open`, and `OSError` where it cannot be read."""
        with path.open("rb") as file:
            data = file.read(self.bytes_max + 1)
        return self.open(data, password, path)


def _derive(password: str, header: _Header) -> tuple[bytes, bytes]:
    typed = unicodedata.normalize("NFKC", password).encode()  # one form, whatever the keyboard or system composes
    derived = Scrypt(salt=header.salt, length=64, n=1 << header.log_n, r=header.r, p=header.p).derive(typed)
    return derived[:32], derived[32:]
