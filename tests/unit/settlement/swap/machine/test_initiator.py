"""The initiator's machine, step by step."""

from __future__ import annotations

import pytest

from settlement.swap.machine.changes import (
    CosignFailed,
    Failed,
    LockGone,
    OutputGone,
    OwnerAsked,
    SecretSeen,
    Showing,
    SpendGone,
    Wish,
)
from settlement.swap.machine.effects import (
    ClaimBitcoinByKey,
    ClaimBitcoinByRung,
    ClaimBitcoinByScript,
    PlaceLock,
    RefundEvm,
    RevealByLetter,
    SendLetter,
    SignRefundWith,
    SignTerms,
    StopWatching,
    SubmitGiveBack,
    Watch,
)
from settlement.swap.machine.facts import LockStatus, SpendKind
from settlement.swap.machine.messages import ClaimCosigned, GiveBack, GiveBackAsked, Quit, RefundAsked
from settlement.swap.machine.outlook import needs_word
from settlement.swap.machine.states import Outcome, Why
from settlement.swap.terms import Mode
from tests.support.swap_sides import OTHER, OUTPOINT, initiator
from tests.support.swap_terms import SECRET


def sent(side, message_type) -> bool:
    return any(isinstance(e, SendLetter) and isinstance(e.message, message_type) for e in side.last)


@pytest.mark.parametrize("mode", Mode)
def test_it_watches_and_signs_first_and_locks_when_both_have_signed(mode):
    """Nothing is locked before the other side's signature is there, and in point mode before the claim is sure."""
    side = initiator(mode)
    assert set(side.kinds()) == {SignTerms, Watch}
    assert PlaceLock not in side.kinds()
    side.agree()
    assert PlaceLock in side.kinds()
    assert side.state.locking


def test_it_locks_nothing_in_point_mode_without_presignatures():
    """Without them the other side alone could decide whether it gets the bitcoin."""
    side = initiator(Mode.POINT)
    side.tell()
    side.wait(1)
    assert not side.state.locking


def test_an_offer_that_runs_out_of_time_costs_nothing():
    """After `last_lock` nothing is locked, the other side is told, and the swap is over."""
    side = initiator()
    side.until(side.gates.last_lock)
    assert side.state.quit is Why.LATE
    assert side.state.outcome is Outcome.NOTHING_MOVED
    assert StopWatching in side.kinds()


def test_a_lock_that_could_not_be_made_ends_the_swap():
    """The engine says that nothing of the order has left."""
    side = initiator()
    side.agree()
    side.tell(Failed("PlaceLock", "insufficient funds"))
    assert side.state.quit is Why.FAILED
    assert side.state.outcome is Outcome.NOTHING_MOVED


@pytest.mark.parametrize("mode", Mode)
def test_the_secret_is_shown_when_the_funding_is_exact_and_buried(mode):
    """Not with fewer confirmations, and not for another amount."""
    side = initiator(mode).locked()
    asked = side.terms.bitcoin.confirmations
    side.output(asked - 1)
    side.output(asked, value=side.terms.bitcoin.amount - 1, outpoint=OTHER)
    assert not side.state.revealed_at
    side.output(asked)
    assert side.state.revealed_at == side.now
    assert side.state.target == OUTPOINT
    assert RevealByLetter in side.kinds()
    assert (ClaimBitcoinByRung in side.kinds()) is (mode is Mode.POINT)


def test_in_point_mode_no_other_output_counts():
    """The pre-signatures spend the planned output alone, however exact another one is."""
    side = initiator(Mode.POINT).locked()
    side.output(side.terms.bitcoin.confirmations, outpoint=OTHER)
    assert not side.state.revealed_at


def test_a_decision_that_slept_until_it_was_too_late_is_taken_back():
    """The machine stopped between its decision and the first order: nothing is shown then, and nothing is lost."""
    side = initiator().funded()
    side.now = side.gates.last_reveal * 1000
    side.tell(Showing())
    assert not side.state.revealed_at
    assert side.state.quit is Why.LATE


