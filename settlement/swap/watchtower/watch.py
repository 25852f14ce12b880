"""What a watchtower does, from what both chains show: `step(bundle, progress, sight, grace) -> (progress, acts)`.

Pure: no clock, no network. It does what the trader's own machine would do (`machine.follower`, `machine.initiator`),
later, and where the trader's machine has not done it: it refunds what is to be refunded, leaves to the other side what
is the other side's, and never works against a transaction of the trader's own that is on its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from settlement.swap.bitcoin.output import Path
from settlement.swap.bitcoin.rungs import scalar_in
from settlement.swap.bitcoin.watch import OutputView
from settlement.swap.machine.facts import LARGEST_WRITE_OFF, LockStatus
from settlement.swap.machine.guards import secret_opens
from settlement.swap.terms import Mode, Role
from settlement.swap.watchtower.bundle import Bundle, Ladder

CLIMB_BLOCKS: Final = 2
"""A spend that is not in a block after so many is paid more."""
LEAST_MISSED: Final = 1_000
"""Satoshi. Nobody is told of an output that is worth less: its refund would hardly pay for itself."""
OTHERS: Final = -1
"""In place of a rung: a spend that is not the tower's stands in the mempool."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What both chains show. Fields: median_time, height (bitcoin's); outputs (to the swap's script); evm_time; lock
    (None: there is none); lock_final (its newest change has the confirmations that the swap asks for); lock_settled
    (and that is final by the chain's own rule too); secret (that a claim of the lock has shown); lock_known (the EVM
    chain was read: where it was not, there may be a lock all the same)."""

    median_time: int
    height: int
    outputs: tuple[OutputView, ...]
    evm_time: int
    lock: LockStatus | None
    lock_final: bool
    lock_settled: bool
    secret: bytes = b""
    lock_known: bool = True

    @property
    def now(self) -> int:
        """The later one of what the chains say of the time: bitcoin's median lags by an hour."""
        return max(self.median_time, self.evm_time)


class Climb(Struct, frozen=True, array_like=True):
    """How far a ladder was climbed. Fields: rung (that was taken last, or `OTHERS`); height (bitcoin's, then);
    refused_at (the height at which the node took none; 0: never)."""

    rung: int
    height: int
    refused_at: int = 0


class Progress(Struct, frozen=True):
    """What a tower remembers of one swap. Fields: climbs (by outpoint); secret (that a chain has shown, or the bundle
    holds: 32 bytes, or empty), which no reorganisation makes unknown again; secret_at (since when; seconds)."""

    climbs: dict[bytes, Climb] = {}  # noqa: RUF012 # msgspec copies it, and nobody writes into it
    secret: bytes = b""
    secret_at: int = 0

    def taken(self, outpoint: bytes, rung: int, height: int) -> Progress:
        """The node has taken a rung."""
        known = self.climbs.get(outpoint)
        if known is not None and known.rung == rung:
            return self  # it had forgotten it: it has lingered since it was taken first
        return self._with(outpoint, Climb(rung, height))

    def refused(self, outpoint: bytes, height: int) -> Progress:
        """The node takes none of the rungs now."""
        known = self.climbs.get(outpoint, Climb(OTHERS, height))
        return self._with(outpoint, replace(known, refused_at=height))

    def _with(self, outpoint: bytes, climb: Climb) -> Progress:
        return replace(self, climbs={**self.climbs, outpoint: climb})


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


def step(bundle: Bundle, progress: Progress, sight: Sight, grace_s: int) -> tuple[Progress, tuple[Act, ...]]:
    """What is to be done now. Doing any of it twice is harmless.

    Args:
        bundle: of the swap.
        progress: what is remembered.
        sight: of now.
        grace_s: how long the trader is left to act itself, where there is time for it.
    """
    progress = _learn(bundle, progress, sight)
    acts: list[Act] = []
    views = _views(sight)
    kept = _left_to_claim(bundle, progress, sight)
    for ladder in bundle.ladders:
        view = views.get(ladder.outpoint)
        if view is None or not ladder.rungs or ladder.outpoint == kept or not _is_due(bundle, sight, grace_s):
            continue
        if view.spend is None or view.spend.confirmations == 0:
            progress, rung = _climb(bundle, ladder, view, progress, sight)
            acts += [] if rung is None else [Broadcast(ladder, rung)]
    return progress, (*acts, *_lock_acts(bundle, progress, sight, grace_s))


def shown_secret(bundle: Bundle, views: Sequence[OutputView]) -> bytes:
    """The secret that a spend of the output has shown, in a block or in the mempool; empty: none yet."""
    output, terms = bundle.output, bundle.terms
    for view in views:
        if view.spend is None:
            continue
        reading = output.read(view.spend.witness)
        if reading.path is Path.CLAIM and secret_opens(terms, reading.preimage):
            return reading.preimage
        if reading.path is Path.KEY and terms.mode is Mode.POINT:
            scalar = scalar_in(reading.signature, bundle.rungs, terms.point)
            if scalar is not None and secret_opens(terms, scalar):
                return scalar
    return b""


def is_over(bundle: Bundle, progress: Progress, sight: Sight) -> bool:
    """Whether nothing is left that could be done for the trader with this bundle, for good. `sight` has to be whole:
    both chains were read."""
    late = sight.evm_time >= bundle.terms.evm.expires_at
    lock_over = sight.lock in (LockStatus.CLAIMED, LockStatus.RETURNED) and sight.lock_settled
    # What is open at T1 an initiator has returned; a follower can do nothing any more. And no lock is made after T1.
    if not lock_over and not (late and (bundle.role is Role.FOLLOWER or sight.lock is None)):
        return False
    views = _views(sight)
    is_ours = sight.lock is LockStatus.CLAIMED and sight.lock_settled
    kept = _reserved(bundle, progress, sight) if is_ours else b""
    for ladder in bundle.ladders:
        view = views.get(ladder.outpoint)
        if not ladder.rungs or ladder.outpoint == kept:
            continue
        if view is None:
            if not late:
                return False  # a funding that is on its way
        elif view.spend is None or view.spend.confirmations < bundle.terms.bitcoin.confirmations:
            return False
    return True


def unknown_outputs(bundle: Bundle, sight: Sight) -> int:
    """How many of the follower's outputs came after the bundle was made, so that nothing is signed for them. Strangers'
    dust does not count."""
    if bundle.role is not Role.FOLLOWER:
        return 0
    known = {ladder.outpoint for ladder in bundle.refunds}
    missed = (view for view in sight.outputs if view.spend is None and view.outpoint.serialized() not in known)
    return sum(1 for view in missed if view.value >= LEAST_MISSED)


# --- The lock ---------------------------------------------------------------------------------------------------------


def _learn(bundle: Bundle, progress: Progress, sight: Sight) -> Progress:
    if progress.secret:
        return progress
    if bundle.secret and sight.now:
        # The trader could act itself since it made the bundle, whatever its clock says beyond the chains'.
        return replace(progress, secret=bundle.secret, secret_at=min(bundle.made_at, sight.now))
    secret = shown_secret(bundle, sight.outputs)
    if not secret and secret_opens(bundle.terms, sight.secret):
        secret = sight.secret
    return replace(progress, secret=secret, secret_at=sight.now) if secret else progress


def _lock_acts(bundle: Bundle, progress: Progress, sight: Sight, grace_s: int) -> tuple[Act, ...]:
    expires_at = bundle.terms.evm.expires_at
    if sight.lock is not LockStatus.OPEN:
        return ()
    if bundle.role is Role.INITIATOR:
        return (ReturnLock(),) if sight.evm_time >= expires_at + grace_s else ()
    if not progress.secret or sight.evm_time >= expires_at or _is_whole(bundle, sight):
        return ()
    spare = max(0, bundle.act_by - progress.secret_at) // 4
    return (ClaimLock(progress.secret),) if sight.now >= progress.secret_at + min(grace_s, spare) else ()


def _is_whole(bundle: Bundle, sight: Sight) -> bool:
    """Whether all that the follower paid has come back for good: it has nothing to claim then. Dust does not count."""
    terms = bundle.terms.bitcoin
    paid = [view for view in sight.outputs if view.value == terms.amount or view.value > LARGEST_WRITE_OFF]
    return any(view.value == terms.amount for view in paid) and all(
        view.spend is not None
        and view.spend.confirmations >= terms.confirmations
        and bundle.output.read(view.spend.witness).path is Path.REFUND
        for view in paid
    )


# --- The bitcoin ------------------------------------------------------------------------------------------------------


def _views(sight: Sight) -> Mapping[bytes, OutputView]:
    return {view.outpoint.serialized(): view for view in sight.outputs}


def _is_due(bundle: Bundle, sight: Sight, grace_s: int) -> bool:
    """Whether the trader had the time to act itself. Where the EVM chain cannot be read, half of what time there is has
    to be over, too: the lock may be the follower's already, and the bitcoin the initiator's."""
    if bundle.role is Role.FOLLOWER:
        spare = max(0, bundle.act_by - bundle.terms.bitcoin.expires_at)
        wait = min(grace_s, spare // 4) if sight.lock_known else spare // 2
        return sight.median_time > bundle.terms.bitcoin.expires_at + wait
    return sight.now >= bundle.made_at + min(grace_s, max(0, bundle.act_by - bundle.made_at) // 4)


def _left_to_claim(bundle: Bundle, progress: Progress, sight: Sight) -> bytes:
    """The outpoint that the initiator may have, because the lock is the follower's or can still safely become so."""
    if bundle.role is Role.INITIATOR or sight.lock is LockStatus.RETURNED:
        return b""
    if sight.lock is None and sight.lock_known:
        return b""
    is_ours = sight.lock is LockStatus.CLAIMED and sight.lock_final
    return _reserved(bundle, progress, sight) if is_ours or sight.now < bundle.act_by else b""


def _reserved(bundle: Bundle, progress: Progress, sight: Sight) -> bytes:
    """The output that is the initiator's once the secret is known: what it claims, or else would claim."""
    if bundle.role is Role.INITIATOR or not progress.secret:
        return b""
    for view in sight.outputs:
        if view.spend is not None and bundle.output.read(view.spend.witness).path is not Path.REFUND:
            return view.outpoint.serialized()
    exact = [one.outpoint for one in bundle.refunds if one.value == bundle.terms.bitcoin.amount]
    views = _views(sight)
    return next((one for one in exact if one in views), exact[0] if exact else b"")


def _climb(
    bundle: Bundle, ladder: Ladder, view: OutputView, progress: Progress, sight: Sight
) -> tuple[Progress, int | None]:
    """The rung to try now, if one is due."""
    top, height = len(ladder.rungs) - 1, sight.height
    least = _least_rung(bundle, top, sight)
    climb = progress.climbs.get(ladder.outpoint)
    if climb is None:
        if view.spend is not None and not least and not _is_rival(bundle, view):
            # Somebody is at it, who may be the trader: it is left the time that the tower's own would have.
            return progress.taken(ladder.outpoint, OTHERS, height), None
        return progress, least
    if climb.refused_at == height:
        return progress, None
    if view.spend is None:
        return progress, max(climb.rung, least, 0)  # the node has forgotten it
    is_late = height - climb.height >= CLIMB_BLOCKS or _is_rival(bundle, view)
    wanted = max(climb.rung + is_late, least or climb.rung)
    return progress, wanted if climb.rung < wanted <= top else None


def _is_rival(bundle: Bundle, view: OutputView) -> bool:
    """Whether what stands in the mempool is the other side's for certain: who bids more is mined."""
    if view.spend is None:
        return False
    if bundle.role is Role.INITIATOR:
        return bundle.output.read(view.spend.witness).path is Path.REFUND
    return bool(shown_secret(bundle, [view]))


def _least_rung(bundle: Bundle, top: int, sight: Sight) -> int:
    """With the deadline in view: in the second half of the time that there is, the ladder is climbed by the clock, so
    that three quarters of the way the highest rung is reached. Before it, by blocks."""
    begins = bundle.terms.bitcoin.expires_at if bundle.role is Role.FOLLOWER else bundle.made_at
    half = max(0, bundle.act_by - begins) // 2
    passed = sight.now - begins - half
    return 0 if passed <= 0 else min(top, -(-top * passed // max(1, half // 2)))
