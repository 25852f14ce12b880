"""Each guard is broken once, with the invariants off, to see that the simulation would notice."""

from __future__ import annotations

import pytest

from settlement.swap.machine import guards
from settlement.swap.machine import step as stepping
from settlement.swap.terms import Mode, Role
from tests.simulation.swap.world import Scenario, run

TRIES = 300


def _always(*_):
    return True


def _seen_is_final(_, output, kind):
    return output.spend is not None and output.spend.kind is kind


BREAKS = [
    ("secret_opens", _always, Scenario(lie="oversized secret", liar=Role.INITIATOR)),
    ("secret_opens", _always, Scenario(lie="oversized secret", liar=Role.INITIATOR, mode=Mode.POINT)),
    ("lock_is_exact", _always, Scenario(lie="wrong amount", liar=Role.INITIATOR)),
    ("lock_is_exact", _always, Scenario(lie="wrong kind of lock", liar=Role.INITIATOR)),
    ("lock_is_exact", _always, Scenario(lie="early expiry", liar=Role.INITIATOR)),
    ("lock_is_final", _always, Scenario(lie="lock vanishes", liar=Role.INITIATOR)),
    ("may_still_fund", _always, Scenario(lie="asks the lock back", liar=Role.INITIATOR)),
    ("in_time_to_reveal", _always, Scenario(lie="funds late", liar=Role.FOLLOWER)),
    ("output_is_exact", _always, Scenario(lie="funds less", liar=Role.FOLLOWER)),
    ("output_is_buried", _always, Scenario(lie="spends its funding otherwise", liar=Role.FOLLOWER)),
    ("may_still_reveal", _always, Scenario(lie="quits and funds", liar=Role.FOLLOWER)),
    ("may_cosign_refund", _always, Scenario(lie="asks for refunds", liar=Role.FOLLOWER)),
    ("spend_is_final", _seen_is_final, Scenario(reorgs=2, crashes=1, confirmations=3)),
    ("can_complete_claim", _always, Scenario(calm=True, mode=Mode.POINT)),
    ("is_whole", _always, Scenario(calm=True)),
    ("may_give_back", _always, Scenario(calm=True)),
    ("in_time_to_fund", _always, Scenario(stops=Role.INITIATOR)),
]

STOPPED = [one for one in BREAKS if one[0] not in ("secret_opens", "spend_is_final", "is_whole", "in_time_to_fund")]
"""What the invariants see by themselves. A secret that opens nothing they cannot tell, and ends they do not judge."""


def _ids(breaks):
    return [f"{name} / {scenario.lie or scenario.mode}" for name, _, scenario in breaks]


def _is_noticed(seed: int, scenario: Scenario) -> bool:
    try:
        return bool(run(seed, scenario).faults())
    except (AssertionError, LookupError, ValueError):
        return True


@pytest.mark.parametrize(("name", "broken", "scenario"), BREAKS, ids=_ids(BREAKS))
def test_the_simulation_notices_a_guard_that_is_gone(monkeypatch, name, broken, scenario):
    """Without the guard somebody honest loses, or does not come to an end, in one of a few hundred runs."""
    monkeypatch.setattr(guards, name, broken)
    monkeypatch.setattr(stepping, "check_step", lambda *_: None)
    assert any(_is_noticed(seed, scenario) for seed in range(TRIES))


@pytest.mark.parametrize(("name", "broken", "scenario"), STOPPED, ids=_ids(STOPPED))
def test_an_invariant_stops_what_a_broken_guard_lets_through(monkeypatch, name, broken, scenario):
    """With the invariants on, the wrong step itself is refused, before anything of it is stored."""
    monkeypatch.setattr(guards, name, broken)

    def is_stopped(seed: int) -> bool:
        try:
            run(seed, scenario)
        except AssertionError:
            return True
        return False

    assert any(is_stopped(seed) for seed in range(TRIES))
