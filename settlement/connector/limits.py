"""How much an account may send in a time, and when packets expire: pure arithmetic of the pipeline's checks."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.ilp.errors import InsufficientTimeout, TransferTimedOut


class TokenBucket:
    """Lets `rate` tokens a second pass, and up to `burst` at once after a pause. Full at the start.

    Counts in thousandths of a token, so that milliseconds are exact. A clock that goes back refills nothing.
    """

    __slots__ = ("_at", "_full", "_rate", "_tokens")

    def __init__(self, rate: int, burst: int, now: UnixMs) -> None:
        """Raises `BadInput`: the rate or the burst is not above zero."""
        if rate <= 0 or burst <= 0:
            raise BadInput("limits", f"{rate} a second and {burst} at once let nothing pass", "leave out for no limit")
        self._rate = rate
        self._full = burst * 1000
        self._tokens = self._full
        self._at = now

    def take(self, now: UnixMs, cost: int = 1) -> bool:
        """Take `cost` tokens if they are there."""
        elapsed = now - self._at
        if elapsed:
            self._at = now
            if elapsed > 0:
                tokens = self._tokens + elapsed * self._rate
                self._tokens = tokens if tokens < self._full else self._full
        if self._tokens < cost * 1000:
            return False
        self._tokens -= cost * 1000
        return True

    def give(self, cost: int) -> None:
        """Give back what was taken for something that did not happen."""
        self._tokens = min(self._full, self._tokens + cost * 1000)


@dataclass(frozen=True, slots=True)
class Window:
    """The times between an incoming expiry, ours, and the next hop's. All in milliseconds.

    Fields: margin (kept for the Fulfill's way back: the next hop's expiry is at least this much before the sender's);
    least (what the next hop must have left, or the packet is refused); hold_max (what the next hop gets at most, so
    that nobody ties our money up longer).

    Raises:
        BadInput: not positive, or the longest hold is shorter than the least.
    """

    margin: int = 1000
    least: int = 1000
    hold_max: int = 30_000

    def __post_init__(self) -> None:
        if self.margin <= 0 or self.least <= 0:
            raise BadInput("margin_ms", "the margins must be above zero", "1000 unless you know the way's latency")
        if self.hold_max < self.least:
            raise BadInput("hold_max_ms", f"{self.hold_max} is below the {self.least} ms a hop needs", "30000")

    @property
    def grace(self) -> int:
        """How long after the next hop's expiry its Fulfill may still arrive: it was on its way, and the sender's
        expiry is another half of the margin away."""
        return self.margin // 2

    def forward(self, expires_at: UnixMs, now: UnixMs) -> UnixMs:
        """The expiry that the next hop gets.

        Raises:
            TransferTimedOut: the packet has expired.
            InsufficientTimeout: too little would be left for the next hop.
        """
        if expires_at <= now:
            raise TransferTimedOut("the packet has expired")
        forwarded = min(expires_at - self.margin, now + self.hold_max)
        if forwarded - now < self.least:
            raise InsufficientTimeout(f"{expires_at - now} ms are left, {self.margin + self.least} are needed")
        return UnixMs(forwarded)
