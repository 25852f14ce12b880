"""Lockbox: what an attacker would try with refused deposits, limits, hooks and foreign Hubs."""

from __future__ import annotations

from collections.abc import Iterator

import boa
import pytest

from tests.support.lockbox import (
    ALICE,
    BOB,
    CARRIER,
    ETHER,
    REFUSE,
    RETURN,
    WINDOW_SECONDS,
    Vault,
    actor,
    at,
    build_vault,
    calldata,
    odd_token,
)
from tests.support.native_contracts import ZERO, refused

CALL_AND_INSIST = 4


@pytest.fixture
def vault() -> Iterator[Vault]:
    """A Lockbox that holds 100 ether, at the beginning of a window."""
    with boa.env.anchor():
        boa.env.timestamp = 1_800_000_000 // WINDOW_SECONDS * WINDOW_SECONDS
        made = build_vault()
        made.lock(100 * ETHER)
        yield made


# --- Deposits that are sent back --------------------------------------------------------------------------------------


def test_refused_deposit_above_the_limit_is_not_kept_for_ever(vault: Vault) -> None:
    """What was locked goes back whole, also where it is more than may be withdrawn in any window."""
    vault.configure(withdrawals=10)
    assert vault.release(vault.pay(ALICE, 11, number=RETURN | 1)) == [f"Released {RETURN | 1}"]
    assert boa.env.get_balance(ALICE) == 11


def test_refused_deposits_do_not_use_up_what_others_withdraw(vault: Vault) -> None:
    """Locking what the bridge refuses costs an attacker nothing but gas: it must not stop withdrawals."""
    vault.configure(withdrawals=10)
    attack = vault.pay(ALICE, 10, number=RETURN | 1)
    assert vault.release(attack, vault.pay(BOB, 10)) == [f"Released {RETURN | 1}", "Released 1"]
    assert tuple(vault.lockbox.limits(ZERO))[2:4] == (10, 10)


def test_what_is_withdrawn_does_not_keep_refused_deposits(vault: Vault) -> None:
    """A used window, or a denial, holds withdrawals back; a deposit that is sent back waits for neither."""
    vault.configure(withdrawals=10)
    vault.release(vault.pay(BOB, 10))
    vault.configure(withdrawals=10, denied=True)
    batch = [vault.pay(BOB, 1), vault.pay(ALICE, 7, number=RETURN | 1)]
    assert vault.release(*batch) == ["PaymentDelayed 2", f"Released {RETURN | 1}"]
    vault.configure(withdrawals=10)
    with refused("Lockbox: nothing to release"):
        vault.release(*batch)


def test_locker_that_refuses_its_return_can_have_it_later(vault: Vault) -> None:
    """A contract that locks and takes no coin keeps its claim; nobody else gets it, and no second return."""
    locker = actor()
    locker.behaves(REFUSE, ZERO, b"")
    back = vault.pay(at(locker), 5, number=RETURN | 1)
    assert vault.release(back) == [f"PaymentFailed {RETURN | 1}"]
    with refused("Lockbox: no such failed payment"):
        vault.lockbox.claim(RETURN | 1, ZERO, 5, CARRIER, sender=CARRIER)
    with refused("Lockbox: payee refused"):
        vault.lockbox.claim(RETURN | 1, ZERO, 5, at(locker), sender=CARRIER)
    locker.behaves(0, ZERO, b"")
    vault.lockbox.claim(RETURN | 1, ZERO, 5, at(locker), sender=CARRIER)
    with refused("Lockbox: nothing to release"):
        vault.release(back)


# --- Odd places and orders --------------------------------------------------------------------------------------------


def test_lock_and_withdrawal_of_one_number_do_not_meet(vault: Vault) -> None:
    """Withdrawal 1 and the return of lock 1 are two payments; to cancel one leaves the other."""
    vault.cancel(1)
    assert vault.release(vault.pay(ALICE, 3, number=RETURN | 1)) == [f"Released {RETURN | 1}"]
    vault.release(vault.pay(BOB, 3, number=2))
    assert vault.release(vault.pay(ALICE, 3, number=RETURN | 2)) == [f"Released {RETURN | 2}"]


