"""Personal data at rest: each record under a key of its own, and gone with it.

A record's key is wrapped by the vault's key (AES key wrap, RFC 3394) and stored beside it. To forget a record its
wrapped key and its text are erased; of copies that live on in backups, those made with another vault key (see
`rewrap`) cannot be opened once the old vault key is destroyed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import BulkInsert, BulkUpdate, Repository
from foundation.errors import BadInput, Fatal
from foundation.quantities import UnixMs
from settlement.connect.acceptance import PaymentId
from settlement.connect.tables import personal
from settlement.quantities import PartyId, tagged_hash

KEY_BYTES: Final = 32
_NONCE: Final = bytes(12)  # each key seals one text
_DAY_MS: Final = 24 * 3600 * 1000
_SHRED_BATCH: Final = 500
_ADD = BulkInsert(personal)
_END = BulkUpdate(personal, ("payment_id", "party"), ("ended_at_ms",), personal.c.ended_at_ms.is_(None))


class RecordKind(StrEnum):
    """What a record of personal data, or of secrets, is."""

    OWN = "own-disclosure"
    THEIRS = "their-disclosure"
    SECRET = "shared-secret"  # noqa: S105  (a column's value, no password)


class RecordGone(Fatal):
    """The record was forgotten under the retention rules, or was never there.

    Fields: payment_id (32 bytes); kind.
    """

    def __init__(self, payment: PaymentId, kind: RecordKind) -> None:
        self.payment_id = payment
        self.kind = kind
        super().__init__(f"the {kind} of payment {payment.hex()} is not there any more")


class RecordDamaged(Fatal):
    """A record does not open: it was changed, moved, or is under another vault key.

    Fields: payment_id (32 bytes); kind.
    """

    def __init__(self, payment: PaymentId, kind: RecordKind) -> None:
        self.payment_id = payment
        self.kind = kind
        super().__init__(f"the {kind} of payment {payment.hex()} cannot be opened")


class RecordExists(Fatal):
    """Another record of the same kind is stored for the payment: what was disclosed is never replaced.

    Fields: payment_id (32 bytes); kind.
    """

    def __init__(self, payment: PaymentId, kind: RecordKind) -> None:
        self.payment_id = payment
        self.kind = kind
        super().__init__(f"another {kind} of payment {payment.hex()} is stored")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long personal data are kept.

    Fields: days (after the payment's end); days_unended (after they were stored, where no end was ever told).
    """

    days: int
    days_unended: int = 3650

    def __post_init__(self) -> None:
        """Raises BadInput where a number of days is negative."""
        if self.days < 0 or self.days_unended < 0:
            raise BadInput("retention.days", "it is negative", "0 forgets at the end of the payment")


