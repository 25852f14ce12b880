"""A Channels contract's events, typed. Channels, conditions and preimages: 32 bytes; `at`: where the event stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from adapters.evm.abi import Event
from adapters.evm.channels.bindings import Channels
from adapters.evm.channels.types import Sheet, Terms, read_sheet
from adapters.evm.errors import BadAnswer
from adapters.evm.lockbox.types import Position
from adapters.evm.types import Log


@dataclass(frozen=True, slots=True)
class Opened:
    """A opened a channel; its deposit arrived. Where B deposits nothing the channel is open."""

    at: Position
    channel: bytes
    terms: Terms


@dataclass(frozen=True, slots=True)
class Joined:
    """B's deposit arrived: the channel is open."""

    at: Position
    channel: bytes


@dataclass(frozen=True, slots=True)
class Closing:
    """A bank closed, or answered, with a sheet. Fields: by (the account); held (what it showed, or empty); ends_at."""

    at: Position
    channel: bytes
    by: bytes
    sheet: Sheet
    signature_a: bytes
    signature_b: bytes
    held: bytes
    ends_at: int


@dataclass(frozen=True, slots=True)
class Revealed:
    """A preimage was shown for the first time."""

    at: Position
    condition: bytes
    preimage: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """A channel ended; both banks are owed what it gave them, in base units."""

    at: Position
    channel: bytes
    sequence: int
    paid_a: int
    paid_b: int


@dataclass(frozen=True, slots=True)
class Collected:
    """An account was sent all that it was owed of an asset."""

    at: Position
    account: bytes
    asset: bytes
    amount: int


ChannelsEvent: TypeAlias = Opened | Joined | Closing | Revealed | Closed | Collected


def _opened(at: Position, channel: bytes, _a: bytes, _b: bytes, terms: tuple[Any, ...]) -> Opened:
    return Opened(at, channel, Terms(*terms))


def _closing(at: Position, channel: bytes, by: bytes, sheet: tuple[Any, ...], *rest: Any) -> Closing:
    return Closing(at, channel, by, read_sheet(sheet), *rest)


_EVENTS: Final[tuple[tuple[Event, Callable[..., ChannelsEvent]], ...]] = (
    (Channels.Opened, _opened),
    (Channels.Joined, Joined),
    (Channels.Closing, _closing),
    (Channels.Revealed, Revealed),
    (Channels.Closed, Closed),
    (Channels.Collected, Collected),
)
_BY_TOPIC: Final = {event.topic: (event, make) for event, make in _EVENTS}


def decode_event(log: Log) -> ChannelsEvent:
    """The event in a log that a Channels contract emitted.

    Raises:
        BadAnswer: it is none of its events, or has not that event's form: another contract is at the address.
    """
    found = _BY_TOPIC.get(log.topics[0] if log.topics else b"")
    if found is None:
        raise BadAnswer("eth_getLogs", "Channels", f"unknown event in block {log.block.number}, log {log.index}")
    event, make = found
    values: tuple[Any, ...] = event.decode(log)
    return make(Position(log.block, log.transaction, log.index), *values)