def test_what_may_be_out_is_claimed_however_late():
    """Once the first order was begun, nothing takes it back."""
    side = initiator().funded()
    side.tell(Showing())
    assert side.state.shown
    side.now = side.gates.last_reveal * 1000
    side.tell(Showing())
    assert ClaimBitcoinByScript in side.kinds()


def test_the_secret_is_not_shown_when_it_is_late():
    """From `last_reveal` on it waits for its lock, and says so."""
    side = initiator().locked()
    side.until(side.gates.last_reveal)
    assert side.state.quit is Why.LATE
    assert sent(side, Quit)
    side.output(side.terms.bitcoin.confirmations)
    assert not side.state.revealed_at


def test_blocks_that_run_ahead_of_the_clock_close_the_gate():
    """A clock that is behind does not make it show the secret too late."""
    side = initiator().locked()
    side.times(side.gates.last_reveal, 0)
    side.output(side.terms.bitcoin.confirmations)
    assert not side.state.revealed_at


def test_it_claims_by_key_with_the_other_sides_signature():
    """The cheap claim, which looks like a payment."""
    side = initiator().funded()
    side.letter(ClaimCosigned(b"answer"))
    assert side.last == (ClaimBitcoinByKey(OUTPOINT, b"answer"),)
    side.spend(SpendKind.CLAIM, 0)
    side.wait(60)
    assert ClaimBitcoinByScript not in side.kinds()


def test_it_waits_for_the_signature_while_the_follower_claims_the_lock():
    """The other side signs once its own claim is in a block: that the secret is public then is no reason for a script
    which shows it on the other chain as well, and costs more."""
    side = initiator().funded()
    side.lock(LockStatus.CLAIMED, final=False)
    assert side.state.exposed
    assert ClaimBitcoinByScript not in side.kinds()
    side.letter(ClaimCosigned(b"answer"))
    assert ClaimBitcoinByKey in side.kinds()
    late = initiator().funded()
    late.lock(LockStatus.CLAIMED)
    late.wait(late.gates.patience_ms / 1000)
    assert ClaimBitcoinByScript in late.kinds()


def test_without_an_answer_it_claims_by_script():
    """Patience is short: the time until T2 runs."""
    side = initiator().funded()
    side.wait(side.gates.patience_ms / 1000 - 1)
    assert ClaimBitcoinByScript not in side.kinds()
    side.wait(1)
    assert ClaimBitcoinByScript in side.kinds()


def test_a_wrong_answer_makes_it_claim_by_script_at_once():
    """The engine found that the signature does not hold."""
    side = initiator().funded()
    side.letter(ClaimCosigned(b"nonsense"))
    side.tell(CosignFailed(OUTPOINT))
    assert ClaimBitcoinByScript in side.kinds()


def test_its_owner_may_hurry():
    """`swap redeem` does not wait for the other side."""
    side = initiator().funded()
    side.tell(OwnerAsked(Wish.REDEEM))
    assert ClaimBitcoinByScript in side.kinds()


@pytest.mark.parametrize("mode", Mode)
def test_a_claim_that_lingers_pays_more(mode):
    """Each attempt is numbered, until one is in a block."""
    side = initiator(mode).funded()
    side.wait(side.gates.patience_ms / 1000)
    side.spend(SpendKind.CLAIM, 0)
    kind = ClaimBitcoinByRung if mode is Mode.POINT else ClaimBitcoinByScript
    for attempt in (1, 2, 3):
        side.wait(side.gates.bump_bitcoin_ms / 1000)
        assert [e.attempt for e in side.last if isinstance(e, kind)] == [attempt]
    side.spend(SpendKind.CLAIM, 1)
    side.wait(side.gates.bump_bitcoin_ms / 1000)
    assert kind not in side.kinds()


