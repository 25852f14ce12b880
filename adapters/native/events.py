"""The contracts' events, typed: which there are, and how they are read from logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from adapters.evm.abi import Event
from adapters.evm.types import BlockRef, Log
from adapters.native.bindings import Bonds, Hub, Registry
from adapters.native.bonds_events import (
    Bonded,
    CommissionChanged,
    CompanionsBound,
    FeesClaimed,
    FeesCredited,
    InsurancePaid,
    PositionClosed,
    Slashed,
    StoremanJoined,
    Unbonding,
    VoucherAdmitted,
    VoucherJoined,
    VoucherRemoved,
    WeightChanged,
    Withdrawn,
)
from adapters.native.hub_events import (
    DepositAnnounced,
    DepositMinted,
    DepositReturned,
    FeesDistributed,
    Halted,
    MaxFeeRaised,
    PayoutReserved,
    PayoutSettled,
    PayoutVoided,
    ReleasePublished,
    Resumed,
    TokenDeployed,
    WithdrawalCancelled,
    WithdrawalRequested,
    WithdrawalRestored,
)
from adapters.native.position import Position
from adapters.native.proofs import Proof
from adapters.native.registry_events import (
    AssetPolicyChanged,
    AssetRegistered,
    ChainPolicyChanged,
    ChainRegistered,
    GroupActivated,
    GroupProposed,
    RegistrarSet,
    VaultRegistered,
)
from adapters.native.types import Announcement, Outpoint
from foundation.quantities import BlockHeight
from registry.assets import AssetPolicy

__all__ = [
    "AssetPolicyChanged",
    "AssetRegistered",
    "Bonded",
    "ChainPolicyChanged",
    "ChainRegistered",
    "CommissionChanged",
    "CompanionsBound",
    "DepositAnnounced",
    "DepositMinted",
    "DepositReturned",
    "EventBatch",
    "FeesClaimed",
    "FeesCredited",
    "FeesDistributed",
    "GroupActivated",
    "GroupProposed",
    "Halted",
    "InsurancePaid",
    "MaxFeeRaised",
    "NativeEvent",
    "PayoutReserved",
    "PayoutSettled",
    "PayoutVoided",
    "Position",
    "PositionClosed",
    "RegistrarSet",
    "ReleasePublished",
    "Resumed",
    "Slashed",
    "StoremanJoined",
    "TokenDeployed",
    "Unbonding",
    "VaultRegistered",
    "VoucherAdmitted",
    "VoucherJoined",
    "VoucherRemoved",
    "WeightChanged",
    "WithdrawalCancelled",
    "WithdrawalRequested",
    "WithdrawalRestored",
    "Withdrawn",
    "decode_event",
]

NativeEvent: TypeAlias = (
    ChainRegistered
    | VaultRegistered
    | AssetRegistered
    | AssetPolicyChanged
    | ChainPolicyChanged
    | RegistrarSet
    | GroupProposed
    | GroupActivated
    | VoucherAdmitted
    | VoucherJoined
    | VoucherRemoved
    | StoremanJoined
    | Bonded
    | PositionClosed
    | CommissionChanged
    | Unbonding
    | Withdrawn
    | FeesCredited
    | FeesClaimed
    | Slashed
    | InsurancePaid
    | CompanionsBound
    | WeightChanged
    | DepositAnnounced
    | TokenDeployed
    | DepositMinted
    | DepositReturned
    | WithdrawalRequested
    | WithdrawalCancelled
    | MaxFeeRaised
    | PayoutReserved
    | PayoutVoided
    | PayoutSettled
    | WithdrawalRestored
    | ReleasePublished
    | Halted
    | Resumed
    | FeesDistributed
)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """All events from block `first` to block `last`, both included, in order. Store `last` as the cursor."""

    first: BlockHeight
    last: BlockRef
    events: tuple[NativeEvent, ...]


def _policy_changed(at: Position, asset: bytes, policy: tuple[Any, ...]) -> AssetPolicyChanged:
    return AssetPolicyChanged(at, asset, AssetPolicy(*policy))


def _chain_policy_changed(at: Position, chain: bytes, is_open: bool, policy: tuple[Any, ...]) -> ChainPolicyChanged:
    return ChainPolicyChanged(at, chain, is_open, AssetPolicy(*policy))


def _minted(at: Position, *values: Any) -> DepositMinted:
    deposit, asset, recipient, amount, minted, fee, attesters, txid, vout, group = values
    return DepositMinted(at, deposit, asset, recipient, amount, minted, txid, vout, group, fee, attesters)


def _announced(at: Position, announcement: bytes, *terms: Any) -> DepositAnnounced:
    return DepositAnnounced(at, announcement, Announcement(*terms))


def _reserved(
    at: Position,
    payout: bytes,
    group: bytes,
    asset: bytes,
    version: int,
    withdrawals: tuple[bytes, ...],
    inputs: tuple[tuple[bytes, int], ...],
    signers: int,
) -> PayoutReserved:
    outpoints = tuple(Outpoint(*outpoint) for outpoint in inputs)
    return PayoutReserved(at, payout, group, asset, version, withdrawals, outpoints, signers)


def _released(at: Position, payout: bytes, epoch: int, *proof: bytes) -> ReleasePublished:
    return ReleasePublished(at, payout, epoch, Proof(*proof))


_EVENTS: Final[tuple[tuple[Event, Callable[..., NativeEvent]], ...]] = (
    (Registry.ChainRegistered, ChainRegistered),
    (Registry.VaultRegistered, VaultRegistered),
    (Registry.AssetRegistered, AssetRegistered),
    (Registry.AssetPolicyChanged, _policy_changed),
    (Registry.ChainPolicyChanged, _chain_policy_changed),
    (Registry.RegistrarSet, RegistrarSet),
    (Registry.GroupProposed, GroupProposed),
    (Registry.GroupActivated, GroupActivated),
    (Bonds.VoucherAdmitted, VoucherAdmitted),
    (Bonds.VoucherJoined, VoucherJoined),
    (Bonds.VoucherRemoved, VoucherRemoved),
    (Bonds.StoremanJoined, StoremanJoined),
    (Bonds.Bonded, Bonded),
    (Bonds.PositionClosed, PositionClosed),
    (Bonds.CommissionChanged, CommissionChanged),
    (Bonds.Unbonding, Unbonding),
    (Bonds.Withdrawn, Withdrawn),
    (Bonds.FeesCredited, FeesCredited),
    (Bonds.FeesClaimed, FeesClaimed),
    (Bonds.Slashed, Slashed),
    (Bonds.InsurancePaid, InsurancePaid),
    (Bonds.CompanionsBound, CompanionsBound),
    (Bonds.WeightChanged, WeightChanged),
    (Hub.DepositAnnounced, _announced),
    (Hub.TokenDeployed, TokenDeployed),
    (Hub.DepositMinted, _minted),
    (Hub.DepositReturned, DepositReturned),
    (Hub.WithdrawalRequested, WithdrawalRequested),
    (Hub.WithdrawalCancelled, WithdrawalCancelled),
    (Hub.MaxFeeRaised, MaxFeeRaised),
    (Hub.PayoutReserved, _reserved),
    (Hub.PayoutVoided, PayoutVoided),
    (Hub.PayoutSettled, PayoutSettled),
    (Hub.WithdrawalRestored, WithdrawalRestored),
    (Hub.ReleasePublished, _released),
    (Hub.Halted, Halted),
    (Hub.Resumed, Resumed),
    (Hub.FeesDistributed, FeesDistributed),
)
_BY_CONTRACT: Final = {(event.contract, event.topic): (event, make) for event, make in _EVENTS}


def decode_event(contract: str, log: Log) -> NativeEvent | None:
    """The event that a log of `contract` (Registry, Bonds or Hub) holds; None for one that we do not use.

    Raises:
        BadAnswer: the log has not the form of its event.
    """
    found = _BY_CONTRACT.get((contract, log.topics[0] if log.topics else b""))
    if found is None:
        return None
    event, make = found
    return make(Position(log.block, log.index, log.transaction), *event.decode(log))
