"""API keys: who asks. A key is `<key id>.<secret>`, the secret 32 random bytes; the book keeps its digest alone.

A plain hash is enough for a secret of 256 random bits: there is nothing to guess.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import Database
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ledgers.book.tables import keys
from settlement.ledgers.book.types import Caller, Holder
from settlement.quantities import Clock, tagged_hash

OPERATOR: Final = Holder("operator")
"""Owner of the book's own accounts; no bank may be called so."""

_KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_SECRET_BYTES: Final = 32
_CACHED_MS: Final = 2_000
_CACHED_MAX: Final = 10_000


def new_key(key_id: str) -> tuple[str, bytes]:
    """A new API key, and the 32 bytes that the book keeps of it.

    Raises:
        BadInput: not an id.
    """
    if not _KEY_ID.fullmatch(key_id):
        raise BadInput("key_id", f"{key_id[:80]!r} is no id of a key", "1 to 32 of a-z, 0-9 and -")
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    return f"{key_id}.{secret}", digest_of(key_id, secret)


def digest_of(key_id: str, secret: str) -> bytes:
    """What is kept of a key, 32 bytes."""
    return tagged_hash("book/api-key", key_id.encode(), secret.encode())


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A bank's key. `revoked_at` is None as long as it is good."""

    key_id: str
    holder: Holder
    digest: bytes
    made_at: UnixMs
    revoked_at: UnixMs | None = None


class KeyStore:
    """The banks' keys, on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, key_id: str) -> KeyRow | None:
        """A key, revoked or not."""
        row = (await self._connection.execute(select(keys).where(keys.c.key_id == key_id))).one_or_none()
        if row is None:
            return None
        revoked = None if row.revoked_at is None else UnixMs(row.revoked_at)
        return KeyRow(row.key_id, Holder(row.holder), bytes(row.digest), UnixMs(row.made_at), revoked)

    async def add(self, key: KeyRow) -> None:
        """Keep a new key."""
        row = {"key_id": key.key_id, "holder": key.holder, "digest": key.digest, "made_at": key.made_at}
        await self._connection.execute(insert(keys), row)

    async def revoke(self, key_id: str, now: UnixMs) -> None:
        """Take a key back, for ever."""
        await self._connection.execute(
            update(keys).where(keys.c.key_id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=now)
        )


class Doorkeeper:
    """Tells who a key belongs to. What another process revoked is refused two seconds later at the latest."""

    def __init__(self, database: Database, operators: Mapping[str, bytes], clock: Clock) -> None:
        """`operators`: digests of the operators' keys by their ids; these are in the configuration alone."""
        self._database = database
        self._operators = operators
        self._clock = clock
        self._seen: dict[str, tuple[UnixMs, KeyRow | None]] = {}

    async def caller(self, authorization: str) -> Caller | None:
        """Whose key an `Authorization` header carries (RFC 6750, section 2.1); None for no good one.

        Raises:
            DatabaseUnavailable: it cannot be told now.
        """
        scheme, _, token = authorization.partition(" ")
        key_id, _, secret = token.strip().partition(".")
        if scheme.lower() != "bearer" or not _KEY_ID.fullmatch(key_id) or not secret.isascii():
            return None
        digest = digest_of(key_id, secret)
        if key_id in self._operators:
            return Caller(OPERATOR, True) if hmac.compare_digest(digest, self._operators[key_id]) else None
        key = await self._key(key_id)
        if key is None or key.revoked_at is not None or not hmac.compare_digest(digest, key.digest):
            return None
        return Caller(key.holder)

    def forget(self, key_id: str) -> None:
        """Read this key anew next time: it has changed."""
        self._seen.pop(key_id, None)

    async def _key(self, key_id: str) -> KeyRow | None:
        now = self._clock()
        read_at, key = self._seen.get(key_id, (None, None))
        if read_at is not None and 0 <= now - read_at < _CACHED_MS:
            return key
        async with self._database.view() as view:
            key = await KeyStore(view.connection).get(key_id)
        if len(self._seen) >= _CACHED_MAX:  # somebody tries ids
            self._seen.clear()
        self._seen[key_id] = (now, key)
        return key
