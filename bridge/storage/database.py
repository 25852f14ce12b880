"""A node's database: the schema of this release, and views and units of work that offer every repository."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from bridge.storage.tables import metadata
from bridge.storage.unit import UnitOfWork, View
from foundation.database.database import CommitHook, DatabaseOf, open_current
from foundation.database.engine import BUSY_MS
from foundation.database.schema import Schema

SCHEMA = Schema((metadata,), Path(__file__).parent / "migrations")


class Database(DatabaseOf[View, UnitOfWork]):
    """One node's database. Use `open`; close it at the end."""

    @classmethod
    async def open(cls, url: str, *, commit_hook: CommitHook | None = None, busy_ms: int = BUSY_MS) -> Self:
        """Open the database at `url`, making it and bringing it to this release's revision where needed.

        Several processes may open one database at once, also while another one writes.

        Raises:
            BadInput, DatabaseNewer, DatabaseUnavailable: as `open_current` says.
        """
        return cls(await open_current(url, SCHEMA, busy_ms), View, UnitOfWork, commit_hook)
