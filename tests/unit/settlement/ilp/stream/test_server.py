"""Servers that remember nothing of those they invited, and strangers who try."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address, child_of
from settlement.ilp.packets import PREPARE, Fulfill, Prepare, Reject, decode_reply, encode
from settlement.ilp.stream import frames as f
from settlement.ilp.stream.changes import Effect, MoneyArrived
from settlement.ilp.stream.crypto import Keys
from settlement.ilp.stream.packet import StreamPacket, decode_packet
from settlement.ilp.stream.server import Patience, StreamServer
from settlement.ilp.stream.session import Session
from settlement.ilp.stream.states import Settings
from settlement.ilp.stream.tokens import Credentials
from settlement.quantities import Condition, Units

BANK = Address("test.bank")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = UnixMs(1_000_000)

    def __call__(self) -> UnixMs:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


def prepare(given: Credentials, amount: int = 10, sequence: int = 1, minimum: int = 0, **changes: object) -> Prepare:
    """A Prepare as an invited client makes it, with fields replaced."""
    keys = Keys(given.shared_secret)
    data = keys.seal(StreamPacket(PREPARE, sequence, minimum, (f.StreamMoney(1, 1),)).encode())
    packet = Prepare(Units(amount), UnixMs(1_030_000), keys.condition(data), given.address, data)
    return replace(packet, **changes)  # type: ignore[arg-type]


async def test_the_first_packet_begins_a_connection(clock: Clock) -> None:
    """Inviting stores nothing; the invited one's packet does, and its answer is readable by it alone."""
    seen: list[tuple[str, Effect]] = []

    def watch(tag: str, _session: Session, effect: Effect) -> None:
        seen.append((tag, effect))

    server = StreamServer(BANK, os.urandom(32), clock, watch=watch)
    given = server.invite("order-7")
    assert server.connections == 0
    packet = prepare(given)
    reply = server.take(packet)
    assert isinstance(reply, Fulfill)
    assert reply.fulfillment == Keys(given.shared_secret).fulfillment(packet.data)
    assert decode_packet(Keys(given.shared_secret).open(reply.data)).amount == 10
    assert ("order-7", MoneyArrived(1, 10)) in seen
    assert server.connections == 1
    server.close()


async def test_a_restarted_server_goes_on(clock: Clock) -> None:
    """A server with the same secret takes packets of connections that another process invited."""
    secret = os.urandom(32)
    given = StreamServer(BANK, secret, clock).invite()
    assert isinstance(StreamServer(BANK, secret, clock).take(prepare(given)), Fulfill)
    assert isinstance(StreamServer(BANK, os.urandom(32), clock).take(prepare(given)), Reject)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"destination": BANK}, "F02"),
        ({"destination": Address("test.other.x")}, "F02"),
        ({"destination": child_of(BANK, "A" * 60)}, "F02"),
        ({"data": bytes(100)}, "F06"),
        ({"data": b""}, "F06"),
        ({"condition": Condition(bytes(32))}, "F99"),
        ({"minimum": 11}, "F99"),
        ({"expires_at": UnixMs(1_000_000)}, "R00"),
    ],
    ids=["own", "other", "forged", "noise", "empty", "condition", "less", "late"],
)
async def test_what_is_not_right_is_refused(clock: Clock, changes: dict[str, object], code: str) -> None:
    """Strangers' addresses, undecipherable data, other conditions, missing units and late packets take no effect."""
    server = StreamServer(BANK, os.urandom(32), clock)
    reply = server.take(prepare(server.invite(), **changes))
    assert isinstance(reply, Reject)
    assert reply.code == code


async def test_strangers_cost_nothing(clock: Clock) -> None:
    """Packets that no invited client can have made leave no connection behind."""
    server = StreamServer(BANK, os.urandom(32), clock)
    given = server.invite()
    for _ in range(50):
        server.take(prepare(given, data=os.urandom(200)))
        server.take(prepare(given, destination=child_of(BANK, os.urandom(40).hex())))
    assert server.connections == 0


async def test_a_swapped_packet_is_refused(clock: Clock) -> None:
    """The encrypted words of an answer, put into a Prepare, are refused although they decrypt."""
    server = StreamServer(BANK, os.urandom(32), clock)
    given = server.invite()
    reply = server.take(prepare(given))
    assert isinstance(reply, Fulfill)
    keys = Keys(given.shared_secret)
    swapped = server.take(prepare(given, data=reply.data, condition=keys.condition(reply.data)))
    assert isinstance(swapped, Reject)
    assert swapped.code == "F06"


async def test_idle_connections_make_room(clock: Clock) -> None:
    """A full server refuses newcomers for now, and drops who was silent for long; those who talk are kept."""
    server = StreamServer(BANK, os.urandom(32), clock, patience=Patience(sessions_max=2, idle_ms=1_000))
    first, second, third = (server.invite() for _ in range(3))
    server.take(prepare(first))
    server.take(prepare(second))
    reply = server.take(prepare(third))
    assert isinstance(reply, Reject)
    assert reply.code == "T03"
    clock.now = UnixMs(clock.now + 900)
    server.take(prepare(first, sequence=2))
    clock.now = UnixMs(clock.now + 200)
    assert isinstance(server.take(prepare(third)), Fulfill)
    assert server.connections == 2
    assert isinstance(server.take(prepare(first, sequence=3)), Fulfill)
    server.close()
    assert server.connections == 0


async def test_money_is_taken_only_where_the_application_agrees(clock: Clock) -> None:
    """What the application does not accept is refused, and does not count."""
    server = StreamServer(
        BANK,
        os.urandom(32),
        clock,
        accept=lambda tag, money: tag == "good" and sum(part.amount for part in money) <= 10,
        policy=lambda tag: Settings(receive_max=15),
    )
    good, bad = server.invite("good"), server.invite("bad")
    assert isinstance(server.take(prepare(good)), Fulfill)
    assert isinstance(server.take(prepare(bad)), Reject)
    assert isinstance(server.take(prepare(good, 11, sequence=2)), Reject)
    assert isinstance(server.take(prepare(good, 5, sequence=3)), Fulfill)
    assert isinstance(server.take(prepare(good, 5, sequence=4)), Reject)


async def test_bytes_that_are_no_prepare_are_refused(clock: Clock) -> None:
    """A transport may hand over anything."""
    server = StreamServer(BANK, os.urandom(32), clock)
    answers: list[bytes] = []
    server.handle("a", b"\x0cgarbage", answers.append)
    server.handle("a", encode(prepare(server.invite())), answers.append)
    first, second = (decode_reply(raw) for raw in answers)
    assert isinstance(first, Reject)
    assert first.code == "F01"
    assert isinstance(second, Fulfill)


async def test_connections_that_pay_nothing_keep_no_payer_out(clock: Clock) -> None:
    """Anyone may open connections for nothing: the oldest that paid nothing makes way, and none that has paid does."""
    server = StreamServer(BANK, os.urandom(32), clock, patience=Patience(sessions_max=3))
    paying = server.invite()
    assert isinstance(server.take(prepare(paying)), Fulfill)
    for _ in range(20):
        assert isinstance(server.take(prepare(server.invite(), amount=0)), Fulfill)
    payer = server.invite()
    assert isinstance(server.take(prepare(payer)), Fulfill)
    assert server.connections == 3
    again = server.take(prepare(paying, sequence=2))
    assert isinstance(again, Fulfill)
    told = decode_packet(Keys(paying.shared_secret).open(again.data))
    assert [frame.total_received for frame in told.frames if isinstance(frame, f.StreamMaxMoney)] == [20]
