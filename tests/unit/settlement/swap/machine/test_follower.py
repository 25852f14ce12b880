"""The follower's machine, step by step."""

from __future__ import annotations

import pytest

from settlement.swap.machine.changes import (
    CosignFailed,
    Failed,
    FundingAbandoned,
    FundingPrepared,
    LockGone,
    LockSeen,
    OutputGone,
    OwnerAsked,
    PeerAgreed,
    RoundFailed,
    RungsSigned,
    SecretSeen,
    Wish,
    WrittenOff,
)
from settlement.swap.machine.effects import (
    FUNDING,
    AbandonFunding,
    AskRefund,
    BroadcastFunding,
    ClaimEvm,
    CosignClaim,
    CountersignRungs,
    PrepareFunding,
    RefundBitcoin,
    RefundBitcoinByKey,
    SendLetter,
    SignGiveBack,
)
from settlement.swap.machine.facts import MAX_OUTPUTS, LockStatus, SpendKind, expected_lock
from settlement.swap.machine.messages import GiveBackAsked, Quit, RefundCosigned, RungAnswers, RungPartials, Secret
from settlement.swap.machine.states import MAX_ROUNDS, Outcome, Why
from settlement.swap.terms import Mode
from tests.support.swap_sides import OTHER, OUTPOINT, follower
from tests.support.swap_terms import SECRET

WRONG = [
    {"chain": "eip155:5"},
    {"escrow": b"x" * 20},
    {"mode": Mode.POINT},
    {"beneficiary": b"x" * 20},
    {"refund_to": b"x" * 20},
    {"asset": b"x" * 20},
    {"amount": (1).to_bytes(32, "big")},
    {"condition": b"x" * 32},
    {"expires_at": 1_900_000_000},
]


@pytest.mark.parametrize("mode", Mode)
def test_it_funds_when_the_lock_is_final(mode):
    """Not for one that is merely there."""
    side = follower(mode)
    side.agree()
    side.lock(final=False)
    assert not side.state.funding
    side.lock()
    assert BroadcastFunding in side.kinds()
    assert side.state.funding


@pytest.mark.parametrize("news", WRONG, ids=lambda news: next(iter(news)))
def test_it_funds_for_no_other_lock(news):
    """Whatever differs, it pays nothing, and never will."""
    side = follower()
    side.agree()
    side.lock(**news)
    assert not side.state.funding
    assert side.state.never_fund is Why.WRONG_LOCK


def test_it_funds_nothing_before_the_other_side_signed():
    """Terms bind when both have signed them."""
    side = follower()
    side.lock()
    assert not side.state.funding
    side.tell(PeerAgreed())
    assert side.state.funding


def test_it_funds_nothing_late():
    """From `last_fund` on; it gives the lock back instead."""
    side = follower()
    side.agree()
    side.until(side.gates.last_fund)
    side.lock()
    assert side.state.never_fund is Why.LATE
    assert not side.state.funding
    assert SignGiveBack in side.kinds()


@pytest.mark.parametrize("asks", [GiveBackAsked(), Quit()])
def test_it_gives_the_lock_back_before_it_funded_and_then_never_funds(asks):
    """The decision is stored before the signature leaves."""
    side = follower()
    side.agree()
    side.lock(final=False)
    side.letter(asks)
    assert side.state.given_back
    assert SignGiveBack in side.kinds()
    side.lock()
    assert not side.state.funding


def test_it_gives_nothing_back_while_its_money_is_in():
    """Not when it is asked, and not while the refund is not final."""
    side = follower().funded()
    side.letter(GiveBackAsked())
    side.times(side.gates.refund_bitcoin + 1, 0)
    side.spend(SpendKind.REFUND, side.terms.bitcoin.confirmations - 1)
    assert not side.state.given_back
    side.spend(SpendKind.REFUND, side.terms.bitcoin.confirmations)
    assert side.state.given_back
    assert SignGiveBack in side.kinds()


def test_a_lost_signature_is_made_again():
    """The initiator asks until it has it."""
    side = follower()
    side.agree()
    side.lock(final=False)
    side.letter(Quit())
    assert SignGiveBack in [type(effect) for effect in side.letter(GiveBackAsked())]


