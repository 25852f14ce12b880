"""Bringing a database to this release's revision, without a configuration file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from bridge.storage.errors import DatabaseNewer

MIGRATIONS = Path(__file__).parent / "migrations"


def is_current(connection: Connection) -> bool:
    """Whether nothing is left for `upgrade` to do; reads only, and needs no lock."""
    script = ScriptDirectory.from_config(configuration(connection))
    return MigrationContext.configure(connection).get_current_revision() == script.get_current_head()


def upgrade(connection: Connection) -> None:
    """Apply the revisions that are missing, inside the caller's transaction, which must hold the write lock.

    Raises:
        DatabaseNewer: the database's revision is not one of this release's.
    """
    config = configuration(connection)
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    assert head is not None, "no revision is packaged"
    found = MigrationContext.configure(connection).get_current_revision()
    if found == head:
        return
    if found is not None and found not in {revision.revision for revision in script.walk_revisions()}:
        raise DatabaseNewer(found, head)
    command.upgrade(config, "head")


def configuration(connection: Connection) -> Config:
    """Alembic's settings for the packaged revisions on `connection`."""
    config = Config()
    # Alembic's settings interpolate percent signs.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
