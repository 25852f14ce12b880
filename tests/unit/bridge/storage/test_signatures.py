"""Signatures that others made, and the promises that this node made by its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.storage import Database, PromiseConflict, PromiseRow, SignatureRow, UnitOfWork
from foundation.quantities import UnixMs

DIGEST, OTHER = b"d" * 32, b"o" * 32
SLOT = b"k" * 32


def signature(signer: int, digest: bytes = DIGEST, kind: str = "mint", subject: bytes = b"s" * 32) -> SignatureRow:
    return SignatureRow(digest, bytes([signer]) * 20, subject, kind, bytes([signer]) * 65, UnixMs(1))


async def test_signatures_come_in_the_order_that_contracts_want(unit: UnitOfWork) -> None:
    """Ascending by signer, for each digest that has one."""
    await unit.attestations.add(signature(3), signature(1), signature(2), signature(1, OTHER))
    assert await unit.attestations.of_digest(DIGEST) == (signature(1), signature(2), signature(3))
    found = await unit.attestations.of_digests([DIGEST, OTHER, b"?" * 32])
    assert {digest: len(rows) for digest, rows in found.items()} == {DIGEST: 3, OTHER: 1}
    assert await unit.attestations.of_digest(b"?" * 32) == ()


async def test_a_signers_first_signature_over_a_digest_stays(unit: UnitOfWork) -> None:
    """Whoever sends another one changes nothing: the first was checked and holds."""
    await unit.attestations.add(signature(1))
    await unit.attestations.add(replace(signature(1), signature=b"!" * 65), signature(2))
    assert await unit.attestations.of_digest(DIGEST) == (signature(1), signature(2))


async def test_signatures_about_a_subject_are_found_whatever_they_say(unit: UnitOfWork) -> None:
    """Of one kind, or of all."""
    rows = (signature(1), signature(1, OTHER, kind="settle"), signature(2, b"e" * 32, subject=b"?" * 32))
    await unit.attestations.add(*rows)
    assert await unit.attestations.of_subject(b"s" * 32) == rows[:2]
    assert await unit.attestations.of_subject(b"s" * 32, "settle") == rows[1:2]


async def test_attestations_and_cosignatures_are_kept_apart(unit: UnitOfWork) -> None:
    """A voucher's word is no storeman's."""
    await unit.attestations.add(signature(1))
    await unit.cosignatures.add(signature(2))
    assert await unit.attestations.of_digest(DIGEST) == (signature(1),)
    assert await unit.cosignatures.of_digest(DIGEST) == (signature(2),)


async def test_a_promise_is_kept_and_kept_again(unit: UnitOfWork) -> None:
    """The same digest for the same slot is the same promise, as it was first made."""
    first = await unit.promises.keep("mint", SLOT, DIGEST, b"body", UnixMs(1))
    assert first == PromiseRow("mint", SLOT, DIGEST, b"body", UnixMs(1))
    assert await unit.promises.keep("mint", SLOT, DIGEST, b"later", UnixMs(2)) == first
    assert await unit.promises.get("mint", SLOT) == first
    assert await unit.promises.get("mint", b"?") is None


async def test_another_promise_for_the_slot_is_refused_and_the_first_stays(unit: UnitOfWork) -> None:
    """The refusal says what was promised and what was asked; other slots and other kinds are free."""
    await unit.promises.keep("mint", SLOT, DIGEST, b"", UnixMs(1))
    with pytest.raises(PromiseConflict) as conflict:
        await unit.promises.keep("mint", SLOT, OTHER, b"", UnixMs(2))
    assert (conflict.value.kind, conflict.value.key) == ("mint", SLOT)
    assert (conflict.value.kept, conflict.value.asked) == (DIGEST, OTHER)
    kept = await unit.promises.get("mint", SLOT)
    assert kept is not None
    assert kept.digest == DIGEST
    await unit.promises.keep("settle", SLOT, OTHER, b"", UnixMs(2))
    await unit.promises.keep("mint", b"other", OTHER, b"", UnixMs(2))


async def test_a_promise_binds_after_the_node_comes_back(database_url: str) -> None:
    """It is committed before the signature leaves, so that a crash does not make a node sign twice."""
    async with await Database.open(database_url) as database, database.unit() as unit:
        await unit.promises.keep("mint", SLOT, DIGEST, b"", UnixMs(1))
        await unit.commit()
    async with await Database.open(database_url) as database:
        with pytest.raises(PromiseConflict):
            async with database.unit() as unit:
                await unit.promises.keep("mint", SLOT, OTHER, b"", UnixMs(2))
