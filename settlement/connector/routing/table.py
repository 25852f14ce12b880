"""The routing table that packets follow: the longest prefix wins, by whole segments of an address (RFC 15)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_CACHE_MAX = 8_192
"""Destinations remembered. Anyone can invent destinations: a full cache is emptied, which costs little."""


class RoutingTable:
    """Prefixes to account ids. Reads cost one dictionary look-up for a destination that was asked for before."""

    def __init__(self) -> None:
        self._accounts: dict[str, str] = {}
        self._cache: dict[str, str | None] = {}
        self._depth: int | None = 0
        self._version = 0

    @property
    def version(self) -> int:
        """Rises with every change, for those who keep answers."""
        return self._version

    @property
    def accounts(self) -> Mapping[str, str]:
        """Account ids by prefix, as they are now; a view."""
        return MappingProxyType(self._accounts)

    def set(self, prefix: str, account: str) -> None:
        """Send what is at or below `prefix` (a valid address) to `account`, unless a longer prefix matches."""
        if self._accounts.get(prefix) == account:
            return
        self._accounts[prefix] = account
        self._changed()

    def remove(self, prefix: str) -> None:
        """Forget a prefix; one that is not there is ignored."""
        if self._accounts.pop(prefix, None) is not None:
            self._changed()

    def next_hop(self, destination: str) -> str | None:
        """The account of the longest prefix of `destination`; None where no prefix matches."""
        try:
            return self._cache[destination]
        except KeyError:
            pass
        found = self._look_up(destination)
        if len(self._cache) >= _CACHE_MAX:
            self._cache.clear()
        self._cache[destination] = found
        return found

    def _look_up(self, destination: str) -> str | None:
        # No prefix has more than `_depth` segments: an address of a thousand segments costs no thousand look-ups.
        if self._depth is None:
            self._depth = max((prefix.count(".") + 1 for prefix in self._accounts), default=0)
        segments = destination.split(".", self._depth)[: self._depth]
        accounts = self._accounts
        for count in range(len(segments), 0, -1):
            found = accounts.get(".".join(segments[:count]))
            if found is not None:
                return found
        return None

    def _changed(self) -> None:
        self._cache.clear()
        self._depth = None  # counted when it is needed: a peer may change a thousand routes with one message
        self._version += 1
