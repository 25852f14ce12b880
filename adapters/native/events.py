"""The contracts' events, typed. Ids, txids and asset ids are 32 bytes, accounts 20; amounts in base units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from adapters.evm.abi import Event
from adapters.evm.types import BlockRef, Log
from adapters.native.bindings import Bonds, Hub, Registry
from adapters.native.types import Announcement, Outpoint
from foundation.quantities import BlockHeight, TokenUnits, Wei
from registry.assets import AssetPolicy


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where an event stands. Fields: block; index (of the log in its block); transaction (hash, 32 bytes)."""

    block: BlockRef
    index: int
    transaction: bytes


@dataclass(frozen=True, slots=True)
class ChainRegistered:
    """The owner named a chain. `genesis` in the chain's own wire byte order."""

    at: Position
    id: bytes
    caip2: str
    genesis: bytes


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
class VoucherAdmitted:
    """The owner lets an account join the vouchers."""

    at: Position
    account: bytes


@dataclass(frozen=True, slots=True)
class VoucherJoined:
    """A voucher bonded its stake."""

    at: Position
    account: bytes
    host_key: bytes
    transport_key: bytes
    endpoint: str
    stake: Wei


@dataclass(frozen=True, slots=True)
class WeightChanged:
    """A voucher's weight, and with it the total, is another one."""

    at: Position
    account: bytes
    weight: Wei
    total: Wei


@dataclass(frozen=True, slots=True)
class DepositAnnounced:
    """Somebody published the terms of a deposit address. Nothing is checked: terms may be nonsense, or repeated."""

    at: Position
    id: bytes
    terms: Announcement


@dataclass(frozen=True, slots=True)
class TokenDeployed:
    """An asset has its mapping token, from its first mint on."""

    at: Position
    asset: bytes
    token: bytes


@dataclass(frozen=True, slots=True)
class DepositMinted:
    """A deposit of `amount` became `minted` units of the mapping token."""

    at: Position
    id: bytes
    asset: bytes
    recipient: bytes
    amount: TokenUnits
    minted: TokenUnits
    txid: bytes
    vout: int
    group: bytes


@dataclass(frozen=True, slots=True)
class DepositReturned:
    """A deposit can never be minted; its storemen send it back."""

    at: Position
    id: bytes
    asset: bytes
    txid: bytes
    vout: int
    amount: TokenUnits
    group: bytes
    reason: int


@dataclass(frozen=True, slots=True)
class WithdrawalRequested:
    """Tokens are locked for a withdrawal to the scriptPubKey `destination`."""

    at: Position
    id: bytes
    asset: bytes
    owner: bytes
    amount: TokenUnits
    max_fee: TokenUnits
    destination: bytes


@dataclass(frozen=True, slots=True)
class WithdrawalCancelled:
    """The owner took a withdrawal back before it was reserved."""

    at: Position
    id: bytes


@dataclass(frozen=True, slots=True)
class MaxFeeRaised:
    """The owner lets a withdrawal bear more of the miner fee."""

    at: Position
    id: bytes
    max_fee: TokenUnits


@dataclass(frozen=True, slots=True)
class PayoutReserved:
    """Storemen bound coins to withdrawals; version 1 is the first, each replacement counts one more."""

    at: Position
    id: bytes
    group: bytes
    asset: bytes
    version: int
    withdrawals: tuple[bytes, ...]
    inputs: tuple[Outpoint, ...]


@dataclass(frozen=True, slots=True)
class PayoutVoided:
    """The payout can never be made: a stranger's transaction spent its anchor. Its withdrawals are requested again."""

    at: Position
    id: bytes
    spender: bytes


@dataclass(frozen=True, slots=True)
class PayoutSettled:
    """The payout is final on its chain, and the tokens are burnt. `fee` in the origin asset's base units."""

    at: Position
    id: bytes
    txid: bytes
    fee: TokenUnits
    burnt: TokenUnits


NativeEvent: TypeAlias = (
    ChainRegistered
    | AssetRegistered
    | AssetPolicyChanged
    | GroupProposed
    | GroupActivated
    | VoucherAdmitted
    | VoucherJoined
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
)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """All events from block `first` to block `last`, both included, in order. Store `last` as the cursor."""

    first: BlockHeight
    last: BlockRef
    events: tuple[NativeEvent, ...]


def _policy_changed(at: Position, asset: bytes, *policy: Any) -> AssetPolicyChanged:
    return AssetPolicyChanged(at, asset, AssetPolicy(*policy))


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
) -> PayoutReserved:
    outpoints = tuple(Outpoint(*outpoint) for outpoint in inputs)
    return PayoutReserved(at, payout, group, asset, version, withdrawals, outpoints)


_EVENTS: Final[tuple[tuple[Event, Callable[..., NativeEvent]], ...]] = (
    (Registry.ChainRegistered, ChainRegistered),
    (Registry.AssetRegistered, AssetRegistered),
    (Registry.AssetPolicyChanged, _policy_changed),
    (Registry.GroupProposed, GroupProposed),
    (Registry.GroupActivated, GroupActivated),
    (Bonds.VoucherAdmitted, VoucherAdmitted),
    (Bonds.VoucherJoined, VoucherJoined),
    (Bonds.WeightChanged, WeightChanged),
    (Hub.DepositAnnounced, _announced),
    (Hub.TokenDeployed, TokenDeployed),
    (Hub.DepositMinted, DepositMinted),
    (Hub.DepositReturned, DepositReturned),
    (Hub.WithdrawalRequested, WithdrawalRequested),
    (Hub.WithdrawalCancelled, WithdrawalCancelled),
    (Hub.MaxFeeRaised, MaxFeeRaised),
    (Hub.PayoutReserved, _reserved),
    (Hub.PayoutVoided, PayoutVoided),
    (Hub.PayoutSettled, PayoutSettled),
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
