"""Who asks: API keys and clients' certificates, what they may do, and how much.

An API key is `<key id>.<secret>`, the secret 32 random bytes; its digest alone is kept. A plain hash is enough for a
secret of 256 random bits: there is nothing to guess. A certificate is known by its SHA-256 (mTLS, RFC 8705 section 2.2:
the certificate itself is registered, whoever has signed it).
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec
from sqlalchemy import insert, select, update

from api.tables import keys
from foundation.database import Database, Repository
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.quantities import Clock, tagged_hash

_KEY_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}", re.ASCII)
_SECRET_BYTES: Final = 32
_TOKEN_MAX: Final = 512
_CACHED_MS: Final = 2_000
_CACHED_MAX: Final = 10_000


class Scope(StrEnum):
    """What a principal may do."""

    QUOTES = "quotes"
    PAYMENTS_READ = "payments:read"
    PAYMENTS_WRITE = "payments:write"
    APPROVALS = "approvals"
    STATEMENTS = "statements"
    WEBHOOKS = "webhooks"
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much. Fields: requests_per_second and burst; amount_max (by the source's currency, decimal text: the most
    that one payment may cost; a currency that is not named is unlimited here, and the rules' limits hold anyway)."""

    requests_per_second: int = 50
    burst: int = 100
    amount_max: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. Fields: name; credential (the key's id); scopes; limits."""

    name: str
    credential: str
    scopes: frozenset[Scope]
    limits: Limits


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key, or a certificate, as it is kept."""

    key_id: str
    principal: str
    digest: bytes
    scopes: tuple[str, ...]
    limits: Limits
    made_at: UnixMs
    expires_at: UnixMs | None
    revoked_at: UnixMs | None

    def is_good(self, now: UnixMs) -> bool:
        """Whether it opens anything at this moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeyStore(Repository):
    """Keys and certificates, on one connection."""

    async def get(self, key_id: str) -> KeyRow | None:
        """One, revoked or not."""
        row = (await self._connection.execute(select(keys).where(keys.c.key_id == key_id))).one_or_none()
        return None if row is None else _row(row._mapping)

    async def all(self) -> tuple[KeyRow, ...]:
        """All, by their ids."""
        return tuple(_row(row._mapping) for row in await self._connection.execute(select(keys).order_by(keys.c.key_id)))

    async def add(self, key: KeyRow) -> None:
        """Keep a new one.

        Raises:
            BadInput: its id is taken.
        """
        if await self.get(key.key_id) is not None:
            raise BadInput("key_id", f"{key.key_id} is there already", "choose another id, or revoke it first")
        row = {
            "key_id": key.key_id,
            "principal": key.principal,
            "digest": key.digest,
            "scopes": msgspec.json.encode(key.scopes).decode(),
            "limits": msgspec.json.encode(key.limits).decode(),
            "made_at": key.made_at,
            "expires_at": key.expires_at,
        }
        await self._connection.execute(insert(keys), row)

    async def revoke(self, key_id: str, now: UnixMs) -> bool:
        """Take one back, for ever; whether it was good until now."""
        statement = update(keys).where(keys.c.key_id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=now)
        return (await self._connection.execute(statement)).rowcount > 0


def new_key(
    key_id: str, principal: str, scopes: frozenset[Scope], limits: Limits, now: UnixMs, expires_at: UnixMs | None = None
) -> tuple[str, KeyRow]:
    """A new API key to hand out, and what is kept of it.

    Raises:
        BadInput: the id or the name is none.
    """
    if not _KEY_ID.fullmatch(key_id) or key_id.startswith("cert-"):
        raise BadInput("key_id", f"{key_id[:80]!r} is no id of a key", "1 to 32 of a-z, 0-9 and -, not cert-…")
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    names = tuple(sorted(scopes))
    kept = KeyRow(key_id, _name(principal), _digest(key_id, secret), names, limits, now, expires_at, None)
    return f"{key_id}.{secret}", kept


def certificate_row(
    fingerprint: bytes, principal: str, scopes: frozenset[Scope], limits: Limits, now: UnixMs
) -> KeyRow:
    """What is kept of a client's certificate. `fingerprint`: SHA-256 of its DER, 32 bytes.

    Raises:
        BadInput: no fingerprint, or the name is none.
    """
    if len(fingerprint) != 32:
        raise BadInput("fingerprint", f"{len(fingerprint)} bytes", "SHA-256 of the certificate's DER, 64 hex digits")
    names = tuple(sorted(scopes))
    return KeyRow(_certificate_id(fingerprint), _name(principal), fingerprint, names, limits, now, None, None)


class Doorkeeper:
    """Tells who asks. What another process revoked is refused two seconds later at the latest."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._seen: dict[str, tuple[UnixMs, KeyRow | None]] = {}
        self._buckets: dict[str, tuple[float, int]] = {}

    async def by_key(self, authorization: str) -> Principal | None:
        """Whose key an `Authorization` header carries (RFC 6750, section 2.1); None for no good one."""
        scheme, _, token = authorization.partition(" ")
        key_id, _, secret = token.strip().partition(".")
        if scheme.lower() != "bearer" or len(token) > _TOKEN_MAX or not token.isascii():
            return None
        if not _KEY_ID.fullmatch(key_id) or key_id.startswith("cert-"):
            return None
        return await self._known(key_id, _digest(key_id, secret))

    async def by_certificate(self, fingerprint: bytes) -> Principal | None:
        """Whose certificate this is; None for a stranger's. TLS has shown that the client has its key."""
        return await self._known(_certificate_id(fingerprint), fingerprint)

    def admits(self, principal: Principal) -> bool:
        """Whether one more request is within the principal's rate; counts it if it is."""
        limits, now = principal.limits, self._clock()
        left, at = self._buckets.get(principal.name, (float(limits.burst), now))
        left = min(float(limits.burst), left + max(0, now - at) * limits.requests_per_second / 1_000)
        is_within = left >= 1.0
        self._buckets[principal.name] = (left - 1.0 if is_within else left, now)
        return is_within

    async def _known(self, key_id: str, digest: bytes) -> Principal | None:
        now = self._clock()
        key = await self._key(key_id, now)
        if key is None or not hmac.compare_digest(digest, key.digest) or not key.is_good(now):
            return None
        scopes = frozenset(Scope(name) for name in key.scopes)
        return Principal(key.principal, key_id, scopes, key.limits)

    async def _key(self, key_id: str, now: UnixMs) -> KeyRow | None:
        read_at, key = self._seen.get(key_id, (None, None))
        if read_at is not None and 0 <= now - read_at < _CACHED_MS:
            return key
        async with self._database.view() as view:
            key = await KeyStore(view.connection).get(key_id)
        if len(self._seen) >= _CACHED_MAX:  # somebody tries ids
            self._seen.clear()
        self._seen[key_id] = (now, key)
        return key


def _digest(key_id: str, secret: str) -> bytes:
    return tagged_hash("api/key", key_id.encode(), secret.encode())


def _certificate_id(fingerprint: bytes) -> str:
    return f"cert-{fingerprint[:16].hex()}"


def _name(principal: str) -> str:
    if not _PRINCIPAL.fullmatch(principal):
        raise BadInput("principal", f"{principal[:80]!r} is no name", "1 to 63 letters, digits, dots, dashes or @")
    return principal


def _row(row: object) -> KeyRow:
    fields = dict(row)  # type: ignore[call-overload]
    fields["scopes"] = msgspec.json.decode(fields["scopes"], type=tuple[str, ...])
    fields["limits"] = msgspec.json.decode(fields["limits"], type=Limits)
    return KeyRow(**fields)
