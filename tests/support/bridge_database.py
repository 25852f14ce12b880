"""Fresh databases for tests: brought to this release's revision once, and copied from then on."""

from __future__ import annotations

from pathlib import Path

from bridge.storage import Database

_MADE: list[bytes] = []


async def fresh_database(path: Path) -> Database:
    """An empty database at `path`."""
    if not _MADE:
        await (await Database.open(f"sqlite:///{path}")).close()
        _MADE.append(path.read_bytes())
    path.write_bytes(_MADE[0])
    return await Database.open(f"sqlite:///{path}")
