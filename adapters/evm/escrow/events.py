"""An Escrow's events, typed. Accounts and assets: 20 bytes; amounts: base units; `at`: where the event stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from adapters.evm.abi import Event
from adapters.evm.errors import BadAnswer
from adapters.evm.escrow.bindings import Escrow
from adapters.evm.escrow.types import PointTerms, Terms
from adapters.evm.lockbox.types import Position
from adapters.evm.types import Batch, Log


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock was made: exactly `terms.amount` arrived."""

    at: Position
    terms: Terms


@dataclass(frozen=True, slots=True)
class PointLocked:
    """A point lock was made: exactly `terms.amount` arrived."""

    at: Position
    terms: PointTerms


@dataclass(frozen=True, slots=True)
class Memo:
    """What the payer told beside its lock `id`, in the same transaction."""

    at: Position
    id: bytes
    payer: bytes
    memo: bytes


@dataclass(frozen=True, slots=True)
class Claimed:
    """A lock ended by its preimage (32 bytes): the beneficiary was paid, or is owed."""

    at: Position
    id: bytes
    payer: bytes
    beneficiary: bytes
    preimage: bytes


@dataclass(frozen=True, slots=True)
class PointClaimed:
    """A point lock ended by its scalar (32 bytes, big-endian): the beneficiary was paid, or is owed."""

    at: Position
    id: bytes
    payer: bytes
    beneficiary: bytes
    scalar: bytes


@dataclass(frozen=True, slots=True)
class Returned:
    """The money of a lock of either kind went back. `is_early`: by the beneficiary's word, not by the time-out."""

    at: Position
    id: bytes
    payer: bytes
    beneficiary: bytes
    is_early: bool


@dataclass(frozen=True, slots=True)
class Owed:
    """A beneficiary or its token refused a claim: `amount` waits to be withdrawn."""

    at: Position
    owner: bytes
    asset: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What was owed to `owner` went to the address `to`."""

    at: Position
    owner: bytes
    asset: bytes
    to: bytes
    amount: int


EscrowEvent: TypeAlias = Locked | PointLocked | Memo | Claimed | PointClaimed | Returned | Owed | Withdrawn


EscrowBatch: TypeAlias = Batch[EscrowEvent]


def _locked(at: Position, *values: Any) -> Locked:
    return Locked(at, Terms(*values))


def _point_locked(at: Position, *values: Any) -> PointLocked:
    return PointLocked(at, PointTerms(*values))


def _point_claimed(at: Position, lock_id: bytes, payer: bytes, beneficiary: bytes, scalar: int) -> PointClaimed:
    return PointClaimed(at, lock_id, payer, beneficiary, scalar.to_bytes(32, "big"))


_EVENTS: Final[tuple[tuple[Event, Callable[..., EscrowEvent]], ...]] = (
    (Escrow.Locked, _locked),
    (Escrow.PointLocked, _point_locked),
    (Escrow.Memo, Memo),
    (Escrow.Claimed, Claimed),
    (Escrow.PointClaimed, _point_claimed),
    (Escrow.Returned, Returned),
    (Escrow.Owed, Owed),
    (Escrow.Withdrawn, Withdrawn),
)
_BY_TOPIC: Final = {event.topic: (event, make) for event, make in _EVENTS}


def decode_event(log: Log) -> EscrowEvent | None:
    """The event in a log that an Escrow emitted; None for a lock whose time-out is beyond all times.

    Anybody can make such a lock, so it must stop nobody's reading; nobody of ours takes part in it.

    Raises:
        BadAnswer: it is none of its events, or has not that event's form: another contract is at the address.
    """
    found = _BY_TOPIC.get(log.topics[0] if log.topics else b"")
    if found is None:
        raise BadAnswer("eth_getLogs", "Escrow", f"unknown event in block {log.block.number}, log {log.index}")
    event, make = found
    values: tuple[Any, ...] = event.decode(log)
    if event in (Escrow.Locked, Escrow.PointLocked) and values[-1] >= 1 << 63:
        return None
    return make(Position(log.block, log.transaction, log.index), *values)
