"""What balances are made of: the terms of an account, this process's position in it, and one write of many packets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.quantities import Asset, Condition

UNBOUNDED: Final = 10**50
"""Stands for no floor (negative) and no ceiling: more than any number of packets of 2^64−1 can reach."""


@dataclass(frozen=True, slots=True)
class Terms:
    """An account whose balance is kept.

    Fields: id; asset; floor (the balance never falls below it by a packet; None: no floor); ceiling (nor rises above
    it); in_flight_max (what it may be owed at most for packets under way: the bound of what a crash can cost).
    """

    id: str
    asset: Asset
    floor: int | None = None
    ceiling: int | None = None
    in_flight_max: int | None = None

    def __post_init__(self) -> None:
        if self.floor is not None and self.ceiling is not None and self.floor > self.ceiling:
            raise BadInput(f"accounts.{self.id}.floor", f"{self.floor} is above the ceiling {self.ceiling}")


def own_account(asset: Asset) -> Terms:
    """Our own position in an asset: what packets have left with us, negative for what we have spent.

    In each asset the balances of all accounts, our own and the ledger's add up to zero after every write.
    """
    return Terms(f"own:{asset.code}.{asset.scale}", asset)


def ledger_account(asset: Asset) -> Terms:
    """The other side of settlements: it falls by what holders have paid us, and rises by what we have paid them."""
    return Terms(f"ledger:{asset.code}.{asset.scale}", asset)


class Position:
    """One account in this process: what the process has moved, and what it may still move without asking anybody.

    `delta` is the sum of all that it has moved, also what is not written yet; `debits` and `credits` are held for
    packets in flight. A packet is taken only if `lowest ≤ delta − debits` and `delta + credits ≤ highest` hold with it,
    so the bounds hold whichever of the packets in flight are fulfilled.
    """

    __slots__ = (
        "credits",
        "debits",
        "delta",
        "elsewhere",
        "highest",
        "in_flight_max",
        "is_dirty",
        "lowest",
        "own",
        "terms",
    )

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.delta = 0
        self.debits = 0
        self.credits = 0
        self.lowest = 0
        self.highest = 0
        self.elsewhere = 0
        """Base and what the other processes had moved, when last read."""
        self.in_flight_max = UNBOUNDED if terms.in_flight_max is None else terms.in_flight_max
        self.is_dirty = False
        self.own: Position = self
        """Our own position in the same asset."""

    @property
    def balance(self) -> int:
        """The balance as far as this process knows it: exact where it is alone."""
        return self.elsewhere + self.delta

    def hold_debit(self, amount: int) -> bool:
        """Set `amount` aside, to be taken if the packet is fulfilled; False where the account has too little."""
        if self.delta - self.debits - amount < self.lowest:
            return False
        self.debits += amount
        return True

    def hold_credit(self, amount: int) -> bool:
        """Keep room for `amount`, to be given if the packet is fulfilled; False where that would be too much."""
        owed = self.credits + amount
        if self.delta + owed > self.highest or owed > self.in_flight_max:
            return False
        self.credits = owed
        return True


@dataclass(frozen=True, slots=True)
class Flight:
    """A packet under way, as it is written down before it is sent, where the operator wants that.

    Fields: number (unique in this process); debtor, taken (account and base units that a fulfilment takes);
    creditor, given (the same that it gives); condition; expires_at (the next hop's).
    """

    number: int
    debtor: str
    taken: int
    creditor: str
    given: int
    condition: Condition
    expires_at: UnixMs


class IncidentKind(StrEnum):
    """What an operator must know of."""

    UNPAID = "unpaid"  # the next hop was credited, and the sender could no longer be told in time: our loss
    LATE = "late"  # the next hop fulfilled after its expiry and the grace: not credited (RFC 27), it may complain
    UNSETTLED = "unsettled"  # a process died with this packet under way (by the journal): it may have been fulfilled


@dataclass(frozen=True, slots=True)
class Incident:
    """Fields: kind; account (the next hop's); amount (its base units); condition; at."""

    kind: IncidentKind
    account: str
    amount: int
    condition: Condition
    at: UnixMs


class Direction(StrEnum):
    """Which way a settlement moves money."""

    OUT = "out"  # we pay the holder: the balance falls
    IN = "in"  # the holder pays us: it rises


@dataclass(frozen=True, slots=True)
class Settlement:
    """Fields: key (1 to 128 characters); account; amount (base units, above 0); direction; keep (see
    `SettlementBalances.settle_out`); is_undoing (takes back what was settled under the key).
    """

    key: str
    account: str
    amount: int
    direction: Direction
    keep: int = 0
    is_undoing: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.key) <= 128:
            raise BadInput("key", f"{len(self.key)} characters", "1 to 128")
        if self.amount <= 0:
            raise BadInput("amount", f"{self.amount} is nothing to settle", "above 0")

    @property
    def change(self) -> int:
        """What it adds to the account's balance."""
        raises = (self.direction is Direction.IN) is not self.is_undoing
        return self.amount if raises else -self.amount


class Waiting(Protocol):
    """Somebody who must not be told before the write has taken effect."""

    def written(self) -> None:
        """It has. Never raises."""


@dataclass(slots=True)
class Batch:
    """One write: all that happened since the last one.

    Fields: deltas (each changed account with this process's delta, absolute, so that a repeat changes nothing);
    positions (the same, for putting them back); waiting; opened, closed (flights); incidents.
    """

    deltas: list[tuple[str, int]]
    positions: list[Position]
    waiting: list[Waiting]
    opened: list[Flight]
    closed: list[int]
    incidents: list[Incident]


class Durability(StrEnum):
    """What a committed balance survives."""

    PROCESS = "process"  # the end of the process, however sudden
    POWER = "power"  # the end of the machine too: each commit waits for the disk
