"""Accounts: what is agreed with each peer, and how the account stands in this process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.connector.balances.model import UNBOUNDED, Position, Terms
from settlement.connector.conversion import Conversion
from settlement.connector.limits import TokenBucket
from settlement.connector.routing.routes import Relation
from settlement.ilp.addresses import Address, child_of
from settlement.ilp.link import Link, LinkDown, Reply
from settlement.quantities import Asset


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """What is agreed with the holder of an account. Amounts are base units of its asset; None is no limit.

    Balances and their limits are of all connector processes together; what is counted a second is of each process.

    Fields: id (1 to 64 of letters, digits, `_`, `~` and `-`: a child's address ends in it); asset; relation; floor (the
    balance never falls below it: minus our credit to the holder); ceiling (nor rises above it: what we owe at most);
    max_packet; in_flight_max (what may be under way to the holder); packets_per_second and burst (what is let through
    from the holder); bandwidth_in, bandwidth_out (base units a second from and to the holder); settle_threshold (we
    settle when we owe that much) and settle_to (down to that); fee (what we keep of each packet that the holder sends).
    """

    id: str
    asset: Asset
    relation: Relation
    floor: int | None = 0
    ceiling: int | None = None
    max_packet: int | None = None
    in_flight_max: int | None = None
    packets_per_second: int | None = None
    burst: int | None = None
    bandwidth_in: int | None = None
    bandwidth_out: int | None = None
    settle_threshold: int | None = None
    settle_to: int = 0
    fee: int = 0

    def __post_init__(self) -> None:
        if self.settle_threshold is not None and self.settle_to >= self.settle_threshold:
            where = f"accounts.{self.id}.settle_to"
            raise BadInput(where, "not below settle_threshold", "0 settles all that is owed")

    @property
    def terms(self) -> Terms:
        """What its balance must keep to."""
        return Terms(self.id, self.asset, self.floor, self.ceiling, self.in_flight_max)

    def address(self, ours: Address) -> Address | None:
        """The address of a child's packets; None where the account is no child's."""
        return child_of(ours, self.id) if self.relation is Relation.CHILD else None


class NoLink:
    """Stands where no transport has reached the peer yet."""

    def __init__(self, account: str) -> None:
        self._account = account

    def send(self, prepare: bytes, reply: Reply) -> None:
        """Raises `LinkDown`."""
        raise LinkDown(self._account, "there is no connection yet")

    @property
    def is_up(self) -> bool:
        """Never."""
        return False


class Receiving(Protocol):
    """`settlement.connector.ports.Receiver`."""

    def __call__(self, prepare: bytes, reply: Reply) -> None:
        """Take a packet."""


class ReceiverLink:
    """The link to a receiver in this process."""

    def __init__(self, receiver: Receiving) -> None:
        self._receiver = receiver

    def send(self, prepare: bytes, reply: Reply) -> None:
        """Hand the packet over."""
        self._receiver(prepare, reply)

    @property
    def is_up(self) -> bool:
        """Always."""
        return True


class Account:
    """An account as the pipeline sees it: limits unpacked, counters beside. Of this process only."""

    __slots__ = (
        "bandwidth_in",
        "bandwidth_out",
        "bucket",
        "config",
        "conversions",
        "fulfilled",
        "id",
        "link",
        "max_packet",
        "position",
        "received",
        "refused",
        "rejected",
        "relation",
        "volume_in",
        "volume_out",
    )

    def __init__(self, config: AccountConfig, position: Position, now: UnixMs, link: Link | None = None) -> None:
        self.config = config
        self.id = config.id
        self.relation = config.relation
        self.position = position
        self.link: Link = link or NoLink(config.id)
        self.max_packet = UNBOUNDED if config.max_packet is None else config.max_packet
        rate = config.packets_per_second
        self.bucket = None if rate is None else TokenBucket(rate, config.burst or rate, now)
        self.bandwidth_in = _bandwidth(config.bandwidth_in, now)
        self.bandwidth_out = _bandwidth(config.bandwidth_out, now)
        self.conversions: dict[str, Conversion] = {}
        """To other accounts, by their id; emptied when a rate changes."""
        self.received = 0
        """Prepares that came from the holder."""
        self.fulfilled = 0
        """Those of them that were fulfilled."""
        self.refused: Counter[str] = Counter()
        """Those that we refused, by code."""
        self.rejected: Counter[str] = Counter()
        """Those that a later hop rejected, by code."""
        self.volume_in = 0
        """Base units that the holder has paid by packets."""
        self.volume_out = 0
        """Base units that the holder was paid by packets."""


def _bandwidth(units: int | None, now: UnixMs) -> TokenBucket | None:
    return None if units is None else TokenBucket(units, units, now)
