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
    """Its key is confirmed by all members and has proved itself. Of a chain's groups the one activated last serves."""


@dataclass(frozen=True, slots=True)
class Member:
    """The identity of a node: a storeman of a group, or a voucher.

    Fields: account (EVM account, 20 bytes); host_key (33 bytes, the form of a compressed point); transport_key
    (Curve25519, 32 bytes); endpoint (should be `tcp://host:port`, but contracts take any text of up to 128 bytes, and
    one member's nonsense must not keep the others from reading the list: see `is_reachable`).
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

    @property
    def is_reachable(self) -> bool:
        """Whether its endpoint is one, so that somebody may try to connect."""
        return is_endpoint(self.endpoint)


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
        """It has a key. A newer group may have taken its place."""
        return self.status is GroupStatus.ACTIVE

    def index_of(self, account: bytes) -> int | None:
        """The identifier of the storeman with this account, None for a stranger."""
        return next((index for index, member in enumerate(self.members) if member.account == account), None)


def is_endpoint(text: str) -> bool:
    """Whether `text` is `tcp://host:port` with a name, an IPv4 address, or an IPv6 address in brackets."""
    match = _ENDPOINT.fullmatch(text)
    return match is not None and 1 <= int(match["port"]) <= 65_535 and len(text) <= 128


def check_endpoint(text: str, field: str = "endpoint") -> None:
    """Refuse what peers could not connect to, before it is registered. Raises `BadInput` naming `field`."""
    if not is_endpoint(text):
        raise BadInput(field, f"{text!r} is no endpoint", "tcp://host:port, at most 128 characters")


def check_threshold(threshold: int, size: int) -> None:
    """A group has 1 to 100 members, and its threshold is more than half of them, so that any two quorums meet.

    Raises:
        BadInput: not so.
    """
    if not 1 <= size <= MAX_MEMBERS:
        raise BadInput("group.members", f"{size} members", f"1 to {MAX_MEMBERS}")
    if not size < 2 * threshold <= 2 * size:
        raise BadInput("group.threshold", f"{threshold} of {size}", f"{size // 2 + 1} to {size}")
