"""Holds under an id of a payment that are not the payment's: they move nothing, and nothing is cancelled for them."""

from __future__ import annotations

import msgspec
import pytest

from settlement.custody import changes as c
from settlement.custody import clearer
from tests.support.custody_recorded import Recorded


@pytest.fixture(scope="module")
def run() -> Recorded:
    """One good payment, for all tests of this module: none of them changes it."""
    return Recorded()


def test_a_hold_that_ends_elsewhere_does_not_free_the_clearing_bank(run: Recorded) -> None:
    """A payer that makes a hold with the target's id on its own ledger, and lets it end, gets no source back."""
    for stage in ("forwarding", "waiting"):
        run.unmoved("clearing", stage, c.Returned("euro", run.target, "clearing", False))
        state, effects = run.step("clearing", stage, c.Returned("yuan", run.target, "clearing", False))
        assert isinstance(state, clearer.Returning)
        assert c.GiveBack("euro", run.source) in effects


def test_the_source_cannot_stand_for_the_target(run: Recorded) -> None:
    """The end of the source's hold says nothing of the target's, at the clearing bank."""
    run.unmoved("clearing", "waiting", c.Returned("yuan", run.source, "bank-a", False))
    run.unmoved("clearing", "waiting", c.Fulfilled("yuan", run.source, "bank-a", run.preimage))
    run.unmoved("clearing", "waiting", c.Fulfilled("yuan", run.target, "clearing", bytes(32)))
    run.unmoved("clearing", "claiming", c.Fulfilled("euro", run.target, "clearing", run.preimage))
    run.unmoved("clearing", "claiming", c.Returned("euro", run.target, "clearing", True))


@pytest.mark.parametrize("stage", ["holding", "held"])
def test_a_payer_hears_of_its_own_hold_alone(run: Recorded, stage: str) -> None:
    """A hold with the source's id on another ledger neither pays nor returns a payment."""
    run.unmoved("bank-a", stage, c.Returned("yuan", run.source, "bank-a", True))
    run.unmoved("bank-a", stage, c.Fulfilled("yuan", run.source, "bank-a", run.preimage))
    run.unmoved("bank-a", stage, c.HoldMade("yuan", run.source))
    run.unmoved("bank-a", stage, c.HoldMade("euro", run.target))
    run.unmoved("bank-a", stage, c.Fulfilled("euro", run.source, "bank-a", bytes(32)))


def test_a_payee_hears_of_its_own_hold_alone(run: Recorded) -> None:
    """A hold with the target's id on another ledger neither ends nor pays a payment that is being fulfilled."""
    for change in (
        c.Returned("euro", run.target, "clearing", True),
        c.NotSent("euro", run.target),
        c.Fulfilled("euro", run.target, "clearing", run.preimage),
        c.Fulfilled("yuan", run.target, "clearing", bytes(32)),
    ):
        run.unmoved("bank-b", "fulfilling", change)


CLEARING_STAGES = ["quoted", "clearing", "forwarding", "waiting", "claiming", "earned", "closed"]


@pytest.mark.parametrize("field", ["ledger", "transfer_id"])
@pytest.mark.parametrize("stage", CLEARING_STAGES)
def test_a_strangers_hold_moves_no_payment_of_the_clearing_bank(run: Recorded, field: str, stage: str) -> None:
    """A hold with a payment's memo that is not its source goes back, and the payment stands where it was."""
    seen = run.changes["clearing", c.HoldSeen]
    value = bytes(32) if field == "transfer_id" else "elsewhere"
    strange = msgspec.structs.replace(seen, **{field: value})
    state, effects = run.step("clearing", stage, strange)
    assert state == run.stages["clearing", stage]
    assert effects == (c.GiveBack(strange.ledger, strange.transfer_id),)


@pytest.mark.parametrize("stage", CLEARING_STAGES)
def test_a_copy_of_the_source_gives_back_no_source(run: Recorded, stage: str) -> None:
    """Nothing is cancelled under the source's id because a stranger has used it too: that would cancel the source."""
    run.unmoved("clearing", stage, msgspec.structs.replace(run.changes["clearing", c.HoldSeen], payer="bank-x"))


@pytest.mark.parametrize("expired", [False, True])
def test_the_end_of_a_copy_ends_no_hold(run: Recorded, expired: bool) -> None:
    """On a chain each payer has its own ids: a stranger's hold under one of ours that ends says nothing of ours.

    Else a payee could make one for the clearing bank under the target's id, let it end, have the source given back,
    and then fulfil the target.
    """
    for name, stage in (("clearing", "forwarding"), ("clearing", "waiting"), ("clearing", "checking")):
        run.unmoved(name, stage, c.Returned("yuan", run.target, "bank-x", expired))
        run.unmoved(name, stage, c.Fulfilled("yuan", run.target, "bank-x", run.preimage))
    for name, stage in (("clearing", "clearing"), ("clearing", "claiming"), ("clearing", "returning")):
        run.unmoved(name, stage, c.Returned("euro", run.source, "bank-x", expired))
        run.unmoved(name, stage, c.Fulfilled("euro", run.source, "bank-x", run.preimage))
    for name, stage in (("bank-a", "holding"), ("bank-a", "held")):
        run.unmoved(name, stage, c.Returned("euro", run.source, "bank-x", expired))
        run.unmoved(name, stage, c.Fulfilled("euro", run.source, "bank-x", run.preimage))
    for stage in ("expecting", "fulfilling", "refusing"):
        run.unmoved("bank-b", stage, c.Returned("yuan", run.target, "bank-x", expired))
        run.unmoved("bank-b", stage, c.Fulfilled("yuan", run.target, "bank-x", run.preimage))


@pytest.mark.parametrize("stage", ["offered", "considering", "consenting", "expecting", "fulfilling", "received"])
def test_a_payee_cancels_nothing_under_an_id_that_may_be_paid_yet(run: Recorded, stage: str) -> None:
    """A stranger's hold under the id of a payment under way is left to its time-out, or the payment's would go too."""
    run.unmoved("bank-b", stage, msgspec.structs.replace(run.changes["bank-b", c.HoldSeen], payer="bank-x"))


@pytest.mark.parametrize("stage", ["asking", "agreeing", "held", "paid", "closed"])
def test_money_for_a_payer_goes_back(run: Recorded, stage: str) -> None:
    """A payer gives back what is held for it, unless it stands under the id of its own hold."""
    seen = msgspec.structs.replace(run.changes["clearing", c.HoldSeen], payer="bank-x", payee="bank-a")
    run.unmoved("bank-a", stage, seen)
    strange = msgspec.structs.replace(seen, transfer_id=bytes(32))
    assert run.step("bank-a", stage, strange)[1] == (c.GiveBack("euro", bytes(32)),)
