"""What is promised in a swap is not promised a second time."""

from __future__ import annotations

from msgspec.structs import replace

from settlement.swap.engine.promised import promised
from settlement.swap.machine.changes import OwnerAsked, Wish
from settlement.swap.machine.states import Outcome
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
