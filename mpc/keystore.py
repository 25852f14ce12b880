"""A node's secrets on disk: one file, encrypted, written whole, used by one process at a time.

File: magic (8 bytes) ‖ header length (4) ‖ header (msgpack) ‖ header tag (32) ‖ ciphertext. The password and the
header's salt give two keys by scrypt (RFC 7914): one for HMAC-SHA-256 over magic and header, which tells a wrong
password from a damaged file, and one for AES-256-GCM over the content, with magic, header and tag as associated data.

A backup is the host key and the public recovery data of the groups (`export_recovery`); a copy of the file serves as
well, because it holds nothing that may be used only once.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta, Struct

from foundation.files import write_durably
from mpc import chilldkg
from mpc.cluster_errors import (
    ConflictingShare,
    EmptyPassword,
    KeystoreDamaged,
    KeystoreExists,
    KeystoreInUse,
    ShareNotHeld,
    WrongPassword,
)
from mpc.evidence import GroupKey
from mpc.identity import Identity

_MAGIC: Final = b"CWKEYS\x00\x01"
_TAG_BYTES: Final = 32
_MAX_HEADER_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """Cost of deriving the keys: n = 2**log_n, r, p. Memory is 128 · n · r bytes."""

    log_n: int = 17
    r: int = 8
    p: int = 1


PRODUCTION_COST: Final = ScryptCost()
"""128 MiB and about 0.3 s."""


class _Header(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Limits keep a forged file from exhausting the memory before the password is checked."""

    log_n: Annotated[int, Meta(ge=1, le=20)]
    r: Annotated[int, Meta(ge=1, le=16)]
    p: Annotated[int, Meta(ge=1, le=4)]
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    nonce: Annotated[bytes, Meta(min_length=12, max_length=12)]


class _StoredShare(Struct, frozen=True, forbid_unknown_fields=True):
    group: bytes
    epoch: int
    index: int
    threshold: int
    members: tuple[bytes, ...]
    secshare: bytes
    thresh_pk: bytes
    pubshares: tuple[bytes, ...]
    recovery_data: bytes
    proof: bytes
    ready: bool

    def __repr__(self) -> str:
        return "_StoredShare(hidden)"


class _Content(Struct, frozen=True, forbid_unknown_fields=True):
    host_secret: bytes
    shares: tuple[_StoredShare, ...]

    def __repr__(self) -> str:
        return "_Content(hidden)"


@dataclass(frozen=True, slots=True)
class KeyShare:
    """A share of a group's key.

    Attributes:
        key: the public data; index: this node's; secshare: 32 bytes.
        ready: whether all members are known to have stored theirs. Until then the key must not receive money, and
        the share signs nothing but the group's proof.
    """

    key: GroupKey
    index: int
    secshare: bytes = field(repr=False)
    ready: bool = False


