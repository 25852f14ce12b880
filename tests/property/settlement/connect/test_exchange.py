"""The exchange on any network: messages lost, repeated, late and out of order, in any mix."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.quantities import UnixMs
from settlement.connect.exchange_types import Phase, Tick
from tests.support.settlement_exchange import ENDS, NOW, banks, talk

ACTIONS = st.lists(st.tuples(st.sampled_from(["deliver", "drop", "repeat", "tick"]), st.booleans(), st.integers(0, 7)))


@settings(max_examples=60)
@given(ACTIONS)
def test_both_accept_the_same_or_nobody_is_bound(actions: list[tuple[str, bool, int]]) -> None:
    """Whatever the network does, acceptances that both hold are the same; once it works, both accept; else both end."""
    pair = banks()
    for action, which, place in actions:
        sender, receiver = (pair[0], pair[1]) if which else (pair[1], pair[0])
        if action == "tick":
            sender.feed(Tick())
        elif sender.outbox:
            place %= len(sender.outbox)
            text = sender.outbox[place] if action == "repeat" else sender.outbox.pop(place)
            if action != "drop":
                receiver.receive(text)
    for bank in pair:
        assert bank.state.phase is not Phase.REFUSED
        assert len(bank.accepted) <= 1
        assert bank.screenings <= 1
    for _ in range(3):
        for bank in pair:
            bank.feed(Tick())
        talk(pair[0], pair[1], most=60)
    assert pair[0].accepted[0].own == pair[1].accepted[0].theirs
    assert pair[0].accepted[0].theirs == pair[1].accepted[0].own


@settings(max_examples=30)
@given(ACTIONS, st.integers(0, 120_000))
def test_every_exchange_ends(actions: list[tuple[str, bool, int]], later: int) -> None:
    """After `expires_at` each bank has accepted or refused, wherever the network stopped."""
    pair = banks()
    for action, which, _ in actions:
        sender, receiver = (pair[0], pair[1]) if which else (pair[1], pair[0])
        if sender.outbox and action in ("deliver", "drop"):
            text = sender.outbox.pop(0)
            if action == "deliver":
                receiver.receive(text)
    now = UnixMs(max(ENDS, NOW + later))
    for bank in pair:
        bank.feed(Tick(), now)
        assert bank.state.phase in (Phase.ACCEPTED, Phase.REFUSED)
