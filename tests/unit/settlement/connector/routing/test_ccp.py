"""Both ends of CCP with one peer."""

from __future__ import annotations

from dataclasses import replace

from foundation.quantities import UnixMs
from settlement.connector.routing import ccp
from settlement.connector.routing.ccp_codec import Announced, Mode, RouteControl, RouteUpdate
from settlement.connector.routing.routes import Timing

TABLE, OTHER = bytes(15) + b"\x01", bytes(15) + b"\x02"
TIMING = Timing()
NOW = UnixMs(1_000_000)


def route(prefix: str) -> Announced:
    return Announced(prefix, ("g.peer",), bytes(32))


def update(
    start: int, end: int, *prefixes: str, withdrawn: tuple[str, ...] = (), table: bytes = TABLE, current: int = 0
):
    announced = tuple(route(prefix) for prefix in prefixes)
    return RouteUpdate(table, max(current, end), start, end, 45_000, "g.peer", announced, withdrawn)


def take(state: ccp.Learning, message: RouteUpdate, *, most: int = 100, bad: tuple[str, ...] = (), now: UnixMs = NOW):
    judge = lambda one: ccp.Unfit.LOOP if one.prefix in bad else None  # noqa: E731
    return ccp.take_update(state, message, judge, most, TIMING, now)


def test_an_update_is_taken_once():
    """An update adds its routes and moves the epoch; the same one again, and an older one, change nothing."""
    state, learnt = take(ccp.Learning(), update(0, 2, "g.a", "g.b"))
    assert [one.prefix for one in learnt.taken] == ["g.a", "g.b"]
    assert (state.epoch, state.prefixes) == (2, {"g.a", "g.b"})
    later, _ = take(state, update(2, 3, withdrawn=("g.a",)))
    assert later.prefixes == {"g.b"}
    again, learnt = take(later, update(0, 2, "g.a", "g.b"))
    assert (again, learnt) == (later, ccp.Learnt())


def test_a_gap_is_not_jumped():
    """An update that begins after what we know is not taken, and makes us ask for what is missing."""
    state, _ = take(ccp.Learning(), update(0, 2, "g.a"))
    assert ccp.control_due(state, TIMING) is None
    state, learnt = take(state, update(3, 4, "g.b"))
    assert learnt == ccp.Learnt()
    assert ccp.control_due(state, TIMING) == 0
    assert state.request() == RouteControl(Mode.SYNC, TABLE, 2)


def test_a_request_is_repeated_soon_when_the_peer_begins_to_speak():
    """A peer that refused our request because it was starting is asked again a pause after it asks us; else not."""
    waiting = ccp.asked(ccp.Learning(), NOW)
    later = UnixMs(NOW + 1_000)
    assert ccp.control_due(ccp.heard(waiting, TIMING, later), TIMING) == later + TIMING.pause_ms
    assert ccp.control_due(waiting, TIMING) == NOW + TIMING.control_ms
    old = ccp.asked(ccp.Learning(), UnixMs(NOW - TIMING.control_ms))
    assert ccp.heard(old, TIMING, later) == old, "it is due already"
    answered = ccp.accepted(waiting, TIMING, NOW)
    assert ccp.heard(answered, TIMING, later) == answered
    assert ccp.heard(ccp.Learning(), TIMING, later) == ccp.Learning()


def test_a_new_table_replaces_the_old_one_when_it_is_complete():
    """Routes of a peer's earlier table stay in use while the new one is learnt, and go if not repeated."""
    state, _ = take(ccp.Learning(), update(0, 2, "g.a", "g.b"))
    state, learnt = take(state, update(0, 1, "g.a", table=OTHER, current=2))
    assert learnt.gone == set()
    assert state.prefixes == {"g.a", "g.b"}
    state, learnt = take(state, update(1, 2, "g.c", table=OTHER))
    assert learnt.gone == {"g.b"}
    assert state.prefixes == {"g.a", "g.c"}


def test_a_route_that_is_no_longer_fit_ends_the_one_before():
    """A peer whose route now leads through us loses the route that it had announced under the same prefix."""
    state, _ = take(ccp.Learning(), update(0, 1, "g.a"))
    state, learnt = take(state, update(1, 2, "g.a"), bad=("g.a",))
    assert learnt == ccp.Learnt(gone=frozenset({"g.a"}), unfit=(("g.a", ccp.Unfit.LOOP),))
    assert state.prefixes == set()


def test_a_prefix_that_is_withdrawn_and_announced_in_one_update_stays():
    """Withdrawals count before announcements, as the deployed connectors apply them."""
    state, _ = take(ccp.Learning(), update(0, 1, "g.a"))
    state, learnt = take(state, update(1, 3, "g.a", withdrawn=("g.a",)))
    assert (state.prefixes, learnt.gone) == ({"g.a"}, set())


