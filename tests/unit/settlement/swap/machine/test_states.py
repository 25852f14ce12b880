"""`machine.states`: what a database keeps; and `machine.outlook`: what an owner sees."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace as replaced

from foundation.errors import BadInput
from settlement.swap.machine.changes import Failed, OwnerAsked, PeerAgreed, SecretSeen, Tick, Wish
from settlement.swap.machine.effects import Effect
from settlement.swap.machine.facts import LockStatus, SpendKind
from settlement.swap.machine.outlook import Phase, outlook
from settlement.swap.machine.states import STATE_VERSION, Outcome, decode_state, encode_state
from settlement.swap.terms import Mode
from tests.support.swap_sides import OTHER, follower, initiator
from tests.support.swap_terms import SECRET


def lives():
    """Sides at many places of their lives."""
    for side in (initiator(Mode.POINT), follower(Mode.POINT)):
        side.tell(PeerAgreed())
        yield side
    for mode in Mode:
        yield initiator(mode)
        yield follower(mode)
        yield initiator(mode).locked()
        yield follower(mode).locked()
        yield initiator(mode).funded()
        yield follower(mode).funded()
        known = follower(mode).funded()
        known.tell(SecretSeen(SECRET))
        yield known
        refunding = follower(mode).funded()
        refunding.times(refunding.gates.refund_bitcoin + 1, 0)
        yield refunding
        quitting = initiator(mode).locked()
        quitting.tell(OwnerAsked(Wish.CANCEL))
        yield quitting
        waiting = follower(mode)
        waiting.agree()
        waiting.lock(final=False)
        yield waiting
        given = follower(mode)
        given.agree()
        given.lock(final=False)
        given.tell(OwnerAsked(Wish.CANCEL))
        yield given


def test_a_state_is_read_back_as_it_was():
    """In every place of its life, and it goes on alike."""
    for side in lives():
        again = decode_state(encode_state(side.state))
        assert again == side.state
        assert type(again) is type(side.state)
        assert side.tell(Tick()) == ()


def test_orders_are_read_back_as_they_were():
    """The engine keeps them in its outbox."""
    for side in lives():
        for effect in side.last:
            data = msgspec.msgpack.encode(effect)
            assert msgspec.msgpack.decode(data, type=Effect) == effect
            assert len(effect.key) <= 128


@pytest.mark.parametrize("data", [b"", b"\x00", msgspec.msgpack.encode([STATE_VERSION, {"type": "nobody"}])])
def test_what_is_no_state_is_refused(data):
    """With what to do about it."""
    with pytest.raises(BadInput, match=r"swap\.state"):
        decode_state(data)


def test_a_state_of_another_version_is_refused():
    """A later program's state means something else."""
    version, state = msgspec.msgpack.decode(encode_state(initiator().state))
    with pytest.raises(BadInput, match="version"):
        decode_state(msgspec.msgpack.encode([version + 1, state]))


def test_an_outlook_tells_each_place_of_a_swap():
    """Where it stands, what comes next, how far each deadline is, and what to do should the machine die."""
    phases = set()
    for side in lives():
        view = outlook(side.state, side.now)
        phases.add(view.phase)
        assert view.now.endswith(".")
        assert view.then.endswith(".")
        assert view.if_it_dies.endswith(".")
        assert list(view.deadlines) == sorted(view.deadlines, key=lambda one: one.at)
        assert all(one.left_s == one.at - side.state.seconds(side.now) for one in view.deadlines)
        assert side.gates.refund_evm in [one.at for one in view.deadlines]
    assert phases == set(Phase) - {Phase.OVER}


def test_an_outlook_says_when_a_machine_must_not_stay_dead():
    """Only when its owner could lose something: before, there is no hurry."""
    assert "Nothing is lost" in outlook(follower().state, 0).if_it_dies
    assert "when you like" in outlook(initiator().locked().state, 0).if_it_dies
    assert "before T2" in outlook(initiator().funded().state, 0).if_it_dies
    assert "before T1" in outlook(follower().funded().state, 0).if_it_dies
    assert "swap bundle" in outlook(follower().funded().state, 0).if_it_dies


def test_an_outlook_counts_confirmations():
    """Of the lock and of the funding, and what became of them."""
    side = follower().funded()
    assert outlook(side.state, 0).lock == "there, final"
    assert outlook(side.state, 0).funding == "6 of 6 confirmations"
    side.spend(SpendKind.CLAIM, 2)
    side.lock(LockStatus.CLAIMED, final=False)
    assert outlook(side.state, 0).lock == "claimed, in a block, not final yet"
    assert outlook(side.state, 0).funding == "claimed, 2 of 6 confirmations"


def test_an_outlook_notes_what_went_wrong():
    """A payment of another amount, and an order that failed."""
    side = follower().funded()
    side.output(1, value=5_000, outpoint=OTHER)
    side.tell(Failed("ClaimEvm:00", "no gas"))
    notes = outlook(side.state, 0).notes
    assert "ClaimEvm: no gas" in notes
    assert any("another amount" in note for note in notes)


def test_an_outlook_says_where_a_wrong_payment_is():
    """It goes back after T2; when it has gone, nothing is left of it there."""
    side = follower().funded()
    side.output(1, value=5_000, outpoint=OTHER)
    assert (
        "a payment of another amount came to the swap's script; it goes back after T2" in outlook(side.state, 0).notes
    )
    outputs = [replaced(one, written_off=one.value == 5_000) for one in side.state.outputs]
    (note,) = outlook(replaced(side.state, outputs=tuple(outputs)), 0).notes
    assert "nothing of that is left there" in note


def test_an_outlook_says_that_bitcoin_is_in_the_swap_when_it_is_seen_there():
    """Before, it is on its way."""
    side = follower().funded()
    assert outlook(side.state, 0).now == "Your bitcoin is in the swap."
    assert "on its way" in outlook(replaced(side.state, outputs=()), 0).now


def test_an_outlook_of_a_swap_that_is_over():
    """It says how it ended, and nothing more."""
    side = initiator()
    side.tell(OwnerAsked(Wish.CANCEL))
    view = outlook(side.state, side.now)
    assert side.state.outcome is Outcome.NOTHING_MOVED
    assert view.phase is Phase.OVER
    assert view.deadlines == ()
