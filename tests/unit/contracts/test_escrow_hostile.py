"""Escrow: payees and tokens that refuse, re-enter, take fees or lie. Nothing of theirs stops or harms another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boa
import pytest
from boa.contracts.abi.abi_contract import ABIContract
from eth_abi.abi import encode

from tests.support.escrow import (
    CLAIMED,
    ETHER,
    HOUR,
    KEEPER,
    PAYEE,
    PAYER,
    STRANGER,
    Desk,
    build_desk,
    coin_of,
    preimage_of,
)
from tests.support.lockbox import (
    ACCEPT,
    BURN,
    BURNS_ALL_GAS,
    CALL,
    REFUSE,
    REVERTS,
    SAYS_ZERO,
    actor,
    at,
    calldata,
    odd_token,
)
from tests.support.native_contracts import ZERO, event, refused, refused_silently


@pytest.fixture(scope="module")
def deployed() -> tuple[Desk, ABIContract, ABIContract]:
    """One deployment for the module."""
    return build_desk(), odd_token(PAYER.address, 10**6), actor()


@pytest.fixture(autouse=True)
def _put_back(deployed: object) -> Iterator[None]:
    with boa.env.anchor():
        yield


@pytest.fixture
def desk(deployed: tuple[Desk, ABIContract, ABIContract]) -> Desk:
    """An empty Escrow."""
    return deployed[0]


@pytest.fixture
def token(deployed: tuple[Desk, ABIContract, ABIContract]) -> Any:
    """A token that does as it is told; the payer has a million."""
    return deployed[1]


@pytest.fixture
def payee(deployed: tuple[Desk, ABIContract, ABIContract]) -> Any:
    """A payee that does as it is told."""
    return deployed[2]


# --- Payees of coin ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conduct", [REFUSE, BURN])
def test_payee_that_refuses_is_owed_and_blocks_nobody(desk: Desk, payee: Any, conduct: int) -> None:
    """In a batch a payee that refuses, or burns all its gas, is owed the amount, and the next one is paid."""
    payee.behaves(conduct, ZERO, b"")
    bad, good = desk.lock(desk.terms(beneficiary=at(payee))), desk.lock(desk.terms("two"))
    desk.escrow.claim_batch([(bad, preimage_of("one")), (good, preimage_of("two"))])
    assert event(desk.escrow, "Owed") == {"owner": at(payee), "asset": ZERO, "amount": ETHER}
    assert (coin_of(PAYEE.address), desk.escrow.owed(at(payee), ZERO), desk.state(bad)) == (ETHER, ETHER, CLAIMED)


def test_what_is_owed_outlives_the_time_out(desk: Desk, payee: Any) -> None:
    """A claim that was refused in time is never refunded: the payee takes it later, where it likes."""
    payee.behaves(REFUSE, ZERO, b"")
    terms = desk.lock(desk.terms(beneficiary=at(payee)))
    desk.claim(terms)
    boa.env.time_travel(seconds=HOUR)
    with refused("Escrow: no such open lock"):
        desk.escrow.refund(terms)
    with refused("Escrow: payee refused"):
        desk.escrow.withdraw(at(payee), ZERO, at(payee))
    with refused("Escrow: not the owner"):
        desk.escrow.withdraw(at(payee), ZERO, STRANGER.address, sender=STRANGER.address)
    with refused("Escrow: no recipient"):
        desk.escrow.withdraw(at(payee), ZERO, ZERO, sender=at(payee))
    data = calldata(desk.escrow, "withdraw", at(payee), ZERO, STRANGER.address)
    payee.execute(desk.address, data, 500_000)
    assert (coin_of(STRANGER.address), coin_of(desk.address)) == (ETHER, 0)
    with refused("Escrow: nothing owed"):
        desk.escrow.withdraw(at(payee), ZERO, at(payee))


def test_anyone_pushes_what_is_owed_to_its_owner(desk: Desk, payee: Any) -> None:
    """A payee that cannot call is paid by anyone, once it takes coin again."""
    payee.behaves(REFUSE, ZERO, b"")
    desk.claim(desk.lock(desk.terms(beneficiary=at(payee))))
    payee.behaves(ACCEPT, ZERO, b"")
    desk.escrow.withdraw(at(payee), ZERO, at(payee), sender=STRANGER.address)
    assert event(desk.escrow, "Withdrawn") == {"owner": at(payee), "asset": ZERO, "to": at(payee), "amount": ETHER}
    assert coin_of(at(payee)) == ETHER


def test_thrifty_caller_makes_no_payment_fail(desk: Desk) -> None:
    """With too little gas for a payee's bound a claim reverts as a whole: nobody is owed for a caller's thrift."""
    terms = desk.lock(desk.terms())
    with refused("Escrow: more gas"):
        desk.claim(terms, gas=89_000)
    desk.claim(terms, gas=130_000)
    assert coin_of(PAYEE.address) == ETHER


def test_refund_that_is_refused_stays_refundable(desk: Desk, payee: Any) -> None:
    """A refund address that refuses coin reverts its refund, which goes through once it takes it."""
    payee.behaves(REFUSE, ZERO, b"")
    terms = desk.lock(desk.terms(refund_to=at(payee)))
    boa.env.time_travel(seconds=HOUR)
    with refused("Escrow: payee refused"):
        desk.escrow.refund(terms)
    payee.behaves(ACCEPT, ZERO, b"")
    desk.escrow.refund(terms)
    assert coin_of(at(payee)) == ETHER


@pytest.mark.parametrize("function", ["claim", "claim_batch", "refund", "give_back", "withdraw", "lock"])
def test_payee_cannot_come_back_in(desk: Desk, payee: Any, function: str) -> None:
    """While it is being paid, a payee's calls of the Escrow fail, whatever they are, and its payment is made once."""
    terms, other = desk.terms(beneficiary=at(payee)), desk.terms("two", beneficiary=at(payee))
    arguments: dict[str, tuple[Any, ...]] = {
        "claim": (other, preimage_of("two")),
        "claim_batch": ([(other, preimage_of("two"))],),
        "refund": (other,),
        "give_back": (other, b""),
        "withdraw": (at(payee), ZERO, at(payee)),
        "lock": (bytes(32), PAYEE.address, PAYEE.address, bytes(32), 2**60),
    }
    payee.behaves(CALL, desk.address, calldata(desk.escrow, function, *arguments[function]))
    desk.lock(terms)
    desk.lock(other)
    desk.claim(terms)
    assert (payee.calls(), payee.calls_succeeded()) == (1, 0)
    assert (coin_of(at(payee)), coin_of(desk.address)) == (ETHER, ETHER)