def test_a_peer_holds_no_more_routes_than_it_may():
    """Routes above a peer's limit are not taken; those that it has may change, and a withdrawal makes room."""
    state, learnt = take(ccp.Learning(), update(0, 3, "g.a", "g.b", "g.c"), most=2)
    assert state.prefixes == {"g.a", "g.b"}
    assert learnt.unfit == (("g.c", ccp.Unfit.TOO_MANY),)
    state, learnt = take(state, update(3, 5, "g.a", "g.c", withdrawn=("g.b",)), most=2)
    assert state.prefixes == {"g.a", "g.c"}
    assert learnt.unfit == ()


def test_a_silent_peer_loses_its_routes():
    """Routes end when the hold-down has passed since the last update, and the peer is asked anew."""
    state, _ = take(ccp.Learning(), update(0, 1, "g.a"))
    state, _ = take(state, update(1, 1), now=UnixMs(NOW + 10_000))  # a sign of life
    assert ccp.expire(state, UnixMs(NOW + 54_999)) == (state, frozenset())
    state, gone = ccp.expire(state, UnixMs(NOW + 55_000))
    assert gone == {"g.a"}
    assert state.request() == RouteControl(Mode.SYNC)
    assert ccp.control_due(state, TIMING) == 0


def test_a_peer_cannot_ask_to_be_believed_for_ever():
    """A hold-down above our maximum is cut to it."""
    state, _ = take(ccp.Learning(), replace(update(0, 1, "g.a"), hold_down_ms=2**32 - 1))
    assert state.expires_at == NOW + TIMING.hold_down_ms_max


def test_routes_are_requested_again_where_none_follow():
    """A request without an answer is repeated after a pause; one that was acknowledged, when no update follows."""
    state = ccp.asked(ccp.Learning(), NOW)
    assert ccp.control_due(state, TIMING) == NOW + TIMING.control_ms
    state = ccp.accepted(state, TIMING, NOW)
    assert ccp.control_due(state, TIMING) is None
    state, _ = ccp.expire(state, UnixMs(NOW + TIMING.hold_down_ms))
    assert ccp.control_due(state, TIMING) is not None


def test_nothing_is_told_to_who_did_not_ask():
    """Updates go only to peers that asked for them, and end when a peer goes idle."""
    assert ccp.update_due(ccp.Telling(), TABLE, 5, TIMING) is None
    state = ccp.take_control(ccp.Telling(), RouteControl(Mode.SYNC), TABLE, 5)
    assert ccp.update_due(state, TABLE, 5, TIMING) == TIMING.pause_ms
    state = ccp.take_control(state, RouteControl(Mode.IDLE), TABLE, 5)
    assert ccp.update_due(state, TABLE, 5, TIMING) is None


def test_a_speaker_moves_on_when_it_is_acknowledged():
    """An update that is lost is sent again from the same epoch; one that is acknowledged is followed by the next."""
    state = ccp.take_control(ccp.Telling(), RouteControl(Mode.SYNC, TABLE, 2), TABLE, 5)
    message = update(2, 5)
    state = ccp.told(state, message, TIMING, NOW)
    assert ccp.update_due(state, TABLE, 5, TIMING) == NOW + TIMING.heartbeat_ms  # lost, as far as we know
    assert state.epoch == 2
    done = ccp.acknowledged(state, message)
    assert done.epoch == 5
    assert ccp.update_due(done, TABLE, 5, TIMING) == NOW + TIMING.heartbeat_ms
    assert ccp.update_due(done, TABLE, 6, TIMING) == NOW + TIMING.pause_ms


def test_a_late_acknowledgement_of_another_update_counts_for_nothing():
    """When a peer asked anew meanwhile, the answer to the update before does not move it on."""
    state = ccp.take_control(ccp.Telling(), RouteControl(Mode.SYNC, TABLE, 2), TABLE, 5)
    state = ccp.told(state, update(2, 5), TIMING, NOW)
    later = ccp.told(state, update(2, 6), TIMING, NOW)
    assert ccp.acknowledged(later, update(2, 5)) == later
    state = ccp.take_control(state, RouteControl(Mode.SYNC), TABLE, 5)
    assert ccp.acknowledged(state, update(2, 5)).epoch == 0


def test_a_peer_that_knows_another_table_or_more_than_there_is_hears_all():
    """An unknown table id, or an epoch that we have not reached, begins at epoch 0."""
    for control in (RouteControl(Mode.SYNC, OTHER, 3), RouteControl(Mode.SYNC, TABLE, 6)):
        assert ccp.take_control(ccp.Telling(), control, TABLE, 5).epoch == 0
    assert ccp.take_control(ccp.Telling(), RouteControl(Mode.SYNC, TABLE, 3), TABLE, 5).epoch == 3
