"""Whose turn it is to coordinate: a role that rotates with time and is never a trust.

Every node computes the same turn from the clock, so nobody elects anybody. Two nodes whose clocks differ may both
think it is their turn: both proposals are then checked by everyone, and the Hub accepts one of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from foundation.quantities import UnixMs


def coordinator(members: Sequence[bytes], now: UnixMs, slot_ms: int) -> bytes:
    """The member whose slot `now` falls into; `members` in the order of the registry, `slot_ms` in milliseconds.

    Raises:
        ValueError: there are no members, or a slot has no length.
    """
    if not members or slot_ms <= 0:
        raise ValueError("a rota needs members and a positive slot length")
    return members[now // slot_ms % len(members)]
