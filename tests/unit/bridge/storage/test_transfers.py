"""Transfers and payouts under optimistic versions, and the journey that people read."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from bridge.storage import (
    Database,
    JourneyEntry,
    LostUpdate,
    PayoutRow,
    TransferKind,
    TransferRow,
    UnitOfWork,
)
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, UnixMs
from tests.support.patience import PATIENCE_S

DEPOSIT, WITHDRAWAL = TransferKind.DEPOSIT, TransferKind.WITHDRAWAL
BITCOIN, ETHEREUM = b"B" * 32, b"E" * 32


def transfer(
    number: int,
    kind: TransferKind = DEPOSIT,
    stage: str = "final",
    at: int = 0,
    height: int | None = None,
    due: int | None = None,
) -> TransferRow:
    heights = (None if height is None else BlockHeight(height), None if due is None else BlockHeight(due))
    return TransferRow(bytes([number]) * 32, kind, stage, b"state", UnixMs(at), UnixMs(at), *heights)


def payout(number: int, stage: str = "reserved", at: int = 0) -> PayoutRow:
    return PayoutRow(bytes([number]) * 32, stage, b"state", UnixMs(at), UnixMs(at))


async def test_a_transfer_is_saved_read_and_saved_again(unit: UnitOfWork) -> None:
    """Each save raises the version; what made it stays, what it is now changes."""
    (first,) = await unit.transfers.save(transfer(1))
    assert first.version == 1
    changed = replace(first, stage="minted", state=b"new", updated_at_ms=UnixMs(9), height=BlockHeight(7))
    (second,) = await unit.transfers.save(changed)
    assert second == replace(changed, version=2)
    assert await unit.transfers.get(first.id) == second
    assert await unit.transfers.get_many([first.id, b"?" * 32]) == {first.id: second}


async def test_a_save_of_what_has_changed_since_it_was_read_is_refused_and_writes_nothing(unit: UnitOfWork) -> None:
    """Neither the stale row nor those beside it; and a new row that is there already is stale too."""
    (row,) = await unit.transfers.save(transfer(1))
    await unit.transfers.save(row)
    with pytest.raises(LostUpdate) as lost:
        await unit.transfers.save(transfer(2), replace(row, stage="lost"))
    assert (lost.value.table, lost.value.key, lost.value.expected, lost.value.found) == ("transfers", row.id, 1, 2)
    assert await unit.transfers.get(transfer(2).id) is None
    with pytest.raises(LostUpdate):
        await unit.transfers.save(transfer(1))
    with pytest.raises(LostUpdate):
        await unit.transfers.save(replace(transfer(3), version=4))


async def test_a_unit_that_read_before_another_wrote_loses(database: Database) -> None:
    """Read in a view, changed by somebody else, saved from the old state: typed, and to be tried again."""
    async with database.unit() as unit:
        await unit.transfers.save(transfer(1))
        await unit.commit()
    async with database.view() as view:
        mine = await view.transfers.get(transfer(1).id)
    assert mine is not None
    async with database.unit() as unit:
        await unit.transfers.save(replace(mine, stage="theirs"))
        await unit.commit()
    with pytest.raises(LostUpdate):
        async with database.unit() as unit:
            await unit.transfers.save(replace(mine, stage="mine"))
            await unit.commit()
    async with database.view() as view:
        found = await view.transfers.get(mine.id)
    assert found is not None
    assert found.stage == "theirs"


async def test_transfers_are_found_by_stage_and_counted(unit: UnitOfWork) -> None:
    """Oldest first, of the asked kind alone."""
    rows = [transfer(1, at=3), transfer(2, at=1), transfer(3, stage="minted"), transfer(4, WITHDRAWAL)]
    await unit.transfers.save(*rows)
    ids = [row.id for row in await unit.transfers.by_stage(DEPOSIT, "final")]
    assert ids == [rows[1].id, rows[0].id]
    assert len(await unit.transfers.by_stage(DEPOSIT)) == 3
    assert len(await unit.transfers.by_stage(DEPOSIT, "final", "minted")) == 3
    assert await unit.transfers.count_by_stage(DEPOSIT) == {"final": 2, "minted": 1}


async def test_what_is_due_and_what_a_reorg_touches_is_found_by_height(unit: UnitOfWork) -> None:
    """Bounds are inclusive; what waits for no block is never due, what lies in no block is not touched."""
    rows = [transfer(1, height=10, due=12), transfer(2, height=11, due=13), transfer(3)]
    await unit.transfers.save(*rows, transfer(4, WITHDRAWAL, height=11, due=12))
    assert [row.id for row in await unit.transfers.due(DEPOSIT, BlockHeight(12))] == [rows[0].id]
    assert await unit.transfers.due(DEPOSIT, BlockHeight(11)) == ()
    assert [row.id for row in await unit.transfers.from_height(DEPOSIT, BlockHeight(11))] == [rows[1].id]


async def test_each_chain_finds_its_own_transfers(unit: UnitOfWork) -> None:
    """By stage, by what is due and by what a reorg touches: heights of one chain say nothing about another's."""
    rows = [
        replace(transfer(n, height=10, due=12, at=n), chain=chain)
        for n, chain in enumerate((BITCOIN, ETHEREUM, BITCOIN))
    ]
    await unit.transfers.save(*rows)
    ids = [row.id for row in rows]
    ten, twelve = BlockHeight(10), BlockHeight(12)
    for chain, expected in ((BITCOIN, [ids[0], ids[2]]), (ETHEREUM, [ids[1]]), (b"?" * 32, []), (None, ids)):
        assert [row.id for row in await unit.transfers.by_stage(DEPOSIT, "final", chain=chain)] == expected
        assert [row.id for row in await unit.transfers.by_stage(DEPOSIT, chain=chain)] == expected
        assert [row.id for row in await unit.transfers.due(DEPOSIT, twelve, chain)] == expected
        assert [row.id for row in await unit.transfers.from_height(DEPOSIT, ten, chain)] == expected
        assert await unit.transfers.by_stage(WITHDRAWAL, chain=chain) == ()


