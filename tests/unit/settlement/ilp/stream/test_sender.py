"""What a sender sends, what it holds, and what it believes of an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foundation.quantities import UnixMs
from settlement.ilp.errors import AmountTooLarge
from settlement.ilp.stream import frames as f
from settlement.ilp.stream.changes import (
    Effect,
    OpenStream,
    ReceiptArrived,
    ReceiveReply,
    StreamEnded,
    Tick,
)
from settlement.ilp.stream.connection import is_drained, step
from settlement.ilp.stream.errors import (
    PathBusy,
    PathFailed,
    PeerBroke,
    PeerClosed,
    RateTooLow,
    ReceiverRefused,
    StreamError,
)
from settlement.ilp.stream.rates import Rate
from settlement.ilp.stream.sender import wakes_at
from settlement.ilp.stream.states import Settings
from tests.support.stream_sender import CLIENT, NOW, READY, error, fulfil, paying, refuse, reject, sends


def test_each_packet_asks_for_the_least_that_the_rate_allows() -> None:
    """Of packets of 100 at two for one and one per cent of slippage, each has to deliver 198, and all is held."""
    connection, packets = paying(250)
    assert [(sent.amount, sent.packet.amount) for sent in packets] == [(100, 198), (100, 198), (50, 99)]
    assert connection.streams[1].held == 250
    assert all(sent.fulfillable and sent.expires_at == NOW + 30_000 for sent in packets)
    assert [sent.packet.sequence for sent in packets] == [1, 2, 3]


def test_what_the_receiver_confirms_is_counted() -> None:
    """Sent counts our units, delivered the receiver's as it says; when all is confirmed, the stream is drained."""
    connection, packets = paying(150)
    for sent in packets:
        connection, _ = step(connection, fulfil(sent, sent.amount * 2), NOW)
    assert (connection.sent, connection.delivered, connection.unproved) == (150, 300, 0)
    assert is_drained(connection, connection.streams[1])


def test_an_answer_counts_once() -> None:
    """A repeated answer, and one for a packet that nobody sent, change nothing."""
    connection, packets = paying(100)
    connection, _ = step(connection, fulfil(packets[0], 200), NOW)
    for reply in (fulfil(packets[0], 200), ReceiveReply(77, True)):
        again, effects = step(connection, reply, NOW)
        assert (again, effects) == (connection, ())


def test_a_fulfil_without_words_counts_with_the_least() -> None:
    """Where an intermediary dropped the receiver's answer, delivered grows by the minimum, and that is told."""
    connection, _packets = paying(100)
    connection, _ = step(connection, ReceiveReply(1, True), NOW)
    assert (connection.sent, connection.delivered, connection.unproved) == (100, 198, 1)


def test_a_receiver_that_takes_too_little_is_left() -> None:
    """A receiver that fulfils and admits less than the minimum cheats: nothing more is sent to it."""
    connection, packets = paying(5_000)
    connection, effects = step(connection, fulfil(packets[0], 197), NOW)
    assert isinstance(error(effects), PeerBroke)
    assert connection.ended
    (farewell,) = sends(effects)
    assert farewell.amount == 0
    assert isinstance(farewell.packet.frames[-1], f.ConnectionClose)


def test_money_of_a_lost_packet_is_sent_again_later_and_only_then() -> None:
    """While no answer came, the money stays held; after expiry and grace it may be sent once more."""
    connection, _packets = paying(100)
    assert wakes_at(connection, NOW) == NOW + 31_000
    early, effects = step(connection, Tick(), UnixMs(NOW + 30_999))
    assert not effects
    assert early.streams[1].held == 100
    late, effects = step(early, Tick(), UnixMs(NOW + 31_000))
    assert not effects
    assert late.streams[1].held == 0
    again, effects = step(late, Tick(), late.pace.resume_at)
    assert [sent.amount for sent in sends(effects)] == [100]
    assert again.streams[1].held == 100


def test_no_more_than_the_window_is_under_way() -> None:
    """Eight packets start, and each that passes lets one more than itself out."""
    connection, packets = paying(100_000)
    assert len(packets) == 8
    connection, effects = step(connection, fulfil(packets[0], 200), NOW)
    assert len(sends(effects)) == 2


def test_f08_sets_the_size() -> None:
    """A connector's maximum, in its own units, is converted to ours and never passed again."""
    connection, packets = paying(100)
    connection, effects = step(connection, reject(packets[0], "F08", AmountTooLarge(50, 20).data), NOW)
    assert [sent.amount for sent in sends(effects)] == [40, 40, 20]
    connection, effects = step(connection, reject(sends(effects)[0], "F08"), NOW)
    assert [sent.amount for sent in sends(effects)] == [19, 19, 2]


