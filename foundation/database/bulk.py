"""Writing and reading many rows by one statement, made ready once.

PostgreSQL is given one array of values for each column, and unnests them: one execution for all rows, where a list of
rows would be an execution for each; and keys to look for, where a list of each length would be a statement of its own,
to be planned anew. SQLite has no server to ask, and takes the rows one by one.

Rows of one call differ in their keys: no statement of PostgreSQL changes a row twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Enum,
    Executable,
    Integer,
    LargeBinary,
    Row,
    Select,
    SmallInteger,
    String,
    Table,
    TextClause,
    any_,
    bindparam,
    column,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from foundation.database.repository import chunks

Rows: TypeAlias = Sequence[Mapping[str, object]]

_KEYS_AT_ONCE: Final = 500
_KEY, _VALUE = "key_of_", "value_of_"
_DIALECT: Final = asyncpg_dialect()  # type: ignore[no-untyped-call]
_ELEMENTS: Final = (
    (Boolean, "bool"),
    (SmallInteger, "int2"),
    (BigInteger, "int8"),
    (Integer, "int4"),
    (LargeBinary, "bytea"),
    (String, "text"),  # not the column's length: a cast to it would cut what is too long, where an insert refuses it
)


@dataclass(frozen=True)  # no slots: statements are kept
class BulkInsert:
    """Inserts rows.

    Fields: table; keys (the columns of a unique index on which rows may meet others; none: to meet one is an error);
    changed (columns that such a row takes from the new one; none: it stays as it is).
    """

    table: Table[Any]
    keys: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    _texts: dict[tuple[str, ...], str] = field(default_factory=dict, init=False, repr=False, compare=False)

    async def write(self, connection: AsyncConnection, rows: Rows) -> None:
        """Write `rows`, which all have the same columns; nothing where there are none."""
        if not rows:
            return
        if connection.dialect.name != "postgresql":
            await connection.execute(self._settled(sqlite.insert(self.table)), rows)
            return
        names = tuple(rows[0])
        statement = self._texts.get(names)
        if statement is None:
            given = select(text("*")).select_from(_unnested(self.table, names))
            statement = _compiled(self._settled(postgresql.insert(self.table).from_select(list(names), given)))
            self._texts[names] = statement
        await connection.exec_driver_sql(statement, _columns(rows, names))

    def _settled(self, insert: sqlite.Insert | postgresql.Insert) -> Executable:
        """The insert, with what it does on a conflict."""
        if not self.keys:
            return insert
        if not self.changed:
            return insert.on_conflict_do_nothing(index_elements=list(self.keys))
        taken = {name: insert.excluded[name] for name in self.changed}
        return insert.on_conflict_do_update(index_elements=list(self.keys), set_=taken)


@dataclass(frozen=True)  # no slots: statements are kept
class BulkUpdate:
    """Changes rows that are there. Fields: table; keys (columns that name a row, or several); changed (columns that get
    new values); only (what else has to hold of a row, without parameters)."""

    table: Table[Any]
    keys: tuple[str, ...]
    changed: tuple[str, ...]
    only: ColumnElement[bool] | None = None

    async def write(self, connection: AsyncConnection, rows: Rows) -> None:
        """Write `rows`, each with its keys and its new values; nothing where there are none."""
        if not rows:
            return
        names = (*self.keys, *self.changed)
        if connection.dialect.name != "postgresql":
            prefixed = [(name, (_KEY if name in self.keys else _VALUE) + name) for name in names]
            await connection.execute(self._each, [{to: row[name] for name, to in prefixed} for row in rows])
            return
        await connection.exec_driver_sql(self._together, _columns(rows, names))

    @cached_property
    def _each(self) -> Executable:
        changing = update(self.table)
        for name in self.keys:
            changing = changing.where(self.table.c[name] == bindparam(_KEY + name))
        if self.only is not None:
            changing = changing.where(self.only)
        return changing.values({name: bindparam(_VALUE + name) for name in self.changed})

    @cached_property
    def _together(self) -> str:
        names = (*self.keys, *self.changed)
        plain = [column(name, self.table.c[name].type) for name in names]
        source = select(*plain).select_from(_unnested(self.table, names)).subquery("given")
        changing = update(self.table).values({name: source.c[name] for name in self.changed})
        for name in self.keys:
            changing = changing.where(self.table.c[name] == source.c[name])
        return _compiled(changing if self.only is None else changing.where(self.only))


@dataclass(frozen=True)  # no slots: statements are kept
class BulkDelete:
    """Deletes rows. Fields: table; key (the column that names them)."""

    table: Table[Any]
    key: str

    async def write(self, connection: AsyncConnection, keys: Sequence[object]) -> None:
        """Delete the rows with these keys; nothing where there are none."""
        if connection.dialect.name != "postgresql":
            for chunk in chunks(keys, _KEYS_AT_ONCE):
                await connection.execute(delete(self.table).where(self.table.c[self.key].in_(chunk)))
        elif keys:
            await connection.exec_driver_sql(self._together, (list(keys),))

    @cached_property
    def _together(self) -> str:
        among = self.table.c[self.key] == func.any(text(_escaped(f"$1::{_element(self.table, self.key)}[]")))
        return _compiled(delete(self.table).where(among))


@dataclass(frozen=True)  # no slots: statements are kept
class BulkSelect:
    """Reads the rows whose key is among many, in any order. Fields: query; key (a column of it)."""

    query: Select[*tuple[Any, ...]]
    key: ColumnElement[Any]

    async def read(self, connection: AsyncConnection, keys: Collection[object]) -> list[Row[*tuple[Any, ...]]]:
        """The rows that there are; a key that is named twice gives its rows once, or more often."""
        if not keys:
            return []
        if connection.dialect.name == "postgresql":
            return list(await connection.execute(self._together, {"keys": list(keys)}))
        rows: list[Row[*tuple[Any, ...]]] = []
        for chunk in chunks(keys, _KEYS_AT_ONCE):
            rows.extend(await connection.execute(self._listed, {"keys": chunk}))
        return rows

    @cached_property
    def _together(self) -> Select[*tuple[Any, ...]]:
        return self.query.where(self.key == any_(bindparam("keys", type_=postgresql.ARRAY(self.key.type))))

    @cached_property
    def _listed(self) -> Select[*tuple[Any, ...]]:
        return self.query.where(self.key.in_(bindparam("keys", expanding=True)))


def _unnested(table: Table[Any], names: Sequence[str]) -> TextClause:
    """The rows that the statement's parameters hold, an array for each column."""
    quoted = _DIALECT.identifier_preparer.quote
    arrays = ", ".join(f"${place}::{_element(table, name)}[]" for place, name in enumerate(names, 1))
    return text(_escaped(f"unnest({arrays}) AS rows_given ({', '.join(quoted(name) for name in names)})"))


def _element(table: Table[Any], name: str) -> str:
    kind = table.c[name].type
    assert not isinstance(kind, Enum), f"{table.name}.{name}: enumerations of the database are not used"
    return next(word for known, word in _ELEMENTS if isinstance(kind, known))


def _columns(rows: Rows, names: Sequence[str]) -> tuple[list[object], ...]:
    return tuple([row[name] for row in rows] for name in names)


def _escaped(sql: str) -> str:
    """Casts in a text, which SQLAlchemy would take for parameters."""
    return sql.replace(":", "\\:")


def _compiled(statement: Executable) -> str:
    return str(statement.compile(dialect=_DIALECT))  # type: ignore[attr-defined]
