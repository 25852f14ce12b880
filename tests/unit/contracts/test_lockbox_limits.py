"""Lockbox: limits a window, denied assets and pauses, which delay and never take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boa
import pytest

from tests.support.lockbox import (
    ALICE,
    BOB,
    CHRIS,
    DAY,
    ETHER,
    GUARDIAN,
    REFUSE,
    WINDOW_SECONDS,
    Vault,
    actor,
    at,
    build_vault,
    odd_token,
    secret_of,
)
from tests.support.native_contracts import ZERO, event, events, refused

LARGEST = 2**112 - 1


@pytest.fixture
def vault() -> Iterator[Vault]:
    """A Lockbox that holds 100 ether, at the beginning of a window."""
    with boa.env.anchor():
        boa.env.timestamp = 1_800_000_000 // WINDOW_SECONDS * WINDOW_SECONDS
        made = build_vault()
        made.lock(100 * ETHER)
        yield made


def later(seconds: int) -> None:
    """Let time pass."""
    boa.env.timestamp += seconds


# --- Deposits ---------------------------------------------------------------------------------------------------------


def test_locks_of_a_window_stay_below_the_limit(vault: Vault) -> None:
    """Up to the limit, exactly, is locked in a window, by whomever; the next window begins anew."""
    vault.configure(deposits=10)
    vault.lock(6)
    with refused("Lockbox: over the limit"):
        vault.lock(5, BOB)
    vault.lock(4, BOB)
    with refused("Lockbox: over the limit"):
        vault.lock(1)
    assert tuple(vault.lockbox.limits(ZERO)) == (10, 10, 0, 0, False)
    later(WINDOW_SECONDS - 1)
    with refused("Lockbox: over the limit"):
        vault.lock(1)
    later(1)
    assert tuple(vault.lockbox.limits(ZERO)) == (10, 0, 0, 0, False)
    vault.lock(10)


def test_lock_above_the_whole_limit_never_fits(vault: Vault) -> None:
    """What is above a window's limit is refused in every window."""
    vault.configure(deposits=10)
    for _ in range(2):
        with refused("Lockbox: over the limit"):
            vault.lock(11)
        later(WINDOW_SECONDS)


def test_limit_counts_what_arrived(vault: Vault) -> None:
    """Of a token that keeps a fee, what arrives is counted and not what was asked for; other assets are not."""
    token = odd_token(ALICE, 100)
    token.moves(10_000, 5_000)
    vault.configure(at(token), deposits=10)
    assert vault.lock_token(token, 20) == 10
    with refused("Lockbox: over the limit"):
        vault.lock_token(token, 2)
    vault.lock(ETHER)


# --- Withdrawals ------------------------------------------------------------------------------------------------------


def test_payments_above_the_limit_are_delayed(vault: Vault) -> None:
    """What does not fit is passed over and told; what fits after it is paid; the same signature pays the rest later."""
    vault.configure(withdrawals=10)
    batch = [vault.pay(BOB, 6), vault.pay(CHRIS, 5), vault.pay(BOB, 4)]
    assert vault.release(*batch) == ["Released 1", "PaymentDelayed 2", "Released 3"]
    assert not vault.lockbox.consumed(2)
    with refused("Lockbox: nothing to release"):
        vault.release(*batch)
    later(WINDOW_SECONDS)
    assert vault.release(*batch) == ["Released 2"]
    assert (boa.env.get_balance(BOB), boa.env.get_balance(CHRIS)) == (10, 5)


def test_fees_count_and_delayed_payments_earn_none(vault: Vault) -> None:
    """The limit bounds all that leaves: amounts and fees. Who carries what must wait gets nothing for it."""
    vault.configure(withdrawals=10)
    before = boa.env.get_balance(vault.address)
    vault.release(vault.pay(BOB, 6, fee=3), vault.pay(BOB, 1, fee=1), vault.pay(BOB, 0, fee=1))
    assert vault.told() == ["Released 1", "PaymentDelayed 2", "Released 3"]
    assert before - boa.env.get_balance(vault.address) == 10


@pytest.mark.parametrize(("amount", "fee"), [(2**256 - 1, 0), (0, 2**256 - 1), (2**256 - 1, 2**256 - 1), (2**112, 1)])
def test_absurd_payment_is_delayed_and_stops_nobody(vault: Vault, amount: int, fee: int) -> None:
    """Amounts near 2**256 do not overflow the budget: they only do not fit."""
    vault.configure(withdrawals=LARGEST)
    assert vault.release(vault.pay(BOB, amount, fee=fee), vault.pay(BOB, 1)) == ["PaymentDelayed 1", "Released 2"]


