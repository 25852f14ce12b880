"""A ledger that says otherwise than a party's memory: an old database, a lost margin, money that nobody expected."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import clearer, payee, payer
from settlement.custody.states import Times, note_of, wakes_at
from tests.support.custody_recorded import REVEAL_MS, Recorded


@pytest.fixture(scope="module")
def run() -> Recorded:
    """One good payment, for all tests of this module: none of them changes it."""
    return Recorded()


def test_money_that_was_refused_and_comes_all_the_same_is_told_once(run: Recorded) -> None:
    """A refused hold that somebody fulfils with the payer's preimage ends the payment, with an alarm and only one."""
    paid = c.Fulfilled("yuan", run.target, "clearing", run.preimage)
    state, effects = run.step("bank-b", "refusing", paid)
    assert (isinstance(state, payee.Failed), isinstance(effects[0], c.Alarm)) == (True, True)
    assert payee.step(state, paid, UnixMs(run.begun_at), REVEAL_MS) == (state, ())
    failed = payee.Failed(state.invitation, c.Why.NO_ANSWER, "")
    state, effects = payee.step(failed, paid, UnixMs(run.begun_at), REVEAL_MS)
    assert isinstance(effects[0], c.Alarm)
    assert payee.step(state, paid, UnixMs(run.begun_at), REVEAL_MS) == (state, ())


def test_a_payer_hears_of_a_hold_that_it_had_forgotten(run: Recorded) -> None:
    """A payment that holds nothing at the payer, and is paid on the ledger, ends, and is told to a person once."""
    paid = c.Fulfilled("euro", run.source, "bank-a", run.preimage)
    for stage in ("asking", "pricing", "clearing", "agreeing"):
        state, effects = run.step("bank-a", stage, paid)
        assert (isinstance(state, payer.Failed), isinstance(effects[0], c.Alarm)) == (True, True)
        assert payer.step(state, paid, UnixMs(run.begun_at)) == (state, ())
        run.unmoved("bank-a", stage, c.Fulfilled("euro", run.source, "bank-x", run.preimage))


def test_a_lost_margin_is_an_alarm(run: Recorded) -> None:
    """What cannot happen while the margins hold is told to the operator: the clearing bank's loss, and the payee's."""
    state, effects = run.step("clearing", "claiming", c.Returned("euro", run.source, "bank-a", True))
    assert (isinstance(state, clearer.Lost), isinstance(effects[0], c.Alarm)) == (True, True)
    lost, told = run.step("bank-b", "fulfilling", c.Returned("yuan", run.target, "clearing", True))
    assert (isinstance(lost, payee.Lost), isinstance(told[0], c.Alarm)) == (True, True)


CHECKS = [
    ("quoted", "hold"),
    ("lapsed", "hold"),
    ("clearing", c.Barred("1", "a rule")),
    ("clearing", c.Cancel("a person")),
    ("clearing", c.Tick()),
    ("forwarding", c.HoldRefused(c.Why.LEDGER, "the id is another transfer's")),
]


@pytest.mark.parametrize(("stage", "what"), CHECKS)
def test_a_source_whose_target_is_held_after_all_is_kept(run: Recorded, stage: str, what: Any) -> None:
    """Whatever speaks for giving the source back, it stays as long as the target's ledger shows a hold of ours for it.

    A clearing bank's database may be an old one, and know nothing of what it has held since.
    """
    change = msgspec.structs.replace(run.changes["clearing", c.HoldSeen], instructed=False) if what == "hold" else what
    later = 100_000 if isinstance(change, c.Tick) else 0
    if stage == "lapsed":
        run.stages.setdefault(("clearing", "lapsed"), clearer.Lapsed(run.stages["clearing", "quoted"].offer))
    state, effects = run.step("clearing", stage, change, later)
    assert (isinstance(state, clearer.Checking), effects) == (True, (c.Look("yuan", run.target),))
    now = UnixMs(run.begun_at + later)

    def told(change: c.AnyChange, known_from: int = 0) -> tuple[Any, c.Effects]:
        return clearer.step(state, change, now, REVEAL_MS, known_from)

    waiting, effects = told(c.HoldMade("yuan", run.target))
    assert isinstance(waiting, clearer.Waiting)
    assert [type(effect) for effect in effects] == [c.Post, c.Alarm]
    claiming, effects = told(c.Fulfilled("yuan", run.target, "clearing", run.preimage))
    assert isinstance(claiming, clearer.Claiming)
    assert c.Fulfil("euro", run.source, run.preimage) in effects
    returning, effects = told(c.Returned("yuan", run.target, "clearing", True))
    assert (isinstance(returning, clearer.Returning), effects[0]) == (True, c.GiveBack("euro", run.source))
    assert told(c.Absent("euro", run.target)) == told(c.Absent("yuan", run.source)) == (state, ())


def test_a_target_that_may_still_come_is_asked_for_again(run: Recorded) -> None:
    """Shortly after a start a ledger's silence about a hold is no word: an earlier process may have asked for it."""
    checking, now = run.stages["clearing", "checking"], run.begun_at
    absent, known_from = c.Absent("yuan", run.target), run.begun_at + 5_000
    early, effects = clearer.step(checking, absent, UnixMs(now), REVEAL_MS, known_from)
    assert (isinstance(early, clearer.Checking), effects) == (True, ())
    times = Times({}, {}, {"yuan": known_from})
    assert (wakes_at(checking, times), wakes_at(early, times)) == (None, known_from)
    assert clearer.step(early, c.Tick(), UnixMs(known_from - 1), REVEAL_MS, known_from) == (early, ())
    again, effects = clearer.step(early, c.Tick(), UnixMs(known_from), REVEAL_MS, known_from)
    assert effects == (c.Look("yuan", run.target),)
    state, _ = clearer.step(again, absent, UnixMs(known_from), REVEAL_MS, known_from)
    assert isinstance(state, clearer.Returning)


def test_a_target_that_was_paid_against_its_ledgers_word_is_claimed_for(run: Recorded) -> None:
    """A clearing bank that gives a source back and hears that the target was paid claims the source while it can."""
    state, effects = run.step("clearing", "returning", c.Fulfilled("yuan", run.target, "clearing", run.preimage))
    assert isinstance(state, clearer.Claiming)
    assert c.Fulfil("euro", run.source, run.preimage) in effects
    assert isinstance(effects[-1], c.Alarm)


def test_what_was_lost_is_resolved_once_by_a_person(run: Recorded) -> None:
    """A person's finding on a lost payment stays; a second one, and one on a payment that is not lost, is none."""
    found = c.Resolved("olga", True, "the margins were too small")
    for name, stage, change in (
        ("clearing", "claiming", c.Returned("euro", run.source, "bank-a", True)),
        ("bank-b", "fulfilling", c.Returned("yuan", run.target, "clearing", True)),
    ):
        lost, _ = run.step(name, stage, change)
        run.stages[name, "lost"] = lost
        resolved, effects = run.step(name, "lost", found)
        assert (resolved.resolution, effects) == (found, ())
        assert note_of(resolved) == "olga: counts: the margins were too small"
        run.stages[name, "resolved"] = resolved
        run.unmoved(name, "resolved", c.Resolved("anna", False, ""))
        run.unmoved(name, stage, found)
