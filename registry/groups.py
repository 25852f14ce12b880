"""Groups of storemen, as the Registry contract has them, and their members' identities."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from foundation.errors import BadInput

MAX_MEMBERS: Final = 100
_ENDPOINT: Final = re.compile(r"tcp://(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})", re.ASCII)


class GroupStatus(IntEnum):
    """Where a group is in its life. The numbers are the Registry's."""

    UNKNOWN = 0
    PROPOSED = 1
    """Named by the owner; makes its key."""
    ACTIVE = 2
    """Its key is confirmed by all members and has proved itself; the newest active group of a chain takes deposits."""
    RETIRED = 3
    """A newer group took its place."""


@dataclass(frozen=True, slots=True)
class Member:
    """The identity of a node: a storeman of a group, or a voucher.

    Fields: account (EVM account, 20 bytes); host_key (compressed point, 33 bytes); transport_key (Curve25519, 32
    bytes); endpoint (`tcp://host:port`, at most 128 bytes).
    """

    account: bytes
    host_key: bytes
    transport_key: bytes
    endpoint: str

    def __post_init__(self) -> None:
        for field, value, length in (
            ("account", self.account, 20),
            ("host_key", self.host_key, 33),
            ("transport_key", self.transport_key, 32),
        ):
            if len(value) != length:
                raise BadInput(f"member.{field}", f"{len(value)} bytes", f"{length} bytes")
        if self.host_key[0] not in (2, 3):
            raise BadInput("member.host_key", "is not a compressed point", "33 bytes that begin with 02 or 03")
        match = _ENDPOINT.fullmatch(self.endpoint)
        if match is None or not 1 <= int(match["port"]) <= 65_535 or len(self.endpoint) > 128:
            raise BadInput("member.endpoint", f"{self.endpoint!r} is no endpoint", "tcp://host:port")


@dataclass(frozen=True, slots=True)
class Group:
    """Storemen who share a key. A member's place in `members` is its identifier in the threshold protocols.

    Fields: id, chain (32 bytes each); threshold; members; epoch (counts the refreshes of its shares); key (x-only, 32
    bytes; None until it is active); status.
    """

    id: bytes
    chain: bytes
    threshold: int
    members: tuple[Member, ...]
    epoch: int
    key: bytes | None
    status: GroupStatus

    def __post_init__(self) -> None:
        check_threshold(self.threshold, len(self.members))
        if self.key is not None and len(self.key) != 32:
            raise BadInput("group.key", f"{len(self.key)} bytes", "32 bytes, x-only")

    @property
    def is_active(self) -> bool:
        """It may sign: deposits, payouts, returns."""
        return self.status is GroupStatus.ACTIVE

    def index_of(self, account: bytes) -> int | None:
        """The identifier of the storeman with this account, None for a stranger."""
        return next((index for index, member in enumerate(self.members) if member.account == account), None)


def check_threshold(threshold: int, size: int) -> None:
    """A group has 1 to 100 members, and its threshold is more than half of them, so that any two quorums meet.

    Raises:
        BadInput: not so.
    """
    if not 1 <= size <= MAX_MEMBERS:
        raise BadInput("group.members", f"{size} members", f"1 to {MAX_MEMBERS}")
    if not size < 2 * threshold <= 2 * size:
        raise BadInput("group.threshold", f"{threshold} of {size}", f"{size // 2 + 1} to {size}")
