"""A party's receipts in its database, chained in the transaction that closes the payment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sqlalchemy import select

from foundation.database import BulkInsert, BulkSelect, Repository
from foundation.quantities import UnixMs
from settlement.books.errors import ReceiptConflict
from settlement.books.journal import FIRST_LINK
from settlement.books.receipts import KeptReceipt, Receipt, decode_receipt, encode_receipt, receipt_link
from settlement.books.tables import receipts

_PAGE: Final = 500
_HEAD = select(receipts.c.sequence, receipts.c.link).order_by(receipts.c.sequence.desc()).limit(1)
_KEPT = BulkSelect(select(receipts.c.payment_id, receipts.c.digest), receipts.c.payment_id)
_ADD = BulkInsert(receipts)
_COLUMNS = (receipts.c.sequence, receipts.c.receipt, receipts.c.at, receipts.c.digest, receipts.c.link)


class ReceiptStore(Repository):
    """Receipts on the connection of a unit or a view."""

    async def keep_many(self, kept: Sequence[Receipt], now: UnixMs) -> None:
        """Append receipts to the chain: three statements for any number. The same again changes nothing.

        Raises:
            ReceiptConflict: another receipt is kept for a payment.
        """
        if not kept:
            return
        sequence, link = await self.head()
        digests = await self._digests([receipt.payment_id for receipt in kept])
        rows: list[dict[str, object]] = []
        for receipt in kept:
            digest = receipt.digest
            if receipt.payment_id in digests:
                if digests[receipt.payment_id] != digest:
                    raise ReceiptConflict(receipt.payment_id)
                continue
            digests[receipt.payment_id] = digest
            sequence += 1
            link = receipt_link(link, sequence, digest)
            rows.append(
                {
                    "sequence": sequence,
                    "payment_id": receipt.payment_id,
                    "receipt": encode_receipt(receipt),
                    "digest": digest,
                    "link": link,
                    "at": now,
                }
            )
        await _ADD.write(self._connection, rows)

    async def head(self) -> tuple[int, bytes]:
        """Sequence number and link of the newest receipt; 0 and zeros where there is none."""
        row = (await self._connection.execute(_HEAD)).one_or_none()
        return (0, FIRST_LINK) if row is None else (int(row[0]), bytes(row[1]))

    async def of_payment(self, payment_id: bytes) -> KeptReceipt | None:
        """The receipt of a payment, if it is closed."""
        query = select(*_COLUMNS).where(receipts.c.payment_id == payment_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _kept(row)

    async def link(self, sequence: int) -> bytes:
        """The link of a receipt, 32 bytes; zeros for number 0, which is before all."""
        if sequence == 0:
            return FIRST_LINK
        query = select(receipts.c.link).where(receipts.c.sequence == sequence)
        return bytes((await self._connection.execute(query)).scalar_one())

    async def links(self, first: int, last: int) -> tuple[bytes, ...]:
        """The links of the receipts from `first` to `last`, both included, in order."""
        between = receipts.c.sequence.between(first, last)
        query = select(receipts.c.link).where(between).order_by(receipts.c.sequence)
        return tuple(bytes(link) for link in (await self._connection.execute(query)).scalars())

    async def chain(self, after: int = 0) -> AsyncIterator[KeptReceipt]:
        """Receipts in order, with sequence numbers above `after`; read in pages."""
        while True:
            query = select(*_COLUMNS).where(receipts.c.sequence > after).order_by(receipts.c.sequence).limit(_PAGE)
            page = [_kept(row) for row in await self._connection.execute(query)]
            for kept in page:
                yield kept
            if len(page) < _PAGE:
                return
            after = page[-1].sequence

    async def _digests(self, payments: Sequence[bytes]) -> dict[bytes, bytes]:
        rows = await _KEPT.read(self._connection, payments)
        return {bytes(payment): bytes(digest) for payment, digest in rows}


def _kept(row: Sequence[Any]) -> KeptReceipt:
    sequence, raw, at, digest, link = row
    return KeptReceipt(sequence, decode_receipt(bytes(raw)), UnixMs(at), bytes(digest), bytes(link))
