"""What the Registry says: chains, vaults, assets, groups."""

from __future__ import annotations

from typing import Any

from adapters.native.bindings import Registry
from adapters.native.reads import NOBODY, NOTHING, At, ContractReads, checked
from foundation.quantities import BlockHeight
from registry.assets import Asset, AssetPolicy
from registry.chains import Chain, ChainKind, Vault
from registry.groups import Group, GroupStatus, Member


class RegistryReads(ContractReads):
    """Typed reads of the Registry. Unknown ids are None."""

    async def chain_info(self, chain: bytes, at: At = "finalized") -> Chain | None:
        """A registered chain, None where it is unknown."""
        (found,) = await self._one(self._registry(Registry.chain_info, chain), Registry.chain_info, at)
        return _chain(chain, found)

    async def chain_by_text(self, caip2: str, at: At = "finalized") -> Chain | None:
        """A registered chain by its CAIP-2 text, None where it is unknown."""
        call = self._registry(Registry.chain_by_text, caip2)
        identity, found = await self._one(call, Registry.chain_by_text, at)
        return _chain(identity, found)

    async def chains(self, at: At = "finalized") -> tuple[Chain, ...]:
        """All chains, in the order of their registration."""
        number = await self._number(at)
        (count,) = await self._one(self._registry(Registry.chain_count), Registry.chain_count, number)
        calls = [self._registry(Registry.chain_at, index) for index in range(count)]
        ids = [identity for (identity,) in await self._all(calls, Registry.chain_at, number)]
        calls = [self._registry(Registry.chain_info, identity) for identity in ids]
        answers = await self._all(calls, Registry.chain_info, number)
        found = [_chain(identity, fields) for identity, (fields,) in zip(ids, answers, strict=True)]
        return tuple(chain for chain in found if chain is not None)

    async def vault(self, chain: bytes, at: At = "finalized") -> Vault | None:
        """The Lockbox of an EVM chain, None where none is registered."""
        (found,) = await self._one(self._registry(Registry.vault, chain), Registry.vault, at)
        lockbox, start_block, group = found
        return None if lockbox == NOBODY else Vault(lockbox, BlockHeight(start_block), group)

    async def chain_policy(self, chain: bytes, at: At = "finalized") -> AssetPolicy | None:
        """What assets get that vouchers introduce on a chain, None where they may introduce none."""
        policy, is_open = await self._one(self._registry(Registry.chain_policy, chain), Registry.chain_policy, at)
        return AssetPolicy(*policy) if is_open else None

    async def asset(self, asset: bytes, at: At = "finalized") -> Asset | None:
        """An asset with its policy, None where it is unknown."""
        calls = [self._registry(Registry.asset, asset), self._registry(Registry.asset_policy, asset)]
        (found,), (policy,) = await self._read(calls, (Registry.asset, Registry.asset_policy), at)
        return _asset(asset, found, policy)

    async def asset_by_text(self, caip19: str, at: At = "finalized") -> Asset | None:
        """An asset by its CAIP-19 text, None where it is unknown."""
        call = self._registry(Registry.asset_by_text, caip19)
        return _asset(*await self._one(call, Registry.asset_by_text, at))

    async def assets(self, at: At = "finalized") -> tuple[Asset, ...]:
        """All assets with their policies, in the order of their registration."""
        number = await self._number(at)
        (count,) = await self._one(self._registry(Registry.asset_count), Registry.asset_count, number)
        calls = [self._registry(Registry.asset_at, index) for index in range(count)]
        ids = [identity for (identity,) in await self._all(calls, Registry.asset_at, number)]
        plain = await self._all([self._registry(Registry.asset, i) for i in ids], Registry.asset, number)
        terms = await self._all([self._registry(Registry.asset_policy, i) for i in ids], Registry.asset_policy, number)
        found = [_asset(i, fields, policy) for i, (fields,), (policy,) in zip(ids, plain, terms, strict=True)]
        return tuple(asset for asset in found if asset is not None)

    async def group(self, group: bytes, at: At = "finalized") -> Group | None:
        """A group with its members, None where it is unknown."""
        calls = [self._registry(Registry.group, group), self._registry(Registry.members, group)]
        (found,), (members,) = await self._read(calls, (Registry.group, Registry.members), at)
        chain, threshold, _, epoch, key, status = found
        if status == GroupStatus.UNKNOWN:
            return None
        return checked(
            Registry.group,
            lambda: Group(
                group,
                chain,
                threshold,
                tuple(Member(*member) for member in members),
                epoch,
                None if key == NOTHING else key,
                GroupStatus(status),
            ),
        )

    async def members(self, group: bytes, at: At = "finalized") -> tuple[Member, ...]:
        """The storemen of a group, in the order of their identifiers; none where it is unknown."""
        (members,) = await self._one(self._registry(Registry.members, group), Registry.members, at)
        return checked(Registry.members, lambda: tuple(Member(*member) for member in members))

    async def active_group(self, chain: bytes, at: At = "finalized") -> bytes | None:
        """The id of the group that serves a chain, None where none does."""
        (group,) = await self._one(self._registry(Registry.active_group, chain), Registry.active_group, at)
        return None if group == NOTHING else group

    async def asset_policy(self, asset: bytes, at: At = "finalized") -> AssetPolicy:
        """An asset's policy; all zero where it is unknown."""
        (policy,) = await self._one(self._registry(Registry.asset_policy, asset), Registry.asset_policy, at)
        return AssetPolicy(*policy)


def _chain(identity: bytes, fields: tuple[Any, ...]) -> Chain | None:
    caip2, genesis, kind, confirmations = fields
    if not caip2:
        return None
    return checked(Registry.chain_info, lambda: Chain(identity, caip2, genesis, ChainKind(kind), confirmations))


def _asset(identity: bytes, fields: tuple[Any, ...], policy: tuple[Any, ...]) -> Asset | None:
    chain, caip19, name, symbol, decimals = fields
    return Asset(identity, caip19, chain, name, symbol, decimals, AssetPolicy(*policy)) if caip19 else None
