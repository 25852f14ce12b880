"""What we pay miners: a rate within an operator's bounds, when to pay more, and how much more a replacement must pay.

Source: BIP-125 (rules 3 and 4); Bitcoin Core, policy/rbf.cpp (PaysForRBF).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.bitcoin.errors import FeeAboveCap
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB

ROUNDING: Final = 11
"""sat/kvB. A fee is rounded up to a satoshi, which adds less than this to the rate of any of our transactions: none is
smaller than 99 vB. The highest rate stays so far below the cap, so that no fee at it exceeds the cap."""

LEAST_RISE_PERCENT: Final = 25
"""A bump is worth a round of signing only if it changes the place in the queue. Estimates wobble by a few per cent from
block to block; from a floor of 1 sat/vB to 100 sat/vB, steps of a quarter take 21 rounds at most."""

_MOST_TARGET_BLOCKS = 1008
"""Bitcoin Core estimates no further ahead (a week)."""


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """An operator's bounds on fee rates, in sat/kvB.

    Fields: floor; cap; fallback (where the node has no estimate); target_blocks (how soon a transaction is to be in a
    block: what the node is asked to estimate for).
    """

    floor: SatPerKvB
    cap: SatPerKvB
    fallback: SatPerKvB
    target_blocks: int = 6

    def __post_init__(self) -> None:
        """Raises `BadInput` naming the field."""
        if self.floor < 1:
            raise BadInput("floor", f"{self.floor} sat/kvB", "at least 1")
        if self.cap < self.floor + ROUNDING:
            raise BadInput("cap", f"{self.cap} sat/kvB", f"at least {ROUNDING} above the floor of {self.floor}")
        if not self.floor <= self.fallback <= self.cap:
            raise BadInput("fallback", f"{self.fallback} sat/kvB", f"from the floor {self.floor} to the cap {self.cap}")
        if not 1 <= self.target_blocks <= _MOST_TARGET_BLOCKS:
            raise BadInput("target_blocks", str(self.target_blocks), f"1 to {_MOST_TARGET_BLOCKS:,}")

    @property
    def highest(self) -> SatPerKvB:
        """The highest rate at which a fee, rounded up, is not above the cap."""
        return SatPerKvB(self.cap - ROUNDING)

    def rate(self, estimate: SatPerKvB | None, relay_floor: SatPerKvB) -> SatPerKvB:
        """The rate for a new transaction.

        Args:
            estimate: the node's, for `target_blocks`; None where it has none.
            relay_floor: what the node's mempool asks at least now.

        Raises:
            FeeAboveCap: the node's mempool asks more than the cap (retryable: it will ask less again).
        """
        least = max(self.floor, relay_floor)
        if least > self.highest:
            raise FeeAboveCap(least, self.cap)
        wanted = self.fallback if estimate is None else estimate
        return SatPerKvB(min(max(wanted, least), self.highest))

    def bump_rate(self, current: SatPerKvB, wanted: SatPerKvB, relay_floor: SatPerKvB) -> SatPerKvB | None:
        """The rate of a replacement, at least a quarter and `relay_floor` above `current`.

        Args:
            current: of the transaction that lingers.
            wanted: what a new transaction would pay (see `rate`).
            relay_floor: the node's incremental relay rate or its mempool's floor, whichever is higher.

        Returns:
            None where `current` suffices, or the cap leaves no room for such a step.
        """
        if wanted <= current:
            return None
        least = current + max(-(-current * LEAST_RISE_PERCENT // 100), relay_floor)
        if least > self.highest:
            return None
        return SatPerKvB(min(max(wanted, least), self.highest))


def replacement_fee(old_fee: Satoshi, vsize: int, incremental: SatPerKvB) -> Satoshi:
    """The least fee with which a node takes a replacement of `vsize` virtual bytes (of the replacement).

    It pays all that the replaced ones paid (rule 3; `old_fee` includes their unconfirmed children's), and for its own
    relay on top (rule 4), at the node's `incremental` rate.
    """
    return Satoshi(old_fee - (-incremental * vsize // 1000))