async def test_each_chain_finds_its_own_payouts(unit: UnitOfWork) -> None:
    """And every chain's are found where none is named."""
    rows = [replace(payout(n, at=n), chain=chain) for n, chain in enumerate((BITCOIN, ETHEREUM))]
    for row in rows:
        await unit.payouts.save(row)
    for chain, expected in ((BITCOIN, [rows[0].id]), (ETHEREUM, [rows[1].id]), (None, [row.id for row in rows])):
        assert [row.id for row in await unit.payouts.by_stage("reserved", chain=chain)] == expected
        assert [row.id for row in await unit.payouts.by_stage(chain=chain)] == expected


async def test_a_chain_is_stored_once(unit: UnitOfWork) -> None:
    """No later save moves a transfer or a payout to another chain."""
    (first,) = await unit.transfers.save(replace(transfer(1), chain=BITCOIN))
    await unit.transfers.save(replace(first, chain=ETHEREUM))
    paying = await unit.payouts.save(replace(payout(1), chain=BITCOIN))
    await unit.payouts.save(replace(paying, chain=ETHEREUM))
    assert [row.chain for row in await unit.transfers.by_stage(DEPOSIT)] == [BITCOIN]
    assert [row.chain for row in await unit.payouts.by_stage()] == [BITCOIN]


