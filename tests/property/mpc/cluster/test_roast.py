"""ROAST under any order of events: t honest and live members of n always finish."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import bip340, roast
from tests.support import roasting
from tests.support.cluster import deal, item
from tests.support.roasting import SimulatedMember

ITEMS = (item(b"a"),)
BAD = ["liar", "staller", "absent", "refuser"]


@settings(max_examples=40)
@given(st.data())
def test_the_honest_finish_whoever_else_misbehaves(data):
    """With n − t members that lie, stall, refuse or are away, and crashes, repeats and any order, the rest signs, only
    liars are named, nobody reveals two partial signatures for one nonce, and rounds stay within ROAST's bound."""
    n = data.draw(st.integers(1, 6), "n")
    t = data.draw(st.integers(1, n), "t")
    bad = data.draw(st.lists(st.sampled_from(BAD), max_size=n - t), "misbehaving")
    behaviours = data.draw(st.permutations([*bad, *["honest"] * (n - len(bad))]), "members")
    crashes = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n), "crashes")
    rng = random.Random(data.draw(st.integers(0, 2**32), "order"))
    members = [
        SimulatedMember(share, ITEMS, behaviour, crash if behaviour == "honest" else 0)
        for share, behaviour, crash in zip(deal(t, n), behaviours, crashes, strict=True)
    ]
    course = roasting.run(members, ITEMS, range(n), rng.randrange, lambda: rng.random() < 0.2)
    assert isinstance(course.state, roast.Signed)
    assert bip340.verify(ITEMS[0].message, members[0].share.key.tweaked(ITEMS[0]), course.state.signatures[0])
    assert all(behaviours[i] == "liar" for i in course.blamed)
    assert len(set(course.blamed)) == len(course.blamed)
    for member in members:
        assert len(set(member.revealed)) == len(member.revealed)
        assert len(set(member.offered)) == len(member.offered)
    if not any(crashes):
        assert course.rounds <= n - t + 1
