"""What the repositories share: one connection in one transaction, rows to dataclasses, inserts that meet conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any, ClassVar, Protocol, TypeVar

from sqlalchemy import Executable, Select, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


class Dataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Item = TypeVar("Item")
RowType = TypeVar("RowType")

_CHUNK = 500
"""Values in one IN list; the engines allow 32,766 parameters."""


class Repository:
    """One table, or a few that belong together, inside a unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _rows(self, row_type: type[RowType], query: Select[*tuple[Any, ...]]) -> tuple[RowType, ...]:
        """The rows that `query` selects, whose columns are the fields of `row_type` in order."""
        return tuple(row_type(*row) for row in await self._connection.execute(query))

    async def _row(self, row_type: type[RowType], query: Select[*tuple[Any, ...]]) -> RowType | None:
        """The one row that `query` selects, or None."""
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else row_type(*row)

    async def _write(self, statement: Executable, rows: Sequence[Mapping[str, object]]) -> None:
        """Execute `statement` once for each of `rows`, in one go; nothing where there are none."""
        if rows:
            await self._connection.execute(statement, rows)

    def _insert(self, table: Table[Any]) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that may say what to do on a conflict."""
        if self._connection.dialect.name == "sqlite":
            return sqlite.insert(table)
        return postgresql.insert(table)


def values(row: Dataclass) -> dict[str, object]:
    """The columns of a row."""
    return {field.name: getattr(row, field.name) for field in fields(row)}


def chunks(items: Iterable[Item], size: int = _CHUNK) -> Iterator[list[Item]]:
    """`items` in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
