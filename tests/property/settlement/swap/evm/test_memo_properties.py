"""Memos of any content and keys, and bytes that strangers put beside locks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foundation.quantities import Satoshi
from settlement.swap.evm.errors import MemoRefused
from settlement.swap.evm.memo import (
    HASH_MEMO_BYTES,
    POINT_MEMO_BYTES,
    HashMemo,
    Memo,
    PointMemo,
    Rung,
    open_as_beneficiary,
    open_as_payer,
    seal_memo,
)
from tests.support.swap_evm import Sides, secret_of, sides_of, site_of

SITE = site_of()
times = st.integers(1, (1 << 40) - 1)
amounts = st.integers(1, 21 * 10**14).map(Satoshi)
rungs = st.builds(Rung, st.integers(0, 2**32 - 1).map(Satoshi), st.binary(min_size=65, max_size=65))
labels = st.text(max_size=8)


@st.composite
def told(draw: st.DrawFn) -> tuple[bool, Sides, Memo]:
    """A kind, both sides, and a memo of that kind."""
    is_hash, sides = draw(st.booleans()), sides_of(draw(labels))
    refunder = sides.refunder.point().to_xonly()
    if is_hash:
        return True, sides, HashMemo(refunder, draw(times), draw(amounts))
    claimer, outpoint = draw(st.binary(min_size=32, max_size=32)), draw(st.binary(min_size=36, max_size=36))
    payee, steps = draw(st.binary(min_size=1, max_size=34)), draw(st.lists(rungs, min_size=1, max_size=8))
    point = draw(st.binary(min_size=33, max_size=33))
    memo = PointMemo(refunder, claimer, draw(times), draw(amounts), point, outpoint, payee, tuple(steps))
    return False, sides, memo


@given(told())
def test_what_is_sealed_is_opened_by_both(case: tuple[bool, Sides, Memo]) -> None:
    """Whatever a memo says, both sides read it as it was."""
    is_hash, sides, memo = case
    terms = sides.terms(is_hash)
    data = seal_memo(SITE, terms, memo, sides.namer)
    assert open_as_payer(SITE, terms, data, sides.namer) == memo
    assert open_as_beneficiary(SITE, terms, data, sides.refunder) == memo


@given(st.booleans(), st.sampled_from([HASH_MEMO_BYTES, *POINT_MEMO_BYTES]).flatmap(lambda n: st.binary(max_size=n)))
def test_strangers_bytes_are_refused_with_a_type(is_hash: bool, data: bytes) -> None:
    """Whatever stands beside a lock, reading it either refuses with `MemoRefused` or was sealed for us."""
    sides = sides_of()
    data = data.ljust(HASH_MEMO_BYTES if is_hash else POINT_MEMO_BYTES[0], b"\0")
    for open_memo, secret in ((open_as_payer, sides.namer), (open_as_beneficiary, secret_of("x"))):
        try:
            open_memo(SITE, sides.terms(is_hash), data, secret)
        except MemoRefused:
            continue
        raise AssertionError("nobody sealed these bytes")
