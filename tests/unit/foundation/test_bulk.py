"""Many rows by one statement, the same on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, SmallInteger, String, Table, select
from sqlalchemy.exc import DBAPIError

from foundation.database import BulkDelete, BulkInsert, BulkSelect, BulkUpdate, Database, Schema

METADATA = MetaData()
THINGS = Table(
    "bulk_things",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("name", LargeBinary(32), nullable=False, unique=True),
    Column("order", String(4), nullable=False),  # a word of SQL
    Column("count", SmallInteger, nullable=False),
    Column("total", BigInteger, nullable=True),
    Column("is_good", Boolean, nullable=False),
)
ROWS = tuple(
    {"name": bytes([n]), "order": f"n{n}", "count": n, "total": None if n == 1 else n << 40, "is_good": n % 2 == 0}
    for n in range(3)
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with await Database.open(database_url, Schema((METADATA,))) as opened:
        yield opened


async def do(database: Database, work: BulkInsert | BulkUpdate | BulkDelete, given: Any) -> None:
    async with database.unit() as unit:
        await work.write(unit.connection, given)
        await unit.commit()


async def stored(database: Database) -> list[dict[str, Any]]:
    query = select(*(column for column in THINGS.c if column.name != "id")).order_by(THINGS.c.id)
    async with database.view() as view:
        return [dict(row._mapping) for row in await view.connection.execute(query)]


async def test_rows_are_inserted_in_their_order(database: Database) -> None:
    """Numbers that the database gives out follow the order of the rows; nothing and no value are stored as they are."""
    await do(database, BulkInsert(THINGS), [])
    await do(database, BulkInsert(THINGS), ROWS)
    assert await stored(database) == list(ROWS)


async def test_a_row_that_is_there_is_an_error_where_no_conflict_is_expected(database: Database) -> None:
    """An insert without keys does not pass over a row that is there."""
    await do(database, BulkInsert(THINGS), ROWS)
    with pytest.raises(DBAPIError):
        await do(database, BulkInsert(THINGS), [{**ROWS[0], "count": 9}])


async def test_a_conflict_keeps_the_row_or_takes_the_named_columns(database: Database) -> None:
    """What meets a row is left out, or gives it the columns that are named and no others."""
    await do(database, BulkInsert(THINGS), ROWS[:2])
    newer = [{**row, "count": 7, "order": "new"} for row in ROWS]
    await do(database, BulkInsert(THINGS, ("name",)), newer[:1])
    assert await stored(database) == list(ROWS[:2])
    await do(database, BulkInsert(THINGS, ("name",), ("count",)), newer)
    assert await stored(database) == [{**ROWS[0], "count": 7}, {**ROWS[1], "count": 7}, newer[2]]


@pytest.mark.integration
async def test_too_long_a_text_is_refused_and_not_cut(postgres_url: str) -> None:
    """PostgreSQL checks a column's length as it does for a single row; SQLite has no lengths."""
    async with await Database.open(postgres_url, Schema((METADATA,))) as database:
        with pytest.raises(DBAPIError):
            await do(database, BulkInsert(THINGS), [{**ROWS[0], "order": "too long"}])
        assert await stored(database) == []


async def test_rows_are_updated_by_their_keys_where_a_condition_holds(database: Database) -> None:
    """Each row gets its own values, and rows of other keys, or without the condition, keep theirs."""
    await do(database, BulkInsert(THINGS), ROWS)
    ends = BulkUpdate(THINGS, ("name", "order"), ("total", "count"), THINGS.c.total.is_(None))
    changed = [{"name": row["name"], "order": row["order"], "total": 5, "count": 6} for row in ROWS]
    await do(database, ends, [{**changed[1], "order": "else"}])
    assert await stored(database) == list(ROWS)
    await do(database, ends, changed)
    assert await stored(database) == [ROWS[0], {**ROWS[1], "total": 5, "count": 6}, ROWS[2]]
    await do(
        database, BulkUpdate(THINGS, ("name",), ("is_good",)), [{"name": r["name"], "is_good": True} for r in ROWS]
    )
    assert all(row["is_good"] for row in await stored(database))


async def test_rows_are_deleted_by_their_key(database: Database) -> None:
    """The named rows go, a name that is not there does no harm, and no names delete nothing."""
    await do(database, BulkInsert(THINGS), ROWS)
    await do(database, BulkDelete(THINGS, "name"), [])
    assert len(await stored(database)) == 3
    await do(database, BulkDelete(THINGS, "name"), [bytes([0]), bytes([2]), *([bytes([99])] * 600)])
    assert await stored(database) == [ROWS[1]]


async def test_rows_are_read_by_their_keys(database: Database) -> None:
    """The rows of the keys come, a key without a row does no harm, and no keys ask for nothing."""
    await do(database, BulkInsert(THINGS), ROWS)
    named = BulkSelect(select(THINGS.c.name, THINGS.c.total), THINGS.c.name)
    async with database.view() as view:
        assert await named.read(view.connection, []) == []
        found = await named.read(view.connection, {bytes([2]), bytes([0]), *(bytes([7, n]) for n in range(200))})
        assert sorted(map(tuple, found)) == [(bytes([n]), n << 40) for n in (0, 2)]
        numbered = BulkSelect(select(THINGS.c.name), THINGS.c.count)
        assert [tuple(row) for row in await numbered.read(view.connection, list(range(1, 700)))] == [
            (bytes([1]),),
            (bytes([2]),),
        ]