@pytest.mark.parametrize("mode", Mode)
def test_it_claims_the_lock_when_it_learns_the_secret(mode):
    """From a chain, from a mempool, or from a letter."""
    for tell in (lambda side: side.tell(SecretSeen(SECRET)), lambda side: side.letter(Secret(SECRET, b""))):
        side = follower(mode).funded()
        tell(side)
        assert [e.secret for e in side.last if isinstance(e, ClaimEvm)] == [SECRET]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("secret", [b"", SECRET[:31], SECRET + b"\0", b"\xff" * 32, bytes(32)])
def test_a_secret_that_does_not_open_is_passed_over(mode, secret):
    """Oversized, short or wrong: nothing is signed for it, and the right one still counts."""
    side = follower(mode).funded()
    assert side.letter(Secret(secret, b"request")) == ()
    assert side.state.secret == b""
    side.tell(SecretSeen(SECRET))
    assert ClaimEvm in side.kinds()


def test_it_signs_the_initiators_claim_for_the_secret():
    """A payment that looks like any other, for who has the secret already. Not before a block has the own claim: what
    both sign shows no secret, and who loses his memory in between would have to find it on a chain."""
    side = follower().funded()
    side.letter(Secret(SECRET, b"older"))
    assert ClaimEvm in side.kinds()
    side.letter(Secret(SECRET, b"request"))
    assert CosignClaim not in side.kinds()
    side.tell(LockSeen(expected_lock(side.terms), LockStatus.CLAIMED, 0, final=False))
    assert CosignClaim not in side.kinds(), "a mempool forgets"
    side.lock(LockStatus.CLAIMED, final=False)
    assert side.last.count(CosignClaim(b"request")) == 1
    side.lock(LockStatus.CLAIMED)
    assert CosignClaim not in side.kinds(), "once for each call"


def test_it_signs_no_claim_for_a_lock_that_went_back():
    """The initiator was late with its secret: it has its claim by script, and gets no help with it."""
    side = follower().funded()
    side.letter(Secret(SECRET, b"request"))
    side.lock(LockStatus.RETURNED)
    assert CosignClaim not in side.kinds()


def test_a_secret_before_the_funding_buys_nothing():
    """It does not take what it has not paid for."""
    side = follower()
    side.agree()
    side.lock(final=False)
    side.letter(Secret(SECRET, b"request"))
    assert ClaimEvm not in side.kinds()
    assert CosignClaim not in side.kinds()


def test_its_claim_is_pushed_until_it_is_final():
    """A reorganisation may take it out again."""
    side = follower().funded()
    side.tell(SecretSeen(SECRET))
    side.lock(LockStatus.CLAIMED, final=False)
    side.wait(side.gates.bump_evm_ms / 1000)
    assert ClaimEvm not in side.kinds()
    side.lock()
    assert [e.attempt for e in side.last if isinstance(e, ClaimEvm)] == [1]


def test_the_refund_waits_for_the_median_time():
    """At T2 itself it is not valid yet (BIP-113), a second later it is."""
    side = follower().funded()
    side.times(side.gates.refund_bitcoin, 0)
    assert RefundBitcoin not in side.kinds()
    side.times(side.gates.refund_bitcoin + 1, 0)
    assert RefundBitcoin in side.kinds()


def test_every_output_comes_back():
    """Paid twice, too little, too much, too late: each by itself, and nothing is over before."""
    side = follower().funded()
    side.output(1, value=1_000, outpoint=OTHER)
    side.times(side.gates.refund_bitcoin + 1, 0)
    assert {e.outpoint for e in side.last if isinstance(e, RefundBitcoin)} == {OUTPOINT, OTHER}
    side.spend(SpendKind.REFUND, side.terms.bitcoin.confirmations)
    side.lock(LockStatus.RETURNED)
    assert side.state.outcome is None
    side.tell(WrittenOff(OTHER))
    assert side.state.outcome is Outcome.RETURNED


def test_a_second_payment_comes_back_though_the_swap_went_well():
    """The initiator's output is left to it, the other is the follower's own."""
    side = follower().funded()
    side.output(1, outpoint=OTHER)
    side.tell(SecretSeen(SECRET))
    side.spend(SpendKind.CLAIM, side.terms.bitcoin.confirmations)
    side.lock(LockStatus.CLAIMED)
    side.times(side.gates.refund_bitcoin + 1, 0)
    assert [e.outpoint for e in side.last if isinstance(e, RefundBitcoin)] == [OTHER]


