"""What a lock and its memo say to whoever has the words, and to nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.bitcoin.hd_keys import new_mnemonic
from adapters.bitcoin.primitives import Coin, OutPoint
from foundation.quantities import BlockHeight, Satoshi
from mpc.curve import SecretScalar
from settlement.swap.evm.memo import HashMemo, Memo, PointMemo, Rung, seal_memo
from settlement.swap.evm.search import FoundLock
from settlement.swap.machine.facts import LockStatus
from settlement.swap.planning.conditions import conditions_for
from settlement.swap.recovery.reading import FoundSwap, KeySearch, Place, read_locks
from settlement.swap.terms import Mode, Role
from settlement.swap.wallet.secrets import TraderKeys
from tests.support.swap_evm import site_of
from tests.support.swap_terms import ANVIL, NOW, REGTEST
from tests.support.swap_tower import AMOUNT, PAYEE, Trade, a_trade

SITE = site_of()
PLACE = Place(SITE, REGTEST, conditions_for(REGTEST, ANVIL))
ALICE = TraderKeys(new_mnemonic(b"\x01" * 32))
BOB = TraderKeys(new_mnemonic(b"\x02" * 32))
STRANGER = TraderKeys(new_mnemonic(b"\x03" * 32))
BOTH = pytest.mark.parametrize("mode", Mode)
INDEX = 3


def traded(mode: Mode) -> Trade:
    """Alice locks, Bob funds; each by its fourth keys."""
    trade = a_trade(mode, NOW, None, ALICE.account, BOB.account, ALICE.swap(INDEX), BOB.swap(INDEX))
    trade.coin = Coin(OutPoint(b"\x0c" * 32, 0), AMOUNT, trade.output.script)
    return trade


def memo_of(trade: Trade, **other: object) -> Memo:
    """What stands beside the lock; `other` replaces fields."""
    bitcoin = trade.terms.bitcoin
    if trade.terms.mode is Mode.HASH:
        return replace(HashMemo(bitcoin.refunder, bitcoin.expires_at, bitcoin.amount), **other)  # type: ignore[arg-type]
    assert trade.coin is not None
    memo = PointMemo(
        refunder=bitcoin.refunder,
        claimer=bitcoin.claimer,
        bitcoin_expires_at=bitcoin.expires_at,
        satoshi=bitcoin.amount,
        point=trade.terms.point,
        outpoint=trade.coin.outpoint.serialized(),
        payee=PAYEE,
        rungs=tuple(Rung(one.fee, one.pre.encode()) for one in trade.rungs()),
    )
    return replace(memo, **other)  # type: ignore[arg-type]


def lock_of(trade: Trade, memo: Memo) -> FoundLock:
    """As a search finds it."""
    namer = trade.initiator.lock if trade.terms.mode is Mode.POINT else trade.initiator.bitcoin
    data = seal_memo(SITE, trade.lock, memo, SecretScalar.nonzero(namer))
    return FoundLock(trade.lock, data, LockStatus.OPEN, b"", BlockHeight(5))


def read(keys: TraderKeys, *locks: FoundLock, gap: int = 5) -> list[FoundSwap]:
    """By somebody's words."""
    return read_locks(locks, PLACE, keys, KeySearch(keys, gap))


@BOTH
@pytest.mark.parametrize(("keys", "role"), [(ALICE, Role.INITIATOR), (BOB, Role.FOLLOWER)])
def test_each_side_finds_the_swap_again(mode: Mode, keys: TraderKeys, role: Role) -> None:
    """Its index, its role, and all that either leg is made of; a private swap's claims, too."""
    trade = traded(mode)
    (found,) = read(keys, lock_of(trade, memo_of(trade)))
    terms = trade.terms
    assert (found.index, found.role, found.terms.mode) == (INDEX, role, mode)
    assert replace(found.terms.bitcoin, confirmations=2) == terms.bitcoin
    assert replace(found.terms.evm, confirmations=1) == terms.evm
    assert (found.terms.condition, found.terms.point) == (terms.condition, terms.point)
    if mode is Mode.POINT:
        assert (len(found.claims), found.payee) == (len(trade.rungs()), PAYEE)
        assert trade.coin is not None
        assert found.planned == trade.coin.outpoint.serialized()
    else:
        assert (found.claims, found.planned, found.payee) == ((), b"", b"")


@BOTH
def test_nobody_else_finds_it(mode: Mode) -> None:
    """Neither with other words, nor where the accounts are theirs and the memo is not."""
    trade = traded(mode)
    lock = lock_of(trade, memo_of(trade))
    assert not read(STRANGER, lock)
    for terms in (replace(lock.terms, payer=STRANGER.account), replace(lock.terms, beneficiary=STRANGER.account)):
        assert not read(STRANGER, replace(lock, terms=terms))


def test_keys_are_tried_as_far_as_the_gap() -> None:
    """Beyond the highest that was found, and no further."""
    trade = traded(Mode.HASH)
    lock = lock_of(trade, memo_of(trade))
    for gap, found in ((INDEX - 1, 0), (INDEX, 0), (INDEX + 1, 1)):
        assert len(read(ALICE, lock, gap=gap)) == found
        assert len(read(BOB, lock, gap=gap)) == found


@BOTH
def test_a_memo_that_was_changed_or_is_missing_finds_nothing(mode: Mode) -> None:
    """It is authenticated; and locks without one are strangers'."""
    trade = traded(mode)
    lock = lock_of(trade, memo_of(trade))
    changed = lock.memo[:-1] + bytes([lock.memo[-1] ^ 1])
    for memo in (changed, b"", b"\x01" * len(lock.memo), lock.memo[:-1]):
        for keys in (ALICE, BOB):
            assert not read(keys, replace(lock, memo=memo))


def test_a_memo_that_makes_no_sense_is_passed_over() -> None:
    """It names another refunder than the follower, or a T2 that is not before T1; the others are found."""
    trade, fine = traded(Mode.HASH), traded(Mode.HASH)
    stranger = STRANGER.swap(0).bitcoin_key
    wrong = [
        lock_of(trade, memo_of(trade, bitcoin_expires_at=trade.terms.evm.expires_at)),
        lock_of(trade, memo_of(trade, refunder=trade.terms.bitcoin.claimer)),
    ]
    assert [one.terms.bitcoin.amount for one in read(ALICE, *wrong, lock_of(fine, memo_of(fine)))] == [AMOUNT]
    assert not read(BOB, lock_of(trade, memo_of(trade, refunder=stranger)))


def test_claims_of_a_private_swap_that_do_not_hold_are_left_out() -> None:
    """The other side may have written them: what does not hold would show no secret."""
    trade = traded(Mode.POINT)
    memo = memo_of(trade)
    assert isinstance(memo, PointMemo)
    first, second, third = memo.rungs
    (found,) = read(BOB, lock_of(trade, replace(memo, rungs=(first, replace(second, fee=Satoshi(7)), third))))
    assert len(found.claims) == 2
