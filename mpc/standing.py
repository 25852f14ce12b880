"""What is held against peers: proven faults, and how long they are left out of signing for them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from foundation.quantities import UnixMs
from mpc.ports import Culprit

TOLERATED_FAULTS: Final = 3
"""Faults before a peer is left out. A fault is proof, but a bad disk or a bad build is not malice."""
FIRST_EXCLUSION_MS: Final = 60_000
LONGEST_EXCLUSION_MS: Final = 24 * 60 * 60 * 1000


def after_fault(before: Culprit | None, peer: bytes, reason: str, now: UnixMs) -> Culprit:
    """What is held against a peer after one more fault. The exclusion doubles with each fault beyond the tolerated."""
    faults = (before.faults if before else 0) + 1
    until = before.excluded_until if before else UnixMs(0)
    if faults >= TOLERATED_FAULTS:
        # The exponent is bounded, because a peer may have thousands of faults.
        span = min(FIRST_EXCLUSION_MS << min(faults - TOLERATED_FAULTS, 20), LONGEST_EXCLUSION_MS)
        until = UnixMs(max(until, now + span))
    return Culprit(peer, faults, now, until, reason)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Whom to ask at first, and whom only if those do not suffice (indices)."""

    first: tuple[int, ...]
    later: tuple[int, ...]


def candidates(members: Sequence[bytes], threshold: int, held: Mapping[bytes, Culprit], now: UnixMs) -> Candidates:
    """Order the members: those not excluded first; excluded ones fill up to the threshold, soonest free first."""
    excluded = {i: held[m].excluded_until for i, m in enumerate(members) if m in held and held[m].excluded_until > now}
    first = [i for i in range(len(members)) if i not in excluded]
    later = sorted(excluded, key=lambda i: (excluded[i], i))
    missing = max(0, threshold - len(first))
    return Candidates((*first, *later[:missing]), tuple(later[missing:]))


def by_peer(culprits: Iterable[Culprit]) -> dict[bytes, Culprit]:
    return {culprit.peer: culprit for culprit in culprits}
