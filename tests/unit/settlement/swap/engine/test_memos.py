"""A follower funds only beside a memo that would bring its money back from the words alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace as replaced

from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.evm.types import BlockRef
from foundation.quantities import BlockHeight, Satoshi
from mpc.curve import SecretScalar
from settlement.swap.bitcoin.output import output_of
from settlement.swap.bitcoin.rungs import RungMaker, complete_rungs, offer_rungs
from settlement.swap.engine.hands.evm import memo_holds, memo_of
from settlement.swap.evm.memo import HashMemo, PointMemo, seal_memo
from settlement.swap.evm.terms import lock_terms
from settlement.swap.evm.watch import LockFact
from settlement.swap.machine.changes import LockSeen
from settlement.swap.machine.effects import BroadcastFunding, SignGiveBack
from settlement.swap.machine.facts import LockStatus, expected_lock
from settlement.swap.machine.states import Follower, Initiator, Why, new_swap
from settlement.swap.terms import Mode, Role
from settlement.swap.wallet.secrets import TraderKeys
from tests.support.swap_evm import site_of
from tests.support.swap_sides import follower
from tests.support.swap_terms import swap_terms

ALICE, BOB = TraderKeys("test " * 11 + "junk").swap(0), TraderKeys("abandon " * 11 + "about").swap(0)
SITE = site_of()
FUNDING = b"\x05" * 32 + bytes(4)
PAYEE = b"\x51\x20" + b"\x06" * 32


class Case:
    """A follower (Alice) that looks at the lock of an initiator (Bob)."""

    def __init__(self, mode: Mode) -> None:
        terms = swap_terms(mode)
        is_hash = mode is Mode.HASH
        bitcoin = replace(terms.bitcoin, claimer=BOB.bitcoin_key, refunder=ALICE.bitcoin_key)
        lock_id = BOB.bitcoin_key if is_hash else BOB.lock_key
        self.terms = replace(terms, bitcoin=bitcoin, evm=replace(terms.evm, lock_id=lock_id, escrow=SITE.escrow))
        self.namer = SecretScalar.nonzero(BOB.bitcoin if is_hash else BOB.lock)
        gates: Any = None
        state = new_swap(Role.FOLLOWER, self.terms, gates, 0)
        mine = new_swap(Role.INITIATOR, self.terms, gates, 0)
        assert isinstance(state, Follower)
        assert isinstance(mine, Initiator)
        if not is_hash:
            signed, claims = self.rungs()
            state = replaced(state, prepared=FUNDING, presignatures=(signed,))
            mine = replaced(mine, planned=FUNDING, presignatures=claims)
        self.row: Any = SimpleNamespace(state=state)
        self.memo = memo_of(SimpleNamespace(state=mine))  # type: ignore[arg-type]
        evm = SimpleNamespace(site=SITE)
        self.desk: Any = SimpleNamespace(evm=evm, secrets=lambda row: ALICE)

    def rungs(self, *payees: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        output = output_of(self.terms)
        coin = Coin(OutPoint.parse(FUNDING), self.terms.bitcoin.amount, output.script)
        maker, fees, point = RungMaker(output, ALICE.bitcoin), [Satoshi(n) for n in (500, 900, 1500)], self.terms.point
        nonces = maker.nonces
        made = [
            offer_rungs(output, BOB.bitcoin, coin, [nonce], payee, [fee], point)
            for nonce, payee, fee in zip(nonces, payees or (PAYEE,) * 3, fees, strict=True)
        ]
        offers, partials = [one[0][0] for one in made], [one[1][0] for one in made]
        signed, answers = maker.countersign(coin, offers, partials, point)
        claims = complete_rungs(output, coin, point, offers, partials, nonces, answers)
        return tuple(one.encode() for one in signed), tuple(one.encode() for one in claims)

    def fact(self, memo: bytes) -> LockFact:
        block = BlockRef(BlockHeight(7), bytes(32))
        return LockFact(lock_terms(self.terms), memo, LockStatus.OPEN, b"", block, 1, True)

    def sealed(self, memo: HashMemo | PointMemo) -> bytes:
        return seal_memo(SITE, lock_terms(self.terms), memo, self.namer)


@pytest.mark.parametrize("mode", Mode)
def test_the_memo_that_was_to_be_there_holds(mode):
    """What an honest initiator seals is what the follower looks for, in both modes."""
    case = Case(mode)
    assert memo_holds(case.desk, case.row, case.fact(case.sealed(case.memo)))


@pytest.mark.parametrize("mode", Mode)
def test_a_memo_that_is_missing_or_opens_nowhere_does_not_hold(mode):
    """Without one, or with bytes that only look like one, a lost database would be lost money."""
    case = Case(mode)
    good = case.sealed(case.memo)
    for bad in (b"", bytes(len(good)), good[:-1] + bytes([good[-1] ^ 1])):
        assert not memo_holds(case.desk, case.row, case.fact(bad))


@pytest.mark.parametrize("mode", Mode)
def test_a_memo_that_lies_does_not_hold(mode):
    """One that names another time-out or amount finds no output; other claims show no secret."""
    case = Case(mode)
    memo = case.memo
    lies = [replace(memo, bitcoin_expires_at=memo.bitcoin_expires_at + 1), replace(memo, satoshi=memo.satoshi - 1)]
    if isinstance(memo, PointMemo):
        lies += [replace(memo, outpoint=b"\x07" * 36), replace(memo, rungs=memo.rungs[:2])]
        lies += [replace(memo, payee=b"\x51\x20" + b"\x07" * 32), replace(memo, claimer=ALICE.bitcoin_key)]
    for lie in lies:
        assert not memo_holds(case.desk, case.row, case.fact(case.sealed(lie)))


def test_claims_that_no_memo_can_hold_do_not_stop_the_watching():
    """An initiator whose claims pay to several scripts, or to a longer one, is not funded, and nothing is raised."""
    case = Case(Mode.POINT)
    good = case.sealed(case.memo)
    for payees in ((PAYEE, PAYEE, b"\x51\x20" + b"\x07" * 32), (b"\x60\x28" + b"\x07" * 40,) * 3):
        signed, _ = case.rungs(*payees)
        case.row.state = replaced(case.row.state, presignatures=(signed,))
        assert not memo_holds(case.desk, case.row, case.fact(good))


def test_of_other_locks_and_later_on_nothing_is_asked():
    """What was funded is claimed, whatever stands beside the lock."""
    case = Case(Mode.HASH)
    case.row.state = replaced(case.row.state, funding=True)
    assert memo_holds(case.desk, case.row, case.fact(b""))


def test_a_follower_does_not_fund_beside_a_lie():
    """A lock that is exact but for its memo is no reason to fund: it goes back at once."""
    side = follower()
    side.agree()
    given = side.tell(LockSeen(expected_lock(side.terms), LockStatus.OPEN, 1, True, memo_holds=False))
    assert not any(isinstance(order, BroadcastFunding) for order in given)
    assert any(isinstance(order, SignGiveBack) for order in given)
    assert isinstance(side.state, Follower)
    assert side.state.never_fund is Why.WRONG_LOCK
