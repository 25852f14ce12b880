"""How many confirmations an amount asks for: the larger the amount, the deeper it must lie."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi


@dataclass(frozen=True, slots=True)
class Tier:
    """Amounts up to and including `up_to` need `confirmations` (1 means: in the newest block)."""

    up_to: Satoshi | None  # None: without limit
    confirmations: int


@dataclass(frozen=True, slots=True)
class Tiers:
    """Tiers in ascending order, the last one without limit.

    Raises:
        BadInput: the tiers do not ascend, ask for less than one confirmation, or leave out large amounts.
    """

    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        limits = [tier.up_to for tier in self.tiers]
        if not limits or limits[-1] is not None or None in limits[:-1]:
            raise BadInput("confirmations", "only the last tier may be, and must be, without limit")
        bounded = [limit for limit in limits if limit is not None]
        if any(low >= high for low, high in itertools.pairwise(bounded)):
            raise BadInput("confirmations", "the tiers' amounts must ascend")
        asked = [tier.confirmations for tier in self.tiers]
        if asked[0] < 1 or any(low > high for low, high in itertools.pairwise(asked)):
            raise BadInput("confirmations", "confirmations start at 1 and never fall as amounts grow")

    def required(self, amount: Satoshi) -> int:
        """Confirmations that `amount` asks for."""
        return next(t.confirmations for t in self.tiers if t.up_to is None or amount <= t.up_to)

    @property
    def deepest(self) -> int:
        """Confirmations after which any amount is final."""
        return self.tiers[-1].confirmations


def confirmations(height: BlockHeight | None, tip: BlockHeight) -> int:
    """Blocks that confirm something at `height`: 1 in the newest block, 0 outside the chain."""
    return 0 if height is None else max(0, tip - height + 1)
