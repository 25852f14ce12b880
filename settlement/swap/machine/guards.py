"""The questions on which money depends, one function each. The simulation breaks them one at a time.

Source: /docs/swaps.md. `sec`: the time that gates are compared with (`states._Side.seconds`).
"""

from __future__ import annotations

import hashlib
import hmac

from coincurve import PrivateKey

from settlement.swap.machine.changes import Wish
from settlement.swap.machine.facts import Lock, LockStatus, Output, SpendKind, expected_lock
from settlement.swap.machine.states import Follower, Initiator, Swap
from settlement.swap.terms import Mode, SwapTerms


def secret_opens(terms: SwapTerms, secret: bytes) -> bool:
    """Whether the secret claims both legs: 32 bytes, the preimage of the condition or the logarithm of the point."""
    if len(secret) != 32:
        return False
    if terms.mode is Mode.HASH:
        return hmac.compare_digest(hashlib.sha256(secret).digest(), terms.condition)
    try:
        point = PrivateKey(secret).public_key.format()
    except ValueError:  # zero, or not below the order of the curve
        return False
    return hmac.compare_digest(point, terms.point)


def lock_is_exact(state: Swap, lock: Lock) -> bool:
    """Whether a lock is the one of the terms in every field, on the right chain and contract, with a memo that does not
    lie: by it alone a follower that loses its database finds its money again."""
    return lock.view == expected_lock(state.terms) and lock.memo_holds


def lock_is_final(lock: Lock) -> bool:
    """Whether no reorganisation that was allowed for can undo what was seen of it."""
    return lock.final


def lock_is_open(lock: Lock | None) -> bool:
    """Whether the lock holds the money."""
    return lock is not None and lock.status is LockStatus.OPEN


def output_is_exact(state: Initiator, output: Output) -> bool:
    """Whether an output carries the agreed amount, and in point mode is the one that the pre-signatures spend."""
    terms = state.terms
    return output.value == terms.bitcoin.amount and (terms.mode is Mode.HASH or output.outpoint == state.planned)


def output_is_buried(state: Initiator, output: Output) -> bool:
    """Whether an output has the agreed confirmations."""
    return output.confirmations >= state.terms.bitcoin.confirmations


def spend_is_final(state: Swap, output: Output, kind: SpendKind) -> bool:
    """Whether an output went that way for good."""
    spend = output.spend
    return spend is not None and spend.kind is kind and spend.confirmations >= state.terms.bitcoin.confirmations


def in_time_to_lock(state: Initiator, sec: int) -> bool:
    """Whether a lock still leaves the other side the time to fund."""
    return state.gates.may_lock(sec)


def in_time_to_reveal(state: Initiator, sec: int) -> bool:
    """Whether a claim that begins now is final before the follower's refund can be."""
    return state.gates.may_reveal(sec)


def in_time_to_fund(state: Follower, sec: int) -> bool:
    """Whether a funding that begins now still leaves the initiator the time to claim."""
    return state.gates.may_fund(sec)


def can_complete_claim(state: Initiator) -> bool:
    """Whether it can claim the bitcoin without the other side: in point mode it needs the pre-signatures."""
    return state.terms.mode is Mode.HASH or bool(state.presignatures)


def waits_for_word(state: Initiator) -> bool:
    """Whether its owner has to say first that the trade was not called off. It was rebuilt without its memory, and may
    have signed an early refund before: a follower that kept it back would take the bitcoin, and the lock besides."""
    return state.recovered and not state.revealed_at and state.wish is not Wish.REDEEM


def may_still_reveal(state: Initiator) -> bool:
    """Whether it has not decided otherwise: no refund was co-signed, no lock is to go back, it has not given up."""
    return state.quit is None and not state.cosigned and not state.give_back and not waits_for_word(state)


def may_cosign_refund(state: Initiator) -> bool:
    """Whether it may sign the follower's early refund: it has shown no secret, and knows that for certain."""
    return not state.revealed_at and not state.exposed and not state.recovered


def may_take_back(state: Initiator) -> bool:
    """Whether it may use the follower's word that the lock goes back: it did not get the bitcoin, and will not."""
    if state.revealed_at:
        return bool(state.outputs) and all(spend_is_final(state, out, SpendKind.REFUND) for out in state.outputs)
    return state.quit is not None


def may_still_fund(state: Follower) -> bool:
    """Whether it has not decided otherwise, and was not rebuilt without its memory."""
    return state.never_fund is None and not state.given_back and not state.recovered


def can_learn_secret(state: Follower) -> bool:
    """Whether the initiator's claim will show it the secret: in point mode it needs a stored pre-signature."""
    return state.terms.mode is Mode.HASH or bool(state.presignatures)


def is_whole(state: Follower) -> bool:
    """Whether all that it paid to the swap's script has come back for good."""
    amount = state.terms.bitcoin.amount
    refunded = [spend_is_final(state, out, SpendKind.REFUND) for out in state.outputs if not out.written_off]
    return all(refunded) and any(out.value == amount and not out.written_off for out in state.outputs)


def may_give_back(state: Follower) -> bool:
    """Whether it may sign that the lock goes back: it has no money in the swap, and never will have."""
    if not state.funding:
        return state.never_fund is not None
    return is_whole(state) or (state.abandoned and not state.outputs)


def claim_is_mined(state: Follower) -> bool:
    """Whether a block has the claim of its lock, which shows the secret to whoever has to look for it there."""
    lock = state.own_lock
    return lock is not None and lock.status is LockStatus.CLAIMED and lock.confirmations > 0


def may_refund_bitcoin(state: Follower) -> bool:
    """Whether a refund is valid in the next block: the median time is beyond T2 (BIP-113)."""
    return state.times is not None and state.times.mtp > state.gates.refund_bitcoin
