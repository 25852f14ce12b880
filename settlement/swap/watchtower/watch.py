"""What a watchtower does, from what both chains show. Pure: no clock, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from settlement.swap.bitcoin.output import Path
from settlement.swap.bitcoin.rungs import Rung, scalar_in
from settlement.swap.bitcoin.watch import OutputView
from settlement.swap.machine.facts import LockStatus
from settlement.swap.machine.guards import secret_opens
from settlement.swap.terms import Mode, Role
from settlement.swap.watchtower.bundle import Bundle, Ladder

CLIMB_BLOCKS: Final = 2
"""A spend that is not in a block after so many is paid more."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What both chains show. Fields: median_time, height (bitcoin's); outputs (to the swap's script); evm_time; lock
    (None: there is none); lock_final (its newest change is final); secret (that a claim of the lock has shown)."""

    median_time: int
    height: int
    outputs: tuple[OutputView, ...]
    evm_time: int
    lock: LockStatus | None
    lock_final: bool
    secret: bytes = b""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Hand a rung of a ladder to the node, or the next one that it takes. Fields: ladder; rung (from which on)."""

    ladder: Ladder
    rung: int


@dataclass(frozen=True, slots=True)
class ClaimLock:
    """Have the lock paid out to the trader. Fields: secret (32 bytes)."""

    secret: bytes


@dataclass(frozen=True, slots=True)
class ReturnLock:
    """Have the lock returned to the trader."""


Act: TypeAlias = Broadcast | ClaimLock | ReturnLock


@dataclass(frozen=True, slots=True)
class Climbed:
    """How far a ladder was climbed. Fields: rung (that was taken last); height (bitcoin's, then)."""

    rung: int
    height: int


def acts(bundle: Bundle, sight: Sight, climbed: Mapping[bytes, Climbed], grace_s: int) -> list[Act]:
    """What is to be done now. Doing any of it twice is harmless.

    Args:
        bundle: of the swap.
        sight: of now.
        climbed: by outpoint.
        grace_s: how long the trader is left to act itself after T2 and T1; the secret is used at once.
    """
    terms = bundle.terms
    found: list[Act] = []
    views = {view.outpoint.serialized(): view for view in sight.outputs}
    for ladder in bundle.ladders:
        view = views.get(ladder.outpoint)
        is_due = bundle.role is Role.INITIATOR or sight.median_time > terms.bitcoin.expires_at + grace_s
        if view is not None and is_due and ladder.rungs and _is_waiting(view):
            found += _climb(ladder, view, climbed.get(ladder.outpoint), sight.height)
    if sight.lock is LockStatus.OPEN:
        secret = sight.secret or shown_secret(bundle, sight.outputs)
        if bundle.role is Role.FOLLOWER and secret and sight.evm_time < terms.evm.expires_at:
            found.append(ClaimLock(secret))
        if bundle.role is Role.INITIATOR and sight.evm_time >= terms.evm.expires_at + grace_s:
            found.append(ReturnLock())
    return found


def shown_secret(bundle: Bundle, views: Sequence[OutputView]) -> bytes:
    """The secret that a spend of the output has shown, in a block or in the mempool; empty: none yet."""
    output, terms = bundle.output, bundle.terms
    rungs = [Rung.decode(one) for one in bundle.presignatures]
    for view in views:
        if view.spend is None:
            continue
        reading = output.read(view.spend.witness)
        if reading.path is Path.CLAIM and secret_opens(terms, reading.preimage):
            return reading.preimage
        if reading.path is Path.KEY and terms.mode is Mode.POINT:
            scalar = scalar_in(reading.signature, rungs, terms.point)
            if scalar is not None and secret_opens(terms, scalar):
                return scalar
    return b""


def is_over(bundle: Bundle, sight: Sight) -> bool:
    """Whether nothing is left to do for the trader, for good."""
    terms, depth = bundle.terms, bundle.terms.bitcoin.confirmations
    spent = all(view.spend is not None and view.spend.confirmations >= depth for view in sight.outputs)
    lock_over = sight.lock in (LockStatus.CLAIMED, LockStatus.RETURNED) and sight.lock_final
    if bundle.role is Role.INITIATOR:
        return lock_over and (spent or not bundle.claims)
    return spent and (lock_over or sight.evm_time >= terms.evm.expires_at) and bool(sight.outputs)


def _is_waiting(view: OutputView) -> bool:
    return view.spend is None or view.spend.confirmations == 0


def _climb(ladder: Ladder, view: OutputView, climbed: Climbed | None, height: int) -> list[Act]:
    """The next rung to try, if one is due."""
    if climbed is None:
        return [Broadcast(ladder, 0)]
    if view.spend is None:
        return [Broadcast(ladder, climbed.rung)]  # the node has forgotten it
    if height - climbed.height < CLIMB_BLOCKS or climbed.rung + 1 >= len(ladder.rungs):
        return []
    return [Broadcast(ladder, climbed.rung + 1)]
