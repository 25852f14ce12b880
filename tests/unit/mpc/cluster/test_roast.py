"""The coordinator of a ROAST session, step by step."""

import pytest

from mpc import bip340, roast
from mpc.cluster_errors import SigningRefused, SigningTimeout
from mpc.errors import MalformedInput
from mpc.evidence import MALFORMED_ANSWER, WRONG_SHARE
from mpc.messages import encode
from mpc.ports import SigningItem, Tweak
from tests.support import roasting
from tests.support.cluster import deal, item
from tests.support.roasting import SimulatedMember

ITEMS = (item(b"a"), item(b"b", tweaked=False))


def cast(*behaviours, t=3, items=ITEMS):
    shares = deal(t, len(behaviours))
    return [SimulatedMember(share, items, behaviour) for share, behaviour in zip(shares, behaviours, strict=True)]


def check(course, members, items=ITEMS):
    assert isinstance(course.state, roast.Signed)
    for wanted, signature in zip(items, course.state.signatures, strict=True):
        assert bip340.verify(wanted.message, members[0].share.key.tweaked(wanted), signature)


def test_one_round_signs_all_items():
    """When all are honest, the first t members sign every item in one round."""
    members = cast(*["honest"] * 5)
    course = roasting.run(members, ITEMS, range(5))
    check(course, members)
    assert (course.rounds, course.state.signers, course.blamed) == (1, (0, 1, 2), [])


def test_a_staller_is_passed_over():
    """A member that stalls holds up only its own round: the others finish in the next."""
    members = cast("staller", "honest", "staller", "honest", "honest")
    course = roasting.run(members, ITEMS, range(5))
    check(course, members)
    assert course.state.signers == (1, 3, 4)
    assert course.rounds == 2


def test_all_liars_of_a_round_are_named_and_passed_over():
    """Two wrong partial signatures in one round are both named with evidence, and the rest signs."""
    members = cast("liar", "liar", "honest", "honest", "honest")
    course = roasting.run(members, ITEMS, range(5))
    check(course, members)
    assert sorted(course.blamed) == [0, 1]
    assert course.state.culprits == {0, 1}


def test_a_liar_beside_a_staller():
    """A liar whose round never completes is caught in the next one that does."""
    members = cast("liar", "staller", "honest", "honest", "honest")
    course = roasting.run(members, ITEMS, range(5))
    check(course, members)
    assert course.blamed == [0]


def test_refusals_are_reported_when_the_threshold_is_out_of_reach():
    """With too many refusals the session ends at once and says who refused why, and who was at fault."""
    members = cast("refuser", "refuser", "liar", "honest", "honest")
    course = roasting.run(members, ITEMS, range(5))
    assert isinstance(course.state, roast.Failed)
    assert isinstance(course.state.error, SigningRefused)
    assert course.state.error.refusals == dict.fromkeys((0, 1), ("NotYet", "I have not seen it"))
    assert course.state.error.culprits == (2,)


def test_the_deadline_names_who_is_awaited():
    """At its deadline a session fails and names the members that owe an answer."""
    members = cast("absent", "absent", "absent", "honest", "honest")
    course = roasting.run(members, ITEMS, range(5))
    assert isinstance(course.state, roast.Signing)
    state, effects = roast.step(course.state, roast.Tick(), course.state.deadline)
    assert isinstance(state.error, SigningTimeout)
    assert (state.error.waiting_for, effects) == ((0, 1, 2), ())
    assert roast.step(state, roast.Tick(), course.state.deadline) == (state, ())


def test_a_member_that_lost_its_nonces_is_invited_again():
    """A member that crashed between offer and round joins again; if it always does, it is given up."""
    members = cast("honest", "honest", "honest")
    members[1].forgets = 3
    course = roasting.run(members, ITEMS, range(3))
    check(course, members)
    members[2].forgets = 100
    course = roasting.run(members, ITEMS, range(3))
    assert isinstance(course.state.error, SigningRefused)
    assert course.state.error.refusals[2][0] == "NonceUnavailable"


