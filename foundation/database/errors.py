"""What every store raises, besides `foundation.errors.BadInput` for a URL that it cannot use."""

from __future__ import annotations

from foundation.errors import Fatal, Retryable


class DatabaseUnavailable(Retryable):
    """The database did not answer, or another process held its write lock for too long; look again later.

    If it happened at a commit, the commit may or may not have taken effect: read before writing again.

    Fields: problem.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the database is not available: {problem}")


class LostUpdate(Retryable):
    """The row has changed since it was read: read it again and step from there.

    Fields: table; key; expected (the version that was read, 0 for a row that was not there); found (in the database).
    """

    def __init__(self, table: str, key: bytes, expected: int, found: int) -> None:
        self.table = table
        self.key = key
        self.expected = expected
        self.found = found
        super().__init__(f"{table} {key.hex()}: version {found} is stored, {expected} was read")


class DatabaseNewer(Fatal):
    """A newer release has migrated this database; this one must not touch it.

    Fields: found (the database's revision); known (the newest that this release knows).
    """

    def __init__(self, found: str, known: str) -> None:
        self.found = found
        self.known = known
        super().__init__(f"the database has revision {found}, newer than {known}: install the newer release")
