"""What a node's store raises, besides what every database does (`foundation.database.errors`)."""

from __future__ import annotations

from foundation.errors import Fatal


class PromiseConflict(Fatal):
    """This node has already signed something else for the same slot; it must not sign this.

    Fields: kind; key (the slot); kept (digest of what was promised first); asked (digest of what was refused).
    """

    def __init__(self, kind: str, key: bytes, kept: bytes, asked: bytes) -> None:
        self.kind = kind
        self.key = key
        self.kept = kept
        self.asked = asked
        super().__init__(f"{kind} {key.hex()}: promised {kept.hex()}, asked for {asked.hex()}")


class WrongDatabase(Fatal):
    """The database belongs to another network or another node.

    Fields: key (what differs, such as `network`); expected (this node's); found (the database's).
    """

    def __init__(self, key: str, expected: bytes, found: bytes) -> None:
        self.key = key
        self.expected = expected
        self.found = found
        super().__init__(f"the database's {key} is {found.hex()}, this node's is {expected.hex()}")
