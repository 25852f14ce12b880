"""The shell of CCP: hears peers' requests and updates, and tells them ours over their links when it is time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from foundation.quantities import UnixMs
from settlement.connector.routing import ccp
from settlement.connector.routing.book import RouteBook
from settlement.connector.routing.ccp_codec import (
    CONTROL_ADDRESS,
    ID_BYTES,
    PEER_CONDITION,
    PEER_FULFILLMENT,
    UPDATE_ADDRESS,
    RouteUpdate,
    acknowledgement,
    decode_control,
    decode_update,
    encode_control,
    encode_update,
    peer_request,
    room_for_routes,
)
from settlement.connector.routing.routes import PeerRules, RoutingConfig
from settlement.connector.routing.table import RoutingTable
from settlement.ilp.addresses import Address
from settlement.ilp.errors import BadPacket, BadRequest, IlpReject, InvalidPacket, TransferTimedOut
from settlement.ilp.link import Link, LinkDown, Reply
from settlement.ilp.packets import Fulfill, Prepare, decode_prepare, decode_reply, encode_reject, rejection
from settlement.quantities import Clock

_LIFE_MS = 30_000
"""How long our messages are valid."""
_REST_MS_MAX = 60_000
_LINK_MS = 1_000
"""How soon a link that is down is looked at again: not every transport tells when it is up."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Peer:
    rules: PeerRules
    learning: ccp.Learning
    telling: ccp.Telling


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """How routing with a peer stands. Fields: account; learning; telling."""

    account: str
    learning: ccp.Learning
    telling: ccp.Telling


