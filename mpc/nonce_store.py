"""Secret nonces, in memory only, and the journal on disk of those that are spent (docs/adr/0002)."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from foundation.files import write_durably
from mpc import frost, offload
from mpc.cluster_errors import KeystoreDamaged, NonceUnavailable, TooManyRequests
from mpc.curve import tagged_hash
from mpc.evidence import GroupKey
from mpc.ports import SigningItem

_MAGIC: Final = b"causeway nonces 1\n"
_RECORD_BYTES: Final = 4 + 32 + 4
MAX_NONCES_A_PEER: Final = 4096


def _key_tag(group: bytes, epoch: int) -> bytes:
    """4 bytes that tell which key a record belongs to, so that records of erased shares can be dropped."""
    return tagged_hash("Causeway/nonce key", group + epoch.to_bytes(4, "big"))[:4]


def _record(tag: bytes, digest: bytes) -> bytes:
    content = tag + digest
    return content + zlib.crc32(content).to_bytes(4, "big")


class NonceJournal:
    """The hashes of all public nonces that were ever spent, appended and flushed before a signature leaves.

    A record is a key tag (4 bytes), SHA-256 of the public nonce (32) and a CRC-32 (4). Records that a crash left
    torn are dropped on opening: their signatures had not left yet.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the journal.

        Raises:
            KeystoreDamaged: the file is no journal.
            OSError: it cannot be read or written.
        """
        self._path = path
        if not path.exists():
            write_durably(path, _MAGIC)
        self._spent = self._parse(path.read_bytes())
        self._size = len(_MAGIC) + _RECORD_BYTES * len(self._spent)
        if path.stat().st_size != self._size:
            self._rewrite()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        # Writing happens in threads, which go on when the task that waits for them is cancelled.
        self._writing = threading.Lock()

    def _parse(self, content: bytes) -> dict[bytes, bytes]:
        if not content.startswith(_MAGIC):
            raise KeystoreDamaged(self._path, "it is no journal of nonces")
        spent: dict[bytes, bytes] = {}
        for position in range(len(_MAGIC), len(content) - _RECORD_BYTES + 1, _RECORD_BYTES):
            record = content[position : position + _RECORD_BYTES]
            if _record(record[:4], record[4:36]) == record:
                spent[record[4:36]] = record[:4]
        return spent

    def _rewrite(self) -> None:
        records = list(self._spent.items())  # at once: the event loop may add some meanwhile, and appends them later
        data = _MAGIC + b"".join(_record(tag, digest) for digest, tag in records)
        write_durably(self._path, data)
        self._size = len(data)

    def __len__(self) -> int:
        return len(self._spent)

    def is_spent(self, pubnonce: bytes) -> bool:
        return hashlib.sha256(pubnonce).digest() in self._spent

    async def spend(self, group: bytes, epoch: int, pubnonces: Sequence[bytes]) -> None:
        """Record that these are spent; durable when this returns.

        Raises:
            NonceUnavailable: one is spent already; nothing is recorded.
            OSError: the disk failed; they count as spent in this process.
        """
        digests = [hashlib.sha256(pubnonce).digest() for pubnonce in pubnonces]
        if len(set(digests)) != len(digests) or any(digest in self._spent for digest in digests):
            raise NonceUnavailable("one was spent before")
        tag = _key_tag(group, epoch)
        self._spent.update(dict.fromkeys(digests, tag))
        data = b"".join(_record(tag, digest) for digest in digests)
        await asyncio.to_thread(self._append, data)

    def _append(self, data: bytes) -> None:
        with self._writing:
            if self._file < 0:
                raise OSError(f"{self._path}: the journal is closed")
            try:
                if os.write(self._file, data) != len(data):
                    raise OSError(f"{self._path}: the disk took only a part of a record")
                os.fdatasync(self._file)
            except OSError:
                os.ftruncate(self._file, self._size)  # or what follows would not stand at a record's place
                raise
            self._size += len(data)

    async def compact(self, live: Collection[tuple[bytes, int]]) -> None:
        """Drop the records of keys (group, epoch) whose share is erased: nothing can be signed with them any more."""
        tags = {_key_tag(group, epoch) for group, epoch in live}
        self._spent = {digest: tag for digest, tag in self._spent.items() if tag in tags}
        await asyncio.to_thread(self._compact)

    def _compact(self) -> None:
        with self._writing:
            self._rewrite()
            os.close(self._file)
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)

    def close(self) -> None:
        """Wait for what is being written, and let go of the file."""
        with self._writing:
            os.close(self._file)
            self._file = -1


@dataclass(frozen=True, slots=True)
class Binding:
    """What a nonce was made for; it is used for nothing else.

    Attributes:
        peer: host key (33 bytes) of the coordinator; session: 32 bytes; group: 32 bytes; epoch; item: position.
    """

    peer: bytes
    session: bytes
    group: bytes
    epoch: int
    item: int


@dataclass(frozen=True, slots=True)
class _Held:
    binding: Binding
    nonce: frost.SecNonce


class NonceStore:
    """Makes nonces, keeps them in memory, and hands each out once after its use is on record."""

    def __init__(
        self,
        journal: NonceJournal,
        *,
        limit_a_peer: int = MAX_NONCES_A_PEER,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._journal = journal
        self._limit = limit_a_peer
        self._random = random
        self._held: dict[bytes, _Held] = {}
        self._counts: dict[bytes, int] = {}

    def outstanding(self, peer: bytes) -> int:
        """How many nonces this peer (host key, 33 bytes) has open."""
        return self._counts.get(peer, 0)

    async def make(
        self, peer: bytes, session: bytes, key: GroupKey, index: int, secshare: bytes, items: Sequence[SigningItem]
    ) -> tuple[bytes, ...]:
        """A fresh nonce for each item; the public parts, 66 bytes each.

        Raises:
            TooManyRequests: the peer has too many open.
            NonceUnavailable: a public nonce repeats, so the source of randomness is broken.
        """
        self._check_room(peer, len(items))
        made = await offload.compute(len(items), self._generate, session, key, index, secshare, items)
        try:
            self._check_room(peer, len(items))  # others may have taken the room meanwhile
            if len({pubnonce for _, pubnonce in made}) < len(made) or any(self._is_known(p) for _, p in made):
                raise NonceUnavailable("a fresh nonce repeats an old one: the source of randomness is broken")
        except BaseException:
            for secnonce, _ in made:
                secnonce.erase()
            raise
        for position, (secnonce, pubnonce) in enumerate(made):
            self._held[pubnonce] = _Held(Binding(peer, session, key.group, key.epoch, position), secnonce)
        self._counts[peer] = self.outstanding(peer) + len(made)
        return tuple(pubnonce for _, pubnonce in made)

    def _generate(
        self, session: bytes, key: GroupKey, index: int, secshare: bytes, items: Sequence[SigningItem]
    ) -> list[tuple[frost.SecNonce, bytes]]:
        """The nonces themselves. It reads nothing that changes, so it may run in a thread."""
        made = []
        for position, item in enumerate(items):
            context = session + key.group + key.epoch.to_bytes(4, "big") + position.to_bytes(4, "big")
            pubshare, output_key = key.pubshares[index], key.tweaked(item)
            made.append(frost.nonce_gen(secshare, pubshare, output_key, item.message, context, self._random(32)))
        return made

    def _check_room(self, peer: bytes, count: int) -> None:
        if self.outstanding(peer) + count > self._limit:
            raise TooManyRequests(peer, "open nonces")

    def _is_known(self, pubnonce: bytes) -> bool:
        return pubnonce in self._held or self._journal.is_spent(pubnonce)

    async def take(
        self, peer: bytes, session: bytes, group: bytes, epoch: int, pubnonces: Sequence[bytes]
    ) -> tuple[frost.SecNonce, ...]:
        """The secret nonces of one offer, for one use each; that they are spent is on disk when this returns.

        Raises:
            NonceUnavailable: one is unknown (used, dropped, of an earlier run), or was made for something else.
            OSError: the journal cannot be written; the nonces are lost.
        """
        for position, pubnonce in enumerate(pubnonces):
            held = self._held.get(pubnonce)
            if held is None:
                raise NonceUnavailable("one is unknown or used")
            if held.binding != Binding(peer, session, group, epoch, position):
                raise NonceUnavailable("one was made for something else")
        # Taken out before anything is awaited: nobody else can get them meanwhile.
        taken = tuple(self._remove(pubnonce) for pubnonce in pubnonces)
        try:
            await self._journal.spend(group, epoch, pubnonces)
        except BaseException:
            for secnonce in taken:
                secnonce.erase()
            raise
        return taken

    def drop(self, pubnonces: Sequence[bytes]) -> None:
        """Zero nonces that will not be used."""
        for pubnonce in pubnonces:
            if pubnonce in self._held:
                self._remove(pubnonce).erase()

    def _remove(self, pubnonce: bytes) -> frost.SecNonce:
        held = self._held.pop(pubnonce)
        left = self._counts[held.binding.peer] - 1
        if left:
            self._counts[held.binding.peer] = left
        else:
            del self._counts[held.binding.peer]
        return held.nonce

    def close(self) -> None:
        """Zero all nonces and close the journal."""
        self.drop(tuple(self._held))
        self._journal.close()
