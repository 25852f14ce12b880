"""What the stateful test of the whole bridge knows of locks, releases, fees and weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.hub_model import REQUESTED
from tests.support.lockbox import Payment
from tests.support.native_contracts import NOBODY, STAKE, ZERO

PAID, FAILED, CLAIMED, ENDED, UNPAID = "paid", "failed", "claimed", "cancelled", "failed and cancelled"
"""What became of a payment at the Lockbox; empty: nothing yet."""


@dataclass
class Lock:
    """What the model knows of a lock. `end`: minted, returned (barred), sent back."""

    id: bytes
    amount: int
    end: str = ""


@dataclass
class Release:
    """What the model knows of a withdrawal. `outcome` is the Lockbox's, `status` the Hub's."""

    number: int
    amount: int
    relay_fee: int
    service_fee: int
    payee: str
    status: int = REQUESTED
    outcome: str = ""
    payout: bytes = NOBODY
    mints: int = 0

    @property
    def payment(self) -> Payment:
        """What the group signs."""
        return self.number, ZERO, self.payee, self.amount - self.relay_fee, self.relay_fee

    @property
    def fee_paid(self) -> int:
        """What its carrier got."""
        return self.relay_fee if self.outcome in (PAID, FAILED, CLAIMED, UNPAID) else 0

    @property
    def gone(self) -> int:
        """How much of the reserves it has used, or still owes to its payee."""
        return self.amount if self.outcome in (PAID, FAILED, CLAIMED) else self.fee_paid

    @property
    def owed(self) -> int:
        """What its payee may still claim."""
        return self.amount - self.relay_fee if self.outcome == FAILED else 0


@dataclass
class Model:
    """What the three contracts have to be like."""

    locks: list[Lock] = field(default_factory=list)
    releases: dict[bytes, Release] = field(default_factory=dict)
    payouts: dict[bytes, list[bytes]] = field(default_factory=dict)
    pending: dict[tuple[bytes, int], int] = field(default_factory=dict)
    weights: list[int] = field(default_factory=lambda: [STAKE] * 4)
    distributed: int = 0
    claimed: int = 0
    bonded: int = 4 * STAKE

    def note(self, group: bytes, signers: int, fee: int) -> None:
        """A fee that is pending."""
        if fee:
            self.pending[group, signers] = self.pending.get((group, signers), 0) + fee

    def enough(self, places: list[int]) -> bool:
        """Whether these vouchers have more than two thirds of the weight."""
        return 3 * sum(self.weights[place] for place in places) > 2 * sum(self.weights)

    def bits(self, places: list[int]) -> int:
        """The bitmap of those that weigh anything."""
        return sum(1 << place for place in places if self.weights[place])
