"""Stand-ins at the cluster's ports, dealt groups, and whole clusters in one process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from foundation.errors import CausewayError, Retryable
from foundation.quantities import UnixMs
from mpc.chilldkg.vss import VSSCommitment, evaluate_secret, generate_coefficients
from mpc.cluster import Cluster
from mpc.curve import tagged_hash
from mpc.evidence import GroupKey
from mpc.identity import Identity
from mpc.keystore import KeyShare, Keystore, ScryptCost
from mpc.nonce_store import NonceJournal
from mpc.ports import Culprit, GroupProposal, Incident, Peer, SigningItem, Tweak
from mpc.transport import PeerNetwork

NETWORK = bytes(range(32))
GROUP = tagged_hash("test", b"group")
CHEAP = ScryptCost(log_n=4)
PROOF = tagged_hash("test", b"proof of the group")


class NotYet(Retryable):
    """What a test's authorizer refuses with."""


def identities(n: int, label: bytes = b"") -> list[Identity]:
    return [Identity.from_host_secret(tagged_hash("test host", label + bytes([i]))) for i in range(n)]


def deal(t: int, n: int, *, epoch: int = 0, seed: bytes = b"group", group: bytes = GROUP) -> list[KeyShare]:
    """The shares of a group whose key was dealt; every second one is a different epoch's if the seed differs."""
    coefficients = generate_coefficients(tagged_hash("test group", seed), t)
    commitment = VSSCommitment.of(coefficients)
    pubshares = tuple(point.to_bytes() for point in commitment.pubshares(n))
    members = tuple(identity.host_key for identity in identities(n))
    key = GroupKey(group, epoch, t, members, commitment.to_secret.to_bytes(), pubshares, b"")
    return [KeyShare(key, i, evaluate_secret(coefficients, i + 1).to_bytes(), ready=True) for i in range(n)]


def item(label: bytes, *, tweaked: bool = True) -> SigningItem:
    tweaks = (Tweak(tagged_hash("test tweak", label), True),) if tweaked else ()
    return SigningItem(tagged_hash("test item", label), tweaks)


class BodyAuthorizer:
    """Signs an item for each 32 bytes of the body; refuses with `refusal` where one is set."""

    def __init__(self, refusal: CausewayError | None = None) -> None:
        self.refusal = refusal
        self.asked: list[tuple[bytes, bytes, str, bytes]] = []

    async def authorize(self, proposer: bytes, group: bytes, kind: str, body: bytes) -> tuple[SigningItem, ...]:
        self.asked.append((proposer, group, kind, body))
        if self.refusal is not None:
            raise self.refusal
        return tuple(item(body[i : i + 32]) for i in range(0, len(body), 32))


@dataclass
class MemoryIncidents:
    """Keeps incidents in memory."""

    recorded: list[Incident] = field(default_factory=list)
    saved: dict[bytes, Culprit] = field(default_factory=dict)

    async def record(self, incident: Incident) -> None:
        self.recorded.append(incident)

    async def save(self, culprit: Culprit) -> None:
        self.saved[culprit.peer] = culprit

    async def load(self) -> Sequence[Culprit]:
        return tuple(self.saved.values())


@dataclass
class Directory:
    """Registered peers and proposed groups that a test can change."""

    registered: dict[bytes, Peer] = field(default_factory=dict)
    proposals: dict[bytes, GroupProposal] = field(default_factory=dict)

    def add(self, identity: Identity, endpoint: str) -> None:
        self.registered[identity.host_key] = Peer(identity.host_key, identity.transport_key, endpoint)

    def peer(self, host_key: bytes) -> Peer | None:
        return self.registered.get(host_key)

    def is_registered(self, transport_key: bytes) -> bool:
        return any(peer.transport_key == transport_key for peer in self.registered.values())

    def peers(self) -> Sequence[Peer]:
        return tuple(self.registered.values())

    async def proposal(self, group: bytes) -> GroupProposal | None:
        return self.proposals.get(group)

    async def proof_message(self, group: bytes, epoch: int, key: bytes) -> bytes:
        return tagged_hash("test proof", group + epoch.to_bytes(4, "big") + key)


class ManualClock:
    """A clock that a test moves."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> UnixMs:
        return UnixMs(self.now)


@dataclass
class Member:
    """A whole node of a cluster in this process."""

    identity: Identity
    network: PeerNetwork
    keystore: Keystore
    authorizer: BodyAuthorizer
    incidents: MemoryIncidents
    cluster: Cluster
    folder: Path

    async def stop(self) -> None:
        await self.network.close()
        self.cluster.close()
        self.keystore.close()


async def start_member(identity: Identity, directory: Directory, folder: Path, incidents: MemoryIncidents) -> Member:
    """Start a node with the keystore in `folder`, which is made if it is missing."""
    folder.mkdir(exist_ok=True)
    path = folder / "keys"
    if path.exists():
        keystore = Keystore.open(path, "password")
    else:
        keystore = Keystore.create(path, "password", identity.host_secret, CHEAP)
    network = PeerNetwork(identity, NETWORK, directory, "tcp://127.0.0.1:*")
    authorizer = BodyAuthorizer()
    journal = NonceJournal(folder / "nonces.journal")
    cluster = Cluster(identity, network, keystore, authorizer, directory, incidents, journal)
    await cluster.start()
    await network.start()
    directory.add(identity, network.endpoint)
    return Member(identity, network, keystore, authorizer, incidents, cluster, folder)


@contextlib.asynccontextmanager
async def members(folder: Path, t: int, n: int, *, dealt: bool = True) -> AsyncIterator[tuple[list[Member], Directory]]:
    """A cluster of n nodes in this process over loopback; `dealt`: its group has a key already."""
    directory = Directory()
    everyone = identities(n)
    directory.proposals[GROUP] = GroupProposal(GROUP, 0, tuple(i.host_key for i in everyone), t)
    started: list[Member] = []
    try:
        for i, identity in enumerate(everyone):
            started.append(await start_member(identity, directory, folder / str(i), MemoryIncidents()))
        if dealt:
            for member, share in zip(started, deal(t, n), strict=True):
                member.keystore.store(share)
        yield started, directory
    finally:
        for member in started:
            await member.stop()


def with_epoch(share: KeyShare, epoch: int) -> KeyShare:
    return replace(share, key=replace(share.key, epoch=epoch))
