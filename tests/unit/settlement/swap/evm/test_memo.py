"""A lock's memo: each side opens it with its own key alone, and whatever else is there opens for nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.evm.escrow.types import MAX_NOTE, PointTerms, Terms
from foundation.errors import BadInput
from foundation.quantities import Satoshi
from settlement.swap.evm.errors import MemoRefused
from settlement.swap.evm.memo import (
    HASH_MEMO_BYTES,
    POINT_MEMO_BYTES,
    RUNGS_MAX,
    HashMemo,
    PointMemo,
    open_as_beneficiary,
    open_as_payer,
    seal_memo,
)
from tests.support.swap_evm import T2, account_of, key_of, secret_of, sides_of, site_of

SITE = site_of()
SIDES = sides_of()
kinds = pytest.mark.parametrize("is_hash", [True, False], ids=["hash", "point"])


def sealed(is_hash: bool) -> bytes:
    """The memo of the two."""
    return seal_memo(SITE, SIDES.terms(is_hash), SIDES.memo(is_hash), SIDES.namer)


@kinds
def test_each_side_opens_the_memo_with_its_own_key(is_hash: bool) -> None:
    """Initiator and follower read the same, from the lock, its memo and one secret each."""
    terms, memo, data = SIDES.terms(is_hash), SIDES.memo(is_hash), sealed(is_hash)
    assert open_as_payer(SITE, terms, data, SIDES.namer) == memo
    assert open_as_beneficiary(SITE, terms, data, SIDES.refunder) == memo


@kinds
def test_lengths_are_fixed(is_hash: bool) -> None:
    """A memo's length tells the kind and the number of rungs, and nothing else; all fit beside a lock."""
    assert len(sealed(True)) == HASH_MEMO_BYTES
    for rungs in range(1, RUNGS_MAX + 1):
        data = seal_memo(SITE, SIDES.terms(False), SIDES.memo(False, rungs), SIDES.namer)
        assert len(data) == POINT_MEMO_BYTES[rungs - 1] <= MAX_NOTE
    assert len(sealed(is_hash)) < MAX_NOTE


@kinds
def test_same_lock_carries_the_same_memo(is_hash: bool) -> None:
    """Sealing is deterministic, so that a lock which is sent again after a crash is the same transaction."""
    assert sealed(is_hash) == sealed(is_hash)


def test_memo_shows_no_key() -> None:
    """Neither K_i nor K_f, nor the outpoint, stands in a private swap's memo or lock."""
    memo, data = SIDES.memo(False), sealed(False)
    assert isinstance(memo, PointMemo)
    public = data + SIDES.terms(False).id
    assert all(hidden not in public for hidden in (memo.claimer, memo.refunder, memo.outpoint, memo.payee))


@kinds
@pytest.mark.parametrize("who", ["stranger", "claimer"])
def test_stranger_opens_nothing(is_hash: bool, who: str) -> None:
    """Another key, be it one of a party's other ones, opens a memo in neither role."""
    other = secret_of("stranger") if who == "stranger" else SIDES.claimer
    terms, data = SIDES.terms(is_hash), sealed(is_hash)
    for open_memo in (open_as_payer, open_as_beneficiary):
        with pytest.raises(MemoRefused):
            open_memo(SITE, terms, data, other)


@kinds
@pytest.mark.parametrize(
    "other",
    [
        {"payer": account_of("thief")},
        {"beneficiary": account_of("thief")},
        {"refund_to": account_of("thief")},
        {"amount": 999},
        {"expires_at": T2},
        {"asset": account_of("token")},
    ],
)
def test_memo_counts_for_its_lock_alone(is_hash: bool, other: dict[str, Any]) -> None:
    """Copied beside a lock of other terms, a memo opens for nobody."""
    terms, data = replace(SIDES.terms(is_hash), **other), sealed(is_hash)
    with pytest.raises(MemoRefused):
        open_as_payer(SITE, terms, data, SIDES.namer)
    with pytest.raises(MemoRefused):
        open_as_beneficiary(SITE, terms, data, SIDES.refunder)


