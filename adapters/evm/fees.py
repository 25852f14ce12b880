"""What a transaction pays for gas (EIP-1559). All amounts in wei per gas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.evm.errors import GasPriceAboveCap
from foundation.errors import BadInput
from foundation.quantities import Wei

_GWEI: Final = 10**9
MIN_BUMP_PERMILLE: Final = 100
"""Nodes take no replacement that bids less than a tenth more."""


@dataclass(frozen=True, slots=True)
class Fees:
    """A transaction's bid. Fields: max_fee (all in all); tip (of it, to the block's maker)."""

    max_fee: Wei
    tip: Wei


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """How much we bid.

    Fields: cap (no transaction ever bids more); tip (what block makers get); bump_permille (how much more a replacement
    bids; nodes ask at least 100, EIP-1559 makers commonly 125).
    """

    cap: Wei = Wei(500 * _GWEI)
    tip: Wei = Wei(_GWEI)
    bump_permille: int = 125

    def __post_init__(self) -> None:
        if not 0 <= self.tip <= self.cap:
            raise BadInput("fees.tip", f"{self.tip:,} wei", f"0 to the cap, {self.cap:,} wei")
        if self.bump_permille < MIN_BUMP_PERMILLE:
            raise BadInput("fees.bump_permille", f"{self.bump_permille}", f"at least {MIN_BUMP_PERMILLE}")

    def bid(self, base_fee: Wei, least: Wei | None = None) -> Fees:
        """Twice the base fee and the tip, within the cap: it stays valid while six full blocks raise the base fee.

        Args:
            base_fee: the newest block's.
            least: what it may be as well, where nodes differ: only if that does not fit either, nothing is bid.

        Raises:
            GasPriceAboveCap: not even the base fee and the tip fit.
        """
        needed = (base_fee if least is None else least) + self.tip
        if needed > self.cap:
            raise GasPriceAboveCap(Wei(needed), self.cap)
        return self.capped(base_fee)

    def capped(self, base_fee: Wei, times: int = 2) -> Fees:
        """So many times the base fee and the tip, or the cap, though the chain may ask for more than that."""
        return Fees(Wei(min(times * base_fee + self.tip, self.cap)), self.tip)

    def raised(self, old: Fees, base_fee: Wei) -> Fees | None:
        """A bid that replaces `old`: both parts raised by `bump_permille` at least; None where the cap forbids it."""
        max_fee = max(self.bumped(old.max_fee), min(2 * base_fee + self.tip, self.cap))
        if max_fee > self.cap:
            return None
        # The tip cannot exceed the whole, which the cap may have held low.
        return Fees(Wei(max_fee), Wei(min(max(self.bumped(old.tip), self.tip), max_fee)))

    def bumped(self, value: int) -> int:
        """The least that replaces `value`."""
        # Rounded up, and by one wei at least: a replacement that is not higher is refused.
        return max(-(-value * (1000 + self.bump_permille) // 1000), value + 1)