def test_failed_payment_counts_once(vault: Vault) -> None:
    """A failed payment takes its part of the window when it fails, and a claim takes none."""
    refusing = actor()
    refusing.behaves(REFUSE, ZERO, b"")
    vault.configure(withdrawals=10)
    vault.release(vault.pay(at(refusing), 10))
    refusing.behaves(0, ZERO, b"")
    vault.lockbox.claim(1, ZERO, 10, at(refusing))
    assert tuple(vault.lockbox.limits(ZERO)) == (0, 0, 10, 10, False)


# --- Configuration ----------------------------------------------------------------------------------------------------


def test_configuration_is_told(vault: Vault) -> None:
    """The event has all terms, and the nonce counts for each asset alone."""
    token = at(odd_token(ALICE, 1))
    vault.configure(token, 5, LARGEST, True)
    told = {"asset": token, "deposit_limit": 5, "withdrawal_limit": LARGEST, "denied": True, "nonce": 1}
    assert events(vault.lockbox) == [("AssetConfigured", told)]
    assert tuple(vault.lockbox.limits(token)) == (5, 0, LARGEST, 0, True)
    assert (vault.lockbox.configuration_nonce(token), vault.lockbox.configuration_nonce(ZERO)) == (1, 0)


@pytest.mark.parametrize("nonce", [0, 1, 3, 2**256 - 1])
def test_configuration_is_no_good_twice(vault: Vault, nonce: int) -> None:
    """Only the next number is taken: an old configuration cannot come back, and none can be left out."""
    vault.configure(deposits=5)
    with refused("Lockbox: bad nonce"):
        vault.configure(deposits=5, nonce=nonce)
    vault.configure(deposits=6, nonce=2)


def test_limit_has_to_fit(vault: Vault) -> None:
    """Limits are below 2**112, what is packed."""
    for limits in ((2**112, 0), (0, 2**112)):
        with refused("Lockbox: limit too large"):
            vault.configure(ZERO, *limits)


def test_new_limit_leaves_what_was_spent(vault: Vault) -> None:
    """A limit that is lowered or raised in the middle of a window does not open the window again."""
    vault.configure(deposits=10, withdrawals=10)
    vault.lock(8)
    vault.release(vault.pay(BOB, 7))
    vault.configure(deposits=5, withdrawals=6)
    assert tuple(vault.lockbox.limits(ZERO)) == (5, 8, 6, 7, False)
    with refused("Lockbox: over the limit"):
        vault.lock(1)
    with refused("Lockbox: nothing to release"):
        vault.release(vault.pay(BOB, 1))
    vault.configure(deposits=9, withdrawals=8, denied=True)
    vault.configure(deposits=9, withdrawals=8)
    vault.lock(1)
    assert vault.release(vault.pay(BOB, 1)) == ["Released 3"]
    later(WINDOW_SECONDS)
    vault.configure()
    assert tuple(vault.lockbox.limits(ZERO)) == (0, 0, 0, 0, False)
    vault.lock(ETHER)


def test_denied_asset_is_refused_until_it_is_allowed(vault: Vault) -> None:
    """No lock and no payment of a denied asset; others go on; what waited is paid when it is allowed again."""
    token = odd_token(ALICE, 100)
    vault.lock_token(token, 50)
    vault.configure(at(token), denied=True)
    with refused("Lockbox: asset denied"):
        vault.lock_token(token, 10)
    batch = [vault.pay(BOB, 10, at(token)), vault.pay(BOB, 1)]
    assert vault.release(*batch) == ["PaymentDelayed 1", "Released 2"]
    vault.configure(at(token))
    assert vault.release(*batch) == ["Released 1"]
    assert token.balanceOf(BOB) == 10


def test_a_lock_of_a_denied_asset_is_sent_back(vault: Vault) -> None:
    """A denial keeps nothing: what was locked before goes back, whatever the limit, and the asset stays denied."""
    token = odd_token(ALICE, 100)
    vault.lock_token(token, 50)
    vault.configure(at(token), withdrawals=10, denied=True)
    batch = [vault.pay(ALICE, amount, at(token), number=2**255 | amount) for amount in (30, 11)]
    assert vault.release(*batch) == [f"Released {2**255 | 30}", f"Released {2**255 | 11}"]
    with refused("Lockbox: asset denied"):
        vault.lock_token(token, 10)
    assert token.balanceOf(ALICE) == 91