class VaultKey:
    """The key that wraps the keys of records. It does not show itself."""

    __slots__ = ("__key",)

    def __init__(self, key: bytes) -> None:
        """`key`: 32 secret bytes, kept outside of the database.

        Raises:
            BadInput: it has another length.
        """
        if len(key) != KEY_BYTES:
            raise BadInput("vault_key", f"it has {len(key)} bytes", "32 secret bytes")
        self.__key = key

    def wrap(self, key: bytes) -> bytes:
        """A record's key, wrapped: 40 bytes."""
        return aes_key_wrap(self.__key, key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """A record's key. Raises InvalidUnwrap where it is under another vault key."""
        return aes_key_unwrap(self.__key, wrapped)

    def __repr__(self) -> str:
        return "VaultKey(hidden)"


class PersonalRecords(Repository):
    """The records of one party, on a unit's connection."""

    def __init__(self, connection: AsyncConnection, party: PartyId, key: VaultKey) -> None:
        super().__init__(connection)
        self._party = party
        self._key = key

    async def store(self, payment: PaymentId, kind: RecordKind, text: bytes, now: UnixMs) -> None:
        """Keep `text`. The same again changes nothing.

        Raises:
            RecordExists: another text of this kind is there, or one was and has been forgotten.
        """
        row = (
            await self._connection.execute(select(personal.c.shredded_at_ms).where(self._place(payment, kind)))
        ).one_or_none()
        if row is not None:
            if row[0] is not None or await self.read(payment, kind) != text:
                raise RecordExists(payment, kind)
            return
        await self.store_many([(payment, kind, text)], now)

    async def store_many(self, records: Sequence[tuple[PaymentId, RecordKind, bytes]], now: UnixMs) -> None:
        """Keep records of which it is known that there are none like them yet."""
        rows = []
        for payment, kind, text in records:
            key = os.urandom(KEY_BYTES)
            row = {"payment_id": payment, "party": self._party, "kind": kind.value, "stored_at_ms": now}
            sealed = AESGCM(key).encrypt(_NONCE, text, self._bound(payment, kind))
            rows.append({**row, "is_held": False, "wrapped_key": self._key.wrap(key), "sealed": sealed})
        await _ADD.write(self._connection, rows)

    async def read_if_there(self, payment: PaymentId, kind: RecordKind) -> bytes | None:
        """The text, or None where there never was one.

        Raises:
            RecordGone: it is forgotten.
            RecordDamaged: it does not open.
        """
        query = select(personal.c.kind).where(self._place(payment, kind))
        if (await self._connection.execute(query)).one_or_none() is None:
            return None
        return await self.read(payment, kind)

    async def read(self, payment: PaymentId, kind: RecordKind) -> bytes:
        """The text.

        Raises:
            RecordGone: it was never there, or is forgotten.
            RecordDamaged: it does not open.
        """
        columns = select(personal.c.wrapped_key, personal.c.sealed)
        row = (await self._connection.execute(columns.where(self._place(payment, kind)))).one_or_none()
        if row is None or row[0] is None or row[1] is None:
            raise RecordGone(payment, kind)
        try:
            return AESGCM(self._key.unwrap(row[0])).decrypt(_NONCE, row[1], self._bound(payment, kind))
        except (InvalidUnwrap, InvalidTag, ValueError):
            raise RecordDamaged(payment, kind) from None

    async def end(self, payment: PaymentId, at: UnixMs) -> None:
        """The payment has ended; retention counts from the first time that this was told."""
        await self.end_many([payment], at)

    async def end_many(self, payments: Sequence[PaymentId], at: UnixMs) -> None:
        """These payments have ended, as `end` says."""
        rows = [{"payment_id": payment, "party": self._party, "ended_at_ms": at} for payment in payments]
        await _END.write(self._connection, rows)

    async def hold(self, payment: PaymentId, is_held: bool) -> None:
        """Put the payment's records under legal hold, or lift it: under hold nothing is forgotten."""
        await self._connection.execute(update(personal).where(self._payment(payment)).values(is_held=is_held))

    async def purge(self, retention: Retention, now: UnixMs) -> int:
        """Forget what is over its time, by erasing keys and texts; that there was a record stays known.

        Returns:
            How many records were forgotten: at most 500, so that the unit stays short. Call again until it is 0.
        """
        ended = personal.c.ended_at_ms <= now - retention.days * _DAY_MS
        unended = and_(
            personal.c.ended_at_ms.is_(None), personal.c.stored_at_ms <= now - retention.days_unended * _DAY_MS
        )
        due = (
            select(personal.c.payment_id, personal.c.kind)
            .where(personal.c.party == self._party, personal.c.shredded_at_ms.is_(None))
            .where(personal.c.is_held.is_(False), or_(ended, unended))
            .limit(_SHRED_BATCH)
        )
        rows = (await self._connection.execute(due)).all()
        for payment, kind in rows:
            forgotten = update(personal).where(self._place(PaymentId(payment), RecordKind(kind)))
            await self._connection.execute(forgotten.values(wrapped_key=None, sealed=None, shredded_at_ms=now))
        return len(rows)

    async def rewrap(self, new: VaultKey) -> int:
        """Wrap all keys under a new vault key, after which the old one can be destroyed; returns how many.

        Raises:
            RecordDamaged: one is not under the current key; nothing is changed if the unit is not committed.
        """
        columns = select(personal.c.payment_id, personal.c.kind, personal.c.wrapped_key)
        held = columns.where(personal.c.party == self._party, personal.c.wrapped_key.is_not(None))
        rows = (await self._connection.execute(held)).all()
        for payment, kind, wrapped in rows:
            place = (PaymentId(payment), RecordKind(kind))
            try:
                key = self._key.unwrap(wrapped)
            except InvalidUnwrap:
                raise RecordDamaged(*place) from None
            await self._connection.execute(
                update(personal).where(self._place(*place)).values(wrapped_key=new.wrap(key))
            )
        self._key = new
        return len(rows)

    def _payment(self, payment: PaymentId) -> ColumnElement[bool]:
        return and_(personal.c.payment_id == payment, personal.c.party == self._party)

    def _place(self, payment: PaymentId, kind: RecordKind) -> ColumnElement[bool]:
        return and_(self._payment(payment), personal.c.kind == kind.value)

    def _bound(self, payment: PaymentId, kind: RecordKind) -> bytes:
        """What ties a sealed text to its place, so that none can be moved to another payment."""
        return tagged_hash("connect/personal", payment, self._party.encode(), kind.encode())
