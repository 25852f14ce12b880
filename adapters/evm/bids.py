"""The gas limit and the bid of a new transaction, as far as the account can bear them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.evm.fees import Fees
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
