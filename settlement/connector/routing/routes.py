"""Routes, and what an operator lets each peer announce and learn.

Source: the connector-to-connector protocol (CCP) as `ilp-connector` 23 and `ilp-protocol-ccp` 1.2 speak it; relations
between accounts as in Gao and Rexford, "Stable Internet Routing Without Global Coordination" (2001).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from foundation.errors import BadInput
from settlement.ilp.addresses import parse_address, parse_prefix, scheme_of

AUTH_BYTES = 32
LOCAL = ""
"""The next hop of our own address, and the account of routes that begin here."""


class Relation(StrEnum):
    """What an account is to us."""

    PARENT = "parent"
    PEER = "peer"
    CHILD = "child"
    LOCAL = "local"

    @property
    def rank(self) -> int:
        """Whose route is preferred: ours, then a child's (who pays us), a peer's, a parent's (whom we pay)."""
        return _RANKS[self]


_RANKS = {Relation.PARENT: 0, Relation.PEER: 1, Relation.CHILD: 2, Relation.LOCAL: 3}


@dataclass(frozen=True, slots=True)
class Route:
    """One way to reach the addresses at and below a prefix.

    Fields: prefix (an ILP address); next_hop (account id, `LOCAL` for ourselves); path (addresses of the connectors
    from the next one to the origin); auth (32 bytes, from which only the origin can tell that it announced the route).
    """

    prefix: str
    next_hop: str
    path: tuple[str, ...] = ()
    auth: bytes = bytes(AUTH_BYTES)


@dataclass(frozen=True, slots=True)
class PeerRules:
    """What one account may announce and learn.

    Fields: account; relation; address (of a child: it may announce nothing outside); sends, receives (whether we
    announce to it and listen to it); allowed (prefixes at or below which it may announce, empty for all), denied (the
    same, taken out again); routes_max (more are not taken); is_transit (it also learns what peers and parents announce
    to us, so that we carry their packets for it: by default only children do).
    """

    account: str
    relation: Relation
    address: str = ""
    sends: bool = True
    receives: bool = True
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    routes_max: int = 1_000
    is_transit: bool = False

    def __post_init__(self) -> None:
        """Raises `BadInput` naming the field."""
        if self.relation is Relation.LOCAL or not self.account:
            raise BadInput("peers.account", f"{self.account!r} cannot be a peer", "parent, peer or child")
        if self.relation is Relation.CHILD and not self.address:
            raise BadInput(f"peers.{self.account}.address", "a child has an address below ours", "give it one")
        for prefix in (*self.allowed, *self.denied):
            parse_prefix(prefix, f"peers.{self.account}.prefixes")
        if self.routes_max < 0:
            raise BadInput(f"peers.{self.account}.routes_max", f"{self.routes_max} is negative", "0 for none")


@dataclass(frozen=True, slots=True)
class Timing:
    """When routes are told and for how long they hold, in milliseconds.

    Fields: heartbeat_ms (between two updates without news); pause_ms (the least between two updates); hold_down_ms (how
    long a peer may go on using what we announced, unless it hears from us again); hold_down_ms_max (how long we go on
    at most, whatever a peer asks); control_ms (between two requests for routes that were not followed by any).
    """

    heartbeat_ms: int = 30_000
    pause_ms: int = 150
    hold_down_ms: int = 45_000
    hold_down_ms_max: int = 300_000
    control_ms: int = 30_000

    def __post_init__(self) -> None:
        """Raises `BadInput`."""
        if not 0 < self.pause_ms <= self.heartbeat_ms < self.hold_down_ms <= self.hold_down_ms_max < 1 << 32:
            raise BadInput(
                "routing.timing", "pause, heartbeat, hold-down and its maximum do not rise", "keep the defaults"
            )
        if self.control_ms <= 0:
            raise BadInput("routing.timing.control_ms", "must be above 0", "keep the default")


@dataclass(frozen=True, slots=True)
class RoutingConfig:
    """One connector's routing.

    Fields: address (our own); peers; static (prefix to account id; wins over what is announced, and nobody but that
    account may announce more precise prefixes below it); default_account (where all else goes: the parent);
    secret (32 bytes, makes the auth of routes that begin here); timing.
    """

    address: str
    peers: tuple[PeerRules, ...] = ()
    static: tuple[tuple[str, str], ...] = ()
    default_account: str | None = None
    secret: bytes = field(default=bytes(32), repr=False)
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        """Raises `BadInput` naming the field."""
        parse_address(self.address)
        accounts = [peer.account for peer in self.peers]
        if len(set(accounts)) != len(accounts):
            raise BadInput("routing.peers", "an account is named twice", "name each once")
        for prefix, _ in self.static:
            parse_prefix(prefix, "routing.static")
        if len({prefix for prefix, _ in self.static}) != len(self.static):
            raise BadInput("routing.static", "a prefix is named twice", "name each once")
        if len(self.secret) != 32:
            raise BadInput("routing.secret", f"{len(self.secret)} bytes", "32 random bytes")

    @property
    def global_prefix(self) -> str:
        """The allocation scheme of our address, such as `g`: only routes strictly below it are announced."""
        return scheme_of(self.address)
