"""CCP against the deployed one: `ilp-protocol-ccp` 1.2 and the two ends of `ilp-connector` 23, on Node.js."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation.quantities import UnixMs
from settlement.connector.routing import ccp_codec as codec
from settlement.connector.routing.routes import PeerRules, Relation, RoutingConfig
from settlement.connector.routing.speaker import RouteSpeaker
from settlement.ilp.link import Reply
from settlement.ilp.packets import Fulfill, decode_prepare, decode_reply

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[5]
Ask = Callable[..., Any]

ADDRESSES = st.lists(st.sampled_from(["a", "b-1", "~x", "L_" * 90]), min_size=1, max_size=4).map(
    lambda parts: ".".join(["test", *parts])
)
UINT32 = st.integers(0, 2**32 - 1)
IDS = st.binary(min_size=16, max_size=16)


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Asks the JavaScript peer for one operation."""
    node = shutil.which("node")
    if node is None or not (ROOT / "node_modules" / "ilp-protocol-ccp").is_dir():
        pytest.skip("Node.js or its packages are not installed")
    environment = {**os.environ, "NODE_PATH": str(ROOT / "node_modules"), "DEBUG": "", "LOG_LEVEL": "error"}
    script = Path(__file__).with_name("ccp_peer.js")
    with subprocess.Popen(
        [node, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        into, out = process.stdin, process.stdout

        def one(operation: str, **arguments: object) -> Any:
            into.write(json.dumps({"operation": operation, **arguments}) + "\n")
            into.flush()
            answer = json.loads(out.readline())
            assert "error" not in answer, answer
            return answer["result"]

        yield one
        into.close()


def soon() -> UnixMs:
    return UnixMs(int(time.time() * 1000) + 30_000)


def js_route(route: codec.Announced) -> dict[str, object]:
    props = [
        {
            "isOptional": bool(one.flags & 0x80),
            "isTransitive": bool(one.flags & 0x40),
            "isPartial": bool(one.flags & 0x20),
            "isUtf8": False,
            "id": one.id,
            "value": one.value.hex(),
        }
        for one in route.properties
    ]
    return {"prefix": route.prefix, "path": list(route.path), "auth": route.auth.hex(), "props": props}


def js_update(update: codec.RouteUpdate) -> dict[str, object]:
    return {
        "routingTableId": str(UUID(bytes=update.table_id)),
        "currentEpochIndex": update.current_epoch,
        "fromEpochIndex": update.from_epoch,
        "toEpochIndex": update.to_epoch,
        "holdDownTime": update.hold_down_ms,
        "speaker": update.speaker,
        "newRoutes": [js_route(route) for route in update.announced],
        "withdrawnRoutes": list(update.withdrawn),
    }


@st.composite
def updates(draw: st.DrawFn) -> codec.RouteUpdate:
    start, end, current = sorted(draw(st.tuples(UINT32, UINT32, UINT32)))
    flags = st.sampled_from([0x40, 0x80, 0xC0, 0xE0])  # what the JavaScript writer makes of any flags
    properties = st.builds(codec.Property, st.integers(0, 65_535), flags, st.binary(max_size=9))
    routes = st.builds(
        codec.Announced,
        ADDRESSES,
        st.lists(ADDRESSES, max_size=3).map(tuple),
        st.binary(min_size=32, max_size=32),
        st.lists(properties, max_size=2).map(tuple),
    )
    announced = tuple(draw(st.lists(routes, max_size=4)))
    withdrawn = tuple(draw(st.lists(ADDRESSES, max_size=4)))
    return codec.RouteUpdate(draw(IDS), current, start, end, draw(UINT32), draw(ADDRESSES), announced, withdrawn)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(updates())
def test_updates_are_the_same_bytes_in_both_languages(ask: Ask, update: codec.RouteUpdate):
    """JavaScript reads what we write, writes the same bytes for it, and we read them back."""
    ours = codec.peer_request(codec.UPDATE_ADDRESS, codec.encode_update(update), soon())
    assert ask("decodeUpdate", packet=ours.hex()) == js_update(update)
    theirs = decode_prepare(bytes.fromhex(ask("encodeUpdate", update=js_update(update))))
    assert (theirs.destination, theirs.condition, theirs.amount) == (codec.UPDATE_ADDRESS, codec.PEER_CONDITION, 0)
    assert theirs.data == codec.encode_update(update)
    assert codec.decode_update(theirs.data) == update


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(codec.Mode), IDS, UINT32, st.lists(st.text(max_size=20), max_size=4).map(tuple))
def test_requests_for_routes_are_the_same_bytes(
    ask: Ask, mode: codec.Mode, table: bytes, epoch: int, features: tuple[str, ...]
):
    """Route control requests are written and read alike in both languages."""
    control = codec.RouteControl(mode, table, epoch, features)
    told = {
        "mode": int(mode),
        "lastKnownRoutingTableId": str(UUID(bytes=table)),
        "lastKnownEpoch": epoch,
        "features": list(features),
    }
    ours = codec.peer_request(codec.CONTROL_ADDRESS, codec.encode_control(control), soon())
    assert ask("decodeControl", packet=ours.hex()) == told
    theirs = decode_prepare(bytes.fromhex(ask("encodeControl", control=told)))
    assert theirs.destination == codec.CONTROL_ADDRESS
    assert codec.decode_control(theirs.data) == control


def test_an_acknowledgement_is_understood(ask: Ask):
    """Our Fulfill is what the deployed connector expects as an answer."""
    assert ask("decodeResponse", packet=codec.acknowledgement().hex()) is True


class Wire:
    """A link that hands packets to the test, and acknowledges them."""

    is_up = True

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ahead_ms = 0  # of the wall clock

    def send(self, prepare: bytes, reply: Reply) -> None:
        self.sent.append(prepare)
        reply(codec.acknowledgement())


def speaker(wire: Wire) -> RouteSpeaker:
    rules = PeerRules("js", Relation.PEER, is_transit=True)
    kid = PeerRules("kid", Relation.CHILD, address="test.us.kid")
    config = RoutingConfig("test.us", (rules, kid), (("test.static", "kid"),))
    return RouteSpeaker(
        config, {"js": wire}, lambda: UnixMs(int(time.time() * 1000) + wire.ahead_ms), lambda: bytes(15) + b"\x07"
    )


def handed(us: RouteSpeaker, packet: str) -> None:
    raw = bytes.fromhex(packet)
    answers: list[bytes] = []
    us("js", decode_prepare(raw).destination, raw, answers.append)
    assert isinstance(decode_reply(answers[0]), Fulfill), answers


def test_the_deployed_receiver_learns_our_routes(ask: Ask):
    """The receiver of ilp-connector asks us, and holds what we announce until we withdraw it."""
    wire = Wire()
    us = speaker(wire)
    us.tick()
    wire.sent.clear()
    handed(us, ask("request"))
    us.tick()
    (packet,) = wire.sent
    assert ask("receive", packet=packet.hex()) == {
        "epoch": us.book.announcements.epoch,
        "routes": {"test.us": ["test.us"], "test.static": ["test.us"]},
    }
    us.book.announcements.put("test.static", None)
    wire.ahead_ms += 200  # past the pause between two updates
    handed(us, ask("request"))
    us.tick()
    assert ask("receive", packet=wire.sent[-1].hex())["routes"] == {"test.us": ["test.us"]}


def test_we_learn_the_routes_of_the_deployed_sender(ask: Ask):
    """The sender of ilp-connector answers our request with an update, which we take."""
    wire = Wire()
    us = speaker(wire)
    us.tick()
    control = wire.sent[0]
    assert decode_prepare(control).destination == codec.CONTROL_ADDRESS
    log = [
        {
            "prefix": prefix,
            "epoch": epoch,
            "route": {"nextHop": hop, "path": ["test.js", "test.far"], "auth": "11" * 32},
        }
        for epoch, (prefix, hop) in enumerate((("test.far", "x"), ("test.us.theft", "x"), ("test.back", "us")))
    ]
    handed(us, ask("send", control=control.hex(), log=log))
    assert us.table.next_hop("test.far.alice") == "js"
    assert us.table.next_hop("test.us.theft.x") == ""
    assert us.table.next_hop("test.back.x") is None
    (status, _) = us.status
    assert (status.learning.epoch, status.learning.prefixes) == (3, {"test.far"})
