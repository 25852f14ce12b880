"""Which route is best, what a peer may announce, and what is announced to whom."""

from __future__ import annotations

import hashlib
import hmac
from itertools import count

import pytest

from foundation.errors import BadInput
from settlement.connector.routing.book import Announcements, RouteBook
from settlement.connector.routing.ccp import Unfit
from settlement.connector.routing.ccp_codec import Announced, room_for_routes
from settlement.connector.routing.routes import PeerRules, Relation, Route, RoutingConfig

SECRET = bytes(range(32))
PEERS = (
    PeerRules("up", Relation.PARENT),
    PeerRules("left", Relation.PEER),
    PeerRules("right", Relation.PEER, denied=("g.east.secret",)),
    PeerRules("carried", Relation.PEER, is_transit=True),
    PeerRules("narrow", Relation.PEER, allowed=("g.narrow",)),
    PeerRules("kid", Relation.CHILD, address="g.us.kid"),
)
CONFIG = RoutingConfig("g.us", PEERS, (("g.partner", "left"),), "up", SECRET)


def ids():
    numbers = count(1)
    return lambda: next(numbers).to_bytes(16, "big")


@pytest.fixture
def book() -> RouteBook:
    return RouteBook(CONFIG, ids())


def announced(prefix: str, *path: str) -> Announced:
    return Announced(prefix, path or ("g.peer",), b"\x07" * 32)


def told_to(book: RouteBook, account: str) -> dict[str, tuple[str, ...]]:
    stretch = book.announcements.since(0, lambda route: book.is_for(account, route), 30_000)
    return {route.prefix: route.path for route in stretch.announced}


def test_the_table_begins_with_what_the_operator_says(book: RouteBook):
    """Our address, children, static routes and the default route are there before any peer has spoken."""
    hops = {
        name: book.table.next_hop(name) for name in ("g.us.alice", "g.us.kid.x", "g.partner.x", "g.else.x", "test.x")
    }
    assert hops == {"g.us.alice": "", "g.us.kid.x": "kid", "g.partner.x": "left", "g.else.x": "up", "test.x": None}


def test_a_child_wins_over_a_peer_and_a_peer_over_a_parent():
    """Of routes to one prefix the most preferred relation wins, then the shorter path, then always the same account."""
    peers = (
        PeerRules("up", Relation.PARENT),
        PeerRules("b", Relation.PEER),
        PeerRules("a", Relation.PEER),
    )
    book = RouteBook(RoutingConfig("g.us", peers, secret=SECRET), ids())
    book.hear("up", [announced("g.x", "g.up")], ())
    assert book.table.next_hop("g.x.1") == "up"
    book.hear("b", [announced("g.x", "g.b", "g.c")], ())
    assert book.table.next_hop("g.x.1") == "b"
    book.hear("a", [announced("g.x", "g.a", "g.d")], ())
    assert book.table.next_hop("g.x.1") == "a"
    book.hear("b", [announced("g.x", "g.b")], ())
    assert book.table.next_hop("g.x.1") == "b"
    book.hear("b", (), ["g.x"])
    book.hear("a", (), ["g.x"])
    assert book.table.next_hop("g.x.1") == "up"


@pytest.mark.parametrize(
    ("account", "route", "reason"),
    [
        ("left", announced("g.x", "g.left", "g.us"), Unfit.LOOP),
        ("left", Announced("g.x", (), bytes(32)), Unfit.NO_PATH),
        ("left", announced("g"), Unfit.NO_ADDRESS),
        ("left", announced("test.x"), Unfit.NO_ADDRESS),
        ("left", announced("g.a b"), Unfit.NO_ADDRESS),
        ("left", announced("g.us"), Unfit.OURS),
        ("left", announced("g.us.alice"), Unfit.OURS),
        ("left", announced("g.us.kid.x"), Unfit.OURS),
        ("up", announced("g.us.kid"), Unfit.OURS),
        ("right", announced("g.partner.x"), Unfit.STATIC),
        ("left", announced("g.partner.x"), None),
        ("right", announced("g.east.secret.x"), Unfit.NOT_ALLOWED),
        ("right", announced("g.east.secrets"), None),
        ("narrow", announced("g.narrower"), Unfit.NOT_ALLOWED),
        ("narrow", announced("g.narrow.x"), None),
        ("left", announced("g.x", *("g." + "a" * 1_000 for _ in range(9))), Unfit.TOO_LONG),
        ("kid", announced("g.us.kid.x"), None),
        ("kid", announced("g.us.other"), Unfit.NOT_ALLOWED),
        ("kid", announced("g.else"), Unfit.NOT_ALLOWED),
    ],
)
def test_nobody_announces_what_is_not_its_own(book: RouteBook, account: str, route: Announced, reason: Unfit | None):
    """Loops, our own addresses, other accounts' static routes and what the operator forbids are not taken."""
    assert book.judge(account, route) is reason


