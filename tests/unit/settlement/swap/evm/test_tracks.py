"""What events make of watched locks, and how they are taken back."""

from __future__ import annotations

from dataclasses import replace

from adapters.evm.escrow.events import Claimed, EscrowEvent, Locked, Memo, PointClaimed, PointLocked, Returned
from adapters.evm.escrow.types import AnyTerms, Terms
from adapters.evm.lockbox.types import Position
from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight
from settlement.swap.evm.tracks import LOCKS_PER_PAIR, Tracks
from settlement.swap.machine.facts import LockStatus
from tests.support.swap_evm import account_of, bytes_of, hash_terms, key_of, point_terms

TERMS = hash_terms(key_of("namer"))
KEY = (TERMS.payer, TERMS.id)


def at(number: int, index: int = 0) -> Position:
    """A place in a block."""
    return Position(BlockRef(BlockHeight(number), bytes([number]) * 32), b"\x88" * 32, index)


def locked(number: int, terms: AnyTerms = TERMS) -> EscrowEvent:
    """A lock is made."""
    return Locked(at(number), terms) if isinstance(terms, Terms) else PointLocked(at(number), terms)


def claimed(number: int) -> Claimed:
    """The lock is claimed."""
    return Claimed(at(number), TERMS.id, TERMS.payer, TERMS.beneficiary, bytes_of("secret"))


def watching(*terms: AnyTerms) -> Tracks:
    """Somebody who wants these locks."""
    return Tracks({(one.payer, one.id): one.beneficiary for one in terms})


def test_lock_is_kept_with_what_happens_to_it() -> None:
    """A wanted lock comes with its memo, and its newest step is its end."""
    tracks = watching(TERMS)
    tracks.apply([locked(5), Memo(at(5, 1), TERMS.id, TERMS.payer, b"memo"), claimed(7)])
    track = tracks.locks[KEY]
    assert (track.terms, track.memo, track.newest.status) == (TERMS, b"memo", LockStatus.CLAIMED)
    assert (track.newest.secret, track.newest.at.block.number) == (bytes_of("secret"), 7)


def test_point_lock_ends_by_its_scalar_or_goes_back() -> None:
    """Both ends of a point lock are told."""
    terms = point_terms(key_of("namer"))
    for end, status in (
        (PointClaimed(at(6), terms.id, terms.payer, terms.beneficiary, bytes_of("secret")), LockStatus.CLAIMED),
        (Returned(at(6), terms.id, terms.payer, terms.beneficiary, True), LockStatus.RETURNED),
    ):
        tracks = watching(terms)
        tracks.apply([locked(5, terms), end])
        assert tracks.locks[KEY].newest.status is status


def test_unwinding_takes_back_what_came_after() -> None:
    """What happened after a block is forgotten: first the end of a lock, then the lock."""
    tracks = watching(TERMS)
    tracks.apply([locked(5), claimed(7)])
    tracks.unwind(BlockHeight(7))
    assert tracks.locks[KEY].newest.status is LockStatus.CLAIMED
    tracks.unwind(BlockHeight(6))
    assert tracks.locks[KEY].newest.status is LockStatus.OPEN
    tracks.unwind(BlockHeight(4))
    assert tracks.locks == {}
    assert tracks.oldest() is None


def test_locks_of_others_are_passed_over() -> None:
    """Another payer's lock for the same beneficiary, and events of locks that nobody wants, leave nothing."""
    tracks = watching(TERMS)
    tracks.apply([locked(5, replace(TERMS, payer=account_of("stranger"))), claimed(6)])
    tracks.apply([Memo(at(6), b"\x01" * 32, account_of("stranger"), b"memo")])
    assert tracks.locks == {}


def test_payer_cannot_fill_the_memory() -> None:
    """Of the locks of one payer for one beneficiary so many are kept, and the wanted one however late it comes."""
    tracks = watching(TERMS)
    flood = (locked(5, replace(TERMS, id=number.to_bytes(32, "big"))) for number in range(10 * LOCKS_PER_PAIR))
    tracks.apply([*flood, locked(6)])
    assert len(tracks.locks) == LOCKS_PER_PAIR + 1
    assert KEY in tracks.locks
    assert tracks.oldest() == 5
