"""Receipts in a chain."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from foundation.errors import BadInput
from settlement.books.errors import ReceiptConflict
from settlement.books.journal import FIRST_LINK
from settlement.books.receipt_store import ReceiptStore
from settlement.books.receipts import decode_receipt, encode_receipt, receipt_link
from tests.support.settlement_books import NOW, books_database, id_of, receipt


async def test_receipts_are_chained(tmp_path: Path) -> None:
    """Each receipt names the one before; the same again changes nothing; another of the payment is refused."""
    made = [receipt(label) for label in range(3)]
    async with books_database(tmp_path) as database, database.unit() as unit:
        store = ReceiptStore(unit.connection)
        await store.keep_many([made[0], made[0]], NOW)
        await store.keep_many(made, NOW)
        chain = [kept async for kept in store.chain()]
        assert [kept.receipt for kept in chain] == made
        link = FIRST_LINK
        for sequence, kept in enumerate(chain, 1):
            link = receipt_link(link, sequence, kept.receipt.digest)
            assert (kept.sequence, kept.digest, kept.link) == (sequence, kept.receipt.digest, link)
        assert await store.head() == (3, link)
        assert await store.links(2, 3) == tuple(kept.link for kept in chain[1:])
        assert (await store.link(0), await store.link(3)) == (FIRST_LINK, link)
        other = msgspec.structs.replace(made[1], preimage=id_of("other"))
        with pytest.raises(ReceiptConflict):
            await store.keep_many([other], NOW)
        found = await store.of_payment(made[1].payment_id)
        assert found is not None
        assert found.receipt == made[1]
        assert await store.of_payment(id_of("none")) is None


def test_receipt_is_what_it_was() -> None:
    """A receipt comes back from its bytes; what is none is refused."""
    made = receipt()
    assert decode_receipt(encode_receipt(made)) == made
    for raw in (b"", encode_receipt(made)[:-1], msgspec.msgpack.encode([1, 2])):
        with pytest.raises(BadInput):
            decode_receipt(raw)


def test_every_field_counts() -> None:
    """Whatever is changed in a receipt changes its digest, and what was signed unless it is the signature."""
    made = receipt()
    for field in ("payment_id", "terms", "agreement", "preimage"):
        changed = msgspec.structs.replace(made, **{field: id_of("changed")})
        assert changed.digest != made.digest
        assert changed.text != made.text
    other = msgspec.structs.replace(made, signature=receipt(1).signature)
    assert (other.digest != made.digest, other.text) == (True, made.text)
