"""A Lockbox's events, typed. Accounts and assets: 20 bytes; amounts: base units; `at`: where the event stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from adapters.evm.abi import Event
from adapters.evm.errors import BadAnswer
from adapters.evm.lockbox.bindings import Lockbox
from adapters.evm.lockbox.types import Position
from adapters.evm.types import Batch, Log
from foundation.quantities import TokenUnits


@dataclass(frozen=True, slots=True)
class Locked:
    """`amount` of an asset arrived for `recipient` on the native chain. `number` counts the Lockbox's locks from 1."""

    at: Position
    id: bytes  # 32 bytes: `registry.ids.lock_id`
    asset: bytes
    sender: bytes
    number: int
    amount: TokenUnits
    recipient: bytes


@dataclass(frozen=True, slots=True)
class Released:
    """A payment was made: `amount` to the payee, `fee` to whoever carried it."""

    at: Position
    number: int
    asset: bytes
    payee: bytes
    amount: TokenUnits
    fee: TokenUnits


@dataclass(frozen=True, slots=True)
class PaymentFailed:
    """The payee, or its token, refused: the payment waits to be claimed. The carrier got its fee."""

    at: Position
    number: int
    asset: bytes
    payee: bytes
    amount: TokenUnits
    fee: TokenUnits


@dataclass(frozen=True, slots=True)
class PaymentClaimed:
    """The payee of a failed payment took it to the address `to`."""

    at: Position
    number: int
    to: bytes
    amount: TokenUnits


@dataclass(frozen=True, slots=True)
class PaymentCancelled:
    """This number will never pay. `amount`: what a failed payment had set aside; 0 where nothing was tried before."""

    at: Position
    number: int
    amount: TokenUnits


@dataclass(frozen=True, slots=True)
class PaymentDelayed:
    """A release passed the payment over, because of a limit or a denied asset: it can be tried again."""

    at: Position
    number: int


@dataclass(frozen=True, slots=True)
class FeeOwed:
    """A carrier would not take its fee: it waits to be claimed."""

    at: Position
    carrier: bytes
    asset: bytes
    amount: TokenUnits


@dataclass(frozen=True, slots=True)
class FeeClaimed:
    """A carrier took the fees that it was owed to the address `to`."""

    at: Position
    carrier: bytes
    asset: bytes
    to: bytes
    amount: TokenUnits


@dataclass(frozen=True, slots=True)
class AssetConfigured:
    """The group set an asset's limits of a window (0: none), or denied it. `nonce` counts from 1."""

    at: Position
    asset: bytes
    deposit_limit: TokenUnits
    withdrawal_limit: TokenUnits
    denied: bool
    nonce: int


@dataclass(frozen=True, slots=True)
class KeyRotated:
    """From here on the Lockbox obeys `key` (x-only, 32 bytes), whose epoch is `epoch`."""

    at: Position
    epoch: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Paused:
    """The guardian stopped locks and releases until that second since 1970."""

    at: Position
    until: int


@dataclass(frozen=True, slots=True)
class Unpaused:
    """The group ended a pause."""

    at: Position


LockboxEvent: TypeAlias = (
    Locked
    | Released
    | PaymentFailed
    | PaymentClaimed
    | PaymentCancelled
    | PaymentDelayed
    | FeeOwed
    | FeeClaimed
    | AssetConfigured
    | KeyRotated
    | Paused
    | Unpaused
)


LockboxBatch: TypeAlias = Batch[LockboxEvent]


_EVENTS: Final[tuple[tuple[Event, Callable[..., LockboxEvent]], ...]] = (
    (Lockbox.Locked, Locked),
    (Lockbox.Released, Released),
    (Lockbox.PaymentFailed, PaymentFailed),
    (Lockbox.PaymentClaimed, PaymentClaimed),
    (Lockbox.PaymentCancelled, PaymentCancelled),
    (Lockbox.PaymentDelayed, PaymentDelayed),
    (Lockbox.FeeOwed, FeeOwed),
    (Lockbox.FeeClaimed, FeeClaimed),
    (Lockbox.AssetConfigured, AssetConfigured),
    (Lockbox.KeyRotated, KeyRotated),
    (Lockbox.Paused, Paused),
    (Lockbox.Unpaused, Unpaused),
)
_BY_TOPIC: Final = {event.topic: (event, make) for event, make in _EVENTS}


def decode_event(log: Log) -> LockboxEvent:
    """The event in a log that a Lockbox emitted.

    Raises:
        BadAnswer: it is none of its events, or has not that event's form: another contract is at the address.
    """
    found = _BY_TOPIC.get(log.topics[0] if log.topics else b"")
    if found is None:
        raise BadAnswer("eth_getLogs", "Lockbox", f"unknown event in block {log.block.number}, log {log.index}")
    event, make = found
    values: tuple[Any, ...] = event.decode(log)
    return make(Position(log.block, log.transaction, log.index), *values)