def test_a_late_output_opens_a_swap_that_was_over():
    """Somebody pays to the old script: after T2 it comes back."""
    side = follower().funded()
    side.tell(SecretSeen(SECRET))
    side.spend(SpendKind.CLAIM, side.terms.bitcoin.confirmations)
    side.lock(LockStatus.CLAIMED)
    side.times(side.gates.refund_bitcoin + 1, 0)
    assert side.state.outcome is Outcome.SWAPPED
    side.output(0, outpoint=OTHER)
    assert side.state.outcome is None
    assert RefundBitcoin in side.kinds()


def test_it_leaves_the_initiators_bitcoin_alone_once_it_has_the_lock():
    """Both would be too much."""
    side = follower().funded()
    side.tell(SecretSeen(SECRET))
    side.lock(LockStatus.CLAIMED)
    side.times(side.gates.refund_bitcoin + 1, 0)
    assert RefundBitcoin not in side.kinds()
    assert side.state.outcome is Outcome.SWAPPED


def test_a_secret_that_comes_too_late_does_not_stop_the_refund():
    """The attack: shown so late that the claim of the lock fails, while the refund was held back for it."""
    side = follower().funded()
    side.times(side.gates.refund_bitcoin + 1, side.gates.claim_evm_by)
    side.letter(Secret(SECRET, b""))
    assert ClaimEvm in side.kinds()
    side.wait(side.gates.bump_bitcoin_ms / 1000)
    assert RefundBitcoin in side.kinds()


def test_its_funding_pays_more_until_it_confirms():
    """And is taken back where the initiator would not claim it any more."""
    side = follower().locked()
    side.wait(side.gates.bump_bitcoin_ms / 1000)
    assert [e.attempt for e in side.last if isinstance(e, BroadcastFunding)] == [1]
    side.until(side.gates.last_reveal)
    assert AbandonFunding in side.kinds()
    side.tell(FundingAbandoned())
    assert side.state.given_back
    side.lock(LockStatus.RETURNED)
    assert side.state.outcome is Outcome.NOTHING_MOVED


def test_a_funding_that_never_left_ends_the_swap():
    """The engine says so; the lock goes back at once."""
    side = follower().locked()
    side.tell(Failed(FUNDING, "no coins"))
    assert SignGiveBack in side.kinds()
    side.lock(LockStatus.RETURNED)
    assert side.state.outcome is Outcome.NOTHING_MOVED


def test_a_funding_that_a_reorganisation_took_out_is_sent_again_for_a_secret_that_is_known():
    """The initiator has paid for it."""
    side = follower().funded()
    side.tell(SecretSeen(SECRET), OutputGone(OUTPOINT))
    side.until(side.gates.last_reveal + 1)
    assert [e.not_after for e in side.last if isinstance(e, BroadcastFunding)] == [0]


def test_refund_of_both_is_tried_again_with_a_later_answer():
    """The first answer may be to a call whose nonce was replaced by a newer one: a later one holds."""
    side = follower().funded()
    side.letter(Quit())
    side.letter(RefundCosigned(OUTPOINT, b"of an old call"))
    side.tell(CosignFailed(OUTPOINT))
    side.wait(side.gates.patience_ms / 1000)
    assert AskRefund(OUTPOINT) in side.last
    side.letter(RefundCosigned(OUTPOINT, b"of the newest"))
    assert RefundBitcoinByKey(OUTPOINT, b"of the newest") in side.last


def test_both_may_refund_early_when_the_initiator_has_given_up():
    """By one signature of both, which looks like a payment; by script when the answer does not hold."""
    side = follower().funded()
    side.letter(Quit())
    assert AskRefund(OUTPOINT) in side.last
    side.letter(RefundCosigned(OUTPOINT, b"answer"))
    assert RefundBitcoinByKey(OUTPOINT, b"answer") in side.last
    side.tell(CosignFailed(OUTPOINT))
    side.wait(side.gates.patience_ms / 1000)
    assert AskRefund(OUTPOINT) in side.last


def test_an_answer_for_an_unknown_output_is_passed_over():
    """A letter must not fill the state."""
    side = follower().funded()
    side.letter(RefundCosigned(OTHER, b"answer"))
    assert side.state.refund_answers == {}