class Keystore:
    """The open keystore of this process. Every change is on disk when its call returns."""

    def __init__(self, path: Path, lock: int, keys: tuple[bytes, bytes], header: _Header, content: _Content) -> None:
        """Use `create` or `open`."""
        self._path = path
        self._lock = lock
        self._mac_key, self._cipher = keys[0], AESGCM(keys[1])
        self._header = header
        self._shares = {(s.group, s.epoch): _to_share(s) for s in content.shares}
        self.identity = Identity.from_host_secret(content.host_secret)

    @classmethod
    def create(
        cls, path: Path, password: str, host_secret: bytes | None = None, cost: ScryptCost = PRODUCTION_COST
    ) -> Keystore:
        """Make a keystore, with a fresh host key or, to restore a node, with its old one (32 bytes).

        Raises:
            EmptyPassword: the password is empty.
            KeystoreExists: a file is there already.
            KeystoreInUse: another process is making it.
            MalformedInput, HostSeckeyError: the host key is invalid.
            OSError: the folder is not writable.
        """
        if not password:
            raise EmptyPassword
        lock = _lock(path)
        try:
            if path.exists():
                raise KeystoreExists(path)
            header = _Header(cost.log_n, cost.r, cost.p, os.urandom(16), bytes(12))
            keys = _derive(password, header)
            store = cls(path, lock, keys, header, _Content(host_secret or os.urandom(32), ()))
            store._save()
        except BaseException:
            os.close(lock)
            raise
        return store

    @classmethod
    def open(cls, path: Path, password: str) -> Keystore:
        """Open a keystore.

        Raises:
            WrongPassword: the password is wrong.
            KeystoreDamaged: the file does not parse or was changed.
            KeystoreInUse: another process has it open.
            OSError: it is missing or not readable.
        """
        lock = _lock(path)
        try:
            header, keys, content = _read(path, password)
            return cls(path, lock, keys, header, content)
        except BaseException:
            os.close(lock)
            raise

    def share(self, group: bytes, epoch: int | None = None) -> KeyShare:
        """The share of a group (32 bytes) in an epoch; None: the newest.

        Raises:
            ShareNotHeld: there is none.
        """
        epochs = [e for g, e in self._shares if g == group and epoch in (None, e)]
        if not epochs:
            raise ShareNotHeld(group, epoch)
        return self._shares[group, max(epochs)]

    def shares(self) -> Sequence[KeyShare]:
        """All shares."""
        return tuple(self._shares.values())

    def store(self, share: KeyShare) -> None:
        """Keep a share, or more news of one that is held (its proof, its readiness, which are never taken back).

        Raises:
            ConflictingShare: another key is held for this group and epoch.
            OSError: the disk failed; the share is not held.
        """
        place = (share.key.group, share.key.epoch)
        held = self._shares.get(place)
        if held is not None:
            if (held.key.thresh_pk, held.index, held.secshare) != (share.key.thresh_pk, share.index, share.secshare):
                raise ConflictingShare(*place)
            key = replace(held.key, proof=held.key.proof or share.key.proof)
            share = replace(held, key=key, ready=held.ready or share.ready)
            if share == held:
                return
        self._replace({**self._shares, place: share})

    def erase(self, group: bytes, epoch: int) -> None:
        """Forget a share for ever, as when its epoch is over.

        Raises:
            ShareNotHeld: there is none.
            OSError: the disk failed; it is still held.
        """
        if (group, epoch) not in self._shares:
            raise ShareNotHeld(group, epoch)
        self._replace({place: share for place, share in self._shares.items() if place != (group, epoch)})

    def recover(self, group: bytes, epoch: int, recovery_data: bytes, *, ready: bool = True) -> KeyShare:
        """Restore the share from the host key and the public recovery data, and keep it.

        Raises:
            RecoveryDataError: the data is not that of a finished key generation.
            HostSeckeyError: this node took no part in it.
            ConflictingShare: another key is held for this group and epoch.
            OSError: the disk failed.
        """
        output, params = chilldkg.recover(self.identity.host_secret, recovery_data)
        assert output.secshare is not None
        members = tuple(params.hostpubkeys)
        key = GroupKey(group, epoch, params.t, members, output.thresh_pk, output.pubshares, recovery_data)
        share = KeyShare(key, members.index(self.identity.host_key), output.secshare, ready)
        self.store(share)
        return self.share(group, epoch)

    def export_recovery(self, path: Path) -> None:
        """Write the public recovery data of all groups as JSON with hexadecimal values. It holds no secret."""
        groups = [
            {"group": s.key.group.hex(), "epoch": s.key.epoch, "recovery_data": s.key.recovery_data.hex()}
            for s in self._shares.values()
        ]
        document = {"version": 1, "host_key": self.identity.host_key.hex(), "groups": groups}
        write_durably(path, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n", mode=0o644)

    def close(self) -> None:
        """Let another process open it. Closing twice does no harm."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _replace(self, shares: dict[tuple[bytes, int], KeyShare]) -> None:
        before, self._shares = self._shares, shares
        try:
            self._save()
        except BaseException:
            self._shares = before
            raise

    def _save(self) -> None:
        content = _Content(self.identity.host_secret, tuple(_from_share(s) for s in self._shares.values()))
        # A random nonce of 96 bits for each write: collisions are negligible for the few writes of a keystore.
        self._header = msgspec.structs.replace(self._header, nonce=os.urandom(12))
        encoded = msgspec.msgpack.encode(self._header)
        front = _MAGIC + len(encoded).to_bytes(4, "big") + encoded
        front += hmac.digest(self._mac_key, front, "sha256")
        sealed = self._cipher.encrypt(self._header.nonce, msgspec.msgpack.encode(content), front)
        write_durably(self._path, front + sealed)


def recovery_from_export(path: Path) -> list[tuple[bytes, int, bytes]]:
    """What `export_recovery` wrote: (group, epoch, recovery data) of each group.

    Raises:
        KeystoreDamaged: the file does not parse.
        OSError: it cannot be read.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Export)
        return [(bytes.fromhex(g.group), g.epoch, bytes.fromhex(g.recovery_data)) for g in document.groups]
    except (msgspec.MsgspecError, ValueError) as error:
        raise KeystoreDamaged(path, str(error)) from error


