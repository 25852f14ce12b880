"""Exchange rates of a path as fractions of integers: how many of the receiver's units arrive for the sender's."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import BadInput

BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`delivered` of the receiver's base units for `sent` of the sender's; `sent` is above zero.

    Raises:
        BadInput: `sent` is not above zero, or `delivered` is below it.
    """

    delivered: int
    sent: int

    def __post_init__(self) -> None:
        if self.sent <= 0 or self.delivered < 0:
            raise BadInput("rate", f"{self.delivered} for {self.sent} is no rate")

    def delivers(self, amount: int) -> int:
        """What `amount` sent delivers, rounded down as connectors do."""
        return amount * self.delivered // self.sent

    def delivers_at_most(self, amount: int) -> int:
        """The same, rounded up."""
        return -(-amount * self.delivered // self.sent)

    def needs(self, amount: int) -> int:
        """The least to send so that `amount` is delivered; the rate must be above zero."""
        return -(-amount * self.sent // self.delivered)

    def lowered(self, basis_points: int) -> Rate:
        """The rate less a share of it, in hundredths of a per cent."""
        return Rate(self.delivered * (BASIS_POINTS - basis_points), self.sent * BASIS_POINTS)

    def is_below(self, other: Rate) -> bool:
        """Whether this rate delivers less than the other."""
        return self.delivered * other.sent < other.delivered * self.sent
