"""A watchtower before any course of events: it never harms, and never forgets."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.swap.bitcoin.watch import OutputView
from settlement.swap.machine.facts import LockStatus
from settlement.swap.terms import Mode, Role
from settlement.swap.watchtower.bundle import Bundle, BundleDamaged
from settlement.swap.watchtower.watch import Broadcast, ClaimLock, Progress, ReturnLock, is_over
from tests.support.swap_terms import NOW
from tests.support.swap_watched import GRACE, Watched

SIDES = {
    (role, mode, revealed): Watched(role, mode, revealed)
    for role in Role
    for mode in Mode
    for revealed in (False, True)
}
DATA = {key: one.trade.bundle(one.role, rungs=one.rungs, revealed=one.revealed) for key, one in SIDES.items()}
LOOKS = st.lists(
    st.tuples(
        st.sampled_from(["none", "unspent", "refund", "refunded", "claim", "claimed"]),
        st.sampled_from([None, *LockStatus]),
        st.booleans(),
        st.integers(0, 6 * 3_600),
        st.integers(0, 6 * 3_600),
        st.integers(0, 3),
        st.sampled_from(["taken", "refused", "lost"]),
    ),
    max_size=12,
)


@cache
def _outputs(key: tuple[Role, Mode, bool]) -> dict[str, tuple[OutputView, ...]]:
    watched = SIDES[key]
    return {
        "none": (),
        "unspent": (watched.view,),
        "refund": watched.refund(),
        "refunded": watched.refund(confirmations=2),
        "claim": watched.claim(),
        "claimed": watched.claim(2),
    }


@settings(max_examples=150)
@given(st.sampled_from(sorted(SIDES)), LOOKS)
def test_a_tower_does_only_what_its_trader_would(key: tuple[Role, Mode, bool], looks: list) -> None:
    """Refunds only after T2 and of nothing that the lock paid for; claims by a true secret in time; a lock goes back
    after T1 alone; heights and fees never fall; what is remembered survives its file."""
    watched = SIDES[key]
    watched.progress = Progress()
    terms, highest, height = watched.trade.terms, -1, 100
    for name, lock, final, median, evm, blocks, came in looks:
        height += blocks
        acts = watched.see(
            outputs=_outputs(key)[name],
            lock=lock,
            lock_final=final,
            median_time=NOW + median,
            evm_time=NOW + evm,
            height=height,
        )
        for act in acts:
            match act:
                case Broadcast(ladder=ladder, rung=rung):
                    assert name in ("unspent", "refund", "claim")
                    assert highest <= rung < len(ladder.rungs)
                    if watched.role is Role.FOLLOWER:
                        assert NOW + median > terms.bitcoin.expires_at
                        assert not (watched.progress.secret and lock is LockStatus.CLAIMED and final)
                    else:
                        assert watched.revealed
                    if came == "taken":
                        highest = rung
                        watched.progress = watched.progress.taken(ladder.outpoint, rung, height)
                    elif came == "refused":
                        watched.progress = watched.progress.refused(ladder.outpoint, height)
                case ClaimLock(secret=secret):
                    assert (secret, watched.role, lock) == (watched.trade.secret, Role.FOLLOWER, LockStatus.OPEN)
                    assert NOW + evm < terms.evm.expires_at
                case ReturnLock():
                    assert (watched.role, lock) == (Role.INITIATOR, LockStatus.OPEN)
                    assert NOW + evm >= terms.evm.expires_at + GRACE
        if is_over(watched.bundle, watched.progress, watched.sight):
            assert not [act for act in acts if isinstance(act, ClaimLock | ReturnLock)]


@given(st.sampled_from(sorted(DATA)), st.integers(0), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(key: tuple[Role, Mode, bool], at: int, change: int) -> None:
    """Wherever it is."""
    data = bytearray(DATA[key])
    data[at % len(data)] ^= change
    try:
        Bundle.decode(bytes(data))
    except BundleDamaged:
        return
    raise AssertionError("a changed bundle was read")


@given(st.binary(max_size=400))
def test_nonsense_is_no_bundle(data: bytes) -> None:
    """With and without the right beginning; nothing but the one error comes of it."""
    for one in (data, b"CWTOWER\x01" + data):
        try:
            Bundle.decode(one)
        except BundleDamaged:
            continue
        raise AssertionError("nonsense was read")
