"""Who is who, as the native chain says finally: chains, assets, groups, vouchers. Held in memory.

It answers the cluster's questions about peers and groups (`mpc.ports.PeerDirectory`, `GroupDirectory`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from adapters.bitcoin.scripts import vault_script
from adapters.native.ports import NativeDirectory, NativeReads
from adapters.native.types import VoucherSet
from foundation.errors import Fatal
from foundation.quantities import TokenUnits, Wei
from mpc.ports import GroupProposal, Peer
from registry.assets import Asset, AssetPolicy
from registry.caip import chain_number, erc20
from registry.chains import Chain, ChainKind, Vault
from registry.groups import Group, Member

_SLIP44: Final = "/slip44:"
_NO_POLICY: Final = AssetPolicy(TokenUnits(0), TokenUnits(0), TokenUnits(0), paused=True)


class NativeIdentities(NativeReads, NativeDirectory, Protocol):
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


@dataclass(frozen=True, slots=True)
class EvmOrigin:
    """An EVM chain from which assets come, and its vault. Fields: chain; vault; coin (the asset id of its own coin)."""

    chain: Chain
    vault: Vault
    coin: bytes

    @property
    def chain_number(self) -> int:
        """The chain's EIP-155 number."""
        return chain_number(self.chain.chain_id)

    def token_asset(self, token: bytes) -> bytes:
        """The id of the asset that the vault names so (20 bytes: a token's contract; zero: the chain's coin)."""
        return self.coin if token == bytes(20) else erc20(self.chain.chain_id, token).id


class Directory:
    """Chains, assets, groups and vouchers, refreshed when the native chain says so."""

    def __init__(self, native: NativeIdentities, chain: bytes, asset: bytes) -> None:
        """`chain`, `asset`: ids of the bitcoin chain and of bitcoin on it, 32 bytes each."""
        self._native = native
        self.chain = chain
        self.asset = asset
        self.groups: dict[bytes, Group] = {}
        self.vouchers = VoucherSet((), Wei(0))
        self.assets: dict[bytes, Asset] = {}
        """Every asset that is registered, of every chain."""
        self.origins: dict[bytes, EvmOrigin] = {}
        """The EVM chains that have a vault, and a coin that is registered."""
        self.open_chains: frozenset[bytes] = frozenset()
        """The chains whose assets the vouchers may introduce."""
        self._active: dict[bytes, bytes] = {}
        self._people = _People()
        self._vaults: dict[bytes, bytes] = {}

    async def refresh(self, groups: Iterable[bytes]) -> None:
        """Read everything anew. `groups`: the ids of all groups that were ever proposed.

        Raises:
            What the native chain's reads raise; the directory is unchanged then.
        """
        found = [await self._native.group(group) for group in groups]
        chains = await self._native.chains()
        assets = await self._native.assets()
        active = {chain: await self._native.active_group(chain) for chain in {self.chain, *(c.id for c in chains)}}
        origins = [await self._origin(chain, assets) for chain in chains if chain.kind is ChainKind.EVM]
        open_chains = [c.id for c in chains if c.kind is ChainKind.EVM and await self._native.chain_policy(c.id)]
        vouchers = await self._native.vouchers()
        self.groups = {group.id: group for group in found if group is not None}
        self._active = {chain: group for chain, group in active.items() if group is not None}
        self.assets = {asset.id: asset for asset in assets}
        self.origins = {origin.chain.id: origin for origin in origins if origin is not None}
        self.open_chains = frozenset(open_chains)
        self.vouchers = vouchers
        held = [g for g in self.groups.values() if g.key is not None and g.chain == self.chain]
        self._vaults = {vault_script(g.key): g.id for g in held if g.key is not None}
        self._people = _people(self.groups.values(), vouchers)

    async def _origin(self, chain: Chain, assets: Sequence[Asset]) -> EvmOrigin | None:
        vault = await self._native.vault(chain.id)
        coins = [asset.id for asset in assets if asset.chain == chain.id and _SLIP44 in asset.caip19]
        return EvmOrigin(chain, vault, coins[0]) if vault is not None and coins else None

    @property
    def active(self) -> bytes | None:
        """The group that serves bitcoin."""
        return self._active.get(self.chain)

    def active_of(self, chain: bytes) -> bytes | None:
        """The group that serves a chain."""
        return self._active.get(chain)

    @property
    def policy(self) -> AssetPolicy:
        """Bitcoin's policy."""
        return self.policy_of(self.asset)

    def policy_of(self, asset: bytes) -> AssetPolicy:
        """An asset's policy; of one that is not registered: all zero, and paused."""
        found = self.assets.get(asset)
        return _NO_POLICY if found is None else found.policy

    def chain_of(self, asset: bytes) -> bytes | None:
        """The chain of a registered asset."""
        found = self.assets.get(asset)
        return None if found is None else found.chain

    def shown(self, asset: bytes, units: int) -> str:
        """An amount for people."""
        found = self.assets.get(asset)
        return f"{units:,} units" if found is None else found.format(units)

    def key(self, group: bytes) -> bytes:
        """The key of a group (32 bytes, x-only). Raises `GroupUnknown`."""
        found = self.groups.get(group)
        if found is None or found.key is None:
            raise GroupUnknown(group)
        return found.key

    def vault(self, group: bytes) -> bytes:
        """The script of a bitcoin group's vault. Raises `GroupUnknown`, for groups of other chains too."""
        key = self.key(group)
        if self.groups[group].chain != self.chain:
            raise GroupUnknown(group)
        return vault_script(key)

    @property
    def vault_scripts(self) -> Sequence[bytes]:
        """The vaults of all bitcoin groups that have a key."""
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
    for voucher in vouchers.vouchers:  # by their indices, which stay when others leave
        _add(people, voucher.member, f"voucher-{voucher.index + 1}")
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
