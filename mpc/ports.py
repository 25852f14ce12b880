"""What the cluster needs from outside: who its peers are, which groups exist, what it may sign, where incidents go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from foundation.quantities import UnixMs
from mpc.curve import tagged_hash

Clock: TypeAlias = Callable[[], UnixMs]
"""The wall clock in Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class Tweak:
    """A tweak of the threshold key (BIP-445): `value` 32 bytes; `xonly`: whether the key is first made even."""

    value: bytes
    xonly: bool


@dataclass(frozen=True, slots=True)
class SigningItem:
    """One thing to sign.

    Attributes:
        message: 32 bytes.
        tweaks: in order of application.
    """

    message: bytes
    tweaks: tuple[Tweak, ...] = ()


def items_hash(items: Sequence[SigningItem]) -> bytes:
    """32 bytes that commit to the items, so that signer and coordinator notice when they mean different things."""
    parts = [len(items).to_bytes(4, "big")]
    for item in items:
        parts += [len(item.message).to_bytes(4, "big"), item.message, len(item.tweaks).to_bytes(4, "big")]
        parts += [bytes([tweak.xonly]) + tweak.value for tweak in item.tweaks]
    return tagged_hash("Causeway/signing items", b"".join(parts))


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a registered node is, and which keys it must show.

    Attributes:
        host_key: 33 bytes; transport_key: 32 bytes; endpoint: `tcp://host:port`.
    """

    host_key: bytes
    transport_key: bytes
    endpoint: str


class PeerDirectory(Protocol):
    """The registered peers. May change at any time; asked for each message, so it must answer from memory."""

    def peer(self, host_key: bytes) -> Peer | None:
        """The peer with this host key (33 bytes)."""
        ...

    def is_registered(self, transport_key: bytes) -> bool:
        """Whether a peer with this transport key (32 bytes) may connect."""
        ...

    def peers(self) -> Sequence[Peer]:
        """All of them."""
        ...


@dataclass(frozen=True, slots=True)
class GroupProposal:
    """A group that is to make its key.

    Attributes:
        group: 32 bytes; epoch: 0, 1, …; members: host keys (33 bytes) in the order of their indices; threshold: t.
    """

    group: bytes
    epoch: int
    members: tuple[bytes, ...]
    threshold: int


class GroupDirectory(Protocol):
    """The registered groups, as this node itself sees them."""

    async def proposal(self, group: bytes) -> GroupProposal | None:
        """The proposal with this id (32 bytes), or None if there is none."""
        ...

    async def proof_message(self, group: bytes, epoch: int, key: bytes) -> bytes:
        """What (32 bytes) the group signs to prove that it holds `key` (32 bytes x-only)."""
        ...


class Authorizer(Protocol):
    """Decides what this node signs. Structures come in, digests come out: nobody else chooses a digest."""

    async def authorize(self, proposer: bytes, group: bytes, kind: str, body: bytes) -> tuple[SigningItem, ...]:
        """The items to sign for this request.

        `proposer`: host key (33 bytes) of the coordinator; `group`: 32 bytes.

        Raises:
            CausewayError: a typed refusal; its type and text are told to the coordinator.
        """
        ...


IncidentKind: TypeAlias = Literal["refused", "wrong-share", "malformed-answer", "key-generation", "conflicting-key"]


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that an operator should be able to look up.

    Attributes:
        at: when; kind: what; peer: host key (33 bytes) of whom it is about; group: 32 bytes; error: the type of the
        error; text: its message; evidence: encoded `Evidence` (`mpc.evidence`), empty where there is none.
    """

    at: UnixMs
    kind: IncidentKind
    peer: bytes
    group: bytes
    error: str
    text: str
    evidence: bytes = b""


@dataclass(frozen=True, slots=True)
class Culprit:
    """What is held against a peer.

    Attributes:
        peer: host key (33 bytes); faults: how many proven ones; last_fault_at; excluded_until: it is not asked to sign
        before this time (0: it is); reason: the last fault in words.
    """

    peer: bytes
    faults: int
    last_fault_at: UnixMs
    excluded_until: UnixMs
    reason: str


class Incidents(Protocol):
    """Keeps incidents and what is held against peers, so that a restart forgets neither."""

    async def record(self, incident: Incident) -> None:
        """Keep an incident."""
        ...

    async def save(self, culprit: Culprit) -> None:
        """Keep what is held against a peer, instead of what was kept before."""
        ...

    async def load(self) -> Sequence[Culprit]:
        """What was kept; called once at the start."""
        ...