def test_longest_route_that_is_taken_can_be_told_on():
    """However long the addresses are, no route that a peer announces keeps those behind it from being announced."""
    own = "g." + "u" * 1_021
    peers = (PeerRules("left", Relation.PEER), PeerRules("kid", Relation.CHILD, address=own))
    book = RouteBook(RoutingConfig(own, peers, secret=SECRET), ids())
    longest = announced("g." + "x" * 1_021, *(f"g.{number:062}" for number in range(128)))
    routes = [route for route in (longest, announced("g.y")) if book.judge("left", route) is None]
    assert announced("g.y") in routes
    book.hear("left", routes, ())
    stretch = book.announcements.since(0, lambda route: book.is_for("kid", route), room_for_routes(own))
    assert stretch.to_epoch == book.announcements.epoch
    assert {route.prefix for route in stretch.announced} >= {route.prefix for route in routes}


def test_a_connector_below_another_one_hears_of_the_other():
    """What lies above our own address may be announced: packets for us still end here, as the longer prefix wins."""
    book = RouteBook(RoutingConfig("g.us.branch", (PeerRules("up", Relation.PARENT),), secret=SECRET), ids())
    assert book.judge("up", announced("g.us", "g.us")) is None
    book.hear("up", [announced("g.us", "g.us")], ())
    assert (book.table.next_hop("g.us.alice"), book.table.next_hop("g.us.branch.bob")) == ("up", "")


def test_an_announced_route_does_not_replace_a_static_one(book: RouteBook):
    """What a peer announces under a static prefix is heard and not used."""
    book.hear("right", [announced("g.partner")], ())
    assert book.table.next_hop("g.partner.x") == "left"


def test_packets_between_peers_are_carried_for_nobody_but_by_agreement(book: RouteBook):
    """A peer's and a parent's routes are announced to children and transit peers; ours and children's to everyone."""
    book.hear("left", [announced("g.x", "g.left")], ())
    book.hear("up", [announced("g.y", "g.up")], ())
    for account in ("up", "right"):
        assert told_to(book, account) == {"g.us": ("g.us",)}
    everything = {"g.us", "g.x", "g.y", "g.partner"}
    assert set(told_to(book, "carried")) == everything
    assert set(told_to(book, "kid")) == everything
    assert told_to(book, "kid")["g.x"] == ("g.us", "g.left")


def test_a_route_is_not_announced_back(book: RouteBook):
    """A peer does not hear its own routes from us, and hears of it when its own becomes the best."""
    book.hear("left", [announced("g.x", "g.left", "g.z")], ())
    book.hear("carried", [announced("g.x", "g.carried")], ())
    assert "g.x" not in told_to(book, "carried")
    before = book.announcements.epoch
    book.hear("carried", (), ["g.x"])
    assert "g.x" in told_to(book, "carried")
    book.hear("carried", [announced("g.x", "g.carried")], ())
    stretch = book.announcements.since(before, lambda route: book.is_for("carried", route), 30_000)
    assert stretch.withdrawn == ("g.x",)


def test_each_hop_hashes_the_proof_of_origin(book: RouteBook):
    """Our routes carry a hash of an HMAC that we alone can make; others' are hashed once more."""
    book.hear("left", [announced("g.x")], ())
    routes = book.announcements.routes
    assert routes["g.us"].auth == hashlib.sha256(hmac.digest(SECRET, b"g.us", "sha256")).digest()
    assert routes["g.x"].auth == hashlib.sha256(b"\x07" * 32).digest()


def test_a_long_table_is_told_in_parts_without_gaps():
    """What does not fit one packet follows in the next, from the epoch where the first ended; nothing is left out."""
    log = Announcements(ids())
    for number in range(500):
        log.put(f"g.x{number}", Route(f"g.x{number}", "a", ("g.us", "g.a")))
    log.put("g.x3", None)
    heard: dict[str, Announced] = {}
    epoch, parts = 0, 0
    while epoch < log.epoch:
        stretch = log.since(epoch, lambda _: True, 5_000)
        assert stretch.to_epoch > epoch
        heard |= {route.prefix: route for route in stretch.announced}
        epoch, parts = stretch.to_epoch, parts + 1
    assert set(heard) == {f"g.x{number}" for number in range(500) if number != 3}
    assert stretch.withdrawn == ("g.x3",)
    assert parts > 5


def test_a_flapping_peer_fills_no_memory():
    """After many withdrawals the table begins again under a new id, with the routes that stand."""
    log = Announcements(ids())
    log.put("g.kept", Route("g.kept", "a"))
    first = log.table_id
    for number in range(10_001):
        log.put(f"g.x{number}", Route(f"g.x{number}", "a"))
        log.put(f"g.x{number}", None)
    assert log.table_id != first
    assert set(log.routes) == {"g.kept"}
    assert log.epoch == 1


def test_a_configuration_that_contradicts_itself_is_refused():
    """An account twice, a prefix twice, a short secret or a child without an address name the field."""
    for make, field in (
        (lambda: RoutingConfig("g.us", (PEERS[0], PEERS[0])), "routing.peers"),
        (lambda: RoutingConfig("g.us", static=(("g.x", "a"), ("g.x", "b"))), "routing.static"),
        (lambda: RoutingConfig("g.us", secret=b"short"), "routing.secret"),
        (lambda: PeerRules("kid", Relation.CHILD), "peers.kid.address"),
    ):
        with pytest.raises(BadInput) as refusal:
            make()
        assert refusal.value.field == field
