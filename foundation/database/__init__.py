"""Durable memory: one database, SQLite or PostgreSQL, read through views and changed in units of work."""

from foundation.database.bulk import BulkDelete, BulkInsert, BulkSelect, BulkUpdate
from foundation.database.database import CommitHook, Database, Moment, UnitOfWork, View
from foundation.database.errors import DatabaseNewer, DatabaseUnavailable, LostUpdate
from foundation.database.repository import Repository, chunks, values
from foundation.database.schema import Schema

__all__ = [
    "BulkDelete",
    "BulkInsert",
    "BulkSelect",
    "BulkUpdate",
    "CommitHook",
    "Database",
    "DatabaseNewer",
    "DatabaseUnavailable",
    "LostUpdate",
    "Moment",
    "Repository",
    "Schema",
    "UnitOfWork",
    "View",
    "chunks",
    "values",
]