def test_claim_of_a_denied_asset_works(vault: Vault) -> None:
    """A denial takes nothing from the payee of a payment that failed before."""
    token = odd_token(ALICE, 100)
    vault.lock_token(token, 50)
    token.freezes(BOB, True)
    vault.release(vault.pay(BOB, 10, at(token)))
    vault.configure(at(token), denied=True)
    vault.lockbox.claim(1, at(token), 10, CHRIS, sender=BOB)
    assert token.balanceOf(CHRIS) == 10


# --- Pauses -----------------------------------------------------------------------------------------------------------


def test_pause_stops_locks_and_releases_for_a_day(vault: Vault) -> None:
    """While it is paused nothing is locked or released; after a day everything works by itself."""
    until = boa.env.timestamp + DAY
    vault.lockbox.pause(sender=GUARDIAN)
    assert event(vault.lockbox, "Paused") == {"until": until}
    assert (vault.lockbox.paused_until(), vault.lockbox.pause_count()) == (until, 1)
    payment = vault.pay(BOB, 1)
    for seconds in (0, DAY - 1):
        later(seconds)
        with refused("Lockbox: paused"):
            vault.lock()
        with refused("Lockbox: paused"):
            vault.release(payment)
    later(1)
    vault.lock()
    assert vault.release(payment) == ["Released 1"]


def test_pause_stops_no_claim_and_nothing_of_the_group(vault: Vault) -> None:
    """A pause only delays: failed payments are claimed, and the group rotates, cancels and configures."""
    refusing: Any = actor()
    refusing.behaves(REFUSE, ZERO, b"")
    vault.release(vault.pay(at(refusing), 10))
    vault.lockbox.pause(sender=GUARDIAN)
    refusing.behaves(0, ZERO, b"")
    vault.lockbox.claim(1, ZERO, 10, at(refusing))
    vault.cancel(2)
    vault.configure(deposits=1)
    vault.rotate(secret_of("second"))
    assert vault.lockbox.paused_until() == boa.env.timestamp + DAY
    vault.unpause()
    assert vault.lockbox.lock_count() == 1


def test_pauses_lie_a_day_apart(vault: Vault) -> None:
    """A guardian can delay for half of the time at most, also one whose pause was ended early."""
    again = "Lockbox: paused too recently"
    vault.lockbox.pause(sender=GUARDIAN)
    for wait in (0, DAY, DAY - 1):
        later(wait)
        with refused(again):
            vault.lockbox.pause(sender=GUARDIAN)
    later(1)
    vault.lockbox.pause(sender=GUARDIAN)
    later(100)
    vault.unpause()
    later(DAY - 1)
    with refused(again):
        vault.lockbox.pause(sender=GUARDIAN)
    later(1)
    vault.lockbox.pause(sender=GUARDIAN)
    assert vault.lockbox.pause_count() == 3


def test_only_the_guardian_pauses(vault: Vault) -> None:
    """Nobody else can stop the Lockbox, and where nobody is guardian, nobody can."""
    with refused("Lockbox: not the guardian"):
        vault.lockbox.pause(sender=BOB)
    with refused("Lockbox: not the guardian"):
        build_vault(guardian=ZERO).lockbox.pause(sender=GUARDIAN)


def test_group_ends_a_pause(vault: Vault) -> None:
    """The group's signature for this very pause ends it."""
    vault.lockbox.pause(sender=GUARDIAN)
    vault.unpause()
    assert events(vault.lockbox) == [("Unpaused", {})]
    assert vault.lockbox.paused_until() == boa.env.timestamp
    vault.lock()
    with refused("Lockbox: not paused"):
        vault.unpause()


def test_end_of_one_pause_is_no_end_of_the_next(vault: Vault) -> None:
    """A signature that was made for a pause and not needed does not end a later one."""
    vault.lockbox.pause(sender=GUARDIAN)
    unused = vault.sign("unpause", ["uint256"], [1])
    later(2 * DAY)
    vault.lockbox.pause(sender=GUARDIAN)
    for nonce in (0, 1, 3):
        with refused("Lockbox: bad nonce"):
            vault.lockbox.unpause(nonce, unused)
    with refused("Lockbox: bad signature"):
        vault.lockbox.unpause(2, unused)
    vault.unpause(2)
