"""What a trader has promised in swaps that have begun, and has not paid yet: it cannot be promised a second time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from foundation.quantities import Satoshi
from settlement.swap.evm.gas import GasNeed, claim_need, lock_need, return_need, whole_need
from settlement.swap.machine.facts import LockStatus
from settlement.swap.machine.states import Initiator, Swap
from settlement.swap.offers import Offer
from settlement.swap.terms import Role


@dataclass(frozen=True, slots=True)
class Promised:
    """Fields: satoshi (bitcoin that is still to be paid); amounts (to be locked yet, base units by asset, 20 bytes);
    gas (of claims, locks and their returns that may still have to be sent)."""

    satoshi: Satoshi = Satoshi(0)
    amounts: Mapping[bytes, int] = field(default_factory=dict)
    gas: GasNeed = field(default_factory=GasNeed)

    def of(self, asset: bytes) -> int:
        """Of one asset of the EVM chain."""
        return self.amounts.get(asset, 0)


def promised(swaps: Iterable[Swap], asked: Iterable[Offer]) -> Promised:
    """All of it. Money that is on a chain, or in a signed funding, is not in the wallet any more, and not counted; the
    gas to get it out again is, until that is done: without it the money would be lost.

    Args:
        swaps: that have begun.
        asked: others' offers that this trader has said it takes, and that were not accepted yet.
    """
    satoshi, amounts, gas = 0, Counter[bytes](), GasNeed()
    for state in swaps:
        gas += _gas_of(state)
        if not _is_to_pay(state):
            continue
        if isinstance(state, Initiator):
            amounts[state.terms.evm.asset] += state.terms.evm.amount
        else:
            satoshi += state.terms.bitcoin.amount
    for offer in asked:
        gas += whole_need(offer.maker_role.other, offer.asset)
        if offer.maker_role is Role.FOLLOWER:
            amounts[offer.asset] += offer.amount
        else:
            satoshi += offer.satoshi
    return Promised(Satoshi(satoshi), amounts, gas)


def _gas_of(state: Swap) -> GasNeed:
    """For the lock under the terms' id alone: strangers can make others, and nobody has to pay for those."""
    asset, lock = state.terms.evm.asset, state.own_lock
    is_over = state.outcome is not None or (lock is not None and lock.status is not LockStatus.OPEN)
    if is_over:
        return GasNeed()
    if isinstance(state, Initiator):
        if _is_to_pay(state):
            return lock_need(asset)
        return return_need(asset) if lock is not None or state.locking else GasNeed()
    return claim_need(asset) if state.funding or state.never_fund is None else GasNeed()


def _is_to_pay(state: Swap) -> bool:
    if state.outcome is not None or state.recovered:
        return False
    if isinstance(state, Initiator):
        return state.quit is None and not state.revealed_at and state.own_lock is None
    # In point mode the coins of a funding are set aside from when the claims are signed in advance.
    return state.never_fund is None and not (state.funding or state.prepared or state.outputs)
