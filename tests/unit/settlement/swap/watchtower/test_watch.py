"""What a watchtower decides, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as replaced

from adapters.bitcoin.primitives import OutPoint
from foundation.quantities import Satoshi
from settlement.swap.bitcoin.watch import OutputView
from settlement.swap.machine.facts import LockStatus
from settlement.swap.terms import Mode, Role
from settlement.swap.watchtower.watch import (
    CLIMB_BLOCKS,
    OTHERS,
    ClaimLock,
    Climb,
    ReturnLock,
    shown_secret,
    unknown_outputs,
)
from tests.support.swap_terms import NOW
from tests.support.swap_tower import HOUR
from tests.support.swap_watched import GRACE, Watched


def follower(mode: Mode = Mode.HASH) -> Watched:
    return Watched(Role.FOLLOWER, mode)


BOTH = pytest.mark.parametrize("mode", Mode)


# --- The follower's refund --------------------------------------------------------------------------------------------


def test_nothing_is_refunded_before_t2_and_the_grace_are_over() -> None:
    """By bitcoin's median time, which the time lock goes by; not by the other chain's."""
    watched = follower()
    assert not watched.see(median_time=watched.t2 + GRACE, evm_time=watched.t2 + HOUR)
    assert watched.rung(*watched.see(median_time=watched.t2 + GRACE + 1, evm_time=NOW)) == [0]


def test_a_refund_climbs_a_rung_when_it_lingers() -> None:
    """After two blocks, not before; and no further than the top."""
    watched = follower()
    watched.see(median_time=watched.t2 + GRACE + 1)
    watched.progress = watched.progress.taken(watched.coin.outpoint.serialized(), 0, 100)
    assert not watched.see(outputs=watched.refund(), height=100 + CLIMB_BLOCKS - 1)
    assert watched.rung(*watched.see(height=100 + CLIMB_BLOCKS)) == [1]
    top = len(watched.bundle.refunds[0].rungs) - 1
    watched.progress = watched.progress.taken(watched.coin.outpoint.serialized(), top, 102)
    assert not watched.see(height=200)


def test_a_refund_that_the_node_forgot_goes_out_again() -> None:
    """At the fee that it had reached, and it goes on lingering since it was taken first."""
    watched = follower()
    outpoint = watched.coin.outpoint.serialized()
    watched.see(median_time=watched.t2 + GRACE + 1)
    watched.progress = watched.progress.taken(outpoint, 3, 100)
    assert watched.rung(*watched.see(height=101)) == [3]
    watched.progress = watched.progress.taken(outpoint, 3, 101)
    assert watched.progress.climbs[outpoint].height == 100


def test_what_the_node_refuses_waits_for_a_block() -> None:
    """A mempool that asks more than the ladder has is asked once a block."""
    watched = follower()
    assert watched.see(median_time=watched.t2 + GRACE + 1)
    watched.progress = watched.progress.refused(watched.coin.outpoint.serialized(), 100)
    assert not watched.see()
    assert watched.rung(*watched.see(height=101)) == [0]


def test_the_deadline_is_in_view() -> None:
    """In the second half of the time before the lock may go back, the clock climbs the ladder, whatever the blocks."""
    watched = follower()
    top = len(watched.bundle.refunds[0].rungs) - 1
    first, deadline = watched.t2, watched.bundle.act_by
    rungs = []
    for tenth in range(11):
        now = first + GRACE + 1 + (deadline - first - GRACE) * tenth // 10
        (rung,) = watched.rung(*watched.see(median_time=now))
        rungs.append(rung)
    assert rungs[:5] == [0] * 5
    assert rungs == sorted(rungs)
    assert 0 < rungs[6] < top
    assert rungs[8:] == [top] * 3


def test_the_traders_own_refund_is_left_alone_until_it_lingers() -> None:
    """The tower competes with nobody who acts."""
    watched = follower()
    outpoint = watched.coin.outpoint.serialized()
    assert not watched.see(median_time=watched.t2 + GRACE + 1, outputs=watched.refund())
    assert watched.progress.climbs == {outpoint: Climb(OTHERS, 100)}
    assert not watched.see(height=101)
    assert watched.rung(*watched.see(height=102)) == [0]


def test_a_confirmed_refund_is_left_alone() -> None:
    """Unless a reorganisation takes it away."""
    watched = follower()
    assert not watched.see(median_time=watched.t2 + GRACE + 1, outputs=watched.refund(confirmations=1))
    assert watched.rung(*watched.see(outputs=(watched.view,))) == [0]


def test_an_output_that_the_bundle_does_not_know_is_told_of() -> None:
    """It was paid after the bundle was made: nothing is signed for it."""
    watched = follower()
    later = OutputView(OutPoint(b"\x0f" * 32, 0), Satoshi(5_000), 1)
    assert unknown_outputs(watched.bundle, watched.sight) == 0
    assert not watched.see(outputs=(watched.view, later))
    assert unknown_outputs(watched.bundle, watched.sight) == 1


def test_a_refund_waits_for_the_lock_to_be_seen_while_there_is_time() -> None:
    """It may be the follower's already. Half of the time is left for the node to come back: after that the initiator
    might take both."""
    watched = follower()
    half = watched.t2 + (watched.bundle.act_by - watched.t2) // 2
    assert not watched.see(median_time=half, lock=None, lock_known=False)
    assert watched.rung(*watched.see(median_time=half + 1))
    assert watched.rung(*watched.see(median_time=watched.t2 + GRACE + 1, lock_known=True)) == [0]


def test_what_is_the_initiators_is_left_to_it_while_the_lock_cannot_be_seen() -> None:
    """The secret is known, so that the lock was claimed, or can be; until it would be too late."""
    watched = follower()
    watched.see(secret=watched.trade.secret, lock=LockStatus.CLAIMED, lock_final=False)
    last = watched.bundle.act_by - 1
    assert not watched.see(median_time=last, lock=None, lock_known=False)
    assert watched.rung(*watched.see(median_time=last + 1))


def test_dust_of_strangers_is_not_told_of() -> None:
    """No bundle that was made anew would refund it."""
    watched = follower()
    dust = tuple(OutputView(OutPoint(bytes([one]) * 32, 0), Satoshi(330), 1) for one in range(64))
    assert not watched.see(outputs=(*dust, watched.view))
    assert unknown_outputs(watched.bundle, watched.sight) == 0


def test_the_output_that_is_left_to_the_initiator_is_one_that_is_there() -> None:
    """Of a bundle that refunds fundings which never came, too: the secret is out, and the lock can be claimed."""
    watched = follower()
    (ladder,) = watched.bundle.refunds
    never = replaced(ladder, outpoint=b"\x0d" * 36)
    watched.bundle = replace(watched.bundle, refunds=(never, ladder))
    watched.see(secret=watched.trade.secret, lock=LockStatus.CLAIMED)
    assert not watched.rung(*watched.see(median_time=watched.t2 + GRACE + 1))


# --- The follower's claim ---------------------------------------------------------------------------------------------


@BOTH
def test_a_secret_in_the_mempool_claims_the_lock_after_the_grace(mode: Mode) -> None:
    """From the witness, or out of the signature; and what the initiator claims is left to it, T2 or not."""
    watched = follower(mode)
    assert not watched.see(outputs=watched.claim())
    assert watched.progress.secret == watched.trade.secret
    assert watched.see(evm_time=NOW + GRACE) == (ClaimLock(watched.trade.secret),)
    assert watched.see(median_time=watched.t2 + GRACE + 1) == (ClaimLock(watched.trade.secret),)


def test_the_grace_is_short_where_time_is_short() -> None:
    """The secret comes out late: a quarter of what is left is waited at most."""
    watched = follower()
    late = watched.bundle.act_by - 400
    assert not watched.see(outputs=watched.claim(), evm_time=late)
    assert watched.see(evm_time=late + 100) == (ClaimLock(watched.trade.secret),)


@BOTH
def test_a_secret_that_was_seen_once_is_known_for_ever(mode: Mode) -> None:
    """A reorganisation takes the claims of both chains away: the lock is claimed again."""
    watched = follower(mode)
    watched.see(outputs=watched.claim(1))
    assert watched.see(outputs=(watched.view,), evm_time=NOW + GRACE) == (ClaimLock(watched.trade.secret),)
    assert not watched.see(lock=LockStatus.CLAIMED)
    assert watched.see(lock=LockStatus.OPEN) == (ClaimLock(watched.trade.secret),)


def test_a_secret_that_the_lock_itself_showed_counts() -> None:
    """Somebody claimed it, and a reorganisation took that away."""
    watched = follower()
    watched.see(lock=LockStatus.CLAIMED, lock_final=False, secret=watched.trade.secret)
    assert watched.see(lock=LockStatus.OPEN, secret=b"", evm_time=NOW + GRACE) == (ClaimLock(watched.trade.secret),)


@BOTH
def test_a_secret_in_the_bundle_claims_the_lock(mode: Mode) -> None:
    """Whatever bitcoin shows, and be it a claim that both have signed; the trader is left the time since it made the
    bundle, and the initiator is left its bitcoin."""
    watched = Watched(Role.FOLLOWER, mode, revealed=True)
    blind = replace(watched.bundle, secret=b"", presignatures=())
    together = watched.spent(watched.trade.claimed_together(), 3)
    if mode is Mode.HASH:
        assert not shown_secret(blind, together)
    assert not watched.see(evm_time=NOW + GRACE - 1, outputs=together)
    assert watched.progress.secret == watched.trade.secret
    claim = (ClaimLock(watched.trade.secret),)
    assert watched.see(evm_time=NOW + GRACE) == claim
    assert watched.see(outputs=(watched.view,), median_time=watched.t2 + GRACE + 1) == claim
    assert not watched.rung(*watched.see(lock=LockStatus.CLAIMED))
    assert watched.over


def test_a_traders_clock_puts_no_claim_off() -> None:
    """It made the bundle in a year to come, or long ago; and where nothing was read, no time has passed."""
    ahead, behind = (Watched(Role.FOLLOWER, revealed=True) for _ in range(2))
    ahead.bundle = replace(ahead.bundle, made_at=NOW + 10_000 * HOUR)
    assert not ahead.see()
    assert ahead.see(evm_time=NOW + GRACE) == (ClaimLock(ahead.trade.secret),)
    behind.bundle = replace(behind.bundle, made_at=NOW - HOUR)
    assert not behind.see(evm_time=0, median_time=0, lock=None, lock_known=False)
    assert behind.see(evm_time=NOW, lock=LockStatus.OPEN, lock_known=True) == (ClaimLock(behind.trade.secret),)


def test_a_follower_that_is_whole_claims_nothing() -> None:
    """All has come back for good; while a reorganisation may still take the refund away, it claims."""
    watched = Watched(Role.FOLLOWER, revealed=True)
    claim = (ClaimLock(watched.trade.secret),)
    assert watched.see(evm_time=watched.bundle.act_by, outputs=watched.refund(confirmations=1)) == claim
    assert watched.see(outputs=watched.refund(confirmations=2)) == ()
    other = replace(watched.view, outpoint=OutPoint(b"\x0f" * 32, 0))
    assert watched.see(outputs=(*watched.refund(confirmations=2), other)) == claim


def test_a_preimage_of_nothing_is_no_secret() -> None:
    """Whatever a chain shows is tried before it is believed."""
    watched = follower()
    watched.see(secret=b"\x01" * 32)
    watched.see(secret=b"\x01" * 31)
    assert not watched.progress.secret


def test_nobody_claims_after_t1_or_what_is_not_there() -> None:
    """The contract would refuse it."""
    watched = follower()
    watched.see(outputs=watched.claim())
    assert not [act for act in watched.see(evm_time=watched.t1) if isinstance(act, ClaimLock)]
    assert not [act for act in watched.see(evm_time=NOW + GRACE, lock=None) if isinstance(act, ClaimLock)]


def test_an_initiator_whose_lock_went_back_is_not_let_have_the_bitcoin_too() -> None:
    """It claims late, when the lock is gone: the refund bids against it at once."""
    watched = follower()
    found = watched.see(
        median_time=watched.t2 + GRACE + 1, outputs=watched.claim(), lock=LockStatus.RETURNED, evm_time=watched.t1
    )
    assert len(watched.rung(*found)) == 1
    watched.progress = watched.progress.taken(watched.coin.outpoint.serialized(), 2, 100)
    assert watched.see()  # outbid: higher at once


def test_a_lock_that_can_still_be_claimed_leaves_the_bitcoin_to_the_initiator() -> None:
    """Until the claim would come too late; then the refund goes out."""
    watched = follower()
    assert not watched.rung(*watched.see(median_time=watched.t2 + GRACE + 1, outputs=watched.claim()))
    assert not watched.rung(*watched.see(outputs=(watched.view,)))
    assert watched.rung(*watched.see(evm_time=watched.bundle.act_by))
    assert not watched.rung(*watched.see(lock=LockStatus.CLAIMED, lock_final=True))


# --- The initiator ----------------------------------------------------------------------------------------------------


def test_the_lock_goes_back_after_t1_and_the_grace() -> None:
    """By the time of the chain that it is on."""
    watched = Watched(Role.INITIATOR)
    assert not watched.see(evm_time=watched.t1 + GRACE - 1, median_time=watched.t1 + HOUR)
    assert watched.see(evm_time=watched.t1 + GRACE) == (ReturnLock(),)
    assert not watched.see(lock=LockStatus.RETURNED)


@BOTH
def test_a_revealed_initiator_claims_after_the_grace(mode: Mode) -> None:
    """And not where it claims itself already."""
    watched = Watched(Role.INITIATOR, mode, revealed=True)
    assert not watched.see(evm_time=NOW + GRACE - 1)
    assert watched.rung(*watched.see(evm_time=NOW + GRACE)) == [0]
    other = Watched(Role.INITIATOR, mode, revealed=True)
    assert not other.see(evm_time=NOW + GRACE, outputs=other.claim())


def test_a_claim_bids_at_once_against_a_refund() -> None:
    """After T2 the two race."""
    watched = Watched(Role.INITIATOR, revealed=True)
    assert watched.rung(*watched.see(evm_time=NOW + GRACE, outputs=watched.refund()))


# --- The end ----------------------------------------------------------------------------------------------------------


def test_a_follower_is_done_when_its_money_is_final() -> None:
    """The refund is as deep as was agreed, and the lock is over; a lock that is open is over at T1."""
    watched = follower()
    watched.see(outputs=watched.refund(confirmations=2))
    assert not watched.over, "the secret may still come"
    watched.see(evm_time=watched.t1)
    assert watched.over
    watched.see(outputs=watched.refund(confirmations=1))
    assert not watched.over


def test_a_follower_that_has_the_lock_is_done_whether_or_not_the_bitcoin_is_claimed() -> None:
    """What is reserved for the initiator is not its own any more."""
    watched = follower()
    watched.see(outputs=watched.claim())
    watched.see(outputs=(watched.view,), lock=LockStatus.CLAIMED, lock_settled=False)
    assert not watched.over, "a reorganisation may still take the claim away"
    watched.see(lock_settled=True)
    assert watched.over


def test_a_follower_whose_output_never_came_is_done_at_t1() -> None:
    """And not before: the funding may be on its way."""
    watched = follower()
    watched.see(outputs=(), lock=LockStatus.RETURNED)
    assert not watched.over
    watched.see(evm_time=watched.t1)
    assert watched.over


def test_an_initiator_is_done_when_both_legs_are_final() -> None:
    """Its claim as deep as was agreed, the lock claimed or returned; or there never was one by T1."""
    watched = Watched(Role.INITIATOR, revealed=True)
    watched.see(lock=LockStatus.CLAIMED, outputs=watched.claim(1))
    assert not watched.over
    watched.see(outputs=watched.claim(2))
    assert watched.over
    early = Watched(Role.INITIATOR)
    early.see(evm_time=early.t1)
    assert not early.over, "it has to be returned"
    early.see(lock=None)
    assert early.over
