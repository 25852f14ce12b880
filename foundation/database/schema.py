"""Bringing a database to this release's revision, without a configuration file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect

from foundation.database.errors import DatabaseNewer


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one database, and how it comes to have them.

    Fields: metadata (the tables, in as many parts as packages define them); migrations (Alembic's folder; None, for
    tests of a package by itself, makes the tables as they are now); version_table (where the revision stands).
    """

    metadata: tuple[MetaData, ...]
    migrations: Path | None = None
    version_table: str = "alembic_version"

    def is_current(self, connection: Connection) -> bool:
        """Whether nothing is left for `upgrade` to do; reads only, and needs no lock."""
        if self.migrations is None:
            found = set(inspect(connection).get_table_names())
            return all(found.issuperset(part.tables) for part in self.metadata)
        script = ScriptDirectory.from_config(self.configuration(connection))
        return self._revision(connection) == script.get_current_head()

    def upgrade(self, connection: Connection) -> None:
        """Bring the database to this revision, inside the caller's transaction, which must hold the write lock.

        A database without any of the tables gets them as they are now, which is quicker than all revisions one after
        the other and the same: for each schema a test compares the two.

        Raises:
            DatabaseNewer: the database's revision is not one of this release's.
        """
        if self.migrations is None:
            self._create(connection, beside_others=not self._is_without(connection))
            return
        config = self.configuration(connection)
        script = ScriptDirectory.from_config(config)
        head = script.get_current_head()
        assert head is not None, "no revision is packaged"
        found = self._revision(connection)
        if found == head:
            return
        if found is not None and found not in {revision.revision for revision in script.walk_revisions()}:
            raise DatabaseNewer(found, head)
        if found is None and self._is_without(connection):
            self._create(connection, beside_others=False)
            self._context(connection).stamp(script, head)
            return
        self.migrate(connection)

    def migrate(self, connection: Connection) -> None:
        """Apply the revisions that are missing, one after the other."""
        command.upgrade(self.configuration(connection), "head")

    def _create(self, connection: Connection, *, beside_others: bool) -> None:
        for part in self.metadata:
            part.create_all(connection, checkfirst=beside_others)  # to ask for each table takes as long as to make it

    def _is_without(self, connection: Connection) -> bool:
        """Whether the database has none of the tables."""
        own = {table for part in self.metadata for table in part.tables}
        return own.isdisjoint(inspect(connection).get_table_names())

    def _revision(self, connection: Connection) -> str | None:
        return self._context(connection).get_current_revision()

    def _context(self, connection: Connection) -> MigrationContext:
        return MigrationContext.configure(connection, opts={"version_table": self.version_table})

    def configuration(self, connection: Connection) -> Config:
        """Alembic's settings for the packaged revisions on `connection`."""
        config = Config()
        # Alembic's settings interpolate percent signs.
        config.set_main_option("script_location", str(self.migrations).replace("%", "%%"))
        config.attributes["connection"] = connection
        config.attributes["schema"] = self
        return config


def run_migrations() -> None:
    """What a migrations folder's `env.py` calls: applies revisions on the connection that `upgrade` handed over."""
    schema = context.config.attributes["schema"]
    assert isinstance(schema, Schema)
    metadata: Sequence[MetaData] = schema.metadata
    # SQLite's DDL is transactional as long as the driver begins no transactions of its own, which ours is told not to.
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=list(metadata),
        transactional_ddl=True,
        render_as_batch=True,
        version_table=schema.version_table,
    )
    with context.begin_transaction():
        context.run_migrations()
