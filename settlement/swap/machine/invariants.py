"""What holds after each step of either side, asserted on: a wrong step stops before anything of it is stored.

Written apart from the decisions, so that one mistake is not made twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from settlement.swap.machine.effects import (
    SHOWING,
    BroadcastFunding,
    ClaimEvm,
    CosignClaim,
    Effect,
    PlaceLock,
    RefundBitcoin,
    RefundEvm,
    SendLetter,
    SignGiveBack,
    SignRefundWith,
    SubmitGiveBack,
)
from settlement.swap.machine.facts import LockStatus, SpendKind, expected_lock
from settlement.swap.machine.messages import Quit, RungAnswers
from settlement.swap.machine.states import Follower, Initiator, Swap
from settlement.swap.terms import Mode


def check_step(before: Swap, after: Swap, effects: Iterable[Effect]) -> None:
    """Raises AssertionError, which says what was about to go wrong."""
    assert after.terms_bytes == before.terms_bytes, "the terms never change"
    if isinstance(before, Initiator):
        assert isinstance(after, Initiator), "nobody changes roles"
        _check_initiator(before, after)
        for effect in effects:
            _check_initiators_order(after, effect)
    else:
        assert isinstance(after, Follower), "nobody changes roles"
        _check_follower(before, after)
        for effect in effects:
            _check_followers_order(after, effect)


# --- Initiator --------------------------------------------------------------------------------------------------------


def _check_initiator(before: Initiator, after: Initiator) -> None:
    assert after.shown >= before.shown, "what was shown stays shown"
    assert after.revealed_at >= before.revealed_at or not before.shown, "a secret that may be out stays decided"
    assert after.revealed_at or not after.shown, "nothing is shown without the decision"
    assert before.quit is None or after.quit is before.quit, "who has given up stays so"
    assert after.cosigned >= before.cosigned, "a signature cannot be taken back"
    assert after.locking >= before.locking, "a lock that was ordered may be made at any time"
    if after.revealed_at and not after.exposed:
        assert after.quit is None, "who has given up shows no secret"
        assert not after.cosigned, "never both a signature for a refund and the secret"
    if after.revealed_at and not before.revealed_at and not after.exposed:
        _check_reveal(after)
    if after.locking and not before.locking:
        assert after.peer_agreed, "no money before both have signed"
        assert after.quit is None, "who has given up locks nothing"
        assert after.terms.mode is Mode.HASH or after.presignatures, "no lock before the claim is sure"


def _check_reveal(after: Initiator) -> None:
    bitcoin = after.terms.bitcoin
    output = next(out for out in after.outputs if out.outpoint == after.target)
    assert output.value == bitcoin.amount, "no secret for another amount"
    assert output.confirmations >= bitcoin.confirmations, "no secret before the funding is final"
    assert output.spend is None, "no secret for an output that is spent"
    assert after.terms.mode is Mode.HASH or output.outpoint == after.planned, "no secret for another output"
    assert after.times is None or after.times.mtp < after.gates.last_reveal, "no secret when the refund is near"
    lock = after.own_lock
    assert lock is not None, "no secret without the own lock"
    assert lock.status is LockStatus.OPEN, "no secret without the own lock"
    assert not after.give_back, "no secret when the lock goes back"


def _check_initiators_order(after: Initiator, effect: Effect) -> None:
    if isinstance(effect, SHOWING):
        assert after.revealed_at, "the decision to show the secret is stored first"
    elif isinstance(effect, PlaceLock):
        assert after.locking, "only a lock that was decided"
        assert after.quit is None, "only a lock that was decided"
        assert not after.recovered, "only a lock that was decided"
    elif isinstance(effect, SignRefundWith):
        assert after.cosigned, "no refund once the secret may be out"
        assert not after.revealed_at, "no refund once the secret may be out"
        assert not after.recovered, "no refund once the secret may be out"
    elif isinstance(effect, RefundEvm):
        assert after.times is not None, "no refund before T1"
        assert after.times.evm_time >= effect.view.expires_at, "no refund before T1"
    elif isinstance(effect, SubmitGiveBack):
        refunded = [out.spend is not None and out.spend.kind is SpendKind.REFUND for out in after.outputs]
        assert not after.revealed_at or all(refunded), "never both the bitcoin and the lock"
        assert after.revealed_at or after.quit is not None, "who takes the lock back has given up"
    elif isinstance(effect, SendLetter) and isinstance(effect.message, Quit):
        assert after.quit is not None, "who says so has given up"
        assert not after.revealed_at, "who says so has given up"


# --- Follower ---------------------------------------------------------------------------------------------------------


def _check_follower(before: Follower, after: Follower) -> None:
    assert after.funding >= before.funding, "a funding that was ordered may be sent at any time"
    assert after.given_back >= before.given_back, "a signature cannot be taken back"
    assert before.never_fund is None or after.never_fund is before.never_fund, "who has given up stays so"
    assert not before.secret or after.secret == before.secret, "a secret stays known"
    assert not (after.funding and after.never_fund is not None), "never both a funding and the promise of none"
    if after.funding and not before.funding:
        _check_funding(after)
    if after.given_back and not before.given_back and not after.funding:
        assert after.never_fund is not None, "who signs that the lock goes back never funds"
    if after.given_back and not before.given_back and after.funding:
        pending = [out for out in after.outputs if not _is_back(after, out.outpoint) and not out.written_off]
        assert not pending, "never both a lock that goes back and money in the swap"
        assert after.outputs or after.abandoned, "no lock goes back while the funding may still confirm"


def _check_funding(after: Follower) -> None:
    lock = after.own_lock
    assert lock is not None, "no funding for another lock"
    assert lock.view == expected_lock(after.terms), "no funding for another lock"
    assert lock.final, "no funding before the lock is final"
    assert lock.status is LockStatus.OPEN, "no funding before the lock is final"
    assert after.peer_agreed, "no money before both have signed"
    assert not after.given_back, "no funding for a lock that goes back"
    assert not after.recovered, "a memory that was lost may have held another decision"
    assert after.terms.mode is Mode.HASH or after.presignatures, "no funding whose claim would not show the secret"
    assert after.times is None or after.times.evm_time < after.gates.last_fund, "no funding when it is late"


def _is_back(after: Follower, outpoint: bytes) -> bool:
    output = next(out for out in after.outputs if out.outpoint == outpoint)
    spend = output.spend
    required = after.terms.bitcoin.confirmations
    return spend is not None and spend.kind is SpendKind.REFUND and spend.confirmations >= required


def _check_followers_order(after: Follower, effect: Effect) -> None:
    if isinstance(effect, BroadcastFunding):
        assert after.funding, "only a funding that was decided"
        assert not after.given_back, "only a funding that was decided"
        assert not after.abandoned, "only a funding that was decided"
    elif isinstance(effect, ClaimEvm):
        assert after.secret, "no claim without the secret"
        assert effect.secret == after.secret, "no claim without the secret"
    elif isinstance(effect, CosignClaim):
        assert after.secret, "no signature for a claim that shows nothing"
        assert after.funding, "no signature for a claim that shows nothing"
        lock = after.own_lock
        assert lock is not None, "no signature for a claim that shows nothing before the own one shows all"
        assert lock.status is LockStatus.CLAIMED, "no signature before the own claim shows the secret"
        assert lock.confirmations, "no signature before the own claim shows the secret"
    elif isinstance(effect, RefundBitcoin):
        assert after.times is not None, "no refund before T2"
        assert after.times.mtp > after.terms.bitcoin.expires_at, "no refund before T2"
    elif isinstance(effect, SignGiveBack):
        assert after.given_back, "the decision is stored before the signature leaves"
    elif isinstance(effect, SendLetter) and isinstance(effect.message, RungAnswers):
        assert after.presignatures, "the pre-signatures are stored before the own part leaves"
    elif isinstance(effect, SendLetter) and isinstance(effect.message, Quit):
        assert after.never_fund is not None, "who says so never funds"
        assert not after.funding, "who says so never funds"
