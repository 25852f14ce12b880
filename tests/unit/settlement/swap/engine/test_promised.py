"""What is promised in a swap is not promised a second time."""

from __future__ import annotations

from msgspec.structs import replace

from settlement.swap.engine.promised import promised
from settlement.swap.evm.gas import GasNeed, claim_need, lock_need, return_need
from settlement.swap.machine.changes import OwnerAsked, Wish
from settlement.swap.machine.facts import LockStatus
from settlement.swap.machine.states import Outcome, Why
from tests.support.swap_offers import an_offer
from tests.support.swap_sides import OUTPOINT, follower, initiator
from tests.support.swap_terms import NOW


def test_money_counts_from_the_terms_to_the_payment() -> None:
    """An initiator's until its lock is seen, a follower's until the coins of its funding are set aside."""
    locks, funds = initiator(), follower()
    bitcoin, evm = locks.terms.bitcoin, locks.terms.evm
    both = promised([locks.state, funds.state], [])
    assert (both.satoshi, dict(both.amounts)) == (bitcoin.amount, {evm.asset: evm.amount})
    locks.locked()
    funds.locked()
    after = promised([locks.state, funds.state], [])
    assert (after.satoshi, after.of(evm.asset)) == (0, 0)


def test_what_will_never_be_paid_is_free() -> None:
    """Of who has given up, of who forgot, and of what has ended."""
    given_up = initiator()
    given_up.tell(OwnerAsked(Wish.CANCEL))
    forgot = follower(recovered=True)
    prepared = replace(follower().state, prepared=OUTPOINT)
    ended = replace(follower().state, outcome=Outcome.NOTHING_MOVED)
    none = promised([given_up.state, forgot.state, prepared, ended], [])
    assert (none.satoshi, sum(none.amounts.values())) == (0, 0)


def test_an_offer_that_was_taken_and_not_answered_counts() -> None:
    """Its maker may accept at any moment: bitcoin where the maker gives the other asset, and the other way round."""
    gives, wants = (an_offer(NOW, gives_bitcoin=one).offer for one in (True, False))
    both = promised([], [gives, gives, wants])
    assert (both.satoshi, dict(both.amounts)) == (wants.satoshi, {gives.asset: 2 * gives.amount})


def test_gas_counts_until_what_it_is_for_is_done() -> None:
    """An initiator's for its lock and that one's return, then for the return; a follower's for the claim. Of what has
    ended, or will never be there, nothing."""
    locks, funds = initiator(), follower()
    asset = locks.terms.evm.asset
    begun = promised([locks.state, funds.state], [])
    assert begun.gas == lock_need(asset) + claim_need(asset)
    locks.locked()
    funds.locked()
    assert promised([locks.state], []).gas == return_need(asset)
    assert promised([funds.state], []).gas == claim_need(asset)
    locks.lock(LockStatus.RETURNED)
    funds.lock(LockStatus.CLAIMED)
    given_up, stopped = initiator(), replace(follower().state, never_fund=Why.OWNER)
    given_up.tell(OwnerAsked(Wish.CANCEL))
    ended = replace(follower().state, outcome=Outcome.NOTHING_MOVED)
    assert promised([locks.state, funds.state, given_up.state, stopped, ended], []).gas == GasNeed()


def test_gas_counts_where_a_payment_may_be_under_way() -> None:
    """A lock that was ordered and is not seen may have to go back, though its owner ended the swap; a follower that
    has ordered its funding has to claim, though it will not fund again."""
    lock_ordered = replace(initiator().state, locking=True, quit=Why.OWNER)
    paid = replace(follower().state, funding=True, never_fund=Why.OWNER)
    asset = lock_ordered.terms.evm.asset
    assert promised([lock_ordered], []).gas == return_need(asset)
    assert promised([paid], []).gas == claim_need(asset)


def test_gas_of_an_offer_that_was_taken_counts() -> None:
    """For the taker's part in it."""
    gives, wants = (an_offer(NOW, gives_bitcoin=one).offer for one in (True, False))
    assert promised([], [gives]).gas == lock_need(gives.asset)
    assert promised([], [wants]).gas == claim_need(wants.asset)
