"""The gas limit and the bid of a transaction, new or to be replaced, as far as the account can bear them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adapters.evm.fees import FeePolicy, Fees
from adapters.evm.flight import SenderPolicy
from adapters.evm.types import Simulation
from foundation.quantities import Wei


@dataclass(frozen=True, slots=True)
class Bid:
    """Fields: gas (limit); fees; is_lowered (the account does not bear the whole cushion for a rising base fee)."""

    gas: int
    fees: Fees
    is_lowered: bool = False


@dataclass(frozen=True, slots=True)
class TooLittle:
    """The account cannot pay. Fields: needed, balance (wei)."""

    needed: int
    balance: Wei


def affordable(simulation: Simulation, value: Wei, policy: SenderPolicy) -> Bid | TooLittle:
    """What to bid for a call that carries `value`.

    Where the balance does not bear the policy's bid, the bid falls to what it bears, down to the base fee and the tip:
    what the network takes now is better than nothing, for a claim that waits may come too late.

    Where two nodes tell different figures either may lie, and the other one has to do:
    - a low base fee does not count, for the higher one is bid on; one that is too high to be bid on, or to be borne, is
      bid on up to the cap, or up to what the balance bears;
    - a low balance lowers the bid at most; where it bears none, the higher balance counts. It cannot have nothing sent;
    - of gas the higher counts, for with too little the call fails; where neither balance bears it, the lower one.

    Raises:
        GasPriceAboveCap: not even the lower base fee fits.
    """
    least = simulation.least or simulation
    fees = policy.fees.bid(simulation.block.base_fee, least.block.base_fee)
    lowest = least.block.base_fee + policy.fees.tip
    for gas in (policy.gas_limit(simulation), policy.gas_limit(least)):
        for balance in (least.balance, simulation.balance):
            most = (balance - value) // gas
            if most >= lowest:
                is_lowered = most < fees.max_fee
                return Bid(gas, Fees(Wei(most), fees.tip) if is_lowered else fees, is_lowered)
    return TooLittle(value + policy.gas_limit(least) * lowest, simulation.balance)


def replacement(standing: Fees | None, base_fee: Wei, borne: Iterable[int], policy: FeePolicy) -> Fees | None:
    """What to bid next for a transaction that lingers; None where nothing more can be bid now.

    Where the account does not bear the policy's bid it is all that it bears, if that replaces what stands: it counts as
    soon as the base fee falls to it. Where two nodes tell different balances the lower one counts, and the higher one
    where the lower bears nothing, as in `affordable`.

    Args:
        standing: the highest bid that the account could pay when it was handed in; None: there is none, so that any bid
            may follow.
        base_fee: the newest block's; an absurd one is bid on up to the cap, or to what the account bears.
        borne: the highest bids that the account bears (wei per gas), as its balance is told; the lowest first.
        policy: the cap, the tip, and the least step.
    """
    if standing is None:
        wanted, least = policy.capped(base_fee), int(policy.tip)
    else:
        raised = policy.raised(standing, base_fee)
        if raised is None:
            return None
        wanted, least = raised, policy.bumped(standing.max_fee)
    for most in borne:
        if most >= least:
            max_fee = Wei(min(wanted.max_fee, most))
            return Fees(max_fee, min(wanted.tip, max_fee))
    return None
