"""What Lockboxes paid, were told and hold, each chain for itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.storage import Database, ReleaseOutcome, ReleaseRow, UnitOfWork, VaultAssetRow, VaultSignatureRow
from foundation.quantities import BlockHeight, UnixMs

ONE, TWO = b"1" * 32, b"2" * 32
COIN = bytes(20)
MOST = 2**256 - 1
RETURN = 2**255


def release(number: int, outcome: ReleaseOutcome = ReleaseOutcome.PAID, chain: bytes = ONE) -> ReleaseRow:
    consumed, height = b"t" * 32, BlockHeight(7)
    return ReleaseRow(chain, number, outcome, COIN, b"p" * 20, MOST, 0, consumed, height, 3, consumed, height)


def signed(number: int, chain: bytes = ONE, at: int = 0, subject: bytes = b"s" * 32) -> VaultSignatureRow:
    message, part = bytes([number]) * 32, bytes([number + 100]) * 32
    return VaultSignatureRow(message, chain, MOST, "release", subject, b"body", part, part, part, UnixMs(at))


async def test_a_number_has_one_outcome_at_each_lockbox(unit: UnitOfWork) -> None:
    """Numbers are counted by each chain; what is not consumed has no outcome, and amounts are kept exactly."""
    await unit.releases.put(release(1), release(RETURN | 1), release(1, ReleaseOutcome.FAILED, TWO))
    assert await unit.releases.get(ONE, 1) == release(1)
    assert await unit.releases.get(TWO, 1) == release(1, ReleaseOutcome.FAILED, TWO)
    assert await unit.releases.get(TWO, RETURN | 1) is None
    found = await unit.releases.get_many(ONE, [1, 2, RETURN | 1])
    assert found == {1: release(1), RETURN | 1: release(RETURN | 1)}
    assert await unit.releases.get_many(ONE, []) == {}


async def test_a_later_outcome_takes_the_place_of_the_failure(unit: UnitOfWork) -> None:
    """A failed payment that is claimed is failed no more; what consumed the number is still known."""
    await unit.releases.put(release(1, ReleaseOutcome.FAILED), release(2, ReleaseOutcome.FAILED))
    claimed = replace(release(1), outcome=ReleaseOutcome.CLAIMED, changed_by=b"c" * 32, changed_height=BlockHeight(9))
    await unit.releases.put(claimed)
    assert await unit.releases.get(ONE, 1) == claimed
    assert await unit.releases.by_outcome(ONE, ReleaseOutcome.FAILED) == (release(2, ReleaseOutcome.FAILED),)
    assert await unit.releases.by_outcome(ONE, ReleaseOutcome.CLAIMED) == (claimed,)
    assert await unit.releases.by_outcome(TWO, ReleaseOutcome.CLAIMED) == ()


async def test_numbers_come_in_ascending_order_however_long_they_are(unit: UnitOfWork) -> None:
    """By their value and not as text, over more of them than one query asks for."""
    numbers = [RETURN | 10, RETURN | 9, *range(1200, 0, -1)]
    await unit.releases.put(*(release(number) for number in numbers))
    found = await unit.releases.by_outcome(ONE, ReleaseOutcome.PAID)
    assert [row.number for row in found] == sorted(numbers)
    assert set(await unit.releases.get_many(ONE, numbers)) == set(numbers)


@pytest.mark.parametrize("number", [-1, 2**256])
async def test_what_is_no_number_of_a_contract_is_not_stored(unit: UnitOfWork, number: int) -> None:
    """It would be cut off otherwise, and be another number."""
    with pytest.raises(Exception, match="not from 0 to"):
        await unit.releases.put(release(number))


async def test_signatures_wait_until_they_are_done(unit: UnitOfWork) -> None:
    """Oldest first, for their chain alone; one over the same message again changes nothing."""
    rows = (signed(1, at=2), signed(2, at=1), signed(3, TWO))
    for row in (*rows, replace(rows[0], body=b"other", created_at_ms=UnixMs(0))):
        await unit.vault_signatures.add(row)
    assert await unit.vault_signatures.open(ONE) == (rows[1], rows[0])
    assert await unit.vault_signatures.get(rows[0].message) == rows[0]
    assert await unit.vault_signatures.get(b"?" * 32) is None
    await unit.vault_signatures.done([rows[0].message, rows[2].message], UnixMs(5))
    await unit.vault_signatures.done([rows[0].message], UnixMs(9))
    assert await unit.vault_signatures.open(ONE) == (rows[1],)
    assert await unit.vault_signatures.open(TWO) == ()
    assert await unit.vault_signatures.get(rows[0].message) == replace(rows[0], done_at_ms=UnixMs(5))
    await unit.vault_signatures.add(rows[0])
    assert await unit.vault_signatures.open(ONE) == (rows[1],)


async def test_a_signature_is_published_once(unit: UnitOfWork) -> None:
    """The first time stays, and to publish does not make it done."""
    await unit.vault_signatures.add(signed(1))
    await unit.vault_signatures.published(signed(1).message, UnixMs(3))
    await unit.vault_signatures.published(signed(1).message, UnixMs(4))
    assert await unit.vault_signatures.open(ONE) == (replace(signed(1), published_at_ms=UnixMs(3)),)


async def test_everything_that_was_signed_about_a_subject_is_found(unit: UnitOfWork) -> None:
    """A release and its cancellation, done or not, oldest first."""
    rows = (signed(1, at=2), signed(2, at=1), signed(3, at=0, subject=b"o" * 32))
    for row in rows:
        await unit.vault_signatures.add(row)
    await unit.vault_signatures.done([rows[1].message], UnixMs(5))
    found = await unit.vault_signatures.of_subject(b"s" * 32)
    assert [row.message for row in found] == [rows[1].message, rows[0].message]


async def test_what_a_vault_holds_of_each_asset_is_kept_by_chain(database: Database) -> None:
    """The newest of each, by address, and it survives the process."""
    first, second = VaultAssetRow(ONE, b"b" * 20, MOST), VaultAssetRow(ONE, COIN)
    changed = replace(second, held=1, deposit_limit=2**111, withdrawal_limit=5, denied=True, nonce=2**64)
    async with database.unit() as unit:
        for row in (first, second, VaultAssetRow(TWO, COIN, 7), changed):
            await unit.vault_assets.put(row)
        await unit.commit()
    async with database.view() as view:
        assert await view.vault_assets.all(ONE) == (changed, first)
        assert await view.vault_assets.get(TWO, COIN) == VaultAssetRow(TWO, COIN, 7)
        assert await view.vault_assets.get(TWO, b"b" * 20) is None
        found = await view.vault_assets.get(ONE, COIN)
        assert found is not None
        assert found.denied is True
