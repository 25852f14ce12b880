"""The database's revisions, applied by `Database.open`."""
