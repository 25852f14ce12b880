"""Run by Alembic: applies revisions on the connection, and in the transaction, that `bridge.storage` hands over."""

from alembic import context

from bridge.storage.tables import metadata

connection = context.config.attributes["connection"]
# SQLite's DDL is transactional as long as the driver begins no transactions of its own, which ours is told not to.
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