async def test_pages_go_from_the_newest_without_gaps_or_repeats(unit: UnitOfWork) -> None:
    """Also where several transfers have the same time."""
    await unit.transfers.save(*(transfer(n, at=n // 3, kind=(DEPOSIT, WITHDRAWAL)[n % 2]) for n in range(10)))
    seen: list[bytes] = []
    before = None
    while page := await unit.transfers.page(3, before=before):
        seen += [row.id for row in page]
        before = (page[-1].created_at_ms, page[-1].id)
    assert seen == [bytes([n]) * 32 for n in (9, 8, 7, 6, 5, 4, 3, 2, 1, 0)]
    assert [row.id[0] for row in await unit.transfers.page(2, WITHDRAWAL)] == [9, 7]


async def test_people_find_a_transfer_by_the_start_of_its_id(unit: UnitOfWork) -> None:
    """Odd and even lengths, in any case, with or without 0x; nothing given is everything."""
    one, two = replace(transfer(1), id=b"\xab\xcd" * 16), replace(transfer(1), id=b"\xab\xce" * 16)
    await unit.transfers.save(one, two)
    for prefix, count in {"abc": 2, "0xABCD": 1, "abce" * 16: 1, "": 2, "b": 0}.items():
        assert len(await unit.transfers.by_prefix(prefix)) == count, prefix
    assert len(await unit.transfers.by_prefix("ab", limit=1)) == 1


@pytest.mark.parametrize("prefix", ["xyz", "ab" * 33, "a b", "١"])
async def test_what_is_no_start_of_an_id_is_bad_input(unit: UnitOfWork, prefix: str) -> None:
    """It names the field instead of finding nothing."""
    with pytest.raises(BadInput) as refusal:
        await unit.transfers.by_prefix(prefix)
    assert refusal.value.field == "id"


async def test_a_payout_is_saved_under_versions_too(unit: UnitOfWork) -> None:
    """Oldest first by stage; a stale save is refused."""
    first = await unit.payouts.save(payout(1, at=2))
    second = await unit.payouts.save(payout(2, at=1))
    assert await unit.payouts.by_stage("reserved") == (second, first)
    paid = await unit.payouts.save(replace(first, stage="paid", state=b"new"))
    assert await unit.payouts.get(first.id) == paid
    assert await unit.payouts.by_stage("paid", "settled") == (paid,)
    assert len(await unit.payouts.by_stage()) == 2
    with pytest.raises(LostUpdate) as lost:
        await unit.payouts.save(first)
    assert lost.value.table == "payouts"


async def test_a_payout_remembers_its_withdrawals_in_order_for_ever(unit: UnitOfWork) -> None:
    """A withdrawal of a voided payout is in another one later, and both are found."""
    await unit.payouts.save(payout(1, at=1))
    await unit.payouts.save(payout(2, at=2))
    withdrawals = (b"z" * 32, b"a" * 32)
    await unit.payouts.link(payout(1).id, withdrawals)
    await unit.payouts.link(payout(1).id, withdrawals)
    await unit.payouts.link(payout(2).id, withdrawals[1:])
    assert await unit.payouts.withdrawals_of(payout(1).id) == withdrawals
    assert [row.id for row in await unit.payouts.of_withdrawal(b"a" * 32)] == [payout(1).id, payout(2).id]
    assert await unit.payouts.of_withdrawal(b"?" * 32) == ()


async def test_a_journey_is_told_in_order_over_several_units(database: Database) -> None:
    """Entries keep the order in which they were told, whatever their times say, and one transfer's own."""
    first, other = transfer(1), transfer(2)
    entries = [JourneyEntry(first.id, UnixMs(9 - n), "stage", f"note {n}", b"t" * 32, "bitcoin") for n in range(4)]
    aside = JourneyEntry(other.id, UnixMs(0), "stage", "aside")
    async with database.unit() as unit:
        await unit.journey.append(entries[0], aside, entries[1])  # the transfers come later in the unit
        await unit.transfers.save(first, other)
        await unit.commit()
    async with database.unit() as unit:
        await unit.journey.append(*entries[2:])
        await unit.commit()
    async with database.view() as view:
        assert await view.journey.of(first.id) == tuple(entries)
        assert await view.journey.of(other.id) == (aside,)


async def test_a_journey_of_nobody_fails_at_the_commit(database: Database) -> None:
    """An entry whose transfer is never stored is a mistake that is caught, and the write lock is free again."""
    with pytest.raises(IntegrityError):
        async with database.unit() as unit:
            await unit.journey.append(JourneyEntry(b"?" * 32, UnixMs(0), "stage", "note"))
            await unit.commit()
    async with database.view() as view:
        assert await view.journey.of(b"?" * 32) == ()
    async with asyncio.timeout(PATIENCE_S), database.unit() as unit:
        await unit.transfers.save(transfer(1))
        await unit.commit()
