"""What a database's errors tell: enough to find the statement, and nothing of what was to be stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert
from sqlalchemy.exc import IntegrityError

from foundation.database import Database, Schema

METADATA = MetaData()
people = Table("people", METADATA, Column("name", String, primary_key=True))


async def test_error_quotes_no_value(tmp_path: Path) -> None:
    """Errors end in logs, where no name, key or account may stand."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    async with await Database.open(url, Schema((METADATA,))) as database, database.unit() as unit:
        await unit.connection.execute(insert(people), {"name": "Erika Mustermann"})
        with pytest.raises(IntegrityError) as error:
            await unit.connection.execute(insert(people), {"name": "Erika Mustermann"})
    assert "people" in str(error.value)
    assert "Erika" not in str(error.value)