# --- Tokens -----------------------------------------------------------------------------------------------------------


def test_token_goes_there_and_back_exactly(desk: Desk, token: Any) -> None:
    """Tokens are claimed and refunded as coin is."""
    one, two = desk.lock_token(token), desk.lock_token(token, "two")
    desk.claim(one)
    boa.env.time_travel(seconds=HOUR)
    desk.escrow.refund(two)
    assert (token.held(PAYEE.address), token.held(KEEPER.address), token.held(desk.address)) == (1_000, 1_000, 0)


def test_memo_of_a_token_lock_is_told(desk: Desk, token: Any) -> None:
    """A token's lock carries a memo as a coin's does."""
    token.approve(desk.address, 5, sender=PAYER.address)
    desk.lock(desk.terms(asset=at(token), amount=5), b"memo")
    assert event(desk.escrow, "Memo")["memo"] == b"memo"


def test_token_that_answers_nothing_is_taken(desk: Desk, token: Any) -> None:
    """Tokens older than the standard answer nothing, and mean success."""
    token.answers(b"")
    desk.claim(desk.lock_token(token))
    assert token.held(PAYEE.address) == 1_000


@pytest.mark.parametrize("answer", [encode(["bool"], [False]), b"\x01", encode(["uint256"], [2])])
def test_token_that_does_not_consent_is_refused(desk: Desk, token: Any, answer: bytes) -> None:
    """An answer that is not true means failure, when locking and when paying."""
    terms = desk.lock_token(token)
    token.answers(answer)
    with refused("Escrow: token refused"):
        desk.lock_token(token, "two")
    desk.claim(terms)
    assert (token.held(PAYEE.address), desk.escrow.owed(PAYEE.address, at(token))) == (0, 1_000)
    with refused("Escrow: token refused"):
        desk.escrow.withdraw(PAYEE.address, at(token), PAYEE.address)


