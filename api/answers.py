"""Repeated requests get the first one's answer (draft-ietf-httpapi-idempotency-key-header-07).

A request is noted before its work begins, and its answer with it afterwards. What was begun by a process that ended is
begun again: the work has ids that are derived from who asks, where, and the key, so it is the same work.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from api.principals import Principal
from api.problems import Problem, problem_of
from api.tables import acts, answers
from foundation.database import Database
from foundation.quantities import UnixMs
from settlement.quantities import Clock, tagged_hash

KEPT_MS: Final = 24 * 3_600_000
_KEY_MAX: Final = 255
_QUOTED: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"', re.ASCII)
_PLAIN: Final = re.compile(r"[\x21\x23-\x7e]+", re.ASCII)
_SWEEP_MS: Final = 600_000
_SERVER_ERROR: Final = 500
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, now and again. Fields: status; body; headers; payment_id (what it was about)."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    payment_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with its key. Fields: path (without the query); key; content (all that makes it the same request);
    salt (32 bytes of this party's)."""

    principal: Principal
    method: str
    path: str
    key: str
    content: bytes
    salt: bytes = field(repr=False)

    @property
    def work_id(self) -> bytes:
        """32 bytes: the id of what the request makes.

        A payment's id is told to the other parties, and to the ledgers by what follows from it. Without the salt, two
        banks whose clients count their keys would make payments of the same id, and a stranger could take an id first.
        """
        text = (self.principal.name.encode(), self.path.encode(), self.key.encode())
        return tagged_hash("api/work", self.salt, *text)


def parse_key(text: str) -> str:
    """The key of an `Idempotency-Key` header: a string of RFC 8941, or the same without its quotes.

    Raises:
        Problem: it is none.
    """
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted.group(1)) if quoted else text
    if not key or len(key) > _KEY_MAX or (quoted is None and not _PLAIN.fullmatch(text)):
        raise Problem("key-malformed", "it is no key", "Idempotency-Key", "1 to 255 visible characters, such as a UUID")
    return key


class Answers:
    """The answers of one gateway, which alone uses its database: what it is not carrying out itself, nobody is."""

    def __init__(self, database: Database, secret: bytes, clock: Clock) -> None:
        """`secret`: 32 bytes, so that what is kept of a request confirms no guess of it."""
        self._database = database
        self._secret = secret
        self._cipher = AESGCM(tagged_hash("api/answers", secret))
        self.salt = tagged_hash("api/work-ids", secret)
        self._clock = clock
        self._in_flight: set[tuple[str, str, str]] = set()
        self._swept_at = UnixMs(0)

    async def once(self, asked: Asked, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to a request: `work`'s, or the one that was given to it before.

        Raises:
            Problem: the key was used with another request, or the same one is being carried out.
        """
        name = (asked.principal.name, asked.path, asked.key)
        is_busy = name in self._in_flight
        self._in_flight.add(name)
        try:
            stored = await self._begin(asked, is_busy)
            if stored is not None:
                return stored
            answer = await _answered(work)
            await self._end(asked, answer)
            return answer
        finally:
            if not is_busy:
                self._in_flight.discard(name)

    async def _begin(self, asked: Asked, is_busy: bool) -> Answer | None:
        fingerprint = hmac.digest(self._secret, asked.method.encode() + b"\0" + asked.content, hashlib.sha256)
        now, place = self._clock(), _place(asked)
        async with self._database.unit() as unit:
            await self._sweep(unit.connection, now)
            row = (await unit.connection.execute(select(answers).where(place))).one_or_none()
            if row is None:
                new = {"principal": asked.principal.name, "path": asked.path, "key": asked.key}
                await unit.connection.execute(insert(answers), {**new, "fingerprint": fingerprint, "begun_at": now})
                await unit.commit()
                return None
            if not hmac.compare_digest(bytes(row.fingerprint), fingerprint):
                raise Problem("key-reused", "this key came with another request before", "Idempotency-Key", "a new key")
            if row.status is not None:
                headers = msgspec.json.decode(row.headers, type=dict[str, str])
                body = self._opened(asked, bytes(row.body))
                return Answer(row.status, body, {**headers, "Idempotency-Replayed": "true"})
        if is_busy:
            raise Problem("in-flight", "its answer is not there yet", "Idempotency-Key", "ask again in a moment")
        return None

    async def _end(self, asked: Asked, answer: Answer) -> None:
        """Keep the answer; but not one that something failed for now: who asks again then tries again."""
        headers = msgspec.json.encode(answer.headers).decode()
        kept = {"status": answer.status, "headers": headers, "body": self._sealed(asked, answer.body)}
        async with self._database.unit() as unit:
            if answer.status < _SERVER_ERROR:
                await unit.connection.execute(update(answers).where(_place(asked)).values(**kept))
            await note_act(unit.connection, asked.principal, asked.method, asked.path, answer, self._clock())
            await unit.commit()

    def _sealed(self, asked: Asked, body: bytes) -> bytes:
        # A webhook's secret is in the answer that makes it.
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, body, asked.work_id)

    def _opened(self, asked: Asked, sealed: bytes) -> bytes:
        return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], asked.work_id)

    async def _sweep(self, connection: AsyncConnection, now: UnixMs) -> None:
        if now - self._swept_at < _SWEEP_MS:
            return
        self._swept_at = now
        await connection.execute(delete(answers).where(answers.c.begun_at < now - KEPT_MS))


async def _answered(work: Callable[[], Awaitable[Answer]]) -> Answer:
    try:
        return await work()
    except Exception as error:  # noqa: BLE001 - an error is an answer too, and told again to who asks again
        found = problem_of(error)
        shown = found.response()
        return Answer(found.status, bytes(shown.body), _headers(shown.raw_headers))


async def note_act(
    connection: AsyncConnection, principal: Principal, method: str, path: str, answer: Answer, now: UnixMs
) -> None:
    """Record who did what."""
    row = {
        "at": now,
        "principal": principal.name,
        "credential": principal.credential,
        "method": method,
        "path": path,
        "status": answer.status,
        "payment_id": answer.payment_id,
    }
    await connection.execute(insert(acts), row)


def _place(asked: Asked) -> ColumnElement[bool]:
    c = answers.c
    return and_(c.principal == asked.principal.name, c.path == asked.path, c.key == asked.key)


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): text.decode("latin-1") for name, text in raw if name != b"content-length"}
