"""Token buckets, one a peer."""

from __future__ import annotations

from typing import Final

from mpc.cluster_errors import TooManyRequests

_MAX_BUCKETS: Final = 1024


class Rates:
    """Lets each peer do `per_s` things a second, and up to `burst` at once after a pause."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: dict[bytes, tuple[float, float]] = {}

    def take(self, peer: bytes, now_s: float, count: int = 1) -> None:
        """Count one thing, or one that weighs more. `now_s`: a monotonic clock in seconds.

        Raises:
            TooManyRequests: the bucket is empty.
        """
        tokens, since = self._buckets.pop(peer, (float(self._burst), now_s))
        tokens = min(float(self._burst), tokens + (now_s - since) * self._per_s)
        if len(self._buckets) >= _MAX_BUCKETS:  # the one that was used least recently has long been full
            del self._buckets[next(iter(self._buckets))]
        self._buckets[peer] = (max(tokens - count, 0.0), now_s)
        if tokens < count:
            raise TooManyRequests(peer, "requests a second")