class _ExportedGroup(Struct, frozen=True, forbid_unknown_fields=True):
    group: str
    epoch: int
    recovery_data: str


class _Export(Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1, le=1)]
    host_key: str
    groups: tuple[_ExportedGroup, ...]


def _lock(path: Path) -> int:
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise KeystoreInUse(path) from error
    return descriptor


def _derive(password: str, header: _Header) -> tuple[bytes, bytes]:
    typed = unicodedata.normalize("NFKC", password).encode()  # one form, whatever the keyboard or system composes
    derived = Scrypt(salt=header.salt, length=64, n=1 << header.log_n, r=header.r, p=header.p).derive(typed)
    return derived[:32], derived[32:]


def _read(path: Path, password: str) -> tuple[_Header, tuple[bytes, bytes], _Content]:
    data = path.read_bytes()
    start = len(_MAGIC) + 4
    length = int.from_bytes(data[len(_MAGIC) : start], "big")
    end = start + length
    if not data.startswith(_MAGIC) or length > _MAX_HEADER_BYTES or len(data) < end + _TAG_BYTES:
        raise KeystoreDamaged(path, "it is no keystore of a version that is known")
    try:
        header = msgspec.msgpack.decode(data[start:end], type=_Header)
    except msgspec.MsgspecError as error:
        raise KeystoreDamaged(path, f"its header is malformed: {error}") from error
    keys = _derive(password, header)
    front = data[: end + _TAG_BYTES]
    if not hmac.compare_digest(hmac.digest(keys[0], data[:end], "sha256"), front[end:]):
        raise WrongPassword(path)
    try:
        plain = AESGCM(keys[1]).decrypt(header.nonce, data[len(front) :], front)
        return header, keys, msgspec.msgpack.decode(plain, type=_Content)
    except InvalidTag as error:
        raise KeystoreDamaged(path, "its content was changed") from error
    except msgspec.MsgspecError as error:
        raise KeystoreDamaged(path, f"its content is malformed: {error}") from error


def _to_share(stored: _StoredShare) -> KeyShare:
    s = stored
    key = GroupKey(s.group, s.epoch, s.threshold, s.members, s.thresh_pk, s.pubshares, s.recovery_data, s.proof)
    return KeyShare(key, s.index, s.secshare, s.ready)


def _from_share(share: KeyShare) -> _StoredShare:
    k = share.key
    return _StoredShare(
        k.group,
        k.epoch,
        share.index,
        k.threshold,
        k.members,
        share.secshare,
        k.thresh_pk,
        k.pubshares,
        k.recovery_data,
        k.proof,
        share.ready,
    )