class RouteSpeaker:
    """Speaks CCP with all peers. `table` is what packets follow; `run` until cancelled, or `tick` by hand."""

    def __init__(
        self,
        config: RoutingConfig,
        links: Mapping[str, Link],
        clock: Clock,
        new_id: Callable[[], bytes] = lambda: os.urandom(ID_BYTES),
    ) -> None:
        """Begin with the static routes; nothing is sent yet.

        Args:
            config: our routing; only its peers are spoken with.
            links: by account; looked up at each use, so that links may come later.
            clock: tells the time.
            new_id: makes a routing table's id, 16 fresh random bytes.
        """
        self._config = config
        self._links = links
        self._clock = clock
        self.book = RouteBook(config, new_id)
        self._peers = {rules.account: _Peer(rules, ccp.Learning(), ccp.Telling()) for rules in config.peers}
        self._nudge = asyncio.Event()

    @property
    def table(self) -> RoutingTable:
        """What packets follow."""
        return self.book.table

    @property
    def status(self) -> tuple[PeerStatus, ...]:
        """How routing with each peer stands."""
        return tuple(PeerStatus(name, peer.learning, peer.telling) for name, peer in self._peers.items())

    def __call__(self, account: str, destination: str, prepare: bytes, reply: Reply) -> None:
        """See `settlement.connector.ports.PeerHandler`; for destinations at or below `peer.route`."""
        try:
            self._take(account, decode_prepare(prepare))
        except BadPacket as error:
            reply(encode_reject(rejection(InvalidPacket(str(error)), self._config.address)))
        except IlpReject as error:
            reply(encode_reject(rejection(error, self._config.address)))
        else:
            reply(acknowledgement())

    def link_up(self, account: str) -> None:
        """A link (again) carries packets: its peer is asked for routes, and told ours, at once."""
        peer = self._peers.get(account)
        if peer is not None:
            peer.learning = replace(peer.learning, gap=True, asked_at=UnixMs(0))
            peer.telling = replace(peer.telling, sending_to=None, prompt=True)
            self._nudge.set()

    def link_down(self, account: str) -> None:
        """A link is gone: its routes lead nowhere, so they are forgotten at once, and others are told."""
        peer = self._peers.get(account)
        if peer is not None:
            self.book.hear(account, (), peer.learning.prefixes)
            peer.learning, peer.telling = ccp.Learning(), ccp.Telling()
            self._nudge.set()

    async def run(self) -> None:
        """Tell and ask whenever it is due, until cancelled."""
        while True:
            self._nudge.clear()
            due = self.tick()
            pause_ms = min(max(due - self._clock(), 1), _REST_MS_MAX)
            try:
                async with asyncio.timeout(pause_ms / 1000):
                    await self._nudge.wait()
            except TimeoutError:
                continue

    def tick(self) -> UnixMs:
        """Do what is due now; returns when to look again."""
        now = self._clock()
        dues = [UnixMs(now + _REST_MS_MAX)]
        for name, peer in self._peers.items():
            peer.learning, gone = ccp.expire(peer.learning, now)
            if gone:
                _log.info("a peer was silent for too long, its routes are forgotten", account=name, routes=len(gone))
                self.book.hear(name, (), gone)
        for name, peer in self._peers.items():
            if peer.learning.expires_at:
                dues.append(peer.learning.expires_at)
            link = self._links.get(name)
            if link is None or not link.is_up:
                dues.append(UnixMs(now + _LINK_MS))
                continue
            dues += [due for due in (self._ask(name, peer, link, now), self._tell(name, peer, link, now)) if due]
        return min(dues)

    def _take(self, account: str, prepare: Prepare) -> None:
        peer = self._peers.get(account)
        if peer is None:
            raise BadRequest("routes are exchanged with configured peers only")
        if prepare.condition != PEER_CONDITION:
            raise InvalidPacket("the condition is not that of a message to a peer")
        if prepare.expires_at < self._clock():
            raise TransferTimedOut("the message has expired")
        if prepare.destination == CONTROL_ADDRESS:
            if not peer.rules.sends:
                raise BadRequest("no routes are announced to this account")
            control, ours = decode_control(prepare.data), self.book.announcements
            peer.telling = ccp.take_control(peer.telling, control, ours.table_id, ours.epoch)
            peer.learning = ccp.heard(peer.learning, self._config.timing, self._clock())
        elif prepare.destination == UPDATE_ADDRESS:
            if not peer.rules.receives:
                raise BadRequest("no routes are taken from this account")
            self._learn(account, peer, decode_update(prepare.data))
        else:
            raise BadRequest("unknown message to a peer")
        self._nudge.set()

    def _learn(self, account: str, peer: _Peer, update: RouteUpdate) -> None:
        peer.learning, learnt = ccp.take_update(
            peer.learning,
            update,
            lambda route: self.book.judge(account, route),
            peer.rules.routes_max,
            self._config.timing,
            self._clock(),
        )
        if learnt.unfit:
            first, reason = learnt.unfit[0]
            told = {"count": len(learnt.unfit), "first": first[:80], "reason": reason.value}
            _log.warning("routes are not taken", account=account, **told)
        self.book.hear(account, learnt.taken, learnt.gone)

    def _ask(self, name: str, peer: _Peer, link: Link, now: UnixMs) -> UnixMs | None:
        """Request routes if it is time; returns when it is."""
        timing = self._config.timing
        due = ccp.control_due(peer.learning, timing) if peer.rules.receives else None
        if due is None or due > now:
            return due
        request = encode_control(peer.learning.request())
        peer.learning = ccp.asked(peer.learning, now)

        def answered(reply: bytes) -> None:
            if _is_acknowledged(reply):
                peer.learning = ccp.accepted(peer.learning, timing, self._clock())
                self._nudge.set()

        self._send(name, link, CONTROL_ADDRESS, request, answered, now)
        return UnixMs(now + timing.control_ms)

    def _tell(self, name: str, peer: _Peer, link: Link, now: UnixMs) -> UnixMs | None:
        """Send an update if it is time; returns when the next one is."""
        ours, timing = self.book.announcements, self._config.timing
        due = ccp.update_due(peer.telling, ours.table_id, ours.epoch, timing)
        if due is None or due > now:
            return due
        update = self._update_for(name, peer)
        peer.telling = ccp.told(peer.telling, update, timing, now)

        def answered(reply: bytes) -> None:
            if _is_acknowledged(reply):
                peer.telling = ccp.acknowledged(peer.telling, update)
                self._nudge.set()

        self._send(name, link, UPDATE_ADDRESS, encode_update(update), answered, now)
        return ccp.update_due(peer.telling, ours.table_id, ours.epoch, timing)

    def _update_for(self, name: str, peer: _Peer) -> RouteUpdate:
        ours, own = self.book.announcements, self._config.address
        epoch = peer.telling.epoch if peer.telling.table_id == ours.table_id else 0
        stretch = ours.since(epoch, lambda route: self.book.is_for(name, route), room_for_routes(own))
        return RouteUpdate(
            ours.table_id,
            ours.epoch,
            epoch,
            stretch.to_epoch,
            self._config.timing.hold_down_ms,
            own,
            stretch.announced,
            stretch.withdrawn,
        )

    def _send(
        self, name: str, link: Link, destination: Address, data: bytes, answered: Callable[[bytes], None], now: UnixMs
    ) -> None:
        try:
            link.send(peer_request(destination, data, UnixMs(now + _LIFE_MS)), answered)
        except LinkDown as error:
            _log.debug("a route message waits for the link", account=name, problem=error.reason)


def _is_acknowledged(reply: bytes) -> bool:
    try:
        answer = decode_reply(reply)
    except BadPacket:
        return False
    return isinstance(answer, Fulfill) and answer.fulfillment == PEER_FULFILLMENT