@kinds
@pytest.mark.parametrize("site", [site_of(1), site_of(escrow=b"\x11" * 20)], ids=["chain", "escrow"])
def test_memo_counts_at_its_escrow_alone(is_hash: bool, site: Any) -> None:
    """The same lock at another Escrow, or on another chain, does not open with it."""
    with pytest.raises(MemoRefused):
        open_as_beneficiary(site, SIDES.terms(is_hash), sealed(is_hash), SIDES.refunder)


@kinds
def test_every_changed_byte_is_noticed(is_hash: bool) -> None:
    """Whichever byte of a memo is changed, neither side opens it."""
    terms, data = SIDES.terms(is_hash), sealed(is_hash)
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(MemoRefused):
            open_as_payer(SITE, terms, changed, SIDES.namer)
        with pytest.raises(MemoRefused):
            open_as_beneficiary(SITE, terms, changed, SIDES.refunder)


@kinds
@pytest.mark.parametrize("length", [0, 1, 48, 59, 61, 195, 196, 197, 1_024, 32_832])
def test_other_lengths_are_refused_before_any_work(is_hash: bool, length: int) -> None:
    """Bytes of a length that no memo has are refused, whatever they are."""
    with pytest.raises(MemoRefused, match="bytes"):
        open_as_beneficiary(SITE, SIDES.terms(is_hash), bytes(length), SIDES.refunder)


def test_lock_whose_id_is_no_key_has_no_memo() -> None:
    """Anybody may lock under an id that is no point of the curve: it is passed over."""
    terms = replace(SIDES.terms(True), id=b"\xff" * 32)
    with pytest.raises(MemoRefused, match="no key"):
        open_as_beneficiary(SITE, terms, sealed(True), SIDES.refunder)


def test_memo_is_sealed_by_the_key_that_names_the_lock() -> None:
    """A memo of the other kind, by another key, or for what is no key, is not made."""
    terms, memo = SIDES.terms(True), SIDES.memo(True)
    with pytest.raises(BadInput, match="kind"):
        seal_memo(SITE, SIDES.terms(False), memo, SIDES.namer)
    with pytest.raises(BadInput, match="names the lock"):
        seal_memo(SITE, terms, memo, SIDES.refunder)
    with pytest.raises(BadInput, match="x-only"):
        seal_memo(SITE, terms, HashMemo(b"\xff" * 32, T2, Satoshi(1)), SIDES.namer)


@pytest.mark.parametrize(
    "other",
    [
        {"refunder": b"\x01" * 31},
        {"claimer": b""},
        {"bitcoin_expires_at": 0},
        {"bitcoin_expires_at": 1 << 40},
        {"outpoint": bytes(35)},
        {"payee": b""},
        {"payee": bytes(35)},
        {"rungs": ()},
    ],
)
def test_memo_that_cannot_be_is_refused(other: dict[str, Any]) -> None:
    """What has no place in a memo is refused where it is made."""
    with pytest.raises(BadInput):
        replace(SIDES.memo(False), **other)


@kinds
def test_parity_of_keys_does_not_matter(is_hash: bool) -> None:
    """Whichever of the two secrets of an x-only key a side has, it seals and opens the same."""
    negated = type(SIDES)(SIDES.namer.negate(), SIDES.claimer, SIDES.refunder.negate())
    terms = SIDES.terms(is_hash)
    assert negated.terms(is_hash) == terms
    data = seal_memo(SITE, terms, SIDES.memo(is_hash), negated.namer)
    assert data == sealed(is_hash)
    assert open_as_beneficiary(SITE, terms, data, negated.refunder) == SIDES.memo(is_hash)
    assert isinstance(terms, Terms if is_hash else PointTerms)
    assert terms.id == SIDES.namer.point().to_xonly() != key_of("stranger")
