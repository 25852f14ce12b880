"""Run by Alembic."""

from foundation.database.schema import run_migrations

run_migrations()
