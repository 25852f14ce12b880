"""Who is who, as the native chain says finally: groups, vouchers, the asset's policy. Held in memory.

It answers the cluster's questions about peers and groups (`mpc.ports.PeerDirectory`, `GroupDirectory`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from adapters.bitcoin.scripts import vault_script
from adapters.native.ports import NativeReads
from adapters.native.types import VoucherSet
from foundation.errors import Fatal
from foundation.quantities import TokenUnits, Wei
from mpc.ports import GroupProposal, Peer
from registry.assets import AssetPolicy
from registry.groups import Group, Member

_NO_POLICY: Final = AssetPolicy(TokenUnits(0), TokenUnits(0), TokenUnits(0), paused=True)


class NativeIdentities(NativeReads, Protocol):
    """What the directory reads."""

    def group_proof_message(self, group: bytes, epoch: int, key: bytes) -> bytes:
        """What a group's new key signs, 32 bytes."""
        ...


class GroupUnknown(Fatal):
    """The native chain knows no such group, or the group has no key yet. Fields: group."""

    def __init__(self, group: bytes) -> None:
        self.group = group
        super().__init__(f"group {group.hex()} is unknown, or has no key")


@dataclass
class _People:
    peers: dict[bytes, Peer] = field(default_factory=dict)
    transport_keys: set[bytes] = field(default_factory=set)
    names: dict[bytes, str] = field(default_factory=dict)
    accounts: dict[bytes, bytes] = field(default_factory=dict)


class Directory:
    """Groups, vouchers and the policy of one asset on one chain, refreshed when the native chain says so."""

    def __init__(self, native: NativeIdentities, chain: bytes, asset: bytes) -> None:
        """`chain`, `asset`: ids, 32 bytes each."""
        self._native = native
        self.chain = chain
        self.asset = asset
        self.groups: dict[bytes, Group] = {}
        self.active: bytes | None = None
        self.vouchers = VoucherSet((), Wei(0))
        self.policy: AssetPolicy = _NO_POLICY
        self._people = _People()
        self._vaults: dict[bytes, bytes] = {}

    async def refresh(self, groups: Iterable[bytes]) -> None:
        """Read everything anew. `groups`: the ids of all groups that were ever proposed for the chain.

        Raises:
            What the native chain's reads raise; the directory is unchanged then.
        """
        found = [await self._native.group(group) for group in groups]
        active = await self._native.active_group(self.chain)
        vouchers = await self._native.vouchers()
        policy = await self._native.asset_policy(self.asset)
        self.groups = {group.id: group for group in found if group is not None and group.chain == self.chain}
        self.active, self.vouchers, self.policy = active, vouchers, policy
        self._vaults = {vault_script(g.key): g.id for g in self.groups.values() if g.key is not None}
        self._people = _people(self.groups.values(), vouchers)

    def key(self, group: bytes) -> bytes:
        """The key of a group (32 bytes, x-only). Raises `GroupUnknown`."""
        found = self.groups.get(group)
        if found is None or found.key is None:
            raise GroupUnknown(group)
        return found.key

    def vault(self, group: bytes) -> bytes:
        """The script of a group's vault. Raises `GroupUnknown`."""
        return vault_script(self.key(group))

    @property
    def vault_scripts(self) -> Sequence[bytes]:
        """The vaults of all groups that have a key."""
        return tuple(self._vaults)

    def group_of_vault(self, script: bytes) -> bytes | None:
        """The group whose vault a script is."""
        return self._vaults.get(script)

    def name_of(self, account_or_host_key: bytes) -> str:
        """What people call a member: its role and its place, such as storeman-2."""
        return self._people.names.get(account_or_host_key, account_or_host_key.hex()[:12])

    def host_key_of(self, account: bytes) -> bytes | None:
        """The host key of a member by its account (20 bytes)."""
        return self._people.accounts.get(account)

    def voucher_peers(self) -> tuple[bytes, ...]:
        """The host keys of all vouchers."""
        return tuple(voucher.member.host_key for voucher in self.vouchers.vouchers)

    def storeman_peers(self, group: bytes) -> tuple[bytes, ...]:
        """The host keys of a group's members. Raises `GroupUnknown`."""
        found = self.groups.get(group)
        if found is None:
            raise GroupUnknown(group)
        return tuple(member.host_key for member in found.members)

    # What the peer network asks (mpc.ports.PeerDirectory).

    def peer(self, host_key: bytes) -> Peer | None:
        """The peer with this host key (33 bytes)."""
        return self._people.peers.get(host_key)

    def is_registered(self, transport_key: bytes) -> bool:
        """Whether a peer with this transport key (32 bytes) may connect."""
        return transport_key in self._people.transport_keys

    def peers(self) -> Sequence[Peer]:
        """All of them."""
        return tuple(self._people.peers.values())

    # What the cluster asks (mpc.ports.GroupDirectory).

    async def proposal(self, group: bytes) -> GroupProposal | None:
        """The proposal with this id, or None."""
        found = self.groups.get(group)
        if found is None:
            return None
        members = tuple(member.host_key for member in found.members)
        return GroupProposal(group, found.epoch, members, found.threshold)

    async def proof_message(self, group: bytes, epoch: int, key: bytes) -> bytes:
        """What the group signs to prove that it holds `key`."""
        return self._native.group_proof_message(group, epoch, key)


def _people(groups: Iterable[Group], vouchers: VoucherSet) -> _People:
    people = _People()
    for number, voucher in enumerate(vouchers.vouchers, 1):
        _add(people, voucher.member, f"voucher-{number}")
    for group in groups:
        for number, member in enumerate(group.members, 1):
            _add(people, member, f"storeman-{number}")
    return people


def _add(people: _People, member: Member, name: str) -> None:
    people.names[member.account] = people.names[member.host_key] = name
    people.accounts[member.account] = member.host_key
    if member.is_reachable:
        people.peers[member.host_key] = Peer(member.host_key, member.transport_key, member.endpoint)
        people.transport_keys.add(member.transport_key)
