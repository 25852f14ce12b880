"""Thousands of swaps, each decided by a seed: who follows the protocol never loses, and each swap ends by itself."""

from __future__ import annotations

import itertools

import pytest

from settlement.swap.machine.states import Outcome
from settlement.swap.terms import Mode, Role
from tests.simulation.swap.engine import Way
from tests.simulation.swap.liars import FOLLOWERS_LIES, INITIATORS_LIES
from tests.simulation.swap.world import Scenario, World, run

RUNS = 10_000
CHUNK = 500
SEEDS_OF_A_LIE = 12
COMMITS = 26

LOCK_LIES = INITIATORS_LIES[: INITIATORS_LIES.index("locks twice")]


def verdict(seed: int, scenario: Scenario | None = None) -> World:
    """Run it, and say how to see it again where something is wrong."""
    try:
        world = run(seed, scenario)
    except AssertionError as error:
        pytest.fail(f"seed {seed}, {scenario or 'its own scenario'}: {error}")
    faults = world.faults()
    again = f"python -m tests.simulation.swap.world {seed}" if scenario is None else f"run({seed}, {scenario})"
    assert not faults, f"{faults}; see it again: {again}"
    return world


@pytest.mark.parametrize("first", range(0, RUNS, CHUNK))
def test_nobody_who_follows_the_protocol_loses(first):
    """Whatever crashes, is lost, reorganised, paid late or lied about, an honest side ends with its money or the
    other's, by itself; and two honest sides on calm chains trade."""
    for seed in range(first, first + CHUNK):
        verdict(seed)


@pytest.mark.parametrize(
    ("role", "lie"),
    [(Role.INITIATOR, lie) for lie in INITIATORS_LIES] + [(Role.FOLLOWER, lie) for lie in FOLLOWERS_LIES],
)
def test_a_liar_gains_nothing(role, lie):
    """Each lie, in both modes and with reorganisations, leaves the honest side whole."""
    for mode, reorgs, seed in itertools.product(Mode, (0, 2), range(SEEDS_OF_A_LIE)):
        scenario = Scenario(mode=mode, confirmations=1 + reorgs, reorgs=reorgs, lie=lie, liar=role, loss=seed % 2 * 20)
        verdict(seed, scenario)


@pytest.mark.parametrize("lie", LOCK_LIES)
def test_nobody_funds_for_a_lock_that_is_not_the_one_agreed(lie):
    """A lock with any other term, or on another contract or chain, gets no bitcoin."""
    for seed in range(SEEDS_OF_A_LIE):
        world = verdict(seed, Scenario(calm=True, lie=lie, liar=Role.INITIATOR))
        assert not world.parties[Role.FOLLOWER].paid
        assert world.parties[Role.FOLLOWER].state.outcome is Outcome.NOTHING_MOVED


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("way", Way)
def test_a_crash_at_any_commit_loses_nothing(way, mode):
    """Each side, killed before, at or after each of its commits, or unsure of it, goes on and the swap completes."""
    for role, commit in itertools.product(Role, range(1, COMMITS)):
        world = verdict(commit, Scenario(mode=mode, calm=True, crash=(role, commit, way)))
        assert {party.state.outcome for party in world.parties.values()} == {Outcome.SWAPPED}


@pytest.mark.parametrize("mode", Mode)
def test_an_initiator_that_sleeps_for_hours_shows_no_secret_late(mode):
    """Killed at any commit before the secret was out, and started again after T2: it has its lock back, even if it had
    decided to show the secret."""
    decided = 0
    for commit, lie in itertools.product(range(1, COMMITS), ("", "funds late", "races with a refund")):
        crash = (Role.INITIATOR, commit, Way.LAST)
        liar = Role.FOLLOWER if lie else None
        world = run(commit, Scenario(mode=mode, lie=lie, liar=liar, crash=crash, sleep=36_000))
        party = world.parties[Role.INITIATOR]
        if not party.had_shown:
            assert not world.faults()
            decided += party.had_decided
    assert decided


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("stops", Role)
def test_a_side_that_vanishes_costs_the_other_nothing(stops, mode):
    """Whoever stops for ever at any of its commits, the other side comes to its end without a person."""
    outcomes = set()
    for seed in range(60):
        world = verdict(seed, Scenario(mode=mode, confirmations=2, stops=stops, loss=10))
        outcomes |= {party.state.outcome for party in world.honest}
    assert Outcome.SWAPPED in outcomes
    assert outcomes & {Outcome.RETURNED, Outcome.NOTHING_MOVED}


def test_the_simulation_repeats_itself():
    """A seed gives the same run again, so that a failure can be looked at."""
    for seed in range(20):
        first, second = run(seed), run(seed)
        assert first.steps == second.steps
        assert first.now == second.now
        assert [p.state for p in first.parties.values()] == [p.state for p in second.parties.values()]
