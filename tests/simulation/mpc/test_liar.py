"""A member that sends wrong partial signatures for 2,000 sessions."""

from dataclasses import replace

from mpc import roast
from mpc.standing import FIRST_EXCLUSION_MS, LONGEST_EXCLUSION_MS, TOLERATED_FAULTS, after_fault, candidates
from tests.support import roasting
from tests.support.cluster import deal, item
from tests.support.roasting import SimulatedMember

SESSIONS = 2_000
SESSION_MS = 2_000
LIAR = 0


def test_a_liar_is_named_each_time_excluded_soon_and_learns_nothing():
    """Over 2,000 sessions every session is signed; the liar is named in each that its share was counted in, takes part
    in no more than a bounded few, and never sees two partial signatures of an honest member for one nonce."""
    shares = deal(2, 3)
    culprits, took_part, named = {}, 0, 0
    revealed, offered = [], []
    now = 1_000_000
    for number in range(SESSIONS):
        items = (item(number.to_bytes(4, "big"), tweaked=False),)
        members = [SimulatedMember(share, items, "liar" if share.index == LIAR else "honest") for share in shares]
        chosen = candidates(shares[0].key.members, 2, culprits, now)
        course = roasting.run(members, items, chosen.first)
        assert isinstance(course.state, roast.Signed)
        assert LIAR not in course.state.signers
        took_part += LIAR in chosen.first
        named += LIAR in course.blamed
        assert set(course.blamed) <= {LIAR}
        if course.blamed:
            peer = shares[LIAR].key.members[LIAR]
            culprits[peer] = after_fault(culprits.get(peer), peer, "wrong", now)
        revealed += [nonce for member in members for nonce in member.revealed]
        offered += [nonce for member in members for nonce in member.offered]
        now += SESSION_MS
    # The exclusion doubles from a minute, so in SESSIONS * SESSION_MS there is room for few of them.
    most = TOLERATED_FAULTS + (SESSIONS * SESSION_MS // FIRST_EXCLUSION_MS).bit_length()
    assert took_part == named <= most
    assert len(set(revealed)) == len(revealed)
    assert len(set(offered)) == len(offered)


def test_a_liar_that_is_never_left_out_is_named_in_each_of_2000_sessions():
    """Even where the liar takes part in all 2,000 sessions, each is signed without it, it alone is named in each, and
    no honest member ever makes two partial signatures with one nonce, from which its share could be computed."""
    shares = deal(2, 3)
    revealed = []
    for number in range(SESSIONS):
        items = (item(number.to_bytes(4, "big"), tweaked=False),)
        members = [SimulatedMember(share, items, "liar" if share.index == LIAR else "honest") for share in shares]
        course = roasting.run(members, items, range(3))
        assert isinstance(course.state, roast.Signed)
        assert course.blamed == [LIAR]
        assert course.state.culprits == {LIAR}
        revealed += [nonce for member in members for nonce in member.revealed]
    assert len(set(revealed)) == len(revealed)


def test_an_exclusion_ends_and_is_never_longer_than_a_day():
    """However many faults, a peer is asked again after a day at most, and its record is never forgotten."""
    culprit = None
    for _ in range(5_000):
        culprit = after_fault(culprit, b"peer", "wrong", 1_000)
    assert culprit.faults == 5_000
    assert culprit.excluded_until == 1_000 + LONGEST_EXCLUSION_MS
    assert replace(culprit, faults=0) != culprit