@pytest.mark.parametrize("asset", ["coin", "token"])
def test_payment_to_the_lockbox_itself_fails_and_can_be_cancelled(vault: Vault, asset: str) -> None:
    """Who names the vault as the payee loses nothing: the payment fails, nobody claims it, the group gives it up."""
    token = odd_token(ALICE, 100)
    vault.lock_token(token, 50)
    named = ZERO if asset == "coin" else at(token)
    assert vault.release(vault.pay(vault.address, 5, named), vault.pay(BOB, 5, named)) == [
        "PaymentFailed 1",
        "Released 2",
    ]
    with pytest.raises(boa.BoaError):
        vault.lockbox.claim(1, named, 5, vault.address)
    assert vault.cancel(1) == ["PaymentCancelled 1"]
    with refused("Lockbox: no such failed payment"):
        vault.lockbox.claim(1, named, 5, vault.address)


def test_release_and_cancellation_race_to_one_end(vault: Vault) -> None:
    """Of a release and a cancellation of one number the first that arrives counts, in both orders."""
    first, second = vault.pay(BOB, 5), vault.pay(BOB, 5)
    vault.release(first)
    with refused("Lockbox: nothing to cancel"):
        vault.cancel(first[0])
    vault.cancel(second[0])
    with refused("Lockbox: nothing to release"):
        vault.release(second)
    assert boa.env.get_balance(BOB) == 5


def test_claim_and_cancellation_race_to_one_end(vault: Vault) -> None:
    """What was claimed cannot be cancelled, and what was cancelled cannot be claimed."""
    refusing = actor()
    refusing.behaves(REFUSE, ZERO, b"")
    vault.release(vault.pay(at(refusing), 5), vault.pay(at(refusing), 5))
    refusing.behaves(0, ZERO, b"")
    vault.lockbox.claim(1, ZERO, 5, at(refusing))
    with refused("Lockbox: nothing to cancel"):
        vault.cancel(1)
    vault.cancel(2)
    with refused("Lockbox: no such failed payment"):
        vault.lockbox.claim(2, ZERO, 5, at(refusing))


def test_carrier_that_calls_back_gets_nowhere(vault: Vault) -> None:
    """A carrier's contract, paid in the middle of a batch, cannot release, cancel, claim or lock meanwhile."""
    token = odd_token(ALICE, 100)
    vault.lock_token(token, 50)
    carrier = actor()
    # Signed, so that only the lock against re-entrance stops it.
    inner = vault.pay(BOB, 9)
    again = calldata(vault.lockbox, "release", [inner], vault.sign_release([inner]))
    carrier.behaves(CALL_AND_INSIST, vault.address, again)
    batch = [vault.pay(BOB, 5, fee=2), vault.pay(BOB, 5, at(token))]
    vault.release(*batch, sender=at(carrier))
    assert vault.lockbox.fees_owed(at(carrier), ZERO) == 2
    assert not vault.lockbox.consumed(inner[0])


def test_coin_that_is_forced_in_buys_nothing(vault: Vault) -> None:
    """Coin above what was locked changes no limit and no payment, and credits nobody."""
    boa.env.set_balance(vault.address, boa.env.get_balance(vault.address) + 1_000)
    count = vault.lockbox.lock_count()
    with refused("Lockbox: amount is not what was sent"):
        vault.lockbox.lock(ZERO, 1_000, ALICE, sender=ALICE)
    assert vault.lockbox.lock_count() == count


def test_two_hubs_at_one_lockbox_would_share_its_numbers(vault: Vault) -> None:
    """A number names no Hub: a second Hub's withdrawal 1 is taken for the first's. Hence one Lockbox has one Hub."""
    vault.release(vault.pay(BOB, 5, number=1))
    with refused("Lockbox: nothing to release"):
        vault.release(vault.pay(ALICE, 7, number=1))