def test_a_refund_in_the_mempool_is_outbid():
    """Whoever comes too late for an honest race is raced: the secret is out."""
    side = initiator().funded()
    side.letter(ClaimCosigned(b"answer"))
    side.spend(SpendKind.REFUND, 0)
    assert ClaimBitcoinByScript in side.kinds()


def test_a_reorganisation_that_takes_the_claim_out_makes_it_claim_again():
    """Until the claim has its confirmations nothing is over."""
    side = initiator().funded()
    side.tell(OwnerAsked(Wish.REDEEM))
    side.spend(SpendKind.CLAIM, 1)
    side.tell(SpendGone(OUTPOINT))
    side.wait(side.gates.bump_bitcoin_ms / 1000)
    assert ClaimBitcoinByScript in side.kinds()


def test_a_funding_that_comes_back_as_another_transaction_is_claimed():
    """Hash mode: after a reorganisation the same payment may have another outpoint."""
    side = initiator().funded()
    side.tell(OutputGone(OUTPOINT))
    side.output(1, outpoint=OTHER)
    side.tell(OwnerAsked(Wish.REDEEM))
    assert side.state.target == OTHER


def test_a_lock_that_somebody_claims_exposes_the_secret():
    """Whatever was decided before, the bitcoin is claimed at once."""
    side = initiator().locked()
    side.tell(OwnerAsked(Wish.CANCEL))
    side.output(1)
    side.lock(LockStatus.CLAIMED, final=False)
    assert side.state.exposed
    assert ClaimBitcoinByScript in side.kinds()


def test_it_asks_for_its_lock_when_it_has_given_up_and_takes_it_at_t1_at_the_latest():
    """By the other side's word before, by the clock after."""
    side = initiator().locked()
    side.tell(OwnerAsked(Wish.CANCEL))
    assert sent(side, GiveBackAsked)
    side.letter(GiveBack(side.terms.evm.lock_id, b"signature"))
    assert SubmitGiveBack in side.kinds()
    side.times(side.gates.refund_bitcoin, side.gates.refund_evm - 1)
    assert RefundEvm not in side.kinds()
    side.times(side.gates.refund_bitcoin, side.gates.refund_evm)
    assert RefundEvm in side.kinds()
    side.lock(LockStatus.RETURNED)
    assert side.state.outcome is Outcome.RETURNED


def test_a_word_for_another_lock_is_not_taken():
    """Only the terms' lock is given back by it."""
    side = initiator().locked()
    side.letter(GiveBack(b"x" * 32, b"signature"))
    assert side.state.give_back == b""
    assert side.state.quit is None


def test_a_lock_that_is_given_back_is_worth_no_secret():
    """A follower that gives back and funds gets its bitcoin back, and nothing else."""
    side = initiator().locked()
    side.letter(GiveBack(side.terms.evm.lock_id, b"signature"))
    side.output(side.terms.bitcoin.confirmations)
    assert not side.state.revealed_at


def test_the_lock_is_not_taken_back_for_a_secret_that_is_out():
    """Who has the bitcoin does not take the lock too, even if it is offered."""
    side = initiator().funded()
    side.letter(GiveBack(side.terms.evm.lock_id, b"signature"))
    assert SubmitGiveBack not in side.kinds()
    side.spend(SpendKind.REFUND, side.terms.bitcoin.confirmations)
    assert SubmitGiveBack in side.kinds()


def test_a_refund_is_signed_only_while_the_secret_is_safe():
    """And from then on no secret is shown."""
    side = initiator().locked()
    assert side.letter(RefundAsked(OUTPOINT, b"request")) == (), "of what is not there nothing is signed, nor kept"
    side.output(0)
    side.letter(RefundAsked(OUTPOINT, b"request"))
    assert SignRefundWith(OUTPOINT, b"request") in side.last
    side.output(side.terms.bitcoin.confirmations)
    assert not side.state.revealed_at
    shown = initiator().funded()
    assert shown.letter(RefundAsked(OUTPOINT, b"request")) == ()
    assert not shown.state.cosigned