def test_strangers_outputs_fill_no_database():
    """Only so many are kept; the exact amount always finds room."""
    side = follower().locked()
    for number in range(MAX_OUTPUTS + 10):
        side.output(1, value=1, outpoint=number.to_bytes(36, "big"))
    assert len(side.state.outputs) == MAX_OUTPUTS
    side.output(1)
    assert any(out.outpoint == OUTPOINT for out in side.state.outputs)


def test_one_order_about_the_funding_is_under_way_at_a_time():
    """Else one hand could send what the other has just called abandoned."""
    assert BroadcastFunding(0, 0, 0).key == AbandonFunding().key == FUNDING


def test_money_is_not_written_off_for_a_wild_fee_estimate():
    """Only what is hardly worth a fee at any time; the rest is tried again."""
    side = follower().funded()
    side.times(side.gates.refund_bitcoin + 1, 0)
    side.tell(WrittenOff(OUTPOINT))
    assert not side.state.outputs[0].written_off
    side.wait(side.gates.bump_bitcoin_ms / 1000)
    assert RefundBitcoin in side.kinds()


def test_an_owner_may_cancel_until_the_money_is_in():
    """Before: nothing moves. After: it asks the initiator to refund together."""
    side = follower()
    side.agree()
    side.tell(OwnerAsked(Wish.CANCEL))
    assert side.state.outcome is Outcome.NOTHING_MOVED
    late = follower().funded()
    late.tell(OwnerAsked(Wish.CANCEL))
    assert late.state.never_fund is None
    assert AskRefund(OUTPOINT) in late.last


def test_a_lock_that_is_gone_again_is_not_funded():
    """A reorganisation before it was final."""
    side = follower()
    side.agree()
    side.lock(final=False)
    side.tell(LockGone(side.terms.evm.lock_id))
    assert side.state.own_lock is None
    assert not side.state.funding


def test_one_that_was_rebuilt_from_the_chains_never_funds_again():
    """It may have decided anything before it forgot."""
    side = follower(recovered=True)
    side.agree()
    side.lock()
    assert BroadcastFunding not in side.kinds()
    side.letter(GiveBackAsked())
    assert not side.state.given_back
    side.output(3)
    side.tell(SecretSeen(SECRET))
    assert ClaimEvm in side.kinds()


# --- Point mode's rounds ----------------------------------------------------------------------------------------------


def test_its_partial_signatures_leave_when_the_presignatures_are_stored():
    """Without one the chain would not show it the secret."""
    side = follower(Mode.POINT)
    side.tell(PeerAgreed())
    assert PrepareFunding(0) in side.last
    side.tell(FundingPrepared(0, OUTPOINT, (b"n",)))
    side.letter(RungPartials(0, (b"m",), (b"p",)))
    assert side.last == (CountersignRungs(0, (b"m",), (b"p",)),)
    side.tell(RungsSigned(0, (b"s",), (b"q",)))
    assert side.state.presignatures == ((b"s",),)
    assert SendLetter(RungAnswers(0, (b"q",))) in side.last


def test_one_nonce_signs_once():
    """Other nonces of the initiator's for the same round get no second signature."""
    side = follower(Mode.POINT)
    side.agree()
    side.letter(RungPartials(0, (b"other",), (b"other",)))
    assert CountersignRungs not in side.kinds()
    assert SendLetter(RungAnswers(0, (b"p",))) in side.last


def test_lost_nonces_cost_a_round_and_in_the_end_the_swap():
    """It begins anew, so often and no more; the coins are freed."""
    side = follower(Mode.POINT)
    side.tell(PeerAgreed())
    for number in range(MAX_ROUNDS):
        assert PrepareFunding(number) in side.last
        side.tell(FundingPrepared(number, OUTPOINT, (b"n",)))
        side.tell(RoundFailed(number))
    assert side.state.never_fund is Why.FAILED
    assert AbandonFunding in side.kinds()
    side.tell(FundingAbandoned())
    assert side.state.outcome is Outcome.NOTHING_MOVED


def test_it_funds_nothing_whose_claim_would_not_show_the_secret():
    """A lock without the rounds is given back in the end, not paid for."""
    side = follower(Mode.POINT)
    side.tell(PeerAgreed())
    side.lock()
    assert not side.state.funding
