"""Protection against repeated and old messages."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Final

from foundation.quantities import UnixMs
from mpc.cluster_errors import StaleMessage, TooManyRequests

WINDOW_MS: Final = 30_000
"""How far a message's time may be from ours, either way. Nodes keep their clocks by NTP."""
MAX_REMEMBERED: Final = 32_000
"""Message ids kept for each peer: what `mpc.transport.Limits` lets through while they are kept. Forgetting one early
would allow a replay, so more are refused."""


class ReplayGuard:
    """Remembers the ids of accepted messages for as long as their time would still be accepted."""

    def __init__(self, window_ms: int = WINDOW_MS, max_remembered: int = MAX_REMEMBERED) -> None:
        self._window_ms = window_ms
        self._max = max_remembered
        self._seen: defaultdict[bytes, OrderedDict[bytes, int]] = defaultdict(OrderedDict)

    def admit(self, sender: bytes, request_id: bytes, sent_at_ms: int, now: UnixMs) -> None:
        """Accept a message once.

        Raises:
            StaleMessage: it is outside of the window, or was accepted before.
            TooManyRequests: the sender has sent more in the window than is remembered.
        """
        if abs(sent_at_ms - now) > self._window_ms:
            raise StaleMessage(sender, f"its time is {(sent_at_ms - now) / 1000:+.0f} s off")
        seen = self._seen[sender]
        # A message from the future stays acceptable for up to two windows.
        while seen and next(iter(seen.values())) < now:
            seen.popitem(last=False)
        if request_id in seen:
            raise StaleMessage(sender, "it was received before")
        if len(seen) >= self._max:
            raise TooManyRequests(sender, "messages in the time window")
        seen[request_id] = now + 2 * self._window_ms