def test_nothing_passes_when_the_maximum_is_nothing() -> None:
    """A path that takes no amount at all fails instead of being tried for ever."""
    connection, packets = paying(1, replace(READY, floor=Rate(2, 1)))
    _, effects = step(connection, reject(packets[0], "F08"), NOW)
    assert isinstance(error(effects), PathFailed)


def test_t04_sends_less_later() -> None:
    """Without liquidity, packets shrink by a third and wait, doubling with each round."""
    connection, packets = paying(100)
    connection, effects = step(connection, reject(packets[0], "T04"), NOW)
    assert not effects
    assert connection.pace.amount == 67
    connection, effects = step(connection, Tick(), UnixMs(NOW + 50))
    assert [sent.amount for sent in sends(effects)] == [67, 33]
    connection, effects = step(connection, reject(sends(effects)[0], "T04"), UnixMs(NOW + 50))
    assert connection.pace.resume_at == NOW + 150


@pytest.mark.parametrize("code", ["F00", "F02", "F05", "F99"])
def test_final_errors_of_the_path_end_it(code: str) -> None:
    """A final error that the receiver did not sign off is the path's, and time does not mend it."""
    connection, packets = paying(100)
    _, effects = step(connection, reject(packets[0], code), NOW)
    failure = error(effects)
    assert isinstance(failure, PathFailed)
    assert (failure.code, failure.triggered_by) == (code, "test.hop")


@pytest.mark.parametrize(("code", "kind"), [("R01", PathBusy), ("R00", PathBusy)])
def test_relative_errors_are_not_tried_for_ever(code: str, kind: type[StreamError]) -> None:
    """After five rounds in which nothing passed, the sender gives up, having lost nothing."""
    connection, packets = paying(100)
    now = NOW
    for _ in range(4):
        connection, effects = step(connection, reject(packets[0], code), now)
        now = connection.pace.resume_at
        connection, effects = step(connection, Tick(), now)
        packets = sends(effects)
    connection, effects = step(connection, reject(packets[0], code), now)
    assert isinstance(error(effects), kind)
    assert connection.sent == 0


def test_a_rate_that_falls_stops_the_payment() -> None:
    """Where the receiver proves that less arrives than the minimum, the sender stops and tells the rate."""
    connection, packets = paying(100)
    now, effects = NOW, ()
    for _ in range(5):
        connection, effects = step(connection, refuse(packets[0], 150), now)
        now = max(now, connection.pace.resume_at)
        if connection.ended:
            break
        connection, effects = step(connection, Tick(), now)
        packets = sends(effects)
    failure = error(effects)
    assert isinstance(failure, RateTooLow)
    assert failure.rate == Rate(150, 100)
    assert connection.sent == 0


def test_a_receiver_that_does_not_say_why_is_not_asked_for_ever() -> None:
    """A receiver that refuses what is enough ends the payment after five rounds."""
    connection, packets = paying(100)
    now, effects = NOW, ()
    while not connection.ended:
        connection, effects = step(connection, refuse(packets[0], 200), now)
        now = max(now, connection.pace.resume_at)
        if not connection.ended:
            connection, more = step(connection, Tick(), now)
            packets = sends(more)
    assert isinstance(error(effects), ReceiverRefused)


def test_no_packet_is_a_gift() -> None:
    """A remainder for which the receiver need accept nothing is put to another packet, or not sent at all."""
    poor = replace(READY, rate=Rate(1, 10), floor=Rate(1, 10))
    connection, packets = paying(105, poor)
    assert [sent.amount for sent in packets] == [95, 10]
    assert all(sent.packet.amount > 0 for sent in packets)
    connection, packets = paying(9, poor)
    assert not packets
    assert is_drained(connection, connection.streams[1])


def test_an_aim_is_not_passed() -> None:
    """No more is sent than delivers the aim, counting what is under way."""
    connection, effects = step(READY, OpenStream(send_max=10**6, aim=301), NOW)
    assert [sent.amount for sent in sends(effects)] == [100, 51]
    for sent in sends(effects):
        connection, more = step(connection, fulfil(sent, sent.amount * 2), NOW)
        assert not sends(more)
    assert is_drained(connection, connection.streams[1])


def test_a_full_receiver_is_asked_more_and_more_rarely() -> None:
    """At the receiver's maximum the sender says that it is blocked, and goes on when the maximum is raised."""
    connection, packets = paying(300)
    connection, effects = step(connection, refuse(packets[0], 200, f.StreamMaxMoney(1, 0, 0)), NOW)
    for sent in packets[1:]:
        connection, effects = step(connection, refuse(sent, 200), NOW)
    now = connection.pace.resume_at
    connection, effects = step(connection, Tick(), now)
    (poll,) = sends(effects)
    assert (poll.amount, poll.packet.frames) == (0, (f.StreamMoneyBlocked(1, 300, 0),))
    connection, effects = step(connection, fulfil(poll, 0), now)
    assert not effects
    assert connection.poll_at == now + 100
    connection, effects = step(connection, Tick(), UnixMs(now + 100))
    (poll,) = sends(effects)
    connection, effects = step(connection, fulfil(poll, 0, f.StreamMaxMoney(1, 1000, 0)), UnixMs(now + 150))
    assert sum(sent.amount for sent in sends(effects)) > 0


