"""What events make of the locks that somebody watches, and how a reorganisation takes it back. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from adapters.evm.escrow.events import Claimed, EscrowEvent, Locked, Memo, PointClaimed, PointLocked, Returned
from adapters.evm.escrow.types import AnyTerms
from adapters.evm.lockbox.types import Position
from foundation.quantities import BlockHeight
from settlement.swap.machine.facts import LockStatus

LOCKS_PER_PAIR: Final = 64
"""Locks of one payer for one beneficiary that are kept beside those that were asked for: strangers can make more."""

LockKey: TypeAlias = tuple[bytes, bytes]
"""Payer (20 bytes) and id (32 bytes) of a lock, which name it for ever."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happened to a lock. Fields: at; status (from then on); secret (of a claim, 32 bytes; else empty)."""

    at: Position
    status: LockStatus
    secret: bytes = b""


@dataclass(slots=True)
class Track:
    """A lock and what happened to it, oldest first. Fields: terms; steps (at least one); memo."""

    terms: AnyTerms
    steps: list[Step]
    memo: bytes = b""

    @property
    def newest(self) -> Step:
        """What happened last."""
        return self.steps[-1]


@dataclass(slots=True)
class Tracks:
    """The locks that are watched. Fields: wanted (by what names it: its beneficiary); locks."""

    wanted: dict[LockKey, bytes] = field(default_factory=dict)
    locks: dict[LockKey, Track] = field(default_factory=dict)

    def apply(self, events: Iterable[EscrowEvent]) -> None:
        """Take in events, in the chain's order."""
        for event in events:
            match event:
                case Locked(terms=terms) | PointLocked(terms=terms):
                    if self.is_wanted(terms):
                        self.locks[terms.payer, terms.id] = Track(terms, [Step(event.at, LockStatus.OPEN)])
                case Memo(memo=memo):
                    if (track := self.locks.get((event.payer, event.id))) is not None:
                        track.memo = memo
                case Claimed(preimage=secret) | PointClaimed(scalar=secret):
                    self._end(event, Step(event.at, LockStatus.CLAIMED, secret))
                case Returned():
                    self._end(event, Step(event.at, LockStatus.RETURNED))
                case _:
                    pass

    def unwind(self, last: BlockHeight) -> None:
        """Forget what happened in blocks after `last`."""
        for key, track in list(self.locks.items()):
            track.steps = [step for step in track.steps if step.at.block.number <= last]
            if not track.steps:
                del self.locks[key]

    def oldest(self) -> BlockHeight | None:
        """The first block that tells of a lock which is still kept."""
        return min((track.steps[0].at.block.number for track in self.locks.values()), default=None)

    def _end(self, event: Claimed | PointClaimed | Returned, step: Step) -> None:
        if (track := self.locks.get((event.payer, event.id))) is not None:
            track.steps.append(step)

    def is_wanted(self, terms: AnyTerms) -> bool:
        """Whether a lock is one to keep."""
        if (terms.payer, terms.id) in self.wanted:
            return True
        pair = (terms.payer, terms.beneficiary)
        if all((payer, beneficiary) != pair for (payer, _), beneficiary in self.wanted.items()):
            return False
        others = sum((one.terms.payer, one.terms.beneficiary) == pair for one in self.locks.values())
        return others < LOCKS_PER_PAIR
