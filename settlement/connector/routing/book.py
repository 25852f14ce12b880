"""All routes that we know, which of them is best, and what we announce of them.

Deterministic and without I/O: the same calls give the same table.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from settlement.connector.routing.ccp import Unfit
from settlement.connector.routing.ccp_codec import EPOCH_MAX, Announced, encode_route
from settlement.connector.routing.routes import LOCAL, Relation, Route, RoutingConfig
from settlement.connector.routing.table import RoutingTable
from settlement.ilp.addresses import covers, is_address
from settlement.ilp.oer import var_octets

_PATH_BYTES_MAX = 8_192
"""Of a path that is taken: with our own address it still fits into one packet, whatever else the route says. One that
did not would stop the announcements behind it for ever.
"""
_WITHDRAWN_MAX = 10_000
"""Withdrawn prefixes remembered for peers that have not heard of it; beyond, the table gets a new id instead."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """The last word on a prefix. Fields: prefix; route (None: withdrawn); epoch (when it was said)."""

    prefix: str
    route: Route | None
    epoch: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """What to tell one peer. Fields: announced; withdrawn; to_epoch (what it knows then)."""

    announced: tuple[Announced, ...]
    withdrawn: tuple[str, ...]
    to_epoch: int


class Announcements:
    """What we announce, as a log in which each prefix stands once, at its last change."""

    def __init__(self, new_id: Callable[[], bytes]) -> None:
        self._new_id = new_id
        self._log: dict[str, Announcement] = {}
        self._withdrawn = 0
        self.table_id = new_id()
        self.epoch = 0

    @property
    def routes(self) -> dict[str, Route]:
        """What is announced now."""
        return {prefix: said.route for prefix, said in self._log.items() if said.route is not None}

    def put(self, prefix: str, route: Route | None) -> None:
        """Announce a route, or withdraw the one that there was."""
        said = self._log.get(prefix)
        if (said.route if said else None) == route:
            return
        self._withdrawn += (route is None) - (said is not None and said.route is None)
        self._log.pop(prefix, None)  # to the end: the log stays in the order of epochs
        self._log[prefix] = Announcement(prefix, route, self.epoch)
        self.epoch += 1
        if self._withdrawn > _WITHDRAWN_MAX or self.epoch == EPOCH_MAX:
            self._begin_again()

    def since(self, epoch: int, is_for: Callable[[Route], bool], room: int) -> Stretch:
        """The changes from `epoch` on that fit into `room` bytes. Routes that are not for the peer are withdrawn."""
        announced: list[Announced] = []
        withdrawn: list[str] = []
        for said in self._log.values():
            if said.epoch < epoch:
                continue
            route = said.route
            if route is not None and is_for(route):
                told = Announced(said.prefix, route.path, route.auth)
                room -= len(encode_route(told))
                if room < 0:
                    return Stretch(tuple(announced), tuple(withdrawn), said.epoch)
                announced.append(told)
            else:
                room -= len(var_octets(said.prefix.encode("ascii")))
                if room < 0:
                    return Stretch(tuple(announced), tuple(withdrawn), said.epoch)
                withdrawn.append(said.prefix)
        return Stretch(tuple(announced), tuple(withdrawn), self.epoch)

    def _begin_again(self) -> None:
        """Under a new id every peer learns all from the start, and forgets what is not repeated."""
        live = self.routes
        self.table_id = self._new_id()
        self._log = {prefix: Announcement(prefix, route, epoch) for epoch, (prefix, route) in enumerate(live.items())}
        self._withdrawn, self.epoch = 0, len(live)


class RouteBook:
    """Routes by who offers them: the operator, ourselves, peers. Keeps `table` and `announcements` up to date."""

    def __init__(self, config: RoutingConfig, new_id: Callable[[], bytes]) -> None:
        """Begin with what the configuration says.

        Args:
            config: accounts, static routes and rules.
            new_id: makes a routing table's id, 16 fresh random bytes.
        """
        self._config = config
        self._peers = {peer.account: peer for peer in config.peers}
        self._heard: dict[str, dict[str, Route]] = {peer.account: {} for peer in config.peers}
        self._own = self._own_routes()
        self._best: dict[str, Route] = {}
        self.table = RoutingTable()
        self.announcements = Announcements(new_id)
        for prefix in self._own:
            self._update(prefix)

    def best(self, prefix: str) -> Route | None:
        """The route in use for exactly this prefix."""
        return self._best.get(prefix)

    def judge(self, account: str, route: Announced) -> Unfit | None:
        """Whether a route that a peer announces may be used; None if so.

        What keeps a peer from taking other people's packets: nobody announces our address, what is below it (but a
        child its own), or what lies below a static route; the rest is the operator's lists.
        """
        peer, prefix, own = self._peers[account], route.prefix, self._config.address
        if not is_address(prefix) or not prefix.startswith(self._config.global_prefix + "."):
            return Unfit.NO_ADDRESS
        if own in route.path:
            return Unfit.LOOP
        if not route.path:
            return Unfit.NO_PATH
        if sum(map(len, route.path)) > _PATH_BYTES_MAX:
            return Unfit.TOO_LONG
        if peer.relation is Relation.CHILD and not covers(peer.address, prefix):
            return Unfit.NOT_ALLOWED
        if prefix == own or (covers(own, prefix) and peer.relation is not Relation.CHILD):
            return Unfit.OURS
        if any(to != account and prefix != at and covers(at, prefix) for at, to in self._guarded):
            return Unfit.STATIC
        if peer.allowed and not any(covers(at, prefix) for at in peer.allowed):
            return Unfit.NOT_ALLOWED
        if any(covers(at, prefix) for at in peer.denied):
            return Unfit.NOT_ALLOWED
        return None

    def hear(self, account: str, taken: Iterable[Announced], gone: Iterable[str]) -> bool:
        """A peer's routes changed. Returns whether what we announce changed."""
        epoch, table_id = self.announcements.epoch, self.announcements.table_id
        heard = self._heard[account]
        changed = []
        for prefix in gone:
            if heard.pop(prefix, None) is not None:
                changed.append(prefix)
        for route in taken:
            heard[route.prefix] = Route(route.prefix, account, route.path, route.auth)
            changed.append(route.prefix)
        for prefix in changed:
            self._update(prefix)
        return (epoch, table_id) != (self.announcements.epoch, self.announcements.table_id)

    def is_for(self, account: str, route: Route) -> bool:
        """Whether a route is announced to a peer: never back to where it leads, and what peers and parents announced to
        us only to those whose packets we carry (Gao and Rexford: nobody pays us for packets between two of them).
        """
        if route.next_hop == account:
            return False
        source = self._relation(route.next_hop)
        if source in (Relation.LOCAL, Relation.CHILD):
            return True
        peer = self._peers[account]
        return peer.relation is Relation.CHILD or peer.is_transit

    @property
    def _guarded(self) -> tuple[tuple[str, str], ...]:
        return tuple((prefix, to) for prefix, to in self._config.static if prefix != self._config.global_prefix)

    def _own_routes(self) -> dict[str, Route]:
        config = self._config
        routes: dict[str, str] = {}
        if config.default_account is not None:
            routes[config.global_prefix] = config.default_account
        for peer in config.peers:
            if peer.relation is Relation.CHILD:
                routes[peer.address] = peer.account
        routes.update(config.static)
        routes[config.address] = LOCAL
        return {prefix: Route(prefix, hop, (), self._auth(prefix)) for prefix, hop in routes.items()}

    def _auth(self, prefix: str) -> bytes:
        """HMAC-SHA-256 of the prefix under our secret: shows later, to whom we tell it, that a route began here."""
        return hmac.digest(self._config.secret, prefix.encode("ascii"), hashlib.sha256)

    def _update(self, prefix: str) -> None:
        best = self._own.get(prefix) or self._best_heard(prefix)
        if best == self._best.get(prefix):
            return
        if best is None:
            del self._best[prefix]
            self.table.remove(prefix)
        else:
            self._best[prefix] = best
            self.table.set(prefix, best.next_hop)
        self.announcements.put(prefix, None if best is None else self._onward(best))

    def _best_heard(self, prefix: str) -> Route | None:
        """A child's route before a peer's before a parent's; then the shorter path; then by account, to be the same."""
        offers = [routes[prefix] for routes in self._heard.values() if prefix in routes]
        key = lambda route: (-self._relation(route.next_hop).rank, len(route.path), route.next_hop)  # noqa: E731
        return min(offers, key=key, default=None)

    def _onward(self, route: Route) -> Route | None:
        """The route as others hear it from us; None for what is nobody's business: schemes, and our own children."""
        own, prefix = self._config.address, route.prefix
        if not prefix.startswith(self._config.global_prefix + "."):
            return None
        if prefix != own and covers(own, prefix):
            return None
        # Hashed at each hop, so that the origin alone can show where a route began, and a forger is found out.
        return replace(route, path=(own, *route.path), auth=hashlib.sha256(route.auth).digest())

    def _relation(self, account: str) -> Relation:
        peer = self._peers.get(account)
        return peer.relation if peer else Relation.LOCAL