@pytest.mark.parametrize("spoil", ["count", "point", "psigs"])
def test_a_malformed_answer_is_a_fault(spoil):
    """Nonces that are no points, or the wrong number of anything, are named at once."""
    members = cast("honest", "honest", t=2)
    state, _ = roast.start(bytes(32), members[0].share.key, ITEMS, range(2), roast.UnixMs(1))
    state, _ = roast.step(state, members[0].invited(), 0)
    if spoil != "psigs":
        pubnonces = members[1].offer().pubnonces
        bad = pubnonces[:1] if spoil == "count" else (pubnonces[0], bytes(66))
        state, effects = roast.step(state, roast.Offered(1, roast.Nonces(bad, b"env")), 0)
    else:
        state, effects = roast.step(state, members[1].invited(), 0)
        answer = members[1].asked(effects[1].round)
        short = roast.Shared(1, 0, answer.psigs[:1], answer.nonces)
        state, effects = roast.step(state, short, 0)
    assert [(e.evidence.index, e.evidence.reason) for e in effects] == [(1, MALFORMED_ANSWER)]
    assert isinstance(state, roast.Failed)


def test_evidence_of_a_wrong_share_holds_both_envelopes():
    """The evidence against a liar holds its offer, the round and its answer."""
    members = cast("liar", "honest", t=2)
    state, _ = roast.start(bytes(32), members[0].share.key, ITEMS, range(2), roast.UnixMs(1))
    for member in members:
        state, effects = roast.step(state, member.invited(), 0)
    asked = {effect.signer: effect.round for effect in effects}
    for i, member in enumerate(members):
        answer = member.asked(asked[i])
        nonces = roast.Nonces(answer.nonces.pubnonces, b"envelope of the answer")
        state, effects = roast.step(state, roast.Shared(i, 0, answer.psigs, nonces), 0)
    (blame,) = effects
    evidence = blame.evidence
    assert (evidence.index, evidence.reason) == (0, WRONG_SHARE)
    assert (evidence.offer, evidence.answer) == (b"envelope of the offer", b"envelope of the answer")
    assert evidence.round == encode(asked[0])
    assert type(evidence).from_bytes(evidence.encode()) == evidence


def test_repeated_and_misplaced_changes_do_nothing():
    """Answers that come twice, from strangers or for unknown rounds change nothing."""
    members = cast(*["honest"] * 3)
    state, _ = roast.start(bytes(32), members[0].share.key, ITEMS, range(3), roast.UnixMs(1))
    offered = members[0].invited()
    state, _ = roast.step(state, offered, 0)
    nonces = members[1].offer()
    for change in (
        offered,
        roast.Offered(77, nonces),
        roast.Shared(0, 5, (), nonces),
        roast.Garbled(0, 5, b""),
        roast.Garbled(0, None, b""),
        roast.Lost(0, 0),
        roast.Lost(1, 0),
    ):
        assert roast.step(state, change, 0) == (state, ())


def test_members_left_out_are_asked_when_a_session_is_widened():
    """A session that was opened without some members can ask them later, and each only once."""
    members = cast("absent", *["honest"] * 4)
    state, effects = roast.start(bytes(32), members[0].share.key, ITEMS, range(3), roast.UnixMs(1))
    for effect in effects[1:]:
        state, _ = roast.step(state, members[effect.signer].invited(), 0)
    state, effects = roast.widen(state, (2, 3, 4))
    assert [effect.signer for effect in effects] == [3, 4]
    state, effects = roast.step(state, members[4].invited(), 0)
    assert [effect.signer for effect in effects] == [1, 2, 4]


def test_a_session_needs_items_tweaks_that_work_and_enough_candidates():
    """What can never be signed is refused before anybody is asked."""
    key = deal(3, 5)[0].key
    for items, candidates in (
        ((), range(5)),
        (ITEMS, range(2)),
        (ITEMS, (0, 1, 9)),
        ((SigningItem(bytes(32), (Tweak(b"\xff" * 32, True),)),), range(5)),
        ((SigningItem(bytes(31)),), range(5)),
        (ITEMS * 129, range(5)),
    ):
        with pytest.raises(MalformedInput):
            roast.start(bytes(32), key, items, candidates, roast.UnixMs(1))
