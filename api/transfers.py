"""What a pacs.008 called its transfer, kept sealed, so that each pacs.002 about it calls it the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from api.tables import transfers
from foundation.database import Repository
from foundation.quantities import UnixMs
from settlement.quantities import tagged_hash

_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Names:
    """Of one credit transfer, as its pacs.008 has them (35 characters each at most; uetr: a UUID)."""

    message_id: str
    instruction_id: str
    end_to_end_id: str
    transaction_id: str
    uetr: str


class TransferStore(Repository):
    """Transfers' names on one connection. Clients choose them, and may write anything there: they are sealed."""

    def __init__(self, connection: AsyncConnection, secret: bytes) -> None:
        """`secret`: 32 bytes of this party's."""
        super().__init__(connection)
        self._cipher = AESGCM(tagged_hash("api/transfers", secret))

    async def put(self, payment: bytes, names: Names, now: UnixMs) -> None:
        """Keep the names of a payment's transfer. Another request may follow under its id, as long as none began it."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, msgspec.msgpack.encode(names), payment)
        statement = self._insert(transfers)
        stored = statement.on_conflict_do_update(
            index_elements=["payment_id"], set_={"names": statement.excluded["names"]}
        )
        await self._write(stored, [{"payment_id": payment, "names": sealed, "made_at": now}])

    async def get(self, payment: bytes) -> Names | None:
        """The names; None for a payment that no pacs.008 began, or one of long ago."""
        query = select(transfers.c.names).where(transfers.c.payment_id == payment)
        raw = await self._connection.scalar(query)
        if raw is None:
            return None
        text = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], payment)
        return msgspec.msgpack.decode(text, type=Names)
