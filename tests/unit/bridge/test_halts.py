"""What halts of the vouchers mean for what a storeman signs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.halts import MOST_SECONDS, check_not_halted, end_of_halt, end_of_next_halt, halted_until
from bridge.intake.common import EVERYTHING, halt_fact, latest_halt_fact
from bridge.refusals import AssetHalted
from bridge.storage import Database
from foundation.quantities import UnixMs
from tests.support.bridge_database import fresh_database

ASSET, OTHER = b"a" * 32, b"b" * 32


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await fresh_database(tmp_path / "halts.db")
    yield opened
    await opened.close()


async def halt(database: Database, subject: bytes, until: int) -> None:
    async with database.unit() as uow:
        await uow.node_meta.put(halt_fact(subject), str(until).encode())
        await uow.commit()


async def test_what_was_never_halted_runs(database: Database) -> None:
    """The first halt is yet to come."""
    async with database.view() as view:
        assert await halted_until(view, ASSET) == 0
        await check_not_halted(view, ASSET, UnixMs(0))


async def test_an_asset_stands_still_until_the_second_that_was_voted(database: Database) -> None:
    """Only that asset, and not longer: a halt delays."""
    await halt(database, ASSET, 50)
    async with database.view() as view:
        with pytest.raises(AssetHalted) as refusal:
            await check_not_halted(view, ASSET, UnixMs(49_999))
        assert refusal.value.until == 50
        await check_not_halted(view, ASSET, UnixMs(50_000))
        await check_not_halted(view, OTHER, UnixMs(0))


@pytest.mark.parametrize(("everything", "asset"), [(60, 50), (50, 60)])
async def test_a_halt_of_everything_is_one_of_each(database: Database, everything: int, asset: int) -> None:
    """The later of the two ends counts; that one of them was lifted does not lift the other."""
    await halt(database, EVERYTHING, everything)
    await halt(database, ASSET, asset)
    async with database.view() as view:
        assert await halted_until(view, ASSET) == 60
        assert await halted_until(view, OTHER) == everything
    await halt(database, EVERYTHING, 0)
    async with database.view() as view:
        assert await halted_until(view, ASSET) == asset


def test_vouchers_who_want_the_same_within_an_hour_say_the_same() -> None:
    """At a full hour, at least so many hours away, and never so far that the Hub would refuse it."""
    hour = 3_600
    ends = {end_of_halt(UnixMs((7 * hour + second) * 1_000 + 999)) for second in (0, 1, 1_800, hour - 1)}
    assert ends == {(7 + 1 + 24) * hour}
    assert end_of_halt(UnixMs(8 * hour * 1_000)) == (8 + 1 + 24) * hour
    assert 24 * hour <= end_of_halt(UnixMs(0)) <= MOST_SECONDS


async def test_a_second_alarm_within_the_hour_ends_after_the_first(database: Database) -> None:
    """The Hub takes no end that is not above all before, also where the halt before was ended early."""
    now = UnixMs(3_600_000)
    first = end_of_halt(now)
    async with database.unit() as uow:
        assert await end_of_next_halt(uow, ASSET, now) == first
        await uow.node_meta.put(latest_halt_fact(ASSET), str(first).encode())
        await uow.commit()
    async with database.view() as view:
        assert await end_of_next_halt(view, ASSET, now) == first + 3_600
        assert await end_of_next_halt(view, OTHER, now) == first
