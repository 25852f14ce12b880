"""Connectors that learn routes from each other, over links in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from foundation.quantities import UnixMs
from settlement.connector.routing.ccp_codec import (
    CONTROL_ADDRESS,
    UPDATE_ADDRESS,
    Mode,
    RouteControl,
    encode_control,
    peer_request,
)
from settlement.connector.routing.routes import PeerRules, Relation, RoutingConfig
from settlement.connector.routing.speaker import RouteSpeaker
from settlement.ilp.addresses import Address
from settlement.ilp.link import LinkDown, Reply
from settlement.ilp.packets import Fulfill, Reject, decode_prepare, decode_reply, encode
from settlement.quantities import Condition
from tests.support.patience import PATIENCE_S


@dataclass
class Wire:
    """One way from a connector to another. `lost`: packets vanish."""

    network: Network
    to: str
    account: str
    is_up: bool = True
    lost: bool = False

    def send(self, prepare: bytes, reply: Reply) -> None:
        if not self.is_up:
            raise LinkDown(self.account, "cut")
        if not self.lost:
            self.network.sent += 1
            self.network.speakers[self.to](self.account, decode_prepare(prepare).destination, prepare, reply)


@dataclass
class Network:
    """Connectors named by their address, and a clock."""

    now: int = 1_000_000
    sent: int = 0
    speakers: dict[str, RouteSpeaker] = field(default_factory=dict)
    links: dict[str, dict[str, Wire]] = field(default_factory=dict)
    _ids: count[int] = field(default_factory=lambda: count(1))

    def add(self, name: str, *peers: PeerRules, **options: object) -> None:
        config = RoutingConfig(f"g.{name}", peers, **options)  # type: ignore[arg-type]
        self.links[name] = {peer.account: Wire(self, peer.account, name) for peer in peers}
        self.speakers[name] = self.speaker(name, config)

    def speaker(self, name: str, config: RoutingConfig) -> RouteSpeaker:
        return RouteSpeaker(
            config, self.links[name], lambda: UnixMs(self.now), lambda: next(self._ids).to_bytes(16, "big")
        )

    def run(self, ms: int, step: int = 200) -> None:
        for _ in range(0, ms, step):
            self.now += step
            for speaker in self.speakers.values():
                speaker.tick()

    def hop(self, name: str, destination: str) -> str | None:
        return self.speakers[name].table.next_hop(destination)


def peer(name: str, **options: object) -> PeerRules:
    return PeerRules(name, Relation.PEER, is_transit=True, **options)  # type: ignore[arg-type]


@pytest.fixture
def line() -> Network:
    """a – b – c – d, each carrying for its neighbours."""
    network = Network()
    network.add("a", peer("b"))
    network.add("b", peer("a"), peer("c"))
    network.add("c", peer("b"), peer("d"))
    network.add("d", peer("c"))
    return network


def test_routes_travel_along_a_line(line: Network):
    """Connectors that know only their neighbours learn the way to each other."""
    line.run(5_000)
    assert [line.hop("a", "g.d.x"), line.hop("b", "g.d.x"), line.hop("c", "g.d.x")] == ["b", "c", "d"]
    assert line.hop("d", "g.a.x") == "c"
    best = line.speakers["a"].book.best("g.d")
    assert best is not None
    assert best.path == ("g.b", "g.c", "g.d")


def test_a_link_that_breaks_takes_its_routes_along(line: Network):
    """When a link goes down its routes end at once, and soon for all behind it; they come back with it."""
    line.run(5_000)
    line.links["c"]["d"].is_up = line.links["d"]["c"].is_up = False
    line.speakers["c"].link_down("d")
    line.run(2_000)
    assert line.hop("a", "g.d.x") is None
    line.links["c"]["d"].is_up = line.links["d"]["c"].is_up = True
    line.speakers["c"].link_up("d")
    line.speakers["d"].link_up("c")
    line.run(2_000)
    assert line.hop("a", "g.d.x") == "b"


def test_a_link_that_does_not_tell_when_it_is_up_is_found_to_be(line: Network):
    """A speaker comes back within a second to a link that was down, so that routes over HTTP need no other traffic."""
    line.links["d"]["c"].is_up = False
    line.speakers["d"].tick()
    assert line.speakers["d"].tick() <= line.now + 1_000
    line.links["d"]["c"].is_up = True
    line.run(2_000)
    assert line.hop("c", "g.d.x") == "d"


def test_a_peer_that_falls_silent_is_forgotten_and_found_again(line: Network):
    """Without a sign of life routes expire after the hold-down; when the peer speaks again they return."""
    line.run(5_000)
    line.links["d"]["c"].lost = True
    line.run(60_000, 1_000)
    assert line.hop("a", "g.d.x") is None
    line.links["d"]["c"].lost = False
    line.run(90_000, 1_000)
    assert line.hop("a", "g.d.x") == "b"


def test_a_restarted_peer_is_learnt_anew(line: Network):
    """A connector that comes back with another table replaces what was known of it."""
    line.run(5_000)
    config = RoutingConfig("g.d", (peer("c"),), static=(("g.new", "c2"),), secret=bytes(32))
    config = replace(config, peers=(*config.peers, PeerRules("c2", Relation.CHILD, address="g.d.c2")))
    line.links["d"]["c2"] = Wire(line, "c", "d", is_up=False)
    line.speakers["d"] = line.speaker("d", config)
    line.speakers["c"].link_up("d")
    line.run(2_000)
    assert line.hop("c", "g.new.x") == "d"
    assert line.hop("c", "g.d.x") == "d"


def test_lost_updates_are_sent_again(line: Network):
    """An update that nobody acknowledged is repeated, so that a lossy link loses no route."""
    line.links["c"]["b"].lost = True
    line.run(3_000)
    assert line.hop("b", "g.d.x") is None
    line.links["c"]["b"].lost = False
    line.run(70_000, 1_000)
    assert line.hop("b", "g.d.x") == "c"


def test_a_ring_does_not_count_to_infinity():
    """In a ring no route leads through its own speaker, and a connector that leaves is forgotten by all."""
    network = Network()
    for name, left, right in (("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b")):
        extra = (peer("x"),) if name == "a" else ()
        network.add(name, peer(left), peer(right), *extra)
    network.add("x", peer("a"))
    network.run(5_000)
    assert {network.hop(name, "g.x.1") for name in "abc"} == {"x", "a"}
    network.links["a"]["x"].is_up = False
    network.speakers["a"].link_down("x")
    network.run(10_000)
    assert [network.hop(name, "g.x.1") for name in "abc"] == [None, None, None]


def test_a_settled_network_is_quiet(line: Network):
    """Once all is known, only signs of life are exchanged: one update a heartbeat and direction."""
    line.run(5_000)
    before = line.sent
    line.run(60_000, 1_000)
    assert line.sent - before <= 6 * 3


def ask(network: Network, destination: str, data: bytes, **changes: object) -> Fulfill | Reject:
    prepare = decode_prepare(peer_request(Address(destination), data, UnixMs(network.now + 1_000)))
    answers: list[bytes] = []
    raw = encode(replace(prepare, **changes))  # type: ignore[arg-type]
    network.speakers["b"](str(changes.pop("account", "a")), destination, raw, answers.append)
    (answer,) = answers
    return decode_reply(answer)


def test_what_is_no_message_of_a_peer_is_rejected(line: Network):
    """Strangers, other conditions, expired packets, unknown messages and malformed data each get a clear reject."""
    control = encode_control(RouteControl(Mode.SYNC))
    assert isinstance(ask(line, CONTROL_ADDRESS, control), Fulfill)
    codes = {
        "condition": ask(line, CONTROL_ADDRESS, control, condition=Condition(bytes(32))),
        "expired": ask(line, CONTROL_ADDRESS, control, expires_at=UnixMs(line.now - 1)),
        "unknown": ask(line, "peer.route.other", control),
        "cut": ask(line, UPDATE_ADDRESS, control),
    }
    assert {name: answer.code for name, answer in codes.items() if isinstance(answer, Reject)} == {
        "condition": "F01",
        "expired": "R00",
        "unknown": "F00",
        "cut": "F01",
    }
    answers: list[bytes] = []
    line.speakers["b"](
        "stranger", CONTROL_ADDRESS, peer_request(CONTROL_ADDRESS, control, UnixMs(line.now)), answers.append
    )
    answer = decode_reply(answers[0])
    assert isinstance(answer, Reject)
    assert answer.code == "F00"


def test_routes_are_neither_taken_nor_told_where_the_operator_says_no(line: Network):
    """An account with `receives` or `sends` off gets rejects, and nothing is sent to it."""
    network = Network()
    network.add("a", peer("b"))
    network.add("b", peer("a", sends=False, receives=False))
    network.run(5_000)
    assert network.hop("a", "g.b.x") is None
    assert network.hop("b", "g.a.x") is None


async def test_the_shell_speaks_by_itself_until_it_is_cancelled():
    """`run` asks and tells without anybody ticking, as soon as a link is up."""
    network = Network()
    network.add("a", peer("b"))
    network.add("b", peer("a"))
    learnt = asyncio.Event()
    for name in "ab":
        network.speakers[name]._clock = lambda: UnixMs(int(asyncio.get_running_loop().time() * 1000))
    hear = network.speakers["a"].book.hear
    network.speakers["a"].book.hear = lambda *arguments: (hear(*arguments), learnt.set())[0]  # type: ignore[method-assign]
    tasks = [asyncio.create_task(network.speakers[name].run()) for name in "ab"]
    async with asyncio.timeout(PATIENCE_S):
        while network.hop("a", "g.b.x") != "b":
            await learnt.wait()
            learnt.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