@pytest.mark.parametrize("gets_bps", [9_900, 0, 10_100])
def test_token_that_credits_another_amount_is_refused(desk: Desk, token: Any, gets_bps: int) -> None:
    """A token that takes a fee, moves nothing or gives more cannot be locked: terms say what is paid out."""
    token.moves(10_000, gets_bps)
    with refused("Escrow: another amount arrived"):
        desk.lock_token(token)


@pytest.mark.parametrize("loses_bps", [0, 9_000, 11_000])
def test_token_that_begins_to_take_another_amount_takes_nobodys(desk: Desk, token: Any, loses_bps: int) -> None:
    """A payment that would cost the Escrow another sum than the lock's is undone, and owed."""
    one, two = desk.lock_token(token), desk.lock_token(token, "two")
    token.moves(loses_bps, 10_000)
    desk.claim(one)
    assert (token.held(desk.address), desk.escrow.owed(PAYEE.address, at(token))) == (2_000, 1_000)
    boa.env.time_travel(seconds=HOUR)
    with refused("Escrow: another amount left"):
        desk.escrow.refund(two)


@pytest.mark.parametrize("conduct", [REVERTS, BURNS_ALL_GAS])
def test_token_that_fails_blocks_no_other_claim(desk: Desk, token: Any, conduct: int) -> None:
    """A token that reverts or burns its gas has its own claim owed, and the coin's claim beside it is paid."""
    bad, good = desk.lock_token(token), desk.lock(desk.terms("two"))
    token.behaves(conduct)
    desk.escrow.claim_batch([(bad, preimage_of("one")), (good, preimage_of("two"))])
    assert (desk.escrow.owed(PAYEE.address, at(token)), coin_of(PAYEE.address)) == (1_000, ETHER)
    token.behaves(0)
    desk.escrow.withdraw(PAYEE.address, at(token), PAYEE.address)
    assert token.held(PAYEE.address) == 1_000


def test_token_claim_needs_its_bound_of_gas(desk: Desk, token: Any) -> None:
    """A thrifty caller cannot have a token's payment fail."""
    terms = desk.lock_token(token)
    with refused("Escrow: more gas"):
        desk.claim(terms, gas=309_000)


def test_token_that_comes_back_in_gets_nothing(desk: Desk, token: Any) -> None:
    """A token that calls the Escrow while it is moved is shut out, of locks and of claims."""
    one, two = desk.lock_token(token), desk.lock_token(token, "two")
    token.hooks_into(desk.address, calldata(desk.escrow, "claim", two, preimage_of("two")))
    desk.claim(one)
    desk.lock_token(token, "three")
    assert (token.hooks(), token.hooks_succeeded()) == (2, 0)
    assert token.held(desk.address) == 2_000


def test_token_locks_what_it_says_it_moved(desk: Desk, token: Any) -> None:
    """A token that hides its balances cannot be locked."""
    token.reports(SAYS_ZERO)
    with refused("Escrow: another amount arrived"):
        desk.lock_token(token)


def test_what_is_no_token_is_refused(desk: Desk) -> None:
    """An account without code is no token, and neither is the coin under a token's name."""
    with refused("Escrow: not a token"):
        desk.lock(desk.terms(asset=STRANGER.address))
    with refused("Escrow: not a token"):
        desk.escrow.lock_token(bytes(32), ZERO, 1, PAYEE.address, PAYEE.address, bytes(32), 2**60, sender=PAYER.address)


def test_coin_with_a_token_is_refused(desk: Desk, token: Any) -> None:
    """Coin that is sent along with a token's lock would belong to nobody."""
    boa.env.set_balance(PAYER.address, 1)
    arguments = (bytes(32), at(token), 1, PAYEE.address, PAYEE.address, bytes(32), 2**60)
    with refused_silently():
        desk.escrow.lock_token(*arguments, value=1, sender=PAYER.address)
