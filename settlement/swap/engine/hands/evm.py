"""Orders on the EVM chain: the lock, its claim, and its ways back."""

from __future__ import annotations

import structlog

from adapters.evm.errors import InsufficientBalance
from adapters.evm.escrow.errors import TooEarly, TooLate
from adapters.native.eip712 import BadSignature
from foundation.errors import BadInput
from mpc.curve import SecretScalar
from settlement.swap.bitcoin.rungs import Rung
from settlement.swap.engine.hands.desk import Changes, Desk, NotNow
from settlement.swap.evm.errors import AllowanceRefused, LockEnded, LockIdTaken, LockNotThere, MemoRefused
from settlement.swap.evm.memo import HashMemo, Memo, PointMemo, open_as_beneficiary, seal_memo
from settlement.swap.evm.memo import Rung as MemoRung
from settlement.swap.evm.terms import lock_terms, terms_of
from settlement.swap.evm.watch import LockFact
from settlement.swap.machine.changes import Failed, Sent
from settlement.swap.machine.effects import ClaimEvm, PlaceLock, RefundEvm, SignGiveBack, SubmitGiveBack
from settlement.swap.machine.messages import GiveBack
from settlement.swap.machine.states import Follower, Initiator
from settlement.swap.store.store import SwapRow
from settlement.swap.terms import Mode

_log = structlog.get_logger(__name__)


async def place(desk: Desk, row: SwapRow, order: PlaceLock) -> Changes:
    """Make the lock, with the memo by which either side finds the swap again.

    The order may have waited, for a node or for a machine that slept: what was not signed until it became too late, or
    until the trade was called off, never is.
    """
    terms = lock_terms(row.state.terms)
    assert isinstance(row.state, Initiator), "as the machine orders"
    problem = "too late to lock" if desk.seconds >= order.not_after else "it was called off" if row.state.quit else ""
    if problem and not await desk.evm.is_placing(row.swap_id):
        return (Failed(order.key, problem),)
    secrets = desk.secrets(row)
    named_by = secrets.bitcoin if row.state.terms.mode is Mode.HASH else secrets.lock
    memo = seal_memo(desk.evm.site, terms, memo_of(row), SecretScalar.nonzero(named_by))
    try:
        landed = await desk.evm.place(row.swap_id, terms, memo)
    except (LockIdTaken, AllowanceRefused) as error:
        return (Failed(order.key, str(error)),)
    except InsufficientBalance as error:
        raise NotNow(str(error), 5) from error
    return () if landed.transaction is None else (Sent(order.key, landed.transaction),)


def memo_of(row: SwapRow) -> Memo:
    """What stands beside the lock, as either side knows it; in point mode once the claims are signed in advance.

    Raises:
        BadInput: the claims pay to several scripts, or to one that no memo holds.
    """
    state = row.state
    terms = state.terms
    leg = terms.bitcoin
    if terms.mode is Mode.HASH:
        return HashMemo(leg.refunder, leg.expires_at, leg.amount)
    if isinstance(state, Initiator):
        signed, outpoint = state.presignatures, state.planned
    else:
        signed, outpoint = state.presignatures[-1], state.prepared
    claims = [Rung.decode(one) for one in signed]
    if len({claim.destination for claim in claims}) != 1:
        raise BadInput("claims", "pay to several scripts", "one that the memo names")
    rungs = tuple(MemoRung(claim.fee, claim.pre.encode()) for claim in claims)
    return PointMemo(
        refunder=leg.refunder,
        claimer=leg.claimer,
        bitcoin_expires_at=leg.expires_at,
        satoshi=leg.amount,
        point=terms.point,
        outpoint=outpoint,
        payee=claims[0].destination,
        rungs=rungs,
    )


def memo_holds(desk: Desk, row: SwapRow, fact: LockFact) -> bool:
    """Whether a follower that has not funded yet finds beside its lock what brings the swap back from its words alone.

    Whoever made the lock may have sealed a lie, or nothing. Of all other locks nothing is asked.
    """
    state = row.state
    if not isinstance(state, Follower) or state.funding or fact.terms.id != state.terms.evm.lock_id:
        return True
    if state.terms.mode is Mode.POINT and not state.presignatures:
        return False
    secret = SecretScalar.nonzero(desk.secrets(row).bitcoin)
    try:
        return open_as_beneficiary(desk.evm.site, fact.terms, fact.memo, secret) == memo_of(row)
    except (MemoRefused, BadInput):
        return False  # also where the other side's claims are such that no memo can hold them


async def claim(desk: Desk, row: SwapRow, order: ClaimEvm) -> Changes:
    """Have the lock paid out by the secret."""
    try:
        landed = await desk.evm.claim(terms_of(desk.evm.site, order.view), order.secret)
    except (LockEnded, LockNotThere, TooLate) as error:
        _log.warning("the lock is not there to be claimed", swap=row.swap_id.hex()[:12], problem=str(error))
        return ()
    await desk.evm.withdraw(order.view.asset)  # where the payout could not be taken, it is owed
    return () if landed.transaction is None else (Sent(order.key, landed.transaction),)


async def refund(desk: Desk, row: SwapRow, order: RefundEvm) -> Changes:
    """Have the lock returned after its time-out."""
    try:
        landed = await desk.evm.refund(terms_of(desk.evm.site, order.view))
    except (LockEnded, LockNotThere):
        return ()  # the watch tells what has become of it
    except TooEarly as error:
        raise NotNow("the lock's time-out has not passed on the chain", 2) from error
    return () if landed.transaction is None else (Sent(order.key, landed.transaction),)


async def sign_give_back(desk: Desk, row: SwapRow, order: SignGiveBack) -> Changes:
    """Give the word that the lock goes back, and send it."""
    signature = desk.evm.sign_give_back(terms_of(desk.evm.site, order.view))
    await desk.say(row, GiveBack(order.view.lock_id, signature))
    return ()


async def submit_give_back(desk: Desk, row: SwapRow, order: SubmitGiveBack) -> Changes:
    """Have the lock returned by the other side's word."""
    try:
        landed = await desk.evm.give_back(terms_of(desk.evm.site, order.view), order.signature)
    except (BadSignature, BadInput) as error:
        return (Failed(order.key, str(error)),)
    except (LockEnded, LockNotThere):
        return ()
    return () if landed.transaction is None else (Sent(order.key, landed.transaction),)