@pytest.mark.parametrize("wish", [Wish.CANCEL, Wish.REFUND])
def test_an_owner_who_changes_his_mind_after_the_secret_is_out_changes_nothing(wish):
    """It has to claim then."""
    side = initiator().funded()
    side.tell(OwnerAsked(wish))
    assert side.state.quit is None
    assert side.state.revealed_at


def test_every_lock_that_it_made_comes_back():
    """A second lock, under another id, is refunded after its time-out too."""
    side = initiator().locked()
    side.lock(lock_id=b"second".rjust(32))
    side.times(side.gates.refund_bitcoin, side.gates.refund_evm)
    assert sorted(e.view.lock_id for e in side.last if isinstance(e, RefundEvm)) == sorted(
        (b"second".rjust(32), side.terms.evm.lock_id)
    )
    side.lock(LockStatus.RETURNED)
    assert side.state.outcome is None


def test_it_is_over_when_the_claim_is_final_and_the_lock_is_claimed():
    """Not before: a lock that nobody claims comes back at T1."""
    side = initiator().funded()
    side.tell(OwnerAsked(Wish.REDEEM))
    side.spend(SpendKind.CLAIM, side.terms.bitcoin.confirmations)
    assert side.state.outcome is None
    side.lock(LockStatus.CLAIMED, final=False)
    assert side.state.outcome is None
    side.lock(LockStatus.CLAIMED)
    assert side.state.outcome is Outcome.SWAPPED


def test_a_lock_that_a_reorganisation_takes_out_is_ordered_again():
    """The engine's order is idempotent; the machine does not believe in it forever."""
    side = initiator().locked()
    side.tell(LockGone(side.terms.evm.lock_id))
    side.wait(side.gates.bump_evm_ms / 1000)
    assert PlaceLock in side.kinds()


def test_one_that_was_rebuilt_from_the_chains_signs_no_refund_and_makes_no_lock():
    """It may have shown the secret before it forgot."""
    side = initiator(recovered=True)
    side.agree()
    assert PlaceLock not in side.kinds()
    side.lock()
    assert side.letter(RefundAsked(OUTPOINT, b"request")) == ()


@pytest.mark.parametrize("word_first", [False, True])
def test_one_that_was_rebuilt_shows_its_secret_by_its_owners_word_alone(word_first: bool):
    """It may have signed an early refund before it forgot: against a follower that kept it back it would lose both."""
    side = initiator(recovered=True)
    side.lock()
    if word_first:
        side.tell(OwnerAsked(Wish.REDEEM))
    side.output(side.terms.bitcoin.confirmations)
    assert bool(side.state.revealed_at) is word_first
    assert needs_word(side.state) is not word_first
    side.tell(OwnerAsked(Wish.REDEEM))
    assert side.state.revealed_at
    assert not needs_word(side.state)


def test_one_that_was_rebuilt_and_gets_no_word_takes_its_lock_back():
    """When the time to show the secret has passed."""
    side = initiator(recovered=True)
    side.lock()
    side.output(side.terms.bitcoin.confirmations)
    side.until(side.gates.last_reveal)
    assert side.state.quit is Why.LATE
    assert not needs_word(side.state)
    side.times(side.gates.last_reveal, side.gates.refund_evm)
    assert RefundEvm in side.kinds()


def test_one_that_was_rebuilt_goes_on_where_its_claim_shows_the_secret():
    """A claim of its own from before stands in the mempool: it is made good without a word."""
    side = initiator(recovered=True)
    side.lock()
    side.output(side.terms.bitcoin.confirmations)
    side.tell(SecretSeen(bytes(32)))
    assert not side.state.revealed_at, "a stranger's number is no secret"
    side.tell(SecretSeen(SECRET))
    assert side.state.exposed
    assert ClaimBitcoinByScript in side.kinds()