def test_a_closed_stream_sends_nothing_more() -> None:
    """When the peer ends the stream, what is under way is counted and nothing follows."""
    connection, packets = paying(10_000)
    connection, effects = step(connection, refuse(packets[0], 200, f.StreamClose(1, 9, "enough")), NOW)
    assert any(isinstance(effect, StreamEnded) and effect.by_peer for effect in effects)
    connection, effects = step(connection, fulfil(packets[1], 200), NOW)
    assert not sends(effects)
    assert connection.sent == 100


def test_a_closed_connection_sends_nothing_more() -> None:
    """When the peer ends the connection with an error, that is what the payment tells."""
    connection, packets = paying(10_000)
    connection, effects = step(connection, refuse(packets[0], 200, f.ConnectionClose(3, "busy")), NOW)
    failure = error(effects)
    assert isinstance(failure, PeerClosed)
    assert (failure.error_code, failure.message) == (3, "busy")
    assert not sends(effects)


def test_receipts_are_handed_on() -> None:
    """A receipt that comes with a fulfil is told."""
    connection, packets = paying(100)
    _, effects = step(connection, fulfil(packets[0], 200, f.StreamReceipt(1, b"r" * 58)), NOW)
    assert ReceiptArrived(1, b"r" * 58) in effects


def test_the_rate_is_looked_for_with_what_nobody_can_fulfil() -> None:
    """Test packets go up to the payment's amount, under conditions that no data give, and set floor and size."""
    connection, effects = step(replace(CLIENT, settings=Settings()), OpenStream(send_max=5_000), NOW)
    packets = sends(effects)
    assert [sent.amount for sent in packets] == [1, 1_000, 5_000]
    assert not any(sent.fulfillable for sent in packets)
    connection, _ = step(connection, refuse(packets[0], 0), NOW)
    connection, _ = step(connection, reject(packets[2], "F08", AmountTooLarge(5_000, 1_500).data), NOW)
    connection, effects = step(connection, refuse(packets[1], 499), NOW)
    assert connection.rate == Rate(499, 1_000)
    assert [sent.amount for sent in sends(effects)] == [1_500, 1_500, 1_500, 500]
    assert sends(effects)[0].packet.amount == 1_500 * 499 * 99 // 100_000


def test_a_rate_below_the_minimum_pays_nothing() -> None:
    """Where the path offers less than the sender accepts, not one unit is sent."""
    picky = replace(CLIENT, settings=Settings(minimum_rate=Rate(2, 1)))
    connection, effects = step(picky, OpenStream(send_max=1_000), NOW)
    failed: tuple[Effect, ...] = ()
    for sent in sends(effects):
        connection, failed = step(connection, refuse(sent, sent.amount * 199 // 100), NOW)
    assert isinstance(error(failed), RateTooLow)
    assert connection.sent == 0


def test_a_path_without_an_answer_to_tests_is_given_up() -> None:
    """Final errors end the search at once."""
    connection, effects = step(CLIENT, OpenStream(send_max=1_000), NOW)
    _, effects = step(connection, reject(sends(effects)[0], "F02"), NOW)
    assert isinstance(error(effects), PathFailed)


def test_a_single_unit_has_to_arrive() -> None:
    """Slippage never lowers a packet's minimum to nothing: else a connector could keep the whole of it."""
    _, packets = paying(1, replace(READY, rate=Rate(1, 1), floor=Rate(1, 1).lowered(100)))
    assert [(sent.amount, sent.packet.amount) for sent in packets] == [(1, 1)]


def test_what_is_under_way_counts_against_the_receivers_maximum() -> None:
    """Packets under way leave no room for others, and a maximum that the receiver takes back stays as it was."""
    connection, packets = paying(10_000)
    limited, effects = step(connection, fulfil(packets[0], 200, f.StreamMaxMoney(1, 1_800, 200)), NOW)
    assert sum(sent.amount for sent in packets) + sum(sent.amount for sent in sends(effects)) == 900
    lowered, _ = step(limited, fulfil(packets[1], 200, f.StreamMaxMoney(1, 500, 400)), NOW)
    assert lowered.streams[1].peer_max == 1_800


def test_one_round_of_trouble_counts_once() -> None:
    """Eight packets that meet the same trouble halve the window and double the pause once, not eight times."""
    connection, packets = paying(100_000)
    for sent in packets:
        connection, _ = step(connection, reject(sent, "T00"), NOW)
    assert (connection.pace.window, connection.pace.resume_at, connection.pace.pause_ms) == (4, NOW + 50, 100)
