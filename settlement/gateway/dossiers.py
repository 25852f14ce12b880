"""Whom a payment is for: sealed under the party's key, and forgotten with the personal data."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database import BulkInsert, BulkUpdate, Repository
from foundation.quantities import UnixMs
from settlement.custody.terms import PaymentId
from settlement.gateway.tables import dossiers

_NONCE_BYTES = 12
_ADD = BulkInsert(dossiers, ("payment_id",))
_END = BulkUpdate(dossiers, ("payment_id",), ("ended_at",), dossiers.c.ended_at.is_(None))


class Dossier(Struct, frozen=True):
    """Fields: own (the customer's account at this bank); other (the account at the other bank, empty where it is not
    known); initiator (who asked for the payment, empty where it was no person); reference (the customer's own text)."""

    own: str
    other: str = ""
    initiator: str = ""
    reference: str = ""

    def __repr__(self) -> str:
        return "Dossier(hidden)"


class Dossiers(Repository):
    """The dossiers of one party, on a unit's connection."""

    def __init__(self, connection: AsyncConnection, key: bytes) -> None:
        """`key`: 32 secret bytes."""
        super().__init__(connection)
        self._cipher = AESGCM(key)

    async def put(self, payment: PaymentId, dossier: Dossier) -> None:
        """Keep a payment's dossier; the first one stays."""
        await self.put_many([(payment, dossier)])

    async def put_many(self, given: Sequence[tuple[PaymentId, Dossier]]) -> None:
        """Keep dossiers, as `put` does."""
        rows = []
        for payment, dossier in given:
            nonce = os.urandom(_NONCE_BYTES)
            sealed = nonce + self._cipher.encrypt(nonce, msgspec.json.encode(dossier), payment)
            rows.append({"payment_id": payment, "sealed": sealed})
        await _ADD.write(self._connection, rows)

    async def get(self, payment: PaymentId) -> Dossier | None:
        """The dossier; None where there is none, or it was forgotten."""
        query = select(dossiers.c.sealed).where(dossiers.c.payment_id == payment)
        sealed = (await self._connection.execute(query)).scalar_one_or_none()
        if sealed is None:
            return None
        plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], payment)
        return msgspec.json.decode(plain, type=Dossier)

    async def end(self, payment: PaymentId, now: UnixMs) -> None:
        """The payment has ended: retention counts from now."""
        await self.end_many([payment], now)

    async def end_many(self, payments: Sequence[PaymentId], now: UnixMs) -> None:
        """These payments have ended, as `end` says."""
        await _END.write(self._connection, [{"payment_id": payment, "ended_at": now} for payment in payments])

    async def purge(self, before: UnixMs) -> None:
        """Forget the dossiers of payments that ended before a moment."""
        await self._connection.execute(delete(dossiers).where(dossiers.c.ended_at < before))
