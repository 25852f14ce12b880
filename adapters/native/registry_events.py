"""The Registry's events, typed. Ids are 32 bytes, accounts and contracts 20."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.native.position import Position
from foundation.quantities import BlockHeight
from registry.assets import AssetPolicy


@dataclass(frozen=True, slots=True)
class ChainRegistered:
    """The owner named a chain. `genesis` in the chain's own wire byte order."""

    at: Position
    id: bytes
    caip2: str
    genesis: bytes
    kind: int = 1
    confirmations: int = 1


@dataclass(frozen=True, slots=True)
class VaultRegistered:
    """A chain's Lockbox is known. No event of the Lockbox is older than its `start_block`."""

    at: Position
    chain: bytes
    lockbox: bytes
    start_block: BlockHeight
    group: bytes


@dataclass(frozen=True, slots=True)
class AssetRegistered:
    """The owner named an asset; its policy follows in an event of its own."""

    at: Position
    id: bytes
    chain: bytes
    caip19: str
    name: str
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class AssetPolicyChanged:
    """An asset has a policy, the first or a new one."""

    at: Position
    asset: bytes
    policy: AssetPolicy


@dataclass(frozen=True, slots=True)
class ChainPolicyChanged:
    """What assets get that vouchers introduce on a chain; `open` False: none is introduced."""

    at: Position
    chain: bytes
    open: bool
    policy: AssetPolicy


@dataclass(frozen=True, slots=True)
class GroupProposed:
    """The owner named storemen, who make a key now. The members are read by view."""

    at: Position
    id: bytes
    chain: bytes
    threshold: int
    size: int


@dataclass(frozen=True, slots=True)
class GroupActivated:
    """A group has proved its key (x-only), and serves its chain."""

    at: Position
    id: bytes
    chain: bytes
    epoch: int
    key: bytes


@dataclass(frozen=True, slots=True)
class RegistrarSet:
    """The Hub may introduce assets that vouchers saw, for ever."""

    at: Position
    registrar: bytes
